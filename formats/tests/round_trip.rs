//! Random rows: what a decoder that is not ours reads is what was written.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::HashMap;

use afterbay_crds::plan::Envelope;
use afterbay_formats::encoders::Encoders;
use afterbay_formats::relation::{Column, Relation, SqlType};
use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::prelude::*;
use support::Format;

/// A value: its text, and what Avro and JSON readers must find. The columns are nullable.
#[derive(Clone, Debug)]
struct Cell {
    text: Option<String>,
    avro: Value,
    json: serde_json::Value,
}

impl Cell {
    fn new(text: String, avro: Value, json: serde_json::Value) -> Self {
        Self { text: Some(text), avro: Value::Union(1, Box::new(avro)), json }
    }

    fn null() -> Self {
        Self { text: None, avro: Value::Union(0, Box::new(Value::Null)), json: serde_json::Value::Null }
    }
}

fn array_of(items: SqlType) -> SqlType {
    SqlType::Array(Box::new(items))
}

fn pair() -> SqlType {
    let fields = vec![Column::nullable("n", SqlType::Int4), Column::nullable("t", SqlType::Text)];
    SqlType::Record { name: "public.pair".into(), fields }
}

fn types() -> Vec<SqlType> {
    vec![
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Uint8,
        SqlType::Float8,
        SqlType::Numeric { typmod: Some((20, 4)) },
        SqlType::Numeric { typmod: Some((50, 10)) },
        SqlType::Text,
        SqlType::Bytea,
        SqlType::Time,
        array_of(SqlType::Text),
        SqlType::Map(Box::new(SqlType::Text)),
        array_of(pair()),
    ]
}

fn cells() -> Vec<BoxedStrategy<Cell>> {
    vec![
        any::<bool>().prop_map(|b| Cell::new(if b { "t" } else { "f" }.into(), Value::Boolean(b), b.into())).boxed(),
        any::<i16>().prop_map(|n| Cell::new(n.to_string(), Value::Int(n.into()), n.into())).boxed(),
        any::<i32>().prop_map(|n| Cell::new(n.to_string(), Value::Int(n), n.into())).boxed(),
        any::<i64>().prop_map(|n| Cell::new(n.to_string(), Value::Long(n), n.into())).boxed(),
        any::<u64>()
            .prop_map(|n| Cell::new(n.to_string(), Value::Fixed(8, n.to_be_bytes().to_vec()), n.into()))
            .boxed(),
        any::<f64>().prop_map(|n| Cell::new(n.to_string(), Value::Double(n), n.to_string().into())).boxed(),
        (-10_i128.pow(20) + 1..10_i128.pow(20)).prop_map(|n| decimal(n, 4)).boxed(),
        any::<i128>().prop_map(|n| decimal(n, 10)).boxed(),
        any::<String>().prop_map(|text| Cell::new(text.clone(), Value::String(text.clone()), text.into())).boxed(),
        any::<Vec<u8>>()
            .prop_map(|bytes| {
                let text = bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"));
                Cell::new(text.clone(), Value::Bytes(bytes), text.into())
            })
            .boxed(),
        (0_i64..=86_400_000_000)
            .prop_map(|us| {
                let (seconds, us_of_second) = (us / 1_000_000, us % 1_000_000);
                let text =
                    format!("{:02}:{:02}:{:02}.{us_of_second:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
                Cell::new(text.clone(), Value::TimeMicros(us), text.into())
            })
            .boxed(),
        proptest::collection::vec(any::<Option<String>>(), 0..5).prop_map(texts).boxed(),
        proptest::collection::hash_map(any::<String>(), any::<Option<String>>(), 0..5).prop_map(hstore).boxed(),
        proptest::collection::vec(any::<Option<(Option<i32>, Option<String>)>>(), 0..4).prop_map(pairs).boxed(),
    ]
}

fn decimal(units: i128, scale: usize) -> Cell {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let text = format!("{}{whole}.{fraction}", if units < 0 { "-" } else { "" });
    let bytes = num_bigint::BigInt::from(units).to_signed_bytes_be();
    Cell::new(text.clone(), Value::Decimal(bytes.into()), text.into())
}

fn backslashed(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn optional(value: Option<Value>) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(value)),
    }
}

