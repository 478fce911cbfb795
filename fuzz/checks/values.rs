//! What holds whatever text a value has, of whatever type: run by the fuzz target and by ordinary tests.

use std::sync::OnceLock;

use afterbay_crds::plan::Envelope;
use afterbay_formats::encoders::Encoders;
use afterbay_formats::relation::{Column, Relation, SqlType};
use afterbay_formats::row::Row;

#[path = "../../formats/tests/support/mod.rs"]
mod support;

use support::Format;

/// A row of one cell.
struct OneCell<'a>(&'a [u8]);

impl Row for OneCell<'_> {
    fn cell(&self, _column: usize) -> Option<&[u8]> {
        Some(self.0)
    }
}

/// Encodes a row of one column: the first byte chooses its type, the rest is its text.
pub fn check(bytes: &[u8]) {
    let Some((&chosen, text)) = bytes.split_first() else { return };
    let of_types = encoders();
    let [json, avro] = &of_types[usize::from(chosen) % of_types.len()];
    if let Some(value) = encode(json, text) {
        assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok(), "{:?}", String::from_utf8_lossy(&value));
    }
    if let Some(value) = encode(avro, text) {
        assert_eq!(value[..5], [0, 0, 0, 0, 1], "the registry's framing");
    }
}

fn encode(encoders: &Encoders, text: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    match encoders.value.encode_row(&OneCell(text), &mut out) {
        Ok(()) => Some(out.split_off(b"before".len())),
        Err(error) => {
            assert_eq!(out, b"before", "all of a message or nothing");
            assert_eq!(error.column, 0);
            None
        }
    }
}

fn encoders() -> &'static [[Encoders; 2]] {
    static ENCODERS: OnceLock<Vec<[Encoders; 2]>> = OnceLock::new();
    ENCODERS.get_or_init(|| {
        types().into_iter().map(|sql_type| [Format::Json, Format::Avro].map(|f| compile(&sql_type, f))).collect()
    })
}

fn compile(sql_type: &SqlType, format: Format) -> Encoders {
    let columns = vec![Column::nullable("c", sql_type.clone())];
    let relation = Relation { schema: "public".into(), name: "t".into(), columns };
    let mut encoders =
        support::encoders(&relation, None, Envelope::Upsert, format, "afterbay").expect("there is no key to be wrong");
    encoders.value.set_schema_id(1);
    encoders
}

fn types() -> Vec<SqlType> {
    let plain = [
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Uint2,
        SqlType::Uint4,
        SqlType::Uint8,
        SqlType::Oid,
        SqlType::Float4,
        SqlType::Float8,
        SqlType::Numeric { typmod: None },
        SqlType::Numeric { typmod: Some((20, 4)) },
        SqlType::Numeric { typmod: Some((3, -2)) },
        SqlType::Text,
        SqlType::Bytea,
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp { precision: None },
        SqlType::Timestamp { precision: Some(3) },
        SqlType::Timestamptz { precision: None },
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Json,
        SqlType::Jsonb,
        SqlType::Other("inet".into()),
        SqlType::Other("box".into()),
    ];
    let fields = || vec![Column::nullable("n", SqlType::Int4), Column::nullable("t", SqlType::Text)];
    let pair = SqlType::Record { name: "public.pair".into(), fields: fields() };
    let nested = SqlType::Record {
        name: "public.nested".into(),
        fields: vec![Column::nullable("pairs", SqlType::Array(Box::new(pair.clone())))],
    };
    let arrays = plain.iter().cloned().map(|item| SqlType::Array(Box::new(item)));
    let others = [
        SqlType::Map(Box::new(SqlType::Text)),
        SqlType::Array(Box::new(pair.clone())),
        SqlType::List(Box::new(SqlType::Int4)),
        pair,
        nested,
    ];
    plain.iter().cloned().chain(arrays).chain(others).collect()
}
