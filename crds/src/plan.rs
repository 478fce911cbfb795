//! The plan: all that one worker needs to run, resolved from the manifests.
//!
//! A plan holds no reference to another resource and no secret: secrets are named by the path of the file that
//! holds them. The operator writes it, `sink-runtime --plan FILE` reads it; both sides refuse unknown fields, so a
//! plan of another version fails loudly and not halfway.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of the plan's shape that this build writes and reads.
pub const PLAN_VERSION: u32 = 1;

/// One worker: the Sinks of one SourceConnector and one pool, which share a replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Shape of this document, see [`PLAN_VERSION`].
    pub version: u32,
    /// The worker's name, see [`crate::names::WorkerName`]; for logs and the status.
    pub worker: String,
    /// Where the worker serves `/livez`, `/readyz`, `/metrics` and `/status`, e.g. `127.0.0.1:0`.
    pub listen: String,
    /// A file into which the worker writes the address that it really listens on, once it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_file: Option<PathBuf>,
    /// Bytes that the worker's queues and buffers may hold in all.
    pub memory_bytes: u64,
    /// Where the changes come from.
    pub source: PostgresPlan,
    /// Where they go, one entry a Sink, in the order of their names.
    pub sinks: Vec<SinkPlan>,
}

/// A Postgres database as a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresPlan {
    /// The SourceConnector, `<namespace>/<name>`; for messages.
    pub name: String,
    /// How to reach and enter the database.
    pub connection: PostgresConnectionPlan,
    /// The publication that the session reads.
    pub publication: String,
    /// The logical replication slot.
    pub slot: String,
    /// What Sinks do whose next changes the slot cannot give any more.
    pub on_slot_loss: OnSlotLoss,
    /// Whether the slot is one that standbys keep a copy of.
    pub failover_slot: bool,
    /// How the rows that tables hold at the start are read.
    pub snapshot: SnapshotPlan,
}

/// What Sinks do whose next changes the slot cannot give any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum OnSlotLoss {
    /// They stall, until somebody decides.
    #[default]
    Fail,
    /// They begin anew: all rows are sent again, from a slot that is made anew.
    Resnapshot,
}

/// How the rows that tables hold at the start are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotPlan {
    /// All at once, or in chunks.
    pub mode: SnapshotMode,
    /// Rows of a chunk.
    pub chunk_rows: u64,
}

/// How a snapshot is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SnapshotMode {
    /// In chunks where the table's primary key allows it, else all at once.
    #[default]
    Auto,
    /// In chunks beside the stream; a table whose key does not allow it is refused.
    Chunked,
    /// All at once: one look at the table, and one Kafka transaction.
    Consistent,
}

/// How to reach and enter a Postgres database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresConnectionPlan {
    /// The servers to try, in order; the first that is a primary is taken.
    pub hosts: Vec<HostPort>,
    /// The database.
    pub database: String,
    /// The role.
    pub username: String,
    /// The file that holds its password; none for trust or certificate-free local set-ups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Encryption of the connection.
    pub tls: PostgresTlsPlan,
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Encryption of a Postgres connection, after libpq's `sslmode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresTlsPlan {
    /// What is asked of the server.
    pub mode: PostgresTlsMode,
    /// PEM file with the certificates to trust; none: the system's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// libpq's `sslmode`, without the modes that fall back to plain text by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(schemars::JsonSchema)]
pub enum PostgresTlsMode {
    /// Plain text.
    Disable,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted; the certificate must come from a trusted authority.
    VerifyCa,
    /// Encrypted; the certificate must come from a trusted authority and name the host.
    VerifyFull,
}

/// How to reach and enter a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaConnectionPlan {
    /// The KafkaConnection, `<namespace>/<name>`; for messages.
    pub name: String,
    /// librdkafka's `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// Encryption; none: plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTlsPlan>,
    /// Who the worker is; none: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<KafkaAuthenticationPlan>,
    /// For whom the brokers take the worker, where that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Further client settings (librdkafka's names), in order; never one that Afterbay owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<(String, String)>,
}

impl KafkaConnectionPlan {
    /// For whom the brokers take the client, after Kafka's own rules; none where they make the name of a certificate, by
    /// rules of their own.
    pub fn principal(&self) -> Option<String> {
        use KafkaAuthenticationPlan::{Plain, ScramSha256, ScramSha512, Tls};
        self.principal.clone().or_else(|| match &self.authentication {
            Some(Plain { username, .. } | ScramSha256 { username, .. } | ScramSha512 { username, .. }) => {
                Some(format!("User:{username}"))
            }
            Some(Tls { .. }) => None,
            None => Some("User:ANONYMOUS".to_owned()),
        })
    }
}

