//! SourceConnector: where changes come from.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::{CertificateRef, PasswordRef};
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
    derive = "PartialEq",
    doc = "A database whose changes are carried into Sinks.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name must be a DNS label: up to 63 lower-case letters, digits and dashes")
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
    /// What goes with it when it is deleted: its replication slots and its managed publication, or nothing.
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
    pub host: Option<String>,
    /// Its port; without it 5432.
    // No default in the schema: beside `hosts`, of which each has its own, it would look like one that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Several servers, of which the primary is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// The database.
    pub database: String,
    /// The role that reads it.
    pub authentication: PostgresAuthentication,
    /// Encryption; without it the connection is plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    pub trusted_certificates: Vec<CertificateRef>,
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

/// The worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Worker {
    /// What the queues and buffers of each worker, of which there is one for each pool, may hold in all: a number of bytes, or with `Ki`, `Mi`, `Gi`. At
    /// least `8Mi`, and `2Mi` for each Sink.
    #[serde(default = "default_memory")]
    pub memory: String,
}

fn default_memory() -> String {
    "64Mi".to_owned()
}

impl Default for Worker {
    fn default() -> Self {
        Self { memory: default_memory() }
    }
}
