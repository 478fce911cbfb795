//! How a Sink writes keys and values.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{CompatibilityLevel, JsonValues};

/// How keys and values are written: one format for both, or `value` and, with a key, `key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("[has(self.avro), has(self.json), has(self.text), has(self.bytes), has(self.value)].filter(x, x).size() == 1").message("give exactly one of avro, json, text and bytes, or value (and key)"),
    validation = Rule::new("!has(self.key) || has(self.value)").message("key goes with value")
)]
pub struct Format {
    /// Avro, with schemas in a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avro: Option<Avro>,
    /// JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// The text of the one column that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Plain>,
    /// The bytes of the one column that there is, in Postgres' binary form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Plain>,
    /// Keys alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PartFormat>,
    /// Values alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<PartFormat>,
}

/// How keys, or values, are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.avro), has(self.json), has(self.text), has(self.bytes)].filter(x, x).size() == 1").message("give exactly one of avro, json, text and bytes"))]
pub struct PartFormat {
    /// Avro, with a schema in a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avro: Option<PartAvro>,
    /// JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// The text of the one column that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Plain>,
    /// The bytes of the one column that there is, in Postgres' binary form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Plain>,
}

/// Avro, for keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Avro {
    /// The SchemaRegistryConnection, in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub registry: String,
    /// The fullname of the key's record; `row` without it. Goes with `valueFullname`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub key_fullname: Option<String>,
    /// The fullname of the value's record; `envelope` without it. With a key it goes with `keyFullname`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub value_fullname: Option<String>,
    /// Whether fields that may be null default to null.
    #[serde(default)]
    pub null_defaults: bool,
    /// The compatibility level of the key's subject, set where it has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_compatibility_level: Option<CompatibilityLevel>,
    /// The compatibility level of the value's subject, set where it has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_compatibility_level: Option<CompatibilityLevel>,
    /// Documentation of types and columns, which goes before their comments in the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2048))]
    pub docs: Vec<Doc>,
}

/// Avro, for keys or for values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartAvro {
    /// The SchemaRegistryConnection, in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub registry: String,
    /// The fullname of the record; `row` for keys and `envelope` for values without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub fullname: Option<String>,
    /// Whether fields that may be null default to null.
    #[serde(default)]
    pub null_defaults: bool,
    /// The compatibility level of the subject, set where it has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_level: Option<CompatibilityLevel>,
    /// Documentation of types and columns, which goes before their comments in the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2048))]
    pub docs: Vec<PartDoc>,
}

/// Documentation of a type or a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.type) != has(self.column)").message("give exactly one of type and column"))]
pub struct Doc {
    /// A table or a composite type, `schema.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub r#type: Option<String>,
    /// A column of one, `schema.name.column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub column: Option<String>,
    /// The schema that it is for; both without it.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub part: Option<MessagePart>,
    /// What is to be said.
    #[schemars(length(max = 8192))]
    pub text: String,
}

/// Documentation of a type or a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.type) != has(self.column)").message("give exactly one of type and column"))]
pub struct PartDoc {
    /// A table or a composite type, `schema.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub r#type: Option<String>,
    /// A column of one, `schema.name.column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub column: Option<String>,
    /// What is to be said.
    #[schemars(length(max = 8192))]
    pub text: String,
}

/// The key or the value of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessagePart {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Json {
    /// What becomes of types that JSON has a form for and the reference writes as text.
    #[serde(default)]
    pub values: JsonValues,
}

/// A format of which nothing is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_additional_properties)]
pub struct Plain {}

/// The API server takes no `additionalProperties: false`; a structural schema refuses unknown fields without it.
fn without_additional_properties(schema: &mut schemars::Schema) {
    schema.remove("additionalProperties");
}