/// Encryption of a Kafka connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaTlsPlan {
    /// PEM file with the certificates to trust; none: the system's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Who a Kafka client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum KafkaAuthenticationPlan {
    /// A client certificate (mTLS).
    Tls {
        /// PEM file of the certificate (chain).
        certificate_file: PathBuf,
        /// PEM file of its private key.
        key_file: PathBuf,
    },
    /// SASL PLAIN.
    Plain {
        /// The user.
        username: String,
        /// File that holds the password.
        password_file: PathBuf,
    },
    /// SASL SCRAM-SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256 {
        /// The user.
        username: String,
        /// File that holds the password.
        password_file: PathBuf,
    },
    /// SASL SCRAM-SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512 {
        /// The user.
        username: String,
        /// File that holds the password.
        password_file: PathBuf,
    },
}

/// How to reach and enter a schema registry (Confluent's API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryConnectionPlan {
    /// The SchemaRegistryConnection, `<namespace>/<name>`; for messages.
    pub name: String,
    /// Base URL, without a trailing slash.
    pub url: String,
    /// PEM file with the certificates to trust; none: the system's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<RegistryBasicPlan>,
    /// A client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificatePlan>,
}

/// Basic authentication at a schema registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryBasicPlan {
    /// File that holds the user's name (a name may itself come from a Secret).
    pub username_file: PathBuf,
    /// File that holds the password.
    pub password_file: PathBuf,
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificatePlan {
    /// PEM file of the certificate (chain).
    pub certificate_file: PathBuf,
    /// PEM file of its private key.
    pub key_file: PathBuf,
}

/// One Sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they stand for fields of the manifest")]
pub struct SinkPlan {
    /// The Sink, `<namespace>/<name>`.
    pub name: String,
    /// Identity of this Sink's life: a progress record of another uid is not this Sink's.
    pub uid: String,
    /// Whether it is stopped on purpose: it keeps its place and carries nothing.
    pub paused: bool,
    /// Whether this Sink is known to have committed before: a missing progress record then stops it.
    pub begun: bool,
    /// Whether the rows that its tables hold at the start are sent.
    pub snapshot: bool,
    /// Whether its tables come from patterns: some may join, and some leave.
    pub by_pattern: bool,
    /// What it carries; just one relation where it is not by pattern.
    pub relations: Vec<RelationPlan>,
    /// Where the messages go.
    pub kafka: KafkaSinkPlan,
    /// What becomes of it when the table is truncated.
    #[serde(default)]
    pub on_truncate: OnTruncate,
    /// What becomes of its messages when the table's columns change.
    #[serde(default)]
    pub schema_changes: SchemaChanges,
    /// For how many milliseconds the source's log is kept behind what is committed; none: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_history_ms: Option<u64>,
    /// Where it begins, or is set back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<StartAt>,
}

impl SinkPlan {
    /// What is said of Avro, for keys and for values.
    pub fn avro(&self) -> impl Iterator<Item = &AvroPlan> {
        self.relations.iter().flat_map(RelationPlan::avro)
    }

    /// Its table, or how many there are, for people.
    pub fn table_in_words(&self) -> String {
        self.in_words("tables", |relation| relation.table.to_string())
    }

    /// Its topic, or how many there are, for people.
    pub fn topic_in_words(&self) -> String {
        self.in_words("topics", |relation| relation.topic.clone())
    }

    fn in_words(&self, many: &str, one: impl Fn(&RelationPlan) -> String) -> String {
        match &self.relations[..] {
            [relation] => one(relation),
            relations => format!("{} {many}", relations.len()),
        }
    }
}

/// One relation of a Sink, and what becomes of its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RelationPlan {
    /// The table.
    pub table: TableName,
    /// A query over the table; none: it is carried as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The topic of its messages.
    pub topic: String,
    /// The columns of the message key, in order; empty: no key.
    pub key_columns: Vec<String>,
    /// How a change becomes a message.
    pub envelope: Envelope,
    /// Whether the key is taken without a proof that it is unique.
    pub key_not_enforced: bool,
    /// How keys are written; none: no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_format: Option<FormatPlan>,
    /// How values are written.
    pub value_format: FormatPlan,
    /// An SQL expression whose value chooses the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_by: Option<String>,
    /// The column of headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
}

/// A place of the source's log that is retained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// All that committed at or after this time, after RFC 3339.
    Time(String),
    /// All that commits from this position on: `0/16B3748`.
    Position(String),
}

