//! Sink: one relation carried to one destination.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::Format;
use super::references::settings;
use super::source_connector::DesiredState;
use super::status::SinkStatus;
use crate::names::DEFAULT_POOL;
use crate::plan::{Compression, DeletionPolicy, Envelope, OnTruncate, SchemaChanges};

/// A table, carried into a Kafka topic, every change once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "afterbay.dev",
    version = "v1alpha1",
    kind = "Sink",
    namespaced,
    status = "SinkStatus",
    category = "afterbay",
    shortname = "sk",
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source.name", description = "The SourceConnector"),
    printcolumn(name = "Destination", type_ = "string", json_path = ".status.destination", description = "Where it goes"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.state", description = "What it does: created, starting, snapshotting, running, paused, stalled"),
    printcolumn(name = "Lag", type_ = "string", json_path = ".status.lag", description = "How far it is behind"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when it is there"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether it carries, or is paused on purpose"),
    printcolumn(name = "Position", type_ = "string", json_path = ".status.position", description = "What is committed of the source's log", priority = "1"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready, or not", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "The same in a sentence", priority = "1"),
    derive = "PartialEq",
    doc = "A table, carried into a Kafka topic: every committed change stands there once.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name must be a DNS label: up to 63 lower-case letters, digits and dashes"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || self.spec.source.name == oldSelf.spec.source.name").message("source.name cannot change once the Sink has begun, as its progress is a place in that source's log: make another Sink").field_path(".spec.source.name"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || has(self.spec.source.tables) == has(oldSelf.spec.source.tables)").message("source.table and source.tables cannot take each other's place once the Sink has begun: make another Sink").field_path(".spec.source"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || self.spec.pool == oldSelf.spec.pool").message("pool cannot change once the Sink has begun, as each pool has a place of its own in the source's log: make another Sink").field_path(".spec.pool"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || self.spec.kafka.connection == oldSelf.spec.kafka.connection").message("kafka.connection cannot change once the Sink has begun, as its progress stands there: make another Sink").field_path(".spec.kafka.connection"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || self.spec.kafka.topic.name == oldSelf.spec.kafka.topic.name").message("kafka.topic.name cannot change once the Sink has begun, as what the topic holds belongs to its progress: make another Sink").field_path(".spec.kafka.topic.name"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || (has(self.spec.kafka.transactionalIdPrefix) ? self.spec.kafka.transactionalIdPrefix : '') == (has(oldSelf.spec.kafka.transactionalIdPrefix) ? oldSelf.spec.kafka.transactionalIdPrefix : '')").message("kafka.transactionalIdPrefix cannot change once the Sink has begun, as it would not fence what runs under the old name: make another Sink").field_path(".spec.kafka.transactionalIdPrefix")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.kafka.envelope != 'upsert' || has(self.key)").message("upsert sinks must specify a key"),
    validation = Rule::new("!has(self.kafka.format.value) || has(self.key) == has(self.kafka.format.key)").message("format.key goes with a key, and beside format.value a key needs it"),
    validation = Rule::new("!has(self.key) || !has(self.kafka.format.avro) || has(self.kafka.format.avro.keyFullname) == has(self.kafka.format.avro.valueFullname)").message("with a key, give both of keyFullname and valueFullname or none"),
    validation = Rule::new("has(self.key) || !has(self.kafka.format.avro) || !has(self.kafka.format.avro.keyFullname)").message("keyFullname goes with a key"),
    validation = Rule::new("self.kafka.envelope == 'upsert' || !has(self.kafka.headers)").message("headers go with the upsert envelope"),
    validation = Rule::new("self.kafka.envelope == 'upsert' || !(has(self.kafka.format.text) || has(self.kafka.format.bytes) || has(self.kafka.format.value) && (has(self.kafka.format.value.text) || has(self.kafka.format.value.bytes)))").message("text and bytes hold one column, and the debezium envelope has before and after"),
    validation = Rule::new("!has(self.key) || !has(self.key.columns) || self.key.columns.size() == 1 || !(has(self.kafka.format.text) || has(self.kafka.format.bytes) || has(self.kafka.format.key) && (has(self.kafka.format.key.text) || has(self.kafka.format.key.bytes)))").message("text and bytes hold one column, and the key has more"),
    validation = Rule::new("has(self.key) || !has(self.kafka.format.avro) || !has(self.kafka.format.avro.keyCompatibilityLevel)").message("keyCompatibilityLevel goes with a key"),
    validation = Rule::new("!has(self.key) || self.key.primaryKey == has(self.source.tables)").message("with source.tables the key is primaryKey: true, as the columns differ from table to table; with source.table it is columns"),
    validation = Rule::new("has(self.source.tables) == self.kafka.topic.name.contains('{table}')").message("with source.tables topic.name must contain {table}, and without it cannot"),
    validation = Rule::new("has(self.source.tables) || !self.kafka.topic.name.contains('{schema}')").message("{schema} goes with source.tables"),
    validation = Rule::new("!has(self.source.tables) || self.kafka.topic.name.contains('{schema}') || self.source.tables.filter(pattern, !pattern.startsWith('!')).all(pattern, pattern.matches('^(\"[^\"]*\"|[^\".*?])*[.]') && pattern.startsWith(self.source.tables.filter(first, !first.startsWith('!'))[0].find('^(\"[^\"]*\"|[^\".])*[.]')))").message("tables of more than one schema can match: topic.name must contain {schema}"),
    validation = Rule::new("!has(self.retainHistory) || duration(self.retainHistory) >= duration('1s') && duration(self.retainHistory) <= duration('720h')").message("retainHistory must be from 1s to 720h")
)]
pub struct SinkSpec {
    /// Whether it carries; paused it keeps its place, and the database keeps its log for it.
    #[serde(default)]
    pub state: DesiredState,
    /// Which of the SourceConnector's workers carries it: Sinks of one pool share a worker and a replication slot.
    #[serde(default = "default_pool")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z0-9]+$"))]
    pub pool: String,
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
    /// What becomes of it when the table is truncated: it stalls, or goes on, and the rows that went stay in the topic.
    #[serde(default)]
    pub on_truncate: OnTruncate,
    /// What becomes of its messages when the table's columns change: they follow, or keep the columns of the start; of
    /// each of many tables those with which it joined.
    #[serde(default)]
    pub schema_changes: SchemaChanges,
    /// For how long the source's log is kept behind what is committed, from `1s` to `720h`, so that this Sink can be set back,
    /// or another one of a table started, within it (`source.startAt`); without it not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    pub retain_history: Option<String>,
    /// What goes with the Sink when it is deleted: its progress record, or nothing. The topic stays.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn default_pool() -> String {
    DEFAULT_POOL.to_owned()
}

