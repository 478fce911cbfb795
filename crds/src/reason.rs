//! The reasons: one CamelCase word for each kind of problem that a user can meet.
//!
//! A reason is what conditions, the status and the log name, and a heading in `docs/reasons.md` (a test holds the
//! two together).

use crate::report::Problem;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A kind of problem, see the module's text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All reasons, in the order in which the documentation lists them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

reasons! {
    /// The database does not answer.
    SourceUnreachable,
    /// The database refuses role or password.
    SourceAuthenticationFailed,
    /// The TLS handshake with the database fails.
    SourceTlsFailed,
    /// The role lacks a privilege (`REPLICATION`, `SELECT` …).
    SourceNotPermitted,
    /// The database of that name does not exist.
    DatabaseNotFound,
    /// No server of the list is a primary.
    SourceNotPrimary,
    /// `wal_level` is not `logical`.
    WalLevelTooLow,
    /// All replication slots or senders of the server are taken.
    ReplicationSlotsExhausted,
    /// The publication cannot be made or altered, as another role owns it.
    PublicationNotOwned,
    /// The publication does not hold the table, or not all of it.
    PublicationIncomplete,
    /// The table left the publication for a while: changes of it are missing.
    PublicationChanged,
    /// The slot is read by somebody else.
    SlotInUse,
    /// The slot is not what Afterbay needs (another plugin, another database).
    SlotUnfit,
    /// The slot is gone, though the Sink has progress that needs it.
    SlotLost,
    /// The slot has moved beyond the Sink's progress: changes between the two are lost.
    SlotAheadOfProgress,
    /// No Sink reads the slot any more, and it is kept.
    SlotKept,
    /// Tables match the Sink's patterns and cannot be carried; the others are.
    TablesLeftOut,
    /// Tables that the Sink has carried are carried no more.
    TablesLeft,
    /// Tables that the Sink has carried once are carried again.
    TablesReturned,
    /// The database is not the one that the progress was made on.
    SourceIdentityChanged,
    /// The progress lies beyond the end of the source's log.
    ProgressBeyondSource,
    /// The replay of a source transaction differs from what was committed of it.
    ReplayDiffers,
    /// The server counts Afterbay as a synchronous standby: every commit would wait for it.
    SynchronousStandby,
    /// The table does not exist.
    TableNotFound,
    /// The relation cannot be carried (a view, a foreign table …).
    TableUnfit,
    /// A column that the manifest names does not exist.
    ColumnNotFound,
    /// The key is not known to be unique.
    KeyNotUnique,
    /// The replica identity does not hold the old values that the Sink needs.
    ReplicaIdentityInsufficient,
    /// The table was truncated.
    SourceTruncated,
    /// The table's columns changed in a way that cannot be followed.
    SchemaChanged,
    /// The snapshot would outlive the broker's limit for a transaction.
    SnapshotTooLong,
    /// The session with the database ended with an error.
    SourceFailed,
    /// No broker answers.
    KafkaUnreachable,
    /// The broker refuses user or password.
    KafkaAuthenticationFailed,
    /// The TLS handshake with the broker fails.
    KafkaTlsFailed,
    /// An ACL is missing.
    KafkaNotAuthorized,
    /// Rights are to be given, and the brokers have no authorizer.
    KafkaAuthorizerMissing,
    /// A client setting is refused.
    KafkaConfigRefused,
    /// The topic does not exist.
    TopicNotFound,
    /// The broker refuses to make the topic.
    TopicCreationRefused,
    /// The topic is there, but not as the manifest has it.
    TopicDiffers,
    /// The settings of the topic cannot be looked at.
    TopicNotChecked,
    /// The manifest names another topic than the one that the Sink has begun to fill.
    TopicChanged,
    /// The topic was deleted, and another one of its name was made.
    TopicReplaced,
    /// The progress topic has more than one partition, or retention.
    ProgressTopicUnfit,
    /// The progress topic works, but is less safe or less small than it should be.
    ProgressTopicWeak,
    /// The Sink has committed before, but its progress record is gone.
    ProgressMissing,
    /// The progress record cannot be read.
    ProgressUnreadable,
    /// The progress topic holds a transaction that does not end.
    ProgressUndecided,
    /// Another worker owns the Sink's transactional id.
    Fenced,
    /// A Kafka transaction failed and was rolled back.
    TransactionFailed,
    /// The Sink has taken nothing for a while, so the others go on without it.
    SinkHeldUp,
    /// A message is larger than the broker or the client allows.
    MessageTooLarge,
    /// The registry does not answer.
    RegistryUnreachable,
    /// The registry refuses user, password or certificate.
    RegistryAuthenticationFailed,
    /// The TLS handshake with the registry fails.
    RegistryTlsFailed,
    /// The registry refuses a schema.
    SchemaRefused,
    /// The subject has another compatibility level than the manifest asks for.
    CompatibilityDiffers,
    /// The registry answers something else than its interface says.
    RegistryFailed,
    /// An expression of the Sink is not what it can be.
    ExpressionInvalid,
    /// The Sink's format cannot hold the keys or values of the table.
    FormatUnfit,
    /// A value cannot be written in the Sink's format.
    ValueNotEncodable,
    /// A key that is not enforced was not unique.
    KeyRepeated,
    /// The place where the Sink is to start is not one that is retained.
    StartAtRefused,
    /// The worker cannot read its plan.
    PlanInvalid,
    /// A file that holds a secret cannot be read.
    SecretUnreadable,
    /// The worker ended and is started again.
    WorkerExited,
    /// The worker's pod has no place, or cannot be started.
    WorkerNotStarted,
    /// A resource is wrong as it is written, or in what it refers to.
    ManifestInvalid,
    /// The Sink's query is not one that can be carried.
    QueryInvalid,
    /// A row has no result under the Sink's query.
    ValueNotComputable,
    /// A resource that has run is not declared any more.
    Undeclared,
    /// What goes with a deleted resource could not be taken away.
    LeftBehind,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Reason {
    /// A problem of this kind.
    pub fn problem(self, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem { reason: self.as_str().to_owned(), message: message.into(), hint: hint.into() }
    }
}
