//! Every type against values and bytes that are not ours, see `golden/generate.py`; and by hand what plain Postgres lacks.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use afterbay_crds::plan::Envelope;
use afterbay_formats::encoders::{EncodeErrorKind, Encoders};
use afterbay_formats::relation::{Column, Relation, SqlType};
use apache_avro::Schema;
use serde::Deserialize;
use support::Format;

#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "type")]
    sql_type: String,
    text: String,
    avro: String,
    json: String,
}

const FRAME: [u8; 5] = [0, 0, 0, 0, 7];

fn part() -> SqlType {
    let fields = vec![Column::nullable("n", SqlType::Int4), Column::nullable("t", SqlType::Text)];
    SqlType::Record { name: "public.part".into(), fields }
}

fn sql_type(name: &str) -> SqlType {
    if let Some(items) = name.strip_suffix("[]") {
        return SqlType::Array(Box::new(sql_type(items)));
    }
    match name {
        "boolean" => SqlType::Bool,
        "smallint" => SqlType::Int2,
        "integer" => SqlType::Int4,
        "bigint" => SqlType::Int8,
        "oid" => SqlType::Oid,
        "real" => SqlType::Float4,
        "double precision" => SqlType::Float8,
        "numeric" => SqlType::Numeric { typmod: None },
        "numeric(12,2)" => SqlType::Numeric { typmod: Some((12, 2)) },
        "numeric(38,0)" => SqlType::Numeric { typmod: Some((38, 0)) },
        "numeric(60,30)" => SqlType::Numeric { typmod: Some((60, 30)) },
        "numeric(3,-2)" => SqlType::Numeric { typmod: Some((3, -2)) },
        "numeric(2,5)" => SqlType::Numeric { typmod: Some((2, 5)) },
        "text" | "character varying(5)" | "character(5)" => SqlType::Text,
        "bytea" => SqlType::Bytea,
        "date" => SqlType::Date,
        "time" => SqlType::Time,
        "timestamp" => SqlType::Timestamp { precision: None },
        "timestamp(3)" => SqlType::Timestamp { precision: Some(3) },
        "timestamp(4)" => SqlType::Timestamp { precision: Some(4) },
        "timestamptz" => SqlType::Timestamptz { precision: None },
        "timestamptz(0)" => SqlType::Timestamptz { precision: Some(0) },
        "interval" => SqlType::Interval,
        "uuid" => SqlType::Uuid,
        "json" => SqlType::Json,
        "jsonb" => SqlType::Jsonb,
        "hstore" => SqlType::Map(Box::new(SqlType::Text)),
        "part" => part(),
        "item" => SqlType::Record {
            name: "public.item".into(),
            fields: vec![
                Column::nullable("id", SqlType::Int8),
                Column::nullable("a b", SqlType::Text),
                Column::nullable("parts", SqlType::Array(Box::new(part()))),
                Column::nullable("ts", SqlType::Timestamptz { precision: Some(3) }),
            ],
        },
        other => SqlType::Other(other.to_owned()),
    }
}

fn encoders(sql_type: SqlType, nullable: bool, format: Format) -> Encoders {
    let column = Column { name: "c".into(), sql_type, nullable };
    let relation = Relation { schema: "public".into(), name: "t".into(), columns: vec![column] };
    let mut encoders = support::encoders(&relation, Some(&[0]), Envelope::Upsert, format, "afterbay").unwrap();
    encoders.key.as_mut().unwrap().set_schema_id(7);
    encoders.value.set_schema_id(7);
    encoders
}

