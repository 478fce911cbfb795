//! What a worker says of itself on `/status`: read by `afterbay run`, `afterbay status` and the operator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a whole worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    /// The worker's name, see [`crate::plan::Plan::worker`].
    pub worker: String,
    /// The session with the source.
    pub source: SourceReport,
    /// One entry a Sink, in the plan's order.
    pub sinks: Vec<SinkReport>,
}

/// The state of the session with the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    /// Whether a replication session stands.
    pub connected: bool,
    /// The end of the source's log as last heard, in Postgres' notation (`0/16B3748`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_end: Option<String>,
    /// Up to where the source was told that all is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
    /// Why there is no session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// The state of one Sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkReport {
    /// The Sink, `<namespace>/<name>`.
    pub name: String,
    /// The relation, `<schema>.<table>`.
    pub table: String,
    /// The topic.
    pub topic: String,
    /// What it does now.
    pub state: SinkState,
    /// Whether it has ever committed a progress record (in this life of the worker or an earlier one).
    pub begun: bool,
    /// The committed position: `0/16B3748`, or `0/16B3748:12` within a source transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// The log position before which all of this Sink's changes are committed; at or beyond `position`, since the
    /// log also holds what is no business of this Sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<String>,
    /// Bytes of the source's log between `settled` and its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Milliseconds between a change's commit in the source and its commit in Kafka, for the last committed change;
    /// while changes wait, the age of the oldest of them if that is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// Snapshot rows that are handed to Kafka.
    pub snapshot_rows: u64,
    /// Snapshot rows that are to be expected, from the planner's statistics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_rows_estimated: Option<u64>,
    /// How often it has begun anew since the worker began, as the slot could not give any more what it needed.
    pub begun_anew: u64,
    /// How often a key that is not enforced came while it was there, as far as one Kafka transaction shows, since the worker
    /// began.
    #[serde(default)]
    pub keys_repeated: u64,
    /// How many truncations of the table it has gone past since the worker began.
    #[serde(default)]
    pub truncations: u64,
    /// Bytes of the source's log that are kept behind what this Sink has committed, as `retainHistory` asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained_bytes: Option<u64>,
    /// Messages handed to Kafka since the worker began.
    pub messages_staged: u64,
    /// Messages committed since the worker began.
    pub messages_committed: u64,
    /// Bytes (keys and values) handed to Kafka since the worker began.
    pub bytes_staged: u64,
    /// Bytes (keys and values) committed since the worker began.
    pub bytes_committed: u64,
    /// What stops it, or last stopped it while it is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// What somebody should look at, though nothing stops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
    /// Its tables, where they come from patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<TablesReport>,
}

/// The tables of a Sink whose tables come from patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TablesReport {
    /// How many it carries.
    pub carried: u64,
    /// Of how many of those the snapshot is not through.
    pub in_snapshot: u64,
    /// What matches and is not carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutReport>,
}

/// A table that matches and is not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutReport {
    /// The table, `<schema>.<table>`.
    pub table: String,
    /// Why.
    pub problem: Problem,
}

/// What a Sink does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkState {
    /// Known, nothing done yet.
    #[default]
    Created,
    /// Fencing, reading its progress, asking the source.
    Starting,
    /// Carrying the rows that stood in the table at the start.
    Snapshotting,
    /// Carrying changes.
    Running,
    /// Stopped on purpose.
    Paused,
    /// Stopped by a problem, which is told; tried again by itself where that can help.
    Stalled,
}

impl std::fmt::Display for SinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Snapshotting => "snapshotting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
        })
    }
}

/// A problem as a user reads it: what happened, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A word in CamelCase; a heading in `docs/reasons.md`.
    pub reason: String,
    /// What happened and where, one line; never a secret.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}
