use afterbay_crds::plan::{FormatPlan, JsonValues};

use super::*;
use crate::relation::SqlType;
use crate::table::{ColumnDescription, Leaf, ReplicaIdentity, UniqueKey};

fn column(name: &str, attnum: i16) -> ColumnDescription {
    ColumnDescription {
        name: name.into(),
        attnum,
        type_oid: 20,
        typmod: -1,
        sql_type: SqlType::Int8,
        not_null: true,
        generated: false,
        can_toast: false,
    }
}

/// `public.orders (id primary key, customer, total)`, nothing of it large.
fn orders() -> TableDescription {
    TableDescription {
        oid: 16_384,
        schema: "public".into(),
        name: "orders".into(),
        kind: TableKind::Ordinary,
        persistence: Persistence::Permanent,
        columns: vec![column("id", 1), column("customer", 2), column("total", 3)],
        unique_keys: vec![UniqueKey { columns: vec!["id".into()], primary: true }],
        replica_identity: ReplicaIdentity::Default,
        leaves: Vec::new(),
        comments: Comments::default(),
        row_security: false,
        refuses_generated_identity: false,
    }
}

fn with_text() -> TableDescription {
    let mut table = orders();
    table.columns[1].sql_type = SqlType::Text;
    table.columns[1].can_toast = true;
    table
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn sink(key: &[String], envelope: Envelope) -> RelationPlan {
    let json = || FormatPlan::Json { values: JsonValues::Text };
    RelationPlan {
        table: TableName { schema: "public".into(), name: "orders".into() },
        topic: "orders".into(),
        key_columns: key.to_vec(),
        key_not_enforced: false,
        envelope,
        key_format: (!key.is_empty()).then(json),
        value_format: json(),
        query: None,
        partition_by: None,
        headers: None,
    }
}

/// [`super::check`], of a Sink with this key.
fn check(table: &TableDescription, key: &[String], envelope: Envelope) -> Result<Vec<usize>, Vec<Problem>> {
    super::check(table, &sink(key, envelope), &[]).map(|fit| fit.key)
}

fn fits(table: &TableDescription, key: &[&str], envelope: Envelope, expected: &[usize]) {
    assert_eq!(check(table, &names(key), envelope), Ok(expected.to_vec()));
}

/// The one problem: reason, message and hint in full.
fn refused(table: &TableDescription, key: &[&str], envelope: Envelope, reason: Reason, message: &str, hint: &str) {
    assert_eq!(check(table, &names(key), envelope), Err(vec![reason.problem(message, hint)]));
}

#[test]
fn upsert_by_primary_key() {
    fits(&orders(), &["id"], Envelope::Upsert, &[0]);
}

#[test]
fn a_key_may_hold_more_than_a_unique_one_in_any_order() {
    let mut table = orders();
    table.replica_identity = ReplicaIdentity::Full;
    fits(&table, &["total", "id"], Envelope::Upsert, &[2, 0]);
}

#[test]
fn debezium_needs_no_key_and_no_unique_one() {
    let mut table = with_text();
    table.replica_identity = ReplicaIdentity::Full;
    fits(&table, &[], Envelope::Debezium, &[]);
    fits(&table, &["customer"], Envelope::Debezium, &[1]);
}

#[test]
fn generated_columns_do_not_count() {
    let mut table = orders();
    table.columns.insert(0, ColumnDescription { generated: true, can_toast: true, ..column("label", 4) });
    fits(&table, &["id"], Envelope::Upsert, &[0]);
    refused(
        &table,
        &["label"],
        Envelope::Upsert,
        Reason::ColumnNotFound,
        "key column \"label\" of table public.orders is a generated column, which is not replicated",
        "use columns that are not generated",
    );
}

#[test]
fn no_unique_key_is_known() {
    let mut table = orders();
    table.unique_keys.clear();
    table.columns[1].not_null = false;
    table.replica_identity = ReplicaIdentity::Full;
    refused(
        &table,
        &["customer"],
        Envelope::Upsert,
        Reason::KeyNotUnique,
        "upsert key could not be validated as unique\nDETAIL: Afterbay could not prove that the specified upsert \
         envelope key (\"customer\") is a unique key of the upstream relation. There are no known valid unique keys for \
         the upstream relation.",
        "make the key unique, if it is: ALTER TABLE \"public\".\"orders\" ALTER COLUMN \"customer\" SET NOT NULL; \
         CREATE UNIQUE INDEX ON \"public\".\"orders\" (\"customer\");",
    );
}

#[test]
fn other_unique_keys_are_known() {
    let mut table = orders();
    table.unique_keys.push(UniqueKey { columns: names(&["customer", "total"]), primary: false });
    table.replica_identity = ReplicaIdentity::Full;
    refused(
        &table,
        &["customer"],
        Envelope::Upsert,
        Reason::KeyNotUnique,
        "upsert key could not be validated as unique\nDETAIL: Afterbay could not prove that the specified upsert \
         envelope key (\"customer\") is a unique key of the upstream relation. The following keys are known to be unique \
         for the upstream relation:\n  (\"id\")\n  (\"customer\", \"total\")",
        "use one of these keys, or make the key unique, if it is: CREATE UNIQUE INDEX ON \"public\".\"orders\" \
         (\"customer\");",
    );
}

#[test]
fn upsert_needs_a_key() {
    refused(
        &orders(),
        &[],
        Envelope::Upsert,
        Reason::KeyNotUnique,
        "upsert sinks must specify a key",
        "name the columns of a unique key in key.columns, or use the debezium envelope",
    );
}

#[test]
fn key_columns_that_do_not_exist_or_repeat() {
    let mut table = orders();
    table.replica_identity = ReplicaIdentity::Full;
    let problems = check(&table, &names(&["custommer", "id", "id", "zzz"]), Envelope::Upsert).unwrap_err();
    let told: Vec<_> = problems.iter().map(|p| (p.reason.as_str(), p.message.as_str(), p.hint.as_str())).collect();
    let columns = "the table's columns are \"id\", \"customer\", \"total\"";
    let near = format!("did you mean \"customer\"? {columns}");
    assert_eq!(
        told,
        [
            ("ColumnNotFound", "table public.orders has no column \"custommer\"", near.as_str()),
            ("KeyNotUnique", "column \"id\" is named more than once in the key", "name each column of the key once"),
            ("ColumnNotFound", "table public.orders has no column \"zzz\"", columns),
        ]
    );
}

#[test]
fn debezium_needs_the_whole_old_row() {
    let mut table = orders();
    table.schema = "my shop".into();
    table.name = "a\"b".into();
    refused(
        &table,
        &["id"],
        Envelope::Debezium,
        Reason::ReplicaIdentityInsufficient,
        "the replica identity of table my shop.a\"b does not suffice: the debezium envelope tells the whole old row",
        "run: ALTER TABLE \"my shop\".\"a\"\"b\" REPLICA IDENTITY FULL;",
    );
}

#[test]
fn large_values_need_the_whole_old_row() {
    let problems = check(&with_text(), &names(&["id"]), Envelope::Upsert).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("column \"customer\" can be stored out of line (TOAST)"), "{problems:?}");
    assert_eq!(problems[0].hint, "run: ALTER TABLE \"public\".\"orders\" REPLICA IDENTITY FULL;");
}

