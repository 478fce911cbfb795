//! Sink: one relation carried to one destination.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::Format;
use super::source_connector::DesiredState;
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
    validation = Rule::new("!has(self.kafka.format.value) || has(self.key) == has(self.kafka.format.key)").message("format.key goes with a key, and beside format.value a key needs it"),
    validation = Rule::new("!has(self.key) || !has(self.kafka.format.avro) || has(self.kafka.format.avro.keyFullname) == has(self.kafka.format.avro.valueFullname)").message("with a key, give both of keyFullname and valueFullname or none"),
    validation = Rule::new("has(self.key) || !has(self.kafka.format.avro) || !has(self.kafka.format.avro.keyFullname)").message("keyFullname goes with a key"),
    validation = Rule::new("self.kafka.envelope == 'upsert' || !has(self.kafka.headers)").message("headers go with the upsert envelope"),
    validation = Rule::new("self.kafka.envelope == 'upsert' || !(has(self.kafka.format.text) || has(self.kafka.format.bytes) || has(self.kafka.format.value) && (has(self.kafka.format.value.text) || has(self.kafka.format.value.bytes)))").message("text and bytes hold one column, and the debezium envelope has before and after"),
    validation = Rule::new("!has(self.key) || self.key.columns.size() == 1 || !(has(self.kafka.format.text) || has(self.kafka.format.bytes) || has(self.kafka.format.key) && (has(self.kafka.format.key.text) || has(self.kafka.format.key.bytes)))").message("text and bytes hold one column, and the key has more"),
    validation = Rule::new("has(self.key) || !has(self.kafka.format.avro) || !has(self.kafka.format.avro.keyCompatibilityLevel)").message("keyCompatibilityLevel goes with a key"),
    validation = Rule::new("has(self.kafka.transactionalIdPrefix) == has(oldSelf.kafka.transactionalIdPrefix) && (!has(self.kafka.transactionalIdPrefix) || self.kafka.transactionalIdPrefix == oldSelf.kafka.transactionalIdPrefix)").message("kafka.transactionalIdPrefix cannot change, as the Sink would not fence what runs under the old name: make another Sink"),
    validation = Rule::new("self.source.name == oldSelf.source.name").message("source.name cannot change: make another Sink"),
    validation = Rule::new("self.kafka.connection == oldSelf.kafka.connection && self.kafka.topic.name == oldSelf.kafka.topic.name").message("kafka.connection and kafka.topic.name cannot change: make another Sink")
)]
pub struct SinkSpec {
    /// Whether it carries; paused it keeps its place, and the database keeps its log for it.
    #[serde(default)]
    pub state: DesiredState,
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
    /// Takes the key without a proof that it is unique. Where it is not, the messages of several rows share a key.
    #[serde(default)]
    pub not_enforced: bool,
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
    /// What the transactional id begins with, in front of the name that it has anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub transactional_id_prefix: Option<String>,
    /// What the consumer group begins with under which the progress topic is read, in front of the name that it has anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub progress_group_id_prefix: Option<String>,
    /// An SQL expression over the table's columns (with the debezium envelope: those of the key). Its value, modulo the
    /// number of partitions, is a message's partition; without it the hash of the key is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub partition_by: Option<String>,
    /// A column of headers that each message bears besides Afterbay's own: an `hstore`, or a `jsonb` object of strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub headers: Option<String>,
    /// How a change becomes a message.
    pub envelope: Envelope,
    /// When a transaction ends.
    #[serde(default)]
    pub commit: Commit,
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

/// When a transaction ends: at whichever of `interval`, `bytes` and `records` comes first, and soon after the last change
/// where none follows it. The snapshot is one transaction, whatever stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("duration(self.interval) >= duration('1ms') && duration(self.interval) <= duration('30s')").message("interval must be from 1ms to 30s"),
    validation = Rule::new("duration(self.timeout) >= duration('1s') && duration(self.timeout) <= duration('60s')").message("timeout must be from 1s to 60s"),
    validation = Rule::new("duration(self.timeout) >= duration(self.interval) + duration(self.interval)").message("timeout must be at least twice the interval")
)]
pub struct Commit {
    /// How long it stays open while changes come without a break, from `1ms` to `30s`: shorter means that readers see
    /// changes sooner, longer that fewer transactions have to be paid for.
    #[serde(default = "default_interval")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    pub interval: String,
    /// How many bytes of keys and values it takes: a number of bytes, or with `Ki`, `Mi`, `Gi`. It ends with the change
    /// that reaches them.
    #[serde(default = "default_bytes")]
    #[schemars(length(max = 32), regex(pattern = r"^0*[1-9][0-9]*(k|M|G|Ki|Mi|Gi)?$"))]
    pub bytes: String,
    /// How many messages it takes. It ends with the change that reaches them.
    #[serde(default = "default_records")]
    #[schemars(range(min = 1))]
    pub records: i32,
    /// Kafka's `transaction.timeout.ms`, from `1s` to `60s` and at least twice the interval: after that time the brokers
    /// end a transaction themselves. A worker that died can hold back the readers of committed messages so long.
    #[serde(default = "default_timeout")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    pub timeout: String,
}

fn default_interval() -> String {
    "1s".to_owned()
}

fn default_bytes() -> String {
    "16Mi".to_owned()
}

fn default_records() -> i32 {
    50_000
}

fn default_timeout() -> String {
    "15s".to_owned()
}

impl Default for Commit {
    fn default() -> Self {
        Self {
            interval: default_interval(),
            bytes: default_bytes(),
            records: default_records(),
            timeout: default_timeout(),
        }
    }
}
