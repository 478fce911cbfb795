//! Whether a table can be carried by a Sink, and what its owner can do if not.
//!
//! Pure: what the catalogue says comes in as a [`TableDescription`]. The rules are those of the reference ("Upsert key
//! selection") and of logical replication (PostgreSQL documentation, "Replica Identity" and "Restrictions").

mod derived;
mod identity;
mod key;

#[cfg(test)]
mod tests;

use afterbay_crds::plan::{Envelope, RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use crate::documentation::{self, Comments};
use crate::encoders::{CompileError, Encoders, KeySpec, MessageSpec};
use crate::headers;
use crate::relation::{Column, Relation};
use crate::table::{ColumnDescription, Persistence, TableDescription, TableKind};

pub use derived::{Derived, DerivedColumn, Source};

/// A table that can be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// What messages are made of: the columns that the stream brings.
    pub relation: Relation,
    /// The columns of the key, as indexes into the relation's, in the key's order.
    pub key: Vec<usize>,
    /// The column of headers.
    pub headers: Option<usize>,
}

/// Checks a table, or a query over one, against what a Sink wants of it; all problems at once. `partition_by` are the columns
/// that decide about the partition.
pub fn check<'t>(
    source: impl Into<Source<'t>>,
    sink: &RelationPlan,
    partition_by: &[&str],
) -> Result<Fit, Vec<Problem>> {
    let source = source.into();
    // Of what is no table there is no use in telling more.
    if let Some(problem) = unfit(source.table) {
        return Err(vec![problem]);
    }
    let seen = source.seen();
    let relation = relation(seen);
    let (key, mut problems) = match key::find(source, &sink.key_columns) {
        Ok(key) => (key, Vec::new()),
        Err(problems) => (Vec::new(), problems),
    };
    // A key that names no columns is not to be called not unique besides.
    if sink.envelope == Envelope::Upsert && !sink.key_not_enforced && problems.is_empty() {
        problems.extend(key::prove_unique(source, &sink.key_columns));
    }
    if sink.key_format.is_some() && sink.key_columns.is_empty() && problems.is_empty() {
        let message = format!("table {} has no key, and messages are to have one", sink.table);
        let hint = format!("give it a primary key: ALTER TABLE {} ADD PRIMARY KEY (…)", sink.table);
        problems.push(Reason::KeyNotUnique.problem(message, hint));
    }
    let headers = match sink.headers.as_deref().map(|column| headers(source, &relation, column)) {
        Some(Ok(column)) => Some(column),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
        None => None,
    };
    problems.extend(identity::check(source, &old_values(source, sink, partition_by), sink.envelope));
    let fit = Fit { relation, key, headers };
    if problems.is_empty() {
        // Whether there can be messages is no matter of what their types are called.
        let encoders = fit.encoders(&seen.comments, sink, "");
        problems.extend(encoders.err().map(|error| error.problem(sink)));
    }
    if problems.is_empty() { Ok(fit) } else { Err(problems) }
}

impl Fit {
    /// The encoders of keys and values; `name_prefix` is the connection's.
    pub fn encoders(
        &self,
        comments: &Comments,
        sink: &RelationPlan,
        name_prefix: &str,
    ) -> Result<Encoders, CompileError> {
        let key = sink.key_format.as_ref().filter(|_| !self.key.is_empty());
        Encoders::compile(&MessageSpec {
            relation: &self.relation,
            comments,
            key: key.map(|format| KeySpec { columns: &self.key, format }),
            envelope: sink.envelope,
            value: &sink.value_format,
            name_prefix,
        })
    }
}

/// The Sink's documentation is about something that the table is not made of. It keeps no Sink from going on: the columns of
/// a change may be those of another day.
pub fn documents_nothing<'t>(source: impl Into<Source<'t>>, sink: &RelationPlan) -> Option<Problem> {
    let source = source.into();
    let (seen, relation) = (source.seen(), relation(source.seen()));
    let nothing = sink.avro().find_map(|avro| documentation::about_nothing(&avro.docs, &relation, &seen.comments))?;
    let what = if source.derived.is_some() { "query" } else { "table" };
    Some(Reason::FormatUnfit.problem(
        format!("table {}: the documentation is about {nothing}, which the {what} is not made of", sink.table),
        "correct the name, or leave the text out",
    ))
}

/// What has come to keep a table from being carried that was fit, and does not show in the stream. Columns and keys do
/// show there, at their place.
pub fn unfit_since<'t>(source: impl Into<Source<'t>>, sink: &RelationPlan, partition_by: &[&str]) -> Option<Problem> {
    let source = source.into();
    unfit(source.table).or_else(|| identity::check(source, &old_values(source, sink, partition_by), sink.envelope))
}