fn texts(items: Vec<Option<String>>) -> Cell {
    let texts: Vec<_> = items.iter().map(|item| item.as_deref().map_or("NULL".into(), backslashed)).collect();
    let avro = items.iter().cloned().map(|item| optional(item.map(Value::String))).collect();
    Cell::new(format!("{{{}}}", texts.join(",")), Value::Array(avro), items.into())
}

fn hstore(pairs: HashMap<String, Option<String>>) -> Cell {
    let text: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{}=>{}", backslashed(key), value.as_deref().map_or("NULL".into(), backslashed)))
        .collect();
    let text = text.join(", ");
    let avro = pairs.into_iter().map(|(key, value)| (key, optional(value.map(Value::String)))).collect();
    Cell::new(text.clone(), Value::Map(avro), text.into())
}

fn pairs(items: Vec<Option<(Option<i32>, Option<String>)>>) -> Cell {
    let (mut texts, mut avro, mut json) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        texts.push(item.as_ref().map_or("NULL".into(), |(number, text)| {
            let number = number.map_or(String::new(), |number| number.to_string());
            let text = text
                .as_ref()
                .map_or(String::new(), |text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")));
            backslashed(&format!("({number},{text})"))
        }));
        avro.push(optional(item.clone().map(|(number, text)| {
            Value::Record(vec![
                ("n".into(), optional(number.map(Value::Int))),
                ("t".into(), optional(text.map(Value::String))),
            ])
        })));
        json.push(item.map(|(number, text)| serde_json::json!({"n": number, "t": text})));
    }
    Cell::new(format!("{{{}}}", texts.join(",")), Value::Array(avro), json.into())
}

fn encoders(format: Format) -> Encoders {
    let columns = types().into_iter().enumerate().map(|(n, sql_type)| Column::nullable(format!("c{n}"), sql_type));
    let relation = Relation { schema: "public".into(), name: "t".into(), columns: columns.collect() };
    let mut encoders = support::encoders(&relation, None, Envelope::Debezium, format, "afterbay").unwrap();
    encoders.value.set_schema_id(1);
    encoders
}

fn row() -> impl Strategy<Value = Vec<Cell>> {
    cells().into_iter().map(|cell| prop_oneof![4 => cell, 1 => Just(Cell::null())].boxed()).collect::<Vec<_>>()
}

fn texts_of(row: &[Cell]) -> Vec<Option<&str>> {
    row.iter().map(|cell| cell.text.as_deref()).collect()
}

proptest! {
    #[test]
    fn avro(old in row(), new in proptest::option::of(row())) {
        let encoders = encoders(Format::Avro);
        let schema = Schema::parse_str(encoders.value.schema().unwrap()).unwrap();
        let (before, after) = (texts_of(&old), new.as_deref().map(texts_of));
        let mut bytes = Vec::new();
        encoders.value.encode_change(Some(before.as_slice()), after.as_deref(), &mut bytes).unwrap();

        let mut data = &bytes[5..];
        #[expect(deprecated, reason = "one datum, no settings")]
        let read = apache_avro::from_avro_datum(&schema, &mut data, None).unwrap();
        prop_assert!(data.is_empty());
        let record = |row: &[Cell]| {
            Value::Record(row.iter().enumerate().map(|(n, cell)| (format!("c{n}"), cell.avro.clone())).collect())
        };
        let expected = Value::Record(vec![
            ("before".into(), optional(Some(record(&old)))),
            ("after".into(), optional(new.as_deref().map(record))),
        ]);
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn json(new in row()) {
        let mut bytes = Vec::new();
        encoders(Format::Json).value.encode_row(texts_of(&new).as_slice(), &mut bytes).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let expected: serde_json::Map<_, _> =
            new.iter().enumerate().map(|(n, cell)| (format!("c{n}"), cell.json.clone())).collect();
        prop_assert_eq!(read, serde_json::Value::Object(expected));
    }
}
