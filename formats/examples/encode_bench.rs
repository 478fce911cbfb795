//! Nanoseconds per row of both formats and envelopes, for a table of eight columns like those of the benchmarks:
//! `cargo run --release -p afterbay-formats --example encode_bench`.

use std::time::Instant;

use afterbay_crds::plan::Envelope;
use afterbay_formats::encoders::{CompileError, EncodeError, Encoders};
use afterbay_formats::relation::{Column, Relation, SqlType};

#[path = "../tests/support/mod.rs"]
mod support;

use support::Format;

const ROWS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for format in [Format::Json, Format::Avro] {
        for envelope in [Envelope::Upsert, Envelope::Debezium] {
            let (nanoseconds, bytes) = measure(&encoders(format, envelope)?, envelope)?;
            println!("{format:?} {envelope:?}: {nanoseconds} ns/row, {bytes} bytes");
        }
    }
    Ok(())
}

fn encoders(format: Format, envelope: Envelope) -> Result<Encoders, CompileError> {
    let columns = vec![
        Column::not_null("id", SqlType::Int8),
        Column::not_null("name", SqlType::Text),
        Column::not_null("n", SqlType::Int4),
        Column::not_null("amount", SqlType::Numeric { typmod: Some((12, 2)) }),
        Column::not_null("ts", SqlType::Timestamptz { precision: None }),
        Column::not_null("ok", SqlType::Bool),
        Column::not_null("uid", SqlType::Uuid),
        Column::not_null("doc", SqlType::Jsonb),
    ];
    let relation = Relation { schema: "public".into(), name: "items".into(), columns };
    let mut encoders = support::encoders(&relation, Some(&[0]), envelope, format, "afterbay")?;
    if let Some(key) = &mut encoders.key {
        key.set_schema_id(1);
    }
    encoders.value.set_schema_id(2);
    Ok(encoders)
}

/// Key and value of each row.
fn measure(encoders: &Encoders, envelope: Envelope) -> Result<(u128, usize), EncodeError> {
    let row: &[Option<&str>] = &[
        Some("123456"),
        Some("customer-00077654321"),
        Some("27136"),
        Some("45678.72"),
        Some("2026-01-02 10:17:36+00"),
        Some("t"),
        Some("e10adc39-49ba-59ab-be56-e057f20f883e"),
        Some(r#"{"a": 56, "b": "tag2"}"#),
    ];
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for _ in 0..ROWS {
        let row = std::hint::black_box(row);
        key.clear();
        value.clear();
        if let Some(encoder) = &encoders.key {
            encoder.encode(row, &mut key)?;
        }
        match envelope {
            Envelope::Upsert => encoders.value.encode_row(row, &mut value)?,
            Envelope::Debezium => encoders.value.encode_change(Some(row), Some(row), &mut value)?,
        }
        std::hint::black_box((&key, &value));
    }
    Ok((begun.elapsed().as_nanos() / u128::from(ROWS), key.len() + value.len()))
}