#[test]
fn small_numbers_never_leave_their_row() {
    let mut table = orders();
    table.columns[2].can_toast = true;
    for (typmod, fit) in [(Some((12, 2)), true), (Some((28, 0)), true), (Some((29, 0)), false), (None, false)] {
        table.columns[2].sql_type = SqlType::Numeric { typmod };
        assert_eq!(check(&table, &names(&["id"]), Envelope::Upsert).is_ok(), fit, "{typmod:?}");
    }
}

#[test]
fn the_identity_must_hold_the_key() {
    let mut table = orders();
    table.unique_keys.push(UniqueKey { columns: names(&["customer"]), primary: false });
    for (identity, fit) in [
        (ReplicaIdentity::Default, false),
        (ReplicaIdentity::Nothing, false),
        (ReplicaIdentity::Index { columns: names(&["total"]) }, false),
        (ReplicaIdentity::Index { columns: names(&["customer"]) }, true),
        (ReplicaIdentity::Full, true),
    ] {
        table.replica_identity = identity.clone();
        let outcome = check(&table, &names(&["customer"]), Envelope::Upsert);
        assert_eq!(outcome.is_ok(), fit, "{identity:?}: {outcome:?}");
    }
}

#[test]
fn every_partition_is_checked() {
    let leaf = |name: &str, replica_identity| Leaf {
        schema: "public".into(),
        name: name.into(),
        kind: TableKind::Ordinary,
        persistence: Persistence::Permanent,
        replica_identity,
    };
    let mut table = orders();
    table.kind = TableKind::Partitioned;
    table.replica_identity = ReplicaIdentity::Full;
    table.leaves = vec![
        leaf("orders_1", ReplicaIdentity::Full),
        leaf("orders_2", ReplicaIdentity::Default),
        leaf("orders_3", ReplicaIdentity::Nothing),
    ];
    refused(
        &table,
        &[],
        Envelope::Debezium,
        Reason::ReplicaIdentityInsufficient,
        "the replica identity of table public.orders_2, public.orders_3 does not suffice: the debezium envelope tells the \
         whole old row",
        "run: ALTER TABLE \"public\".\"orders_2\" REPLICA IDENTITY FULL; \
         ALTER TABLE \"public\".\"orders_3\" REPLICA IDENTITY FULL;",
    );
    table.leaves.truncate(1);
    fits(&table, &[], Envelope::Debezium, &[]);
    table.replica_identity = ReplicaIdentity::Default;
    assert!(check(&table, &[], Envelope::Debezium).is_err(), "the root's identity labels the old rows");
    table.leaves[0].kind = TableKind::Foreign;
    let problems = check(&table, &[], Envelope::Debezium).unwrap_err();
    assert_eq!(problems[0].reason, "TableUnfit");
    assert!(problems[0].message.starts_with("partition public.orders_1 of table public.orders is a foreign table"));
}

