use afterbay_crds::plan::{FormatPlan, JsonValues};
use afterbay_formats::relation::SqlType;
use afterbay_formats::table::{Persistence, ReplicaIdentity, TableKind};

use super::*;

/// `public.orders (id primary key, customer text, total, g generated)`.
fn orders() -> TableDescription {
    let column = |(name, sql_type): (&str, SqlType), attnum: i16| ColumnDescription {
        name: name.into(),
        attnum,
        type_oid: 20,
        typmod: -1,
        can_toast: sql_type == SqlType::Text,
        sql_type,
        not_null: true,
        generated: name == "g",
    };
    let columns = [("g", SqlType::Int8), ("id", SqlType::Int8), ("customer", SqlType::Text), ("total", SqlType::Int8)];
    let mut comments = Comments::default();
    comments.on_column("public.orders", "id", "which order");
    TableDescription {
        oid: 16_384,
        schema: "public".into(),
        name: "orders".into(),
        kind: TableKind::Ordinary,
        persistence: Persistence::Permanent,
        columns: columns.into_iter().zip(1..).map(|(name, attnum)| column(name, attnum)).collect(),
        unique_keys: vec![UniqueKey { columns: vec!["id".into()], primary: true }],
        replica_identity: ReplicaIdentity::Default,
        leaves: Vec::new(),
        comments,
        row_security: false,
        refuses_generated_identity: false,
    }
}

fn sink_of(query: &str, key: &str) -> RelationPlan {
    let json = || FormatPlan::Json { values: JsonValues::Text };
    RelationPlan {
        table: TableName { schema: "public".into(), name: "orders".into() },
        query: Some(query.into()),
        topic: "orders".into(),
        key_columns: vec![key.into()],
        key_not_enforced: false,
        envelope: Envelope::Upsert,
        key_format: Some(json()),
        value_format: json(),
        partition_by: None,
        headers: None,
    }
}

/// The first problem: its reason and its message.
fn refused(sink: &RelationPlan) -> (String, String) {
    let problems = check(&orders(), sink).expect_err("it is not fit");
    (problems[0].reason.clone(), problems[0].message.clone())
}

#[test]
fn a_key_is_that_of_the_table_under_any_of_its_names() {
    let sink = sink_of("SELECT total, id AS a, id AS b, total + 1 AS c FROM orders", "b");
    let carried = check(&orders(), &sink).unwrap();
    assert_eq!(carried.fit.key, [2]);
    assert_eq!(key_of_table(&orders(), &sink), Ok(vec!["id".to_owned()]));
    let told = afterbay_formats::documentation::Documentation { told: &[], comments: &carried.comments };
    assert_eq!(told.of_column("public.orders", "b"), Some("which order"));
    assert_eq!(told.of_column("public.orders", "id"), None);
    for key in ["c", "total"] {
        assert_eq!(refused(&sink_of("SELECT total, id AS a, total + 1 AS c FROM orders", key)).0, "KeyNotUnique");
    }
    let (reason, message) = refused(&sink_of("SELECT id AS a FROM orders", "id"));
    assert_eq!(reason, "ColumnNotFound");
    assert_eq!(message, "the query over table public.orders has no column \"id\"");
}

#[test]
fn of_old_rows_what_the_envelope_needs_is_computed() {
    let mut sink = sink_of("SELECT id AS a, 1 / total AS share, total AS t FROM orders", "a");
    sink.partition_by = Some("a".into());
    let old_columns = |sink: &RelationPlan, identity: ReplicaIdentity| {
        let table = TableDescription { replica_identity: identity, ..orders() };
        check(&table, sink).unwrap().projection.unwrap().old_rows.source_columns().to_vec()
    };
    // Of the columns that the stream brings: id, customer, total.
    assert_eq!(old_columns(&sink, ReplicaIdentity::Default), [0]);
    sink.envelope = Envelope::Debezium;
    assert_eq!(old_columns(&sink, ReplicaIdentity::Full), [0, 2]);
}

#[test]
fn the_identity_must_hold_what_old_rows_are_asked_for() {
    assert!(check(&orders(), &sink_of("SELECT id, total FROM orders", "id")).is_ok(), "large values are not read");
    for (query, key, partition_by, words) in [
        ("SELECT id, upper(customer) AS c FROM orders", "id", None, "column \"customer\" can be stored out of line"),
        ("SELECT id FROM orders WHERE total > 0", "id", None, "column \"total\", by which the query's WHERE says"),
        ("SELECT id, total * 2 AS k FROM orders", "k", None, "old value of key column \"total\""),
        ("SELECT id, total * 2 AS k FROM orders", "id", Some("k + 1"), "old value of partitionBy column \"total\""),
    ] {
        let mut sink = sink_of(query, key);
        sink.key_not_enforced = true;
        sink.partition_by = partition_by.map(str::to_owned);
        let (reason, message) = refused(&sink);
        assert_eq!(reason, "ReplicaIdentityInsufficient", "{query}: {message}");
        assert!(message.contains(words), "{query}: {message}");
        let mut unfit = orders();
        assert!(unfit_since(&unfit, &sink).is_some_and(|problem| problem.message == message), "{query}");
        unfit.replica_identity = ReplicaIdentity::Full;
        assert_eq!(unfit_since(&unfit, &sink), None);
        assert!(check(&unfit, &sink).is_ok(), "{query}");
    }
}

#[test]
fn a_query_that_does_not_fit_the_table_is_told() {
    let (reason, message) = refused(&sink_of("SELECT id, g FROM orders", "id"));
    assert_eq!(reason, "QueryInvalid");
    assert_eq!(message, "query over table public.orders: column \"g\" is a generated column, which is not replicated");
    let (reason, message) = refused(&sink_of("SELECT id,\n nobody FROM orders", "id"));
    assert_eq!(reason, "QueryInvalid");
    assert!(message.contains("there is no column \"nobody\"") && message.contains("line 2"), "{message}");
    // When the columns come to differ the stream shows where.
    assert_eq!(unfit_since(&orders(), &sink_of("SELECT nobody FROM orders", "id")), None);
    let view = TableDescription { kind: TableKind::View, ..orders() };
    let problems = check(&view, &sink_of("SELECT id FROM orders", "id")).unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.reason.as_str()).collect::<Vec<_>>(), ["TableUnfit"]);
}
