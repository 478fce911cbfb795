//! Schemas, by the reference's conversion table.

use serde_json::{Value, json};

use super::names;
use super::plan::{Decimal, timestamp_is_millis};
use crate::documentation::Documentation;
use crate::relation::{Column, SqlType};

/// What is asked of a schema.
#[derive(Clone, Copy)]
pub struct SchemaSpec<'a> {
    /// The connection's `namePrefix`.
    pub name_prefix: &'a str,
    /// The fullname of the message's record.
    pub fullname: &'a str,
    /// Whether fields that may be null default to null.
    pub null_defaults: bool,
    /// What the documentation of types and columns is taken from.
    pub documentation: Documentation<'a>,
    /// The relation, `schema.name`.
    pub relation: &'a str,
}

/// The schema of a key, or of the upsert envelope's value: the columns as they are.
pub fn row(spec: SchemaSpec<'_>, columns: &[&Column]) -> String {
    SchemaBuilder::new(spec).record(spec.fullname, spec.relation, columns).to_string()
}

/// The schema of the debezium envelope's value.
pub fn debezium_value(spec: SchemaSpec<'_>, columns: &[&Column]) -> String {
    let builder = &mut SchemaBuilder::new(spec);
    let row = builder.record("row", spec.relation, columns);
    let fields =
        vec![builder.field("before", &nullable(&row), true), builder.field("after", &json!(["null", "row"]), true)];
    json!({"type": "record", "name": spec.fullname, "fields": fields}).to_string()
}

/// Keeps in mind which named types are defined: each is where it is first used, and by name afterwards.
struct SchemaBuilder<'a> {
    spec: SchemaSpec<'a>,
    namespace: String,
    fixed: Vec<&'static str>,
    records: Vec<(&'a SqlType, String)>,
}

impl<'a> SchemaBuilder<'a> {
    fn new(spec: SchemaSpec<'a>) -> Self {
        Self { spec, namespace: names::namespace(spec.name_prefix), fixed: Vec::new(), records: Vec::new() }
    }

    /// A record of these columns of a relation or a composite type, `schema.name`.
    fn record(&mut self, name: &str, of: &str, columns: &[&'a Column]) -> Value {
        let names = names::fields(columns.iter().map(|column| column.name.as_str()));
        let fields: Vec<Value> = names
            .into_iter()
            .zip(columns)
            .map(|(name, column)| {
                let schema = self.of(&column.sql_type);
                let schema = if column.nullable { nullable(&schema) } else { schema };
                let field = self.field(&name, &schema, column.nullable);
                documented(field, self.spec.documentation.of_column(of, &column.name))
            })
            .collect();
        let record = documented(json!({"type": "record", "name": name}), self.spec.documentation.of_type(of));
        with(record, "fields", fields)
    }

    fn field(&self, name: &str, schema: &Value, nullable: bool) -> Value {
        let field = json!({"name": name, "type": schema});
        if nullable && self.spec.null_defaults { with(field, "default", Value::Null) } else { field }
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
            SqlType::Record { name: of, fields } => {
                if let Some((_, name)) = self.records.iter().find(|(record, _)| *record == sql_type) {
                    return json!(name);
                }
                let name = format!("{}.record{}", self.namespace, self.records.len());
                self.records.push((sql_type, name.clone()));
                self.record(&name, of, &fields.iter().collect::<Vec<_>>())
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

fn documented(schema: Value, doc: Option<&str>) -> Value {
    match doc {
        Some(doc) => with(schema, "doc", doc),
        None => schema,
    }
}

fn with(mut schema: Value, name: &str, value: impl Into<Value>) -> Value {
    schema[name] = value.into();
    schema
}

fn nullable(schema: &Value) -> Value {
    json!(["null", schema])
}