/// The columns that the stream brings.
pub fn relation(table: &TableDescription) -> Relation {
    let column = |column: &ColumnDescription| Column {
        name: column.name.clone(),
        sql_type: column.sql_type.clone(),
        nullable: !column.not_null,
    };
    let columns = table.streamed_columns().map(column).collect();
    Relation { schema: table.schema.clone(), name: table.name.clone(), columns }
}

/// The columns of the table whose values a deletion must tell, as far as it has them, and what for.
fn old_values<'s>(
    source: Source<'s>,
    sink: &'s RelationPlan,
    partition_by: &[&'s str],
) -> Vec<(&'s str, &'static str)> {
    let key = sink.key_columns.iter().map(|name| (name.as_str(), "key"));
    let headers = sink.headers.iter().map(|name| (name.as_str(), "headers"));
    let partition_by = partition_by.iter().map(|name| (*name, "partitionBy"));
    let of_outputs = key.chain(headers).chain(partition_by);
    let of_tables = of_outputs.flat_map(|(name, what)| source.behind(name).into_iter().map(move |name| (name, what)));
    of_tables.chain(source.filter().map(|name| (name, identity::CONDITION))).collect()
}

fn headers(source: Source<'_>, relation: &Relation, name: &str) -> Result<usize, Problem> {
    let Some(index) = relation.columns.iter().position(|column| column.name == name) else {
        return Err(key::not_found(source, name, "headers"));
    };
    if headers::is_fit(&relation.columns[index].sql_type) {
        return Ok(index);
    }
    Err(Reason::TableUnfit.problem(
        format!("headers column {} of {} is not a map of text to text or bytea", identifier(name), source.in_words()),
        "name a column of type hstore, or of type jsonb with an object of strings",
    ))
}

/// What keeps the relation as such from being carried: its kind, or that the log does not hold it.
pub fn unfit(table: &TableDescription) -> Option<Problem> {
    let name = display(&table.schema, &table.name);
    let kind = |kind: &str| {
        Some(Reason::TableUnfit.problem(
            format!("{name} is {kind}, and only tables leave changes in the source's log"),
            "name a table (plain or partitioned); for a view, name the tables that it reads",
        ))
    };
    match table.kind {
        TableKind::Ordinary | TableKind::Partitioned => {}
        TableKind::View => return kind("a view"),
        TableKind::MaterializedView => return kind("a materialized view"),
        TableKind::Foreign => return kind("a foreign table"),
        TableKind::Other => return kind("no table"),
    }
    match table.persistence {
        Persistence::Permanent => {}
        Persistence::Unlogged => return Some(unlogged(&table.schema, &table.name)),
        Persistence::Temporary => {
            return Some(Reason::TableUnfit.problem(
                format!("table {name} is temporary, so only the session that made it sees it"),
                "name a permanent table",
            ));
        }
    }
    let leaf = table.leaves.iter().find_map(|leaf| match (leaf.kind, leaf.persistence) {
        (TableKind::Foreign, _) => Some(Reason::TableUnfit.problem(
            format!(
                "partition {} of table {name} is a foreign table, whose changes are not in the source's log",
                display(&leaf.schema, &leaf.name)
            ),
            "detach the partition, or carry the other partitions by their own names",
        )),
        (_, Persistence::Unlogged) => Some(unlogged(&leaf.schema, &leaf.name)),
        _ => None,
    });
    if leaf.is_some() {
        return leaf;
    }
    // A message without fields tells nobody anything, and Postgres publishes nothing of such a table.
    table.streamed_columns().next().is_none().then(|| {
        Reason::TableUnfit
            .problem(format!("table {name} has no columns that are replicated"), "add a column that is not generated")
    })
}

/// The table is not there.
pub fn table_not_found(table: &TableName, similar: &[TableName]) -> Problem {
    let hint = match similar {
        [] => "create it, or correct spec.source.table; the role also needs USAGE on its schema".to_owned(),
        similar => {
            let names: Vec<_> = similar.iter().map(ToString::to_string).collect();
            format!("did you mean {}? Create the table, or correct spec.source.table", names.join(" or "))
        }
    };
    Reason::TableNotFound.problem(format!("there is no table {table}"), hint)
}

fn unlogged(schema: &str, name: &str) -> Problem {
    Reason::TableUnfit.problem(
        format!("table {} is unlogged, so its changes are not in the source's log", display(schema, name)),
        format!("run: ALTER TABLE {} SET LOGGED;", quoted(schema, name)),
    )
}

/// A name for people.
fn display(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}

/// A name for SQL.
fn quoted(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names as a list in parentheses, quoted as the reference's messages have them: `("a", "b")`.
fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    format!("({})", names.into_iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", "))
}
