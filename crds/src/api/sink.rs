//! Sink: one relation carried to one destination.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Compression, Envelope};

/// A table, carried into a Kafka topic, every change once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "afterbay.dev",
    version = "v1alpha1",
    kind = "Sink",
    namespaced,
    category = "afterbay",
    derive = "PartialEq",
    doc = "A table, carried into a Kafka topic: every committed change stands there once.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name must be a DNS label: up to 63 lower-case letters, digits and dashes")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.kafka.envelope != 'upsert' || has(self.key)").message("upsert sinks must specify a key"),
    validation = Rule::new("self.source.name == oldSelf.source.name").message("source.name cannot change: make another Sink"),
    validation = Rule::new("self.kafka.connection == oldSelf.kafka.connection && self.kafka.topic.name == oldSelf.kafka.topic.name").message("kafka.connection and kafka.topic.name cannot change: make another Sink")
)]
pub struct SinkSpec {
    /// What is carried.
    pub source: SinkSource,
    /// Whether the rows that the table holds at the start are sent.
    #[serde(default = "default_snapshot")]
    pub snapshot: bool,
    /// The message key; without it messages have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Where it goes.
    pub kafka: KafkaSink,
}

fn default_snapshot() -> bool {
    true
}

/// What is carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SinkSource {
    /// The SourceConnector, in the same namespace.
    pub name: String,
    /// The table, `schema.table`; quoted as in SQL where needed.
    pub table: String,
}

/// The message key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Key {
    /// Its columns, in order.
    #[schemars(length(min = 1, max = 256))]
    pub columns: Vec<String>,
}

/// A topic, and how changes are written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaSink {
    /// The KafkaConnection, in the same namespace.
    pub connection: String,
    /// The topic.
    pub topic: Topic,
    /// Compression of record batches.
    #[serde(default)]
    pub compression: Compression,
    /// How a change becomes a message.
    pub envelope: Envelope,
    /// How keys and values are written.
    pub format: Format,
}

/// A topic. All but its name says how it is made where it does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Partitions; by default the broker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub partitions: Option<i32>,
    /// Replicas; by default the broker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub replication_factor: Option<i32>,
    /// Settings of the topic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

/// How keys and values are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.avro) != has(self.json)").message("give exactly one of avro and json"))]
pub struct Format {
    /// Avro, with schemas in a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avro: Option<Avro>,
    /// JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
}

/// Avro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Avro {
    /// The SchemaRegistryConnection, in the same namespace.
    pub registry: String,
}

/// JSON; nothing is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_additional_properties)]
pub struct Json {}

/// The API server takes no `additionalProperties: false`; a structural schema refuses unknown fields without it.
fn without_additional_properties(schema: &mut schemars::Schema) {
    schema.remove("additionalProperties");
}
