//! Schemas, by the reference's conversion table.

use serde_json::{Value, json};

use super::names;
use super::plan::{Decimal, timestamp_is_millis};
use crate::relation::{Column, SqlType};

/// The schema of a key.
pub fn key(columns: &[&Column], name_prefix: &str) -> String {
    SchemaBuilder::new(name_prefix).record("row", columns).to_string()
}

/// The schema of the upsert envelope's value.
pub fn upsert_value(columns: &[&Column], name_prefix: &str) -> String {
    SchemaBuilder::new(name_prefix).record("envelope", columns).to_string()
}

/// The schema of the debezium envelope's value.
pub fn debezium_value(columns: &[&Column], name_prefix: &str) -> String {
    let row = SchemaBuilder::new(name_prefix).record("row", columns);
    json!({
        "type": "record",
        "name": "envelope",
        "fields": [
            {"name": "before", "type": ["null", row]},
            {"name": "after", "type": ["null", "row"]},
        ],
    })
    .to_string()
}

/// Keeps in mind which named types are defined: each is where it is first used, and by name afterwards.
struct SchemaBuilder<'a> {
    namespace: String,
    fixed: Vec<&'static str>,
    records: Vec<(&'a SqlType, String)>,
}

impl<'a> SchemaBuilder<'a> {
    fn new(name_prefix: &str) -> Self {
        Self { namespace: names::namespace(name_prefix), fixed: Vec::new(), records: Vec::new() }
    }

    fn record(&mut self, name: &str, columns: &[&'a Column]) -> Value {
        let names = names::fields(columns.iter().map(|column| column.name.as_str()));
        let fields: Vec<Value> = names
            .into_iter()
            .zip(columns)
            .map(|(name, column)| {
                let schema = self.of(&column.sql_type);
                json!({"name": name, "type": if column.nullable { nullable(&schema) } else { schema }})
            })
            .collect();
        json!({"type": "record", "name": name, "fields": fields})
    }

    fn of(&mut self, sql_type: &'a SqlType) -> Value {
        match sql_type {
            SqlType::Bool => json!("boolean"),
            SqlType::Int2 | SqlType::Int4 => json!("int"),
            SqlType::Int8 => json!("long"),
            SqlType::Uint2 => self.fixed("uint2", 2),
            SqlType::Uint4 | SqlType::Oid => self.fixed("uint4", 4),
            SqlType::Uint8 => self.fixed("uint8", 8),
            SqlType::Float4 => json!("float"),
            SqlType::Float8 => json!("double"),
            SqlType::Numeric { typmod: Some((precision, scale)) } => {
                let Decimal { precision, scale } = Decimal::holding(*precision, *scale);
                json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
            }
            SqlType::Numeric { typmod: None } | SqlType::Text | SqlType::Json | SqlType::Other(_) => json!("string"),
            SqlType::Bytea => json!("bytes"),
            SqlType::Date => json!({"type": "int", "logicalType": "date"}),
            SqlType::Time => json!({"type": "long", "logicalType": "time-micros"}),
            SqlType::Timestamp { precision } | SqlType::Timestamptz { precision } => {
                let unit = if timestamp_is_millis(*precision) { "timestamp-millis" } else { "timestamp-micros" };
                json!({"type": "long", "logicalType": unit})
            }
            SqlType::Interval => self.fixed("interval", 16),
            SqlType::Uuid => json!({"type": "string", "logicalType": "uuid"}),
            SqlType::Jsonb => json!({"type": "string", "connect.name": "io.debezium.data.Json"}),
            SqlType::Array(items) | SqlType::List(items) => {
                json!({"type": "array", "items": nullable(&self.of(items))})
            }
            SqlType::Map(values) => json!({"type": "map", "values": nullable(&self.of(values))}),
            SqlType::Record { fields, .. } => {
                if let Some((_, name)) = self.records.iter().find(|(record, _)| *record == sql_type) {
                    return json!(name);
                }
                let name = format!("{}.record{}", self.namespace, self.records.len());
                self.records.push((sql_type, name.clone()));
                self.record(&name, &fields.iter().collect::<Vec<_>>())
            }
        }
    }

    fn fixed(&mut self, name: &'static str, size: u32) -> Value {
        let full_name = format!("{}.{name}", self.namespace);
        if self.fixed.contains(&name) {
            return json!(full_name);
        }
        self.fixed.push(name);
        json!({"type": "fixed", "size": size, "name": full_name})
    }
}

fn nullable(schema: &Value) -> Value {
    json!(["null", schema])
}
