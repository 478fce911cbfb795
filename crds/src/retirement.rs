//! What goes with Sinks and SourceConnectors that are deleted: `sink-runtime --retire FILE` reads the one document here and
//! writes the other.
//!
//! As a plan it holds no secret, and refuses fields that it does not know.

use serde::{Deserialize, Serialize};

use crate::plan::{KafkaConnectionPlan, PostgresConnectionPlan};
use crate::report::Problem;

/// The version of the shape that this build writes and reads.
pub const RETIREMENT_VERSION: u32 = 1;

/// What is to be taken away. Topics of data are not among it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetirementPlan {
    /// Shape of this document, see [`RETIREMENT_VERSION`].
    pub version: u32,
    /// Sinks, whose progress records go.
    pub sinks: Vec<RetiredSink>,
    /// SourceConnectors, after their Sinks.
    pub sources: Vec<RetiredSource>,
}

/// A Sink that is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetiredSink {
    /// The Sink, `<namespace>/<name>`.
    pub name: String,
    /// Identity of the life that is over: the record of another one stays.
    pub uid: String,
    /// The cluster.
    pub connection: KafkaConnectionPlan,
    /// The topic of the progress records.
    pub progress_topic: String,
    /// Key of its record.
    pub progress_key: String,
    /// The consumer group under which the progress topic is read.
    pub progress_group_id: String,
    /// Its transactional id: whoever still runs under it is fenced first.
    pub transactional_id: String,
}

/// A SourceConnector that is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetiredSource {
    /// The SourceConnector, `<namespace>/<name>`.
    pub name: String,
    /// How to reach and enter the database.
    pub connection: PostgresConnectionPlan,
    /// Its replication slots.
    pub slots: Vec<String>,
    /// Its publication, if that was managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<String>,
}

impl RetiredSource {
    /// What there is of it in its database: `replication slot a, publication b of database shop`.
    pub fn in_words(&self) -> String {
        let slots = self.slots.iter().map(|name| format!("replication slot {name}"));
        let publication = self.publication.iter().map(|name| format!("publication {name}"));
        let what: Vec<_> = slots.chain(publication).collect();
        format!("{} of database {}", what.join(", "), self.connection.database)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retirement {
    /// Sinks of which nothing is left but their topics.
    pub sinks: Vec<String>,
    /// SourceConnectors of which nothing is left.
    pub sources: Vec<String>,
    /// What stays behind, and why.
    pub left: Vec<LeftBehind>,
}

/// Something that could not be taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftBehind {
    /// `sink <namespace>/<name>` or `source <namespace>/<name>`.
    pub subject: String,
    /// What stays, why, and what to do.
    pub problem: Problem,
}