fn value(encoders: &Encoders, text: Option<&str>) -> Result<Vec<u8>, EncodeErrorKind> {
    let row: &[Option<&str>] = &[text];
    let (mut key, mut value) = (Vec::new(), b"before".to_vec());
    encoders.value.encode_row(row, &mut value).map_err(|error| error.kind)?;
    encoders.key.as_ref().unwrap().encode(row, &mut key).unwrap();
    assert_eq!(value.drain(..6).as_slice(), b"before", "appends");
    assert_eq!(key, value, "a key is encoded as a value is");
    Ok(value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Both formats, nullable and not.
fn check(sql_type: &SqlType, text: &str, avro: &str, json: &str) {
    for nullable in [false, true] {
        let plan = encoders(sql_type.clone(), nullable, Format::Avro);
        let branch = if nullable { "02" } else { "" };
        let bytes = value(&plan, Some(text)).unwrap();
        assert_eq!(hex(&bytes), format!("{}{branch}{avro}", hex(&FRAME)), "{sql_type:?} {text}");
        decodes(&plan, &bytes);

        let plan = encoders(sql_type.clone(), nullable, Format::Json);
        let bytes = value(&plan, Some(text)).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), format!(r#"{{"c":{json}}}"#), "{sql_type:?}");
    }
    let plan = encoders(sql_type.clone(), true, Format::Avro);
    assert_eq!(hex(&value(&plan, None).unwrap()), format!("{}00", hex(&FRAME)));
    let plan = encoders(sql_type.clone(), false, Format::Avro);
    assert_eq!(value(&plan, None), Err(EncodeErrorKind::NullInNotNull));
    let plan = encoders(sql_type.clone(), true, Format::Json);
    assert_eq!(value(&plan, None).unwrap(), br#"{"c":null}"#);
}

/// The registered schema reads all of the bytes.
fn decodes(plan: &Encoders, bytes: &[u8]) {
    let schema = Schema::parse_str(plan.value.schema().unwrap()).unwrap();
    let mut data = bytes.strip_prefix(&FRAME).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    reader.read_value(&mut data).unwrap();
    assert!(data.is_empty());
}

#[test]
fn values_of_postgres() {
    let goldens = include_str!("golden/golden.jsonl");
    for line in goldens.lines() {
        let golden: Golden = serde_json::from_str(line).unwrap();
        check(&sql_type(&golden.sql_type), &golden.text, &golden.avro, &golden.json);
    }
    assert_eq!(goldens.lines().count(), 162);
}

#[test]
fn unsigned_integers() {
    check(&SqlType::Uint2, "65535", "ffff", "65535");
    check(&SqlType::Uint2, "1", "0001", "1");
    check(&SqlType::Uint4, "3", "00000003", "3");
    check(&SqlType::Uint8, "18446744073709551615", "ffffffffffffffff", "18446744073709551615");
}

#[test]
fn lists() {
    let list = SqlType::List(Box::new(SqlType::List(Box::new(SqlType::Int4))));
    // Two lists, of two and of none, and a NULL.
    check(&list, "{{1,2},{},NULL}", "06020402020204000200 0000".replace(' ', "").as_str(), "[[1,2],[],null]");
    check(
        &SqlType::List(Box::new(SqlType::Text)),
        r#"{a,"b c",NULL}"#,
        "0602026102066220630000",
        r#"["a","b c",null]"#,
    );
}

#[test]
fn intervals_without_end() {
    // As Postgres 17 keeps them: the extremes of all three parts.
    check(&SqlType::Interval, "infinity", "ffffff7fffffff7fffffffffffffff7f", r#""infinity""#);
    check(&SqlType::Interval, "-infinity", "00000080000000800000000000000080", r#""-infinity""#);
}

#[test]
fn what_avro_cannot_hold_is_an_error_and_leaves_nothing() {
    let cents = SqlType::Numeric { typmod: Some((12, 2)) };
    for (sql_type, text, words) in [
        (cents.clone(), "NaN", "NaN cannot be written as an Avro decimal"),
        (cents.clone(), "Infinity", "an infinite number cannot be written as an Avro decimal"),
        (cents.clone(), "0.001", "a number with more digits than its type has cannot be written as an Avro decimal"),
        (
            cents.clone(),
            "10000000000.00",
            "a number with more digits than its type has cannot be written as an Avro decimal",
        ),
        (cents, "1,00", "the value is not the text form of type numeric"),
        (SqlType::Int2, "32768", "the value is not the text form of type smallint"),
        (SqlType::Int4, "2147483648", "the value is not the text form of type integer"),
        (SqlType::Uint2, "65536", "the value is not the text form of type uint2"),
        (SqlType::Bool, "true", "the value is not the text form of type boolean"),
        (SqlType::Float8, "1,5", "the value is not the text form of type double precision"),
        (SqlType::Bytea, "\\x1", "the value is not the text form of type bytea"),
        (SqlType::Date, "01/02/2024", "the value is not the text form of type date"),
        (SqlType::Array(Box::new(SqlType::Int4)), "{1,", "the value is not the text form of type array"),
        (SqlType::Map(Box::new(SqlType::Text)), "a=>b", "the value is not the text form of type hstore"),
        (part(), "(1)", "the value is not the text form of type composite"),
        (
            SqlType::Timestamp { precision: None },
            "294276-12-31 23:59:59.999999",
            "a time after 294247-01-10 04:00:54.775807 cannot be written as microseconds in an Avro long",
        ),
    ] {
        let columns = vec![Column::not_null("id", SqlType::Int4), Column::nullable("c", sql_type)];
        let relation = Relation { schema: "public".into(), name: "t".into(), columns };
        let mut encoders = support::encoders(&relation, None, Envelope::Debezium, Format::Avro, "afterbay").unwrap();
        encoders.value.set_schema_id(1);
        let row: &[Option<&str>] = &[Some("1"), Some(text)];
        let mut out = b"before".to_vec();
        let error = encoders.value.encode_change(Some(row), Some(row), &mut out).unwrap_err();
        assert_eq!((error.column, error.to_string().as_str()), (1, words), "{text}");
        assert_eq!(out, b"before");
    }
}

#[test]
fn json_refuses_what_is_not_of_its_type() {
    for (sql_type, text) in [
        (SqlType::Bool, "true"),
        (SqlType::Int8, "1e5"),
        (SqlType::Int8, "9223372036854775808"),
        (SqlType::Uint8, "-1"),
        (SqlType::Timestamptz { precision: None }, "2024-01-02"),
        (SqlType::Array(Box::new(SqlType::Text)), "{a"),
        (part(), "(1,2,3)"),
    ] {
        let plan = encoders(sql_type, true, Format::Json);
        assert!(matches!(value(&plan, Some(text)), Err(EncodeErrorKind::Malformed { .. })), "{text}");
    }
}

#[test]
fn an_avro_encoder_wants_its_schema_id() {
    let columns = vec![Column::not_null("id", SqlType::Int4)];
    let relation = Relation { schema: "public".into(), name: "t".into(), columns };
    let encoders = support::encoders(&relation, None, Envelope::Upsert, Format::Avro, "afterbay").unwrap();
    let row: &[Option<&str>] = &[Some("1")];
    let error = encoders.value.encode_row(row, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind, EncodeErrorKind::NoSchemaId);
}
