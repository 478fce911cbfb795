//! The progress record: what a Sink has committed, as it stands in the progress topic.

use serde::{Deserialize, Serialize};

use crate::position::Position;

/// The newest version of the record's shape that this build reads.
pub const RECORD_VERSION: u32 = 2;

/// The database that positions belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Postgres' system identifier.
    pub system: String,
    /// The timeline on which the position was committed.
    pub timeline: u32,
    /// The database's name.
    pub database: String,
    /// The slot whose confirmed position follows this record.
    pub slot: String,
}

/// Schema ids in use, for people who look into the topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaIds {
    /// Of the key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<u32>,
    /// Of the value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<u32>,
}

/// The table that a Sink carries, as more than a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationIdentity {
    /// Its oid: a table that is dropped and made again is another table.
    pub oid: u32,
    /// The oid of its entry in the publication: one that left and came back was not published meanwhile.
    pub entry: u32,
}

/// A snapshot that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotProgress {
    /// The chunk key of the last row that is in the topic, in text form; none: no row is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Vec<String>>,
    /// How many rows are in the topic.
    pub rows: u64,
    /// The chunk key, its columns with their order: rows that are sent have no place in another.
    #[serde(default)]
    pub key: Vec<String>,
}

/// A Sink's progress record; written in the Kafka transaction of the data that it speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRecord {
    /// Shape of this document.
    pub version: u32,
    /// The Sink, `<namespace>/<name>`.
    pub sink: String,
    /// Identity of the Sink's life.
    pub uid: String,
    /// What is committed.
    pub position: Position,
    /// Where the position holds.
    pub source: SourceIdentity,
    /// The relation.
    pub relation: RelationIdentity,
    /// The topic that it fills.
    pub topic: String,
    /// Schemas of the messages.
    #[serde(default)]
    pub schemas: SchemaIds,
    /// The snapshot, until its last row is committed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<SnapshotProgress>,
}

/// Why a progress record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON of the expected shape.
    #[error("the progress record is not readable: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a newer build.
    #[error("the progress record has version {found}, this build reads up to {RECORD_VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
}

impl ProgressRecord {
    /// The version of a record: a build that knows of no snapshots under way must not go on from one, as it would leave out
    /// the rows to come.
    pub fn version_of(snapshot: Option<&SnapshotProgress>) -> u32 {
        if snapshot.is_some() { 2 } else { 1 }
    }

    /// The record as a Kafka value.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// The record of a Kafka value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version > RECORD_VERSION {
            return Err(RecordError::Newer { found: version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use afterbay_clients::postgres::Lsn;

    use super::*;
    use crate::position::ChangeId;

    fn record(position: Position) -> ProgressRecord {
        ProgressRecord {
            version: 1,
            sink: "default/orders".into(),
            uid: "u".into(),
            position,
            source: SourceIdentity { system: "7".into(), timeline: 1, database: "shop".into(), slot: "s".into() },
            relation: RelationIdentity { oid: 16_400, entry: 16_411 },
            topic: "orders".into(),
            schemas: SchemaIds { key: None, value: Some(3) },
            snapshot: None,
        }
    }

    #[test]
    fn the_shape_is_stable() {
        let done = record(Position::Done(Lsn(0x16_B374)));
        assert_eq!(
            String::from_utf8(done.to_bytes().unwrap()).unwrap(),
            r#"{"version":1,"sink":"default/orders","uid":"u","position":{"done":"0/16B374"},"source":{"system":"7","timeline":1,"database":"shop","slot":"s"},"relation":{"oid":16400,"entry":16411},"topic":"orders","schemas":{"value":3}}"#
        );
        assert_eq!(ProgressRecord::from_bytes(&done.to_bytes().unwrap()).unwrap(), done);
        let within = record(Position::Within(ChangeId { commit: Lsn(9), change: Lsn(5), index: 2, ordinal: 4 }));
        assert_eq!(ProgressRecord::from_bytes(&within.to_bytes().unwrap()).unwrap(), within);
        let snapshot =
            Some(SnapshotProgress { after: Some(vec!["7".into()]), rows: 3, key: vec!["id Integer".into()] });
        let version = ProgressRecord::version_of(snapshot.as_ref());
        let chunk = ProgressRecord { version, snapshot, ..done };
        assert_eq!(chunk.version, 2);
        let text = String::from_utf8(chunk.to_bytes().unwrap()).unwrap();
        assert!(
            text.ends_with(r#""schemas":{"value":3},"snapshot":{"after":["7"],"rows":3,"key":["id Integer"]}}"#),
            "{text}"
        );
        assert_eq!(ProgressRecord::from_bytes(text.as_bytes()).unwrap(), chunk);
    }

    #[test]
    fn a_newer_record_is_refused_whatever_its_shape() {
        let error = ProgressRecord::from_bytes(br#"{"version":3,"place":"elsewhere"}"#).unwrap_err();
        assert_eq!(error.to_string(), "the progress record has version 3, this build reads up to 2");
    }
}
