//! Keys, envelopes and schemas of whole relations.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use afterbay_crds::plan::Envelope;
use afterbay_formats::encoders::{CompileError, Encoders, Format, MessageSpec};
use afterbay_formats::relation::{Column, Relation, SqlType};
use apache_avro::Schema;

fn relation(columns: Vec<Column>) -> Relation {
    Relation { schema: "public".into(), name: "t".into(), columns }
}

fn orders() -> Relation {
    relation(vec![
        Column::not_null("id", SqlType::Int8),
        Column::not_null("col-a", SqlType::Int4),
        Column::nullable("col@a", SqlType::Text),
    ])
}

fn compile(relation: &Relation, key: Option<&[usize]>, envelope: Envelope, format: Format) -> Encoders {
    let spec = MessageSpec { relation, key, envelope, format, name_prefix: "materialize" };
    let mut encoders = Encoders::compile(&spec).unwrap();
    if let Some(key) = &mut encoders.key {
        key.set_schema_id(1);
    }
    encoders.value.set_schema_id(0x0102_0304);
    encoders
}

const OLD: &[Option<&str>] = &[Some("1"), Some("2"), Some("x\"y")];
const NEW: &[Option<&str>] = &[Some("1"), Some("3"), None];

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_keys_follow_the_order_of_the_key() {
    let encoders = compile(&orders(), Some(&[2, 0]), Envelope::Upsert, Format::Json);
    let mut out = Vec::new();
    encoders.key.unwrap().encode(OLD, &mut out).unwrap();
    assert_eq!(text(out), r#"{"col@a":"x\"y","id":1}"#);
}

#[test]
fn json_envelopes() {
    let upsert = compile(&orders(), None, Envelope::Upsert, Format::Json);
    assert!(upsert.key.is_none() && upsert.value.schema().is_none());
    let mut out = Vec::new();
    upsert.value.encode_row(NEW, &mut out).unwrap();
    assert_eq!(text(out), r#"{"id":1,"col-a":3,"col@a":null}"#);

    let debezium = compile(&orders(), None, Envelope::Debezium, Format::Json);
    for (before, after, expected) in [
        (None, Some(NEW), r#"{"before":null,"after":{"id":1,"col-a":3,"col@a":null}}"#),
        (Some(OLD), None, r#"{"before":{"id":1,"col-a":2,"col@a":"x\"y"},"after":null}"#),
        (
            Some(OLD),
            Some(NEW),
            r#"{"before":{"id":1,"col-a":2,"col@a":"x\"y"},"after":{"id":1,"col-a":3,"col@a":null}}"#,
        ),
    ] {
        let mut out = Vec::new();
        debezium.value.encode_change(before, after, &mut out).unwrap();
        assert_eq!(text(out), expected);
    }
}

#[test]
fn avro_envelopes() {
    let upsert = compile(&orders(), Some(&[1]), Envelope::Upsert, Format::Avro);
    let mut key = Vec::new();
    upsert.key.as_ref().unwrap().encode(NEW, &mut key).unwrap();
    assert_eq!(key, [0, 0, 0, 0, 1, 6]);
    let mut value = Vec::new();
    upsert.value.encode_row(OLD, &mut value).unwrap();
    assert_eq!(value, [0, 1, 2, 3, 4, 2, 4, 2, 6, b'x', b'"', b'y']);

    let debezium = compile(&orders(), None, Envelope::Debezium, Format::Avro);
    let mut value = Vec::new();
    debezium.value.encode_change(Some(OLD), Some(NEW), &mut value).unwrap();
    assert_eq!(value, [0, 1, 2, 3, 4, 2, 2, 4, 2, 6, b'x', b'"', b'y', 2, 2, 6, 0]);
    let mut value = Vec::new();
    debezium.value.encode_change(None, Some(NEW), &mut value).unwrap();
    assert_eq!(value, [0, 1, 2, 3, 4, 0, 2, 2, 6, 0]);
}

#[test]
fn a_table_without_columns_has_empty_objects() {
    let encoders = compile(&relation(Vec::new()), None, Envelope::Upsert, Format::Json);
    let none: &[Option<&str>] = &[];
    let mut out = Vec::new();
    encoders.value.encode_row(none, &mut out).unwrap();
    assert_eq!(out, b"{}");
}

#[test]
fn a_key_of_no_column_is_refused() {
    let relation = orders();
    let spec = MessageSpec {
        relation: &relation,
        key: Some(&[3]),
        envelope: Envelope::Upsert,
        format: Format::Json,
        name_prefix: "afterbay",
    };
    assert_eq!(Encoders::compile(&spec).unwrap_err(), CompileError::KeyColumn(3));
}

/// Each named type twice, so that the second is by name.
fn every_type() -> Relation {
    let part = SqlType::Record {
        name: "public.part".into(),
        fields: vec![Column::nullable("n-1", SqlType::Uint4), Column::nullable("n_1", SqlType::Interval)],
    };
    let item = SqlType::Record {
        name: "public.item".into(),
        fields: vec![Column::nullable("parts", SqlType::Array(Box::new(part.clone())))],
    };
    let types = [
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Uint2,
        SqlType::Uint2,
        SqlType::Uint4,
        SqlType::Oid,
        SqlType::Uint8,
        SqlType::Uint8,
        SqlType::Float4,
        SqlType::Float8,
        SqlType::Numeric { typmod: None },
        SqlType::Numeric { typmod: Some((12, 2)) },
        SqlType::Text,
        SqlType::Bytea,
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp { precision: Some(3) },
        SqlType::Timestamp { precision: None },
        SqlType::Timestamptz { precision: Some(0) },
        SqlType::Timestamptz { precision: Some(6) },
        SqlType::Interval,
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Json,
        SqlType::Jsonb,
        SqlType::Array(Box::new(SqlType::Int4)),
        SqlType::List(Box::new(SqlType::List(Box::new(SqlType::Text)))),
        SqlType::Map(Box::new(SqlType::Text)),
        item.clone(),
        part,
        item,
        SqlType::Other("money".into()),
    ];
    relation(
        types
            .into_iter()
            .enumerate()
            .map(|(index, sql_type)| Column { name: format!("c{index}"), sql_type, nullable: index % 2 == 1 })
            .collect(),
    )
}

fn snapshot(name: &str, schema: &str) {
    Schema::parse_str(schema).unwrap();
    let pretty: serde_json::Value = serde_json::from_str(schema).unwrap();
    insta::assert_snapshot!(name, serde_json::to_string_pretty(&pretty).unwrap());
}

#[test]
fn schemas() {
    let encoders = compile(&orders(), Some(&[2, 0]), Envelope::Upsert, Format::Avro);
    snapshot("key", encoders.key.unwrap().schema().unwrap());
    snapshot("upsert", encoders.value.schema().unwrap());
    let encoders = compile(&orders(), None, Envelope::Debezium, Format::Avro);
    snapshot("debezium", encoders.value.schema().unwrap());
    let encoders = compile(&every_type(), None, Envelope::Upsert, Format::Avro);
    snapshot("every_type", encoders.value.schema().unwrap());
    let encoders = compile(&every_type(), None, Envelope::Debezium, Format::Avro);
    Schema::parse_str(encoders.value.schema().unwrap()).unwrap();
}
