//! Keys, envelopes and schemas of whole relations.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use afterbay_crds::plan::{AvroPlan, DocPlan, Envelope, FormatPlan, JsonValues, TableName};
use afterbay_formats::documentation::Comments;
use afterbay_formats::encoders::{CompileError, Encoders, KeySpec, MessageSpec};
use afterbay_formats::relation::{Column, Relation, SqlType};
use apache_avro::Schema;
use serde_json::{Value, json};
use support::Format;

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
    let mut encoders = support::encoders(relation, key, envelope, format, "materialize").unwrap();
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
    let refused = support::encoders(&relation, Some(&[3]), Envelope::Upsert, Format::Json, "afterbay");
    assert_eq!(refused.unwrap_err(), CompileError::KeyColumn(3));
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

fn doc(name: &str, column: Option<&str>, text: &str) -> DocPlan {
    let r#type = TableName { schema: "public".into(), name: name.into() };
    DocPlan { r#type, column: column.map(str::to_owned), text: text.into() }
}

fn key_and_value(
    relation: &Relation,
    comments: &Comments,
    envelope: Envelope,
    key: AvroPlan,
    value: AvroPlan,
) -> [Value; 2] {
    let (key, value) = (FormatPlan::Avro(Box::new(key)), FormatPlan::Avro(Box::new(value)));
    let key = Some(KeySpec { columns: &[0], format: &key });
    let spec = MessageSpec { relation, comments, key, envelope, value: &value, name_prefix: "materialize" };
    let encoders = Encoders::compile(&spec).unwrap();
    let schemas = [encoders.key.as_ref().unwrap().schema(), encoders.value.schema()];
    schemas.map(|schema| serde_json::from_str(schema.unwrap()).unwrap())
}

/// The example of the reference, "Documentation comments", letter for letter.
#[test]
fn the_documentation_example_of_the_reference() {
    let relation = relation(vec![Column::not_null("key", SqlType::Int4), Column::not_null("value", SqlType::Text)]);
    let mut comments = Comments::default();
    comments.on_type("public.t", "SQL comment on t");
    comments.on_column("public.t", "value", "SQL comment on t.value");
    let top = "Top-level comment for container record in both key and value schemas";
    let of = |fullname, column| {
        let docs = vec![doc("t", Some("key"), column), doc("t", None, top)];
        AvroPlan { docs, ..support::avro(fullname) }
    };
    let (key, value) =
        (of("row", "Comment on column only in key schema"), of("envelope", "Comment on column only in value schema"));
    let [key, value] = key_and_value(&relation, &comments, Envelope::Upsert, key, value);
    let field = |name: &str, field_type: &str, doc: &str| json!({"name": name, "type": field_type, "doc": doc});
    let record = |name: &str, fields: Vec<Value>| json!({"type": "record", "name": name, "doc": top, "fields": fields});
    let expected = record("row", vec![field("key", "int", "Comment on column only in key schema")]);
    assert_eq!(key.to_string(), expected.to_string());
    let fields = vec![
        field("key", "int", "Comment on column only in value schema"),
        field("value", "string", "SQL comment on t.value"),
    ];
    assert_eq!(value.to_string(), record("envelope", fields).to_string());
}

#[test]
fn fields_that_may_be_null_default_to_null() {
    let pair = SqlType::Record {
        name: "public.pair".into(),
        fields: vec![
            Column::nullable("a", SqlType::Int4),
            Column::nullable("b", SqlType::Array(Box::new(SqlType::Text))),
        ],
    };
    let relation = relation(vec![Column::not_null("id", SqlType::Int4), Column::nullable("pair", pair)]);
    let mut comments = Comments::default();
    comments.on_type("public.pair", "a pair");
    comments.on_column("public.pair", "b", "its second");
    comments.on_type("public.t", "a table");
    let with = |fullname: &str| AvroPlan { null_defaults: true, ..support::avro(fullname) };
    let [_, value] = key_and_value(&relation, &comments, Envelope::Upsert, with("row"), with("com.example.Pairs"));
    let pair = json!({"type": "record", "name": "com.materialize.sink.record0", "doc": "a pair", "fields": [
        {"name": "a", "type": ["null", "int"], "default": null},
        {"name": "b", "type": ["null", {"type": "array", "items": ["null", "string"]}], "default": null, "doc": "its second"},
    ]});
    let row = |name: &str, pair: Value| {
        json!({"type": "record", "name": name, "doc": "a table", "fields": [
            {"name": "id", "type": "int"},
            {"name": "pair", "type": ["null", pair], "default": null},
        ]})
    };
    assert_eq!(value, row("com.example.Pairs", pair.clone()));
    apache_avro::Schema::parse(&value).unwrap();
    let [_, value] = key_and_value(&relation, &comments, Envelope::Debezium, with("row"), with("com.example.Pairs"));
    let expected = json!({"type": "record", "name": "com.example.Pairs", "fields": [
        {"name": "before", "type": ["null", row("row", pair)], "default": null},
        {"name": "after", "type": ["null", "row"], "default": null},
    ]});
    assert_eq!(value, expected);
    apache_avro::Schema::parse(&value).unwrap();
}

#[test]
fn keys_and_values_of_different_formats() {
    let relation = orders();
    let (key, value) = (FormatPlan::Text, FormatPlan::Json { values: JsonValues::Text });
    let key = Some(KeySpec { columns: &[2], format: &key });
    let comments = &Comments::default();
    let spec = MessageSpec {
        relation: &relation,
        comments,
        key,
        envelope: Envelope::Debezium,
        value: &value,
        name_prefix: "x",
    };
    let encoders = Encoders::compile(&spec).unwrap();
    let key = encoders.key.unwrap();
    assert_eq!((key.frame_len(), key.schema()), (0, None));
    let encoded = |cell: Option<&str>| {
        let mut out = Vec::new();
        key.encode(&[Some("1"), Some("2"), cell][..], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(encoded(Some("a b")), "a b");
    assert_eq!(encoded(None), "");
}

/// Floats are numbers, json and maps are nested, bytes are base64; all else is as the reference has it.
#[test]
fn native_values_of_json() {
    let columns = [
        ("f", SqlType::Float8, "1e-07", "1e-07"),
        ("n", SqlType::Float4, "NaN", r#""NaN""#),
        ("i", SqlType::Float8, "-Infinity", r#""-Infinity""#),
        ("j", SqlType::Jsonb, r#"{"a": [1, null]}"#, r#"{"a": [1, null]}"#),
        ("m", SqlType::Map(Box::new(SqlType::Text)), r#""k"=>"v\"", "n"=>NULL"#, r#"{"k":"v\"","n":null}"#),
        ("e", SqlType::Map(Box::new(SqlType::Text)), "", "{}"),
        ("b", SqlType::Bytea, "\\x00ff10", r#""AP8Q""#),
        ("d", SqlType::Numeric { typmod: None }, "1.50", r#""1.50""#),
        ("a", SqlType::Array(Box::new(SqlType::Float8)), "{1.5,NULL,Infinity}", r#"[1.5,null,"Infinity"]"#),
    ];
    let relation =
        relation(columns.iter().map(|(name, sql_type, ..)| Column::nullable(*name, sql_type.clone())).collect());
    let value = FormatPlan::Json { values: JsonValues::Native };
    let comments = &Comments::default();
    let spec = MessageSpec {
        relation: &relation,
        comments,
        key: None,
        envelope: Envelope::Upsert,
        value: &value,
        name_prefix: "x",
    };
    let row: Vec<Option<&str>> = columns.iter().map(|(_, _, text, _)| Some(*text)).collect();
    let mut out = Vec::new();
    Encoders::compile(&spec).unwrap().value.encode_row(&row[..], &mut out).unwrap();
    let members: Vec<_> = columns.iter().map(|(name, _, _, json)| format!("\"{name}\":{json}")).collect();
    assert_eq!(String::from_utf8(out).unwrap(), format!("{{{}}}", members.join(",")));
}
