//! SourceConnector: where changes come from.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::{Foreign, Resources, Toleration, foreign, foreign_list, words};
use super::references::{CertificateRef, PasswordRef, empty_is_default};
use super::status::SourceConnectorStatus;
use crate::plan::{DeletionPolicy, OnSlotLoss, PostgresTlsMode, SnapshotMode};

/// A database whose changes are carried; the Sinks that name it and one pool share one worker and one replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "afterbay.dev",
    version = "v1alpha1",
    kind = "SourceConnector",
    namespaced,
    status = "SourceConnectorStatus",
    category = "afterbay",
    shortname = "source",
    shortname = "sourceconn",
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.postgres.database", description = "The database"),
    printcolumn(name = "Sinks", type_ = "integer", json_path = ".status.sinks", description = "How many Sinks it has"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether all its workers run, and read the database"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when it is there"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state", description = "What is wanted of it", priority = "1"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready, or not", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "The same in a sentence", priority = "1"),
    derive = "PartialEq",
    doc = "A database whose changes are carried into Sinks.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name must be a DNS label: up to 63 lower-case letters, digits and dashes"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || self.spec.postgres.database == oldSelf.spec.postgres.database").message("postgres.database cannot change once a Sink has begun, whose progress is a place in the log of that server: make another SourceConnector, and other Sinks").field_path(".spec.postgres.database"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.begun) || !oldSelf.status.begun || (has(self.spec.postgres.slot.name) ? self.spec.postgres.slot.name : '') == (has(oldSelf.spec.postgres.slot.name) ? oldSelf.spec.postgres.slot.name : '')").message("postgres.slot.name cannot change once a Sink has begun, as another slot does not keep the log for it: make another SourceConnector, and other Sinks").field_path(".spec.postgres.slot.name")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceConnectorSpec {
    /// Whether its Sinks carry; paused they keep their places, and the database keeps its log for them.
    #[serde(default)]
    pub state: DesiredState,
    /// A Postgres database, by logical replication.
    pub postgres: PostgresSource,
    /// The worker.
    #[serde(default)]
    pub worker: Worker,
    /// What goes with it when it is deleted: its replication slots and its managed publication, or nothing. In a cluster also what goes
    /// with a pool whose last Sink has gone: its slot, and with the last pool the managed publication.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What is wanted of a Sink, or of all Sinks of a SourceConnector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// To carry changes.
    #[default]
    Running,
    /// To stand still where it is.
    Paused,
}

/// A Postgres database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.host) != (has(self.hosts) && size(self.hosts) > 0)").message("give host or hosts, not both"),
    validation = Rule::new("!has(self.port) || has(self.host)").message("port goes with host; each of hosts has its own")
)]
pub struct PostgresSource {
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host: Option<String>,
    /// Its port; without it 5432.
    // No default in the schema: beside `hosts`, of which each has its own, it would look like one that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Several servers, of which the primary is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hosts: Vec<Host>,
    /// The database.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,
    /// The role that reads it.
    pub authentication: PostgresAuthentication,
    /// Encryption; without it the connection is plain text.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_default")]
    pub tls: Option<PostgresTls>,
    /// The publication.
    #[serde(default)]
    pub publication: Publication,
    /// The replication slot.
    #[serde(default)]
    pub slot: Slot,
    /// How the rows that tables hold at the start are read.
    #[serde(default)]
    pub snapshot: Snapshot,
}

impl PostgresSource {
    /// The servers that it names, with their ports.
    pub fn servers(&self) -> impl Iterator<Item = (&str, i32)> {
        let one = self.host.iter().map(|host| (host.as_str(), self.port.unwrap_or_else(default_port)));
        one.chain(self.hosts.iter().map(|host| (host.host.as_str(), host.port)))
    }
}

/// Postgres' usual port.
pub fn default_port() -> i32 {
    5432
}

