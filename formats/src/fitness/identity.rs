//! Whether the log holds the old values that the Sink needs.

use afterbay_crds::plan::Envelope;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::{Source, display, identifier, quoted};
use crate::relation::SqlType;
use crate::table::{ColumnDescription, ReplicaIdentity, TableDescription};

/// Digits of a `numeric` whose values never leave their row: at most 24 bytes, and Postgres moves only what is larger
/// (8 bytes of headers, 2 for each 4 digits).
const NUMERIC_DIGITS_IN_ROW: u16 = 28;

/// What the columns behind WHERE are needed for.
pub const CONDITION: &str = "WHERE";

/// The problem, unless the table (and each of its partitions: the root's identity does not extend to them, and theirs
/// not to the root, by which the stream labels the old rows) has a sufficient replica identity. `old_values` are the columns
/// that a deletion must tell, and what they are for.
pub fn check(source: Source<'_>, old_values: &[(&str, &str)], envelope: Envelope) -> Option<Problem> {
    let table = source.table;
    let whole = std::iter::once((&table.schema, &table.name, &table.replica_identity));
    let leaves = table.leaves.iter().map(|leaf| (&leaf.schema, &leaf.name, &leaf.replica_identity));
    let mut lacking = Vec::new();
    let mut why = None;
    let full_breaks = table.refuses_generated_identity && table.columns.iter().any(|column| column.generated);
    for (schema, name, identity) in whole.chain(leaves) {
        if full_breaks && *identity == ReplicaIdentity::Full {
            return Some(generated(schema, name));
        }
        if let Some(lack) = lack(source, identity, old_values, envelope) {
            why.get_or_insert(lack);
            lacking.push((schema, name));
        }
    }
    let names: Vec<_> = lacking.iter().map(|(schema, name)| display(schema, name)).collect();
    let statements: Vec<_> = lacking
        .iter()
        .map(|(schema, name)| format!("ALTER TABLE {} REPLICA IDENTITY FULL;", quoted(schema, name)))
        .collect();
    if full_breaks {
        return why.map(|why| without_full(table, &why));
    }
    why.map(|why| {
        Reason::ReplicaIdentityInsufficient.problem(
            format!("the replica identity of table {} does not suffice: {why}", names.join(", ")),
            format!("run: {}", statements.join(" ")),
        )
    })
}

/// Changes of the table would fail as soon as it is published.
fn generated(schema: &str, name: &str) -> Problem {
    let table = display(schema, name);
    Reason::ReplicaIdentityInsufficient.problem(
        format!(
            "table {table} has REPLICA IDENTITY FULL and generated columns: if it is published, this server (from version 18 \
             on) refuses each update and each deletion of its rows"
        ),
        format!(
            "the upsert envelope can do without: ALTER TABLE {} REPLICA IDENTITY USING INDEX …, with a unique index on all \
             columns that the Sink needs old values of; else drop the generated columns",
            quoted(schema, name)
        ),
    )
}

/// An identity lacks something, and FULL is no way out.
fn without_full(table: &TableDescription, why: &str) -> Problem {
    let name = display(&table.schema, &table.name);
    Reason::ReplicaIdentityInsufficient.problem(
        format!("the replica identity of table {name} does not suffice: {why}"),
        "this server (from version 18 on) cannot publish generated columns' tables with REPLICA IDENTITY FULL, which would \
         help: drop the generated columns, or keep the values in a table of their own",
    )
}

/// What an identity lacks.
fn lack(
    source: Source<'_>,
    identity: &ReplicaIdentity,
    old_values: &[(&str, &str)],
    envelope: Envelope,
) -> Option<String> {
    if *identity == ReplicaIdentity::Full {
        return None;
    }
    if envelope == Envelope::Debezium {
        return Some("the debezium envelope tells the whole old row".to_owned());
    }
    let table = source.table;
    let none = Vec::new();
    let held = match identity {
        ReplicaIdentity::Index { columns } => columns,
        ReplicaIdentity::Default => table.unique_keys.iter().find(|key| key.primary).map_or(&none, |key| &key.columns),
        ReplicaIdentity::Nothing | ReplicaIdentity::Full => &none,
    };
    if let Some((column, what)) = old_values.iter().find(|(column, _)| !held.iter().any(|held| held == column)) {
        let column = identifier(column);
        return Some(if *what == CONDITION {
            format!(
                "an update or a deletion does not tell the old value of column {column}, by which the query's WHERE says \
                 whether the row was in the topic"
            )
        } else {
            format!("a deletion does not tell the old value of {what} column {column}, which its tombstone needs")
        });
    }
    if held.is_empty() {
        return Some("an update or a deletion does not tell which row it is".to_owned());
    }
    let read = table.streamed_columns().filter(|column| source.reads(&column.name));
    { read }.find(|column| leaves_its_row(column)).map(|column| {
        format!(
            "column {} can be stored out of line (TOAST), and an update that leaves such a value as it is does not \
             tell it otherwise",
            identifier(&column.name)
        )
    })
}

fn leaves_its_row(column: &ColumnDescription) -> bool {
    let small = match &column.sql_type {
        SqlType::Numeric { typmod: Some((precision, scale)) } => {
            *scale >= 0 && scale.unsigned_abs().max(*precision) <= NUMERIC_DIGITS_IN_ROW
        }
        SqlType::Other(name) => name == "inet" || name == "cidr",
        _ => false,
    };
    column.can_toast && !small
}