fn default_snapshot() -> bool {
    true
}

/// What is carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("[has(self.table), has(self.tables), has(self.query)].filter(given, given).size() == 1").message("give one of table, tables and query"),
    validation = Rule::new("!has(self.tables) || self.tables.exists(pattern, !pattern.startsWith('!'))").message("a pattern with ! leaves tables out, and there is none that brings any")
)]
pub struct SinkSource {
    /// The SourceConnector, in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The table, `schema.table`; quoted as in SQL where needed. This, `tables` or `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub table: Option<String>,
    /// Patterns of tables, `schema.table` with `*` and `?`, quoted as in SQL where needed; a pattern with `!` in front leaves
    /// out what it matches. Tables that come to match join, with a topic each.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub tables: Option<Vec<String>>,
    /// A stateless `SELECT` over one table. What the key, `partitionBy`, headers and docs name are the columns that it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub query: Option<String>,
    /// A place of the log within what is retained: a new Sink begins there, without a snapshot; one that has begun is set back
    /// to it, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<StartAt>,
}

impl SinkSource {
    /// The ways to say what is carried, each with whether it is taken; just one is to be.
    pub fn ways(&self) -> [(&'static str, bool); 3] {
        [("table", self.table.is_some()), ("tables", self.tables.is_some()), ("query", self.query.is_some())]
    }
}

/// A place of the source's log: a time, or a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.time) != has(self.position)").message("give time or position"))]
pub struct StartAt {
    /// What committed at or after this time, e.g. `2026-11-21T10:00:00Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(
            pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
        )
    )]
    pub time: Option<String>,
    /// The transactions that commit from this position on, e.g. `0/16B3748`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$"))]
    pub position: Option<String>,
}

/// The message key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.columns) != self.primaryKey").message("give columns, or with source.tables primaryKey: true"),
    validation = Rule::new("!self.primaryKey || !self.notEnforced").message("a primary key is unique: notEnforced goes with columns")
)]
pub struct Key {
    /// Its columns, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)))]
    pub columns: Option<Vec<String>>,
    /// With `source.tables`: the columns of each table's primary key, in its order.
    #[serde(default)]
    pub primary_key: bool,
    /// Takes the key without a proof that it is unique. Where it is not, the messages of several rows share a key.
    #[serde(default)]
    pub not_enforced: bool,
}

/// A topic, and how changes are written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaSink {
    /// The KafkaConnection, in the same namespace.
    #[schemars(length(min = 1, max = 63))]
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
    /// An SQL expression over the columns that are carried (with the debezium envelope: those of the key). Its value, modulo the
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
    /// Its name; with `source.tables` it holds `{table}`, and where needed `{schema}`.
    #[schemars(length(min = 1, max = 512))]
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
    #[schemars(schema_with = "settings")]
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
