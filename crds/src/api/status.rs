//! What the operator says of each resource, after the Kubernetes API conventions; computed, never read back for a decision but
//! `begun`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{Problem, SinkState, TablesReport};

/// What is known of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// The generation of the `spec` that this is said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and where true `Reconciling` or `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What is known of a SourceConnector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceConnectorStatus {
    /// The generation of the `spec` that this is said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `SourceReady`, `RuntimeReady`, and where true `Reconciling`, `Stalled` or `SlotKept`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Whether one of its Sinks has ever committed: from then on database and slot are what the progress is about.
    #[serde(default)]
    pub begun: bool,
    /// How many Sinks it has.
    #[serde(default)]
    pub sinks: i32,
    /// Its workers, one for each pool that has Sinks; once it is deleted, those that it had then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["pool"]))]
    pub workers: Vec<WorkerStatus>,
}

/// What is known of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// The pool.
    pub pool: String,
    /// Its Deployment.
    pub deployment: String,
    /// Its replication slot.
    pub slot: String,
    /// Whether a replication session stands.
    pub connected: bool,
    /// The end of the source's log as last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_end: Option<String>,
    /// Up to where the source was told that all is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
}

/// What is known of a Sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkStatus {
    /// The generation of the `spec` that this is said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `ConnectionReady`, `TopicReady`, `SchemaReady`, `SourceReady`, `RuntimeReady`, and where true `Reconciling` or
    /// `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SinkState>,
    /// Whether it has ever committed: from then on a progress record that is missing stops it.
    #[serde(default)]
    pub begun: bool,
    /// Where it goes, in a word: `kafka/<connection>/<topic>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// How far it is behind, in words: `0.2s`, `3m`, with how much of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<String>,
    /// The committed position in the source's log: `0/16B3748`, or `0/16B3748:12` within a transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Bytes of the source's log between what is committed and its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<i64>,
    /// Seconds between a change's commit in the source and its commit in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// The rows that the relation held at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotStatus>,
    /// Messages since its worker began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Carried>,
    /// Bytes of keys and values since its worker began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Carried>,
    /// Bytes of the source's log that the database keeps behind what is committed, as `retainHistory` asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained_bytes: Option<i64>,
    /// How often a key that is not enforced came while it was there, since its worker began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_repeated: Option<i64>,
    /// How many truncations of the table it has gone past since its worker began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncations: Option<i64>,
    /// What stops it, or last stopped it while it is not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// What somebody should look at, though nothing stops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
    /// Its tables, where they come from patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<TablesReport>,
}

/// How far a snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// Rows that are handed to Kafka.
    pub rows: i64,
    /// Rows that are to be expected, from the planner's statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_estimated: Option<i64>,
}

/// How much has been carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// Handed to Kafka.
    pub staged: i64,
    /// Committed.
    pub committed: i64,
}