impl StartAt {
    /// The time, in microseconds since 1970, if it is one.
    pub fn time_us(&self) -> Option<i64> {
        match self {
            Self::Time(text) => Some(text.parse::<k8s_openapi::jiff::Timestamp>().ok()?.as_microsecond()),
            Self::Position(_) => None,
        }
    }
}

impl std::fmt::Display for StartAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(time) => write!(f, "time {time}"),
            Self::Position(position) => write!(f, "position {position}"),
        }
    }
}

/// What becomes of messages when the columns of their table change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SchemaChanges {
    /// They have the columns of the table, from the change on.
    #[default]
    Follow,
    /// They keep the columns of the start.
    Freeze,
}

/// What becomes of a Sink whose table is truncated: the log does not say which rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum OnTruncate {
    /// It stops there.
    #[default]
    Stall,
    /// It goes on; the messages of the rows that went stay in the topic.
    Ignore,
}

/// What goes with a resource that is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum DeletionPolicy {
    /// What Afterbay has made for it; never a topic of data.
    #[default]
    Delete,
    /// Nothing: one of the same name goes on where it was.
    Retain,
}

impl RelationPlan {
    /// What is said of Avro, for keys and for values.
    pub fn avro(&self) -> impl Iterator<Item = &AvroPlan> {
        self.key_format.iter().chain([&self.value_format]).filter_map(FormatPlan::avro)
    }
}

/// A table by schema and name, unquoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// How a change becomes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// The new row under its key; a null value (tombstone) for a deletion.
    Upsert,
    /// `before` and `after`.
    Debezium,
}

/// How keys, or values, are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FormatPlan {
    /// JSON, without schemas.
    Json {
        /// What becomes of types that JSON has a form for.
        values: JsonValues,
    },
    /// The text of one column.
    Text,
    /// One column in Postgres' binary form.
    Bytes,
    /// Avro with a schema in a registry.
    Avro(Box<AvroPlan>),
}

impl FormatPlan {
    /// What is said of Avro, if it is that.
    pub fn avro(&self) -> Option<&AvroPlan> {
        match self {
            Self::Avro(avro) => Some(avro),
            _ => None,
        }
    }
}

/// Keys or values in Avro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AvroPlan {
    /// The registry.
    pub registry: RegistryConnectionPlan,
    /// The fullname of the record.
    pub fullname: String,
    /// Whether fields that may be null default to null.
    pub null_defaults: bool,
    /// The compatibility level of the subject, where it has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_level: Option<CompatibilityLevel>,
    /// Documentation that goes before the database's comments; of two for the same the first.
    pub docs: Vec<DocPlan>,
}

/// Documentation of a type or a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocPlan {
    /// A table or a composite type.
    pub r#type: TableName,
    /// A column of it; none: the type itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is to be said.
    pub text: String,
}

/// What becomes of types that JSON has a form for and the reference writes as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonValues {
    /// Strings of their text, as the reference has it.
    #[default]
    Text,
    /// Numbers for floats, nested values for json, jsonb and maps, base64 for bytea.
    Native,
}

/// Which changes of a schema a registry takes (Confluent's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum CompatibilityLevel {
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
    None,
}

impl CompatibilityLevel {
    /// The registry's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
            Self::None => "NONE",
        }
    }
}

/// The Kafka side of a Sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaSinkPlan {
    /// The cluster.
    pub connection: KafkaConnectionPlan,
    /// The topic of the progress records.
    pub progress_topic: String,
    /// Key of this Sink's progress record.
    pub progress_key: String,
    /// The transactional id.
    pub transactional_id: String,
    /// The consumer group under which the progress topic is read.
    pub progress_group_id: String,
    /// The connection's `namePrefix`: of the headers and of the Avro support types.
    pub name_prefix: String,
    /// librdkafka's `compression.type`.
    pub compression: Compression,
    /// When a transaction ends.
    pub commit: CommitPlan,
}

/// Compression of record batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// The word that Kafka clients use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// When a Kafka transaction ends: at whichever limit comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitPlan {
    /// Milliseconds that a transaction stays open under load.
    pub interval_ms: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Messages.
    pub records: u64,
    /// Kafka's `transaction.timeout.ms`.
    pub timeout_ms: u64,
}

impl Default for CommitPlan {
    /// One second, 16 MiB, 50,000 messages; a timeout of 15 s, which bounds how long a dead worker's open
    /// transaction can hold back the readers of the topics (and of the shared progress topic).
    fn default() -> Self {
        Self { interval_ms: 1_000, bytes: 16 << 20, records: 50_000, timeout_ms: 15_000 }
    }
}