/// One of several servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// The server.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// The role that reads the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresAuthentication {
    /// The role; it needs `REPLICATION`, and `SELECT` on the tables.
    #[schemars(length(min = 1, max = 63))]
    pub username: String,
    /// Its password; none where the server asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<PasswordRef>,
}

/// Encryption of the connection, after libpq's `sslmode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresTls {
    /// What is asked of the server.
    #[serde(default = "default_mode")]
    pub mode: PostgresTlsMode,
    /// Authorities to trust; an empty list means those of the system.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub trusted_certificates: Vec<CertificateRef>,
}

impl Default for PostgresTls {
    fn default() -> Self {
        Self { mode: default_mode(), trusted_certificates: Vec::new() }
    }
}

fn default_mode() -> PostgresTlsMode {
    PostgresTlsMode::VerifyFull
}

/// The publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publication {
    /// Its name; by default `afterbay_` and the SourceConnector's name, with underscores for dashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Whether it is made, and altered to hold the tables in use.
    #[serde(default = "default_managed")]
    pub managed: bool,
}

fn default_managed() -> bool {
    true
}

impl Default for Publication {
    fn default() -> Self {
        Self { name: None, managed: default_managed() }
    }
}

/// The replication slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slot {
    /// Its name; by default `afterbay_` and the SourceConnector's name, with underscores for dashes. It is that of the pool
    /// `default`; another pool's is this one with `_` and the pool behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9_]+$"))]
    pub name: Option<String>,
    /// What Sinks do whose next changes it cannot give any more, as it was dropped, invalidated or moved on.
    #[serde(default)]
    pub on_loss: OnSlotLoss,
    /// Whether standbys keep a copy of it, from which a promoted one goes on; needs Postgres 17.
    #[serde(default)]
    pub failover: bool,
}

/// How the rows that tables hold at the start are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// All at once, or in chunks beside the stream.
    #[serde(default)]
    pub mode: SnapshotMode,
    /// Rows of a chunk.
    #[serde(default = "default_chunk_rows")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub chunk_rows: i32,
}

fn default_chunk_rows() -> i32 {
    20_000
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { mode: SnapshotMode::default(), chunk_rows: default_chunk_rows() }
    }
}

/// The workers: one for each pool that has Sinks, all alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("quantity(self.memory).compareTo(quantity('8Mi')) >= 0").message("memory must be at least 8Mi, and 2Mi for each Sink; 64Mi is the default"))]
pub struct Worker {
    /// What the queues and buffers of each worker, of which there is one for each pool, may hold in all: a number of bytes, or with `Ki`, `Mi`, `Gi`. At
    /// least `8Mi`, and `2Mi` for each Sink.
    #[serde(default = "default_memory")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]+(k|M|G|Ki|Mi|Gi)?$"))]
    pub memory: String,
    /// What the worker's pod asks of its node, and may use at most. What is not given of it: `50m` of processor time, and as the limit of
    /// memory what a worker of that `memory` with so many Sinks can come to take, of which it asks for half.
    #[serde(default)]
    pub resources: Resources,
    /// Labels that a node must have for the worker's pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "words")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the worker's pod does not mind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Which nodes, and which neighbours, the worker's pod wants or avoids: `nodeAffinity`, `podAffinity`,
    /// `podAntiAffinity`, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "foreign")]
    pub affinity: Option<Foreign>,
    /// How the workers' pods are spread over zones or nodes, as in a pod. Workers bear the label `afterbay.dev/source`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "foreign_list")]
    pub topology_spread_constraints: Vec<Foreign>,
    /// The PriorityClass of the worker's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Labels of the worker's pod, beside Afterbay's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "words")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of the worker's pod, beside Afterbay's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "words")]
    pub pod_annotations: BTreeMap<String, String>,
}

fn default_memory() -> String {
    "64Mi".to_owned()
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            memory: default_memory(),
            resources: Resources::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
        }
    }
}