#[test]
fn what_leaves_no_changes_in_the_log() {
    for (kind, word) in [
        (TableKind::View, "a view"),
        (TableKind::MaterializedView, "a materialized view"),
        (TableKind::Foreign, "a foreign table"),
        (TableKind::Other, "no table"),
    ] {
        refused(
            &TableDescription { kind, ..orders() },
            &["id"],
            Envelope::Upsert,
            Reason::TableUnfit,
            &format!("public.orders is {word}, and only tables leave changes in the source's log"),
            "name a table (plain or partitioned); for a view, name the tables that it reads",
        );
    }
    refused(
        &TableDescription { persistence: Persistence::Unlogged, ..orders() },
        &["id"],
        Envelope::Upsert,
        Reason::TableUnfit,
        "table public.orders is unlogged, so its changes are not in the source's log",
        "run: ALTER TABLE \"public\".\"orders\" SET LOGGED;",
    );
    refused(
        &TableDescription { persistence: Persistence::Temporary, ..orders() },
        &["id"],
        Envelope::Upsert,
        Reason::TableUnfit,
        "table public.orders is temporary, so only the session that made it sees it",
        "name a permanent table",
    );
    refused(
        &TableDescription { columns: Vec::new(), ..orders() },
        &[],
        Envelope::Debezium,
        Reason::TableUnfit,
        "table public.orders has no columns that are replicated",
        "add a column that is not generated",
    );
}

#[test]
fn a_full_identity_with_generated_columns_breaks_the_table_on_new_servers() {
    let generated = ColumnDescription { generated: true, ..column("twice", 4) };
    let mut table = TableDescription { replica_identity: ReplicaIdentity::Full, ..orders() };
    table.columns.push(generated);
    let key = ["id".to_owned()];
    assert!(check(&table, &key, Envelope::Upsert).is_ok(), "older servers take it");
    table.refuses_generated_identity = true;
    let problems = check(&table, &key, Envelope::Upsert).unwrap_err();
    assert!(problems[0].message.contains("version 18") && problems[0].hint.contains("USING INDEX"), "{problems:?}");
    table.replica_identity = ReplicaIdentity::Default;
    assert!(check(&table, &key, Envelope::Upsert).is_ok(), "the primary key is not generated");
    let problems = check(&table, &key, Envelope::Debezium).unwrap_err();
    assert!(!problems[0].hint.contains("ALTER TABLE"), "{problems:?}");
}

#[test]
fn a_key_that_is_not_enforced_needs_no_proof() {
    let mut table = orders();
    table.replica_identity = ReplicaIdentity::Full;
    let mut sink = sink(&names(&["customer"]), Envelope::Upsert);
    assert!(super::check(&table, &sink, &[]).is_err());
    sink.key_not_enforced = true;
    assert_eq!(super::check(&table, &sink, &[]).map(|fit| fit.key), Ok(vec![1]));
}

#[test]
fn headers_are_a_map_that_old_rows_hold() {
    let mut table = orders();
    let mut sink = sink(&names(&["id"]), Envelope::Upsert);
    let mut refused = |table: &TableDescription, headers: &str, reason: Reason, words: &str| {
        sink.headers = Some(headers.into());
        let problems = super::check(table, &sink, &[]).unwrap_err();
        assert!(problems.iter().any(|it| it.reason == reason.as_str() && it.message.contains(words)), "{problems:#?}");
    };
    refused(&table, "hdrs", Reason::ColumnNotFound, "has no column \"hdrs\"");
    refused(&table, "total", Reason::TableUnfit, "headers column \"total\" of table public.orders is not a map");
    table.columns[2].sql_type = SqlType::Map(Box::new(SqlType::Text));
    refused(&table, "total", Reason::ReplicaIdentityInsufficient, "old value of headers column \"total\"");
    table.replica_identity = ReplicaIdentity::Full;
    assert_eq!(super::check(&table, &sink, &[]).map(|fit| fit.headers), Ok(Some(2)));
}

#[test]
fn a_format_of_one_column_holds_one() {
    let mut sink = sink(&names(&["id", "customer"]), Envelope::Upsert);
    let mut table = orders();
    table.replica_identity = ReplicaIdentity::Full;
    sink.key_format = Some(FormatPlan::Text);
    let problems = super::check(&table, &sink, &[]).unwrap_err();
    assert_eq!(problems[0].reason, "FormatUnfit");
    assert_eq!(problems[0].message, "table public.orders: the TEXT format holds a single column, and the key has 2");
    sink.key_columns = names(&["id"]);
    assert!(super::check(&table, &sink, &[]).is_ok());
    sink.value_format = FormatPlan::Bytes;
    let problems = super::check(&table, &sink, &[]).unwrap_err();
    assert_eq!(problems[0].message, "table public.orders: the BYTES format holds a single column, and the value has 3");
}
