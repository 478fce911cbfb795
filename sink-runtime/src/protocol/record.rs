//! The progress record: what a Sink has committed, as it stands in the progress topic.

use afterbay_clients::postgres::Lsn;
use serde::{Deserialize, Serialize};

use super::by_pattern::{self, PATTERN_VERSIONS, PatternShape, TableProgress};
use crate::history::History;
use crate::position::Position;

/// The newest version of the record's shape that this build reads.
pub const RECORD_VERSION: u32 = *PATTERN_VERSIONS.end();

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

/// A column that a Sink keeps, whatever becomes of its table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeptColumn {
    /// Its name.
    pub name: String,
    /// The oid of its type.
    #[serde(rename = "type")]
    pub type_oid: u32,
    /// The type's modifier; -1: none.
    pub modifier: i32,
}

/// A start that the manifest asked for, and that was obeyed: once is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObeyedStart {
    /// What was asked for.
    pub asked: String,
    /// What is not to be sent of what comes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skip: Option<Skip>,
}

/// Transactions that are not to be sent: those before a time, as far as there can be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Those that committed before, in microseconds since 1970.
    pub before_us: i64,
    /// Where no more of them can come: clocks may be set back.
    pub until: Lsn,
}

/// A Sink's progress record; written in the Kafka transaction of the data that it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressRecord {
    /// The Sink, `<namespace>/<name>`.
    pub sink: String,
    /// Identity of the Sink's life.
    pub uid: String,
    /// What is committed.
    pub position: Position,
    /// Where the position holds.
    pub source: SourceIdentity,
    /// What is retained of the source's log behind the position. A build that does not know of it retains less.
    pub history: History,
    /// The start that was obeyed last.
    pub start_at: Option<ObeyedStart>,
    /// What it carries.
    pub tables: Tables,
}

/// What a Sink carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// The one relation that its manifest names.
    One(OneTable),
    /// All that its patterns match, as far as it has begun to carry them.
    ByPattern(Vec<TableProgress>),
}

/// The relation of a Sink that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTable {
    /// The relation.
    pub relation: RelationIdentity,
    /// The topic that it fills.
    pub topic: String,
    /// What tells the topic from another one that had its name before, where the brokers tell.
    pub topic_id: Option<String>,
    /// Schemas of the messages.
    pub schemas: SchemaIds,
    /// The snapshot, until its last row is committed.
    pub snapshot: Option<SnapshotProgress>,
    /// The columns that messages keep, where they do not follow those of the table.
    pub columns: Option<Vec<KeptColumn>>,
}

/// Versions 1 to 3 of the shape.
#[derive(Serialize, Deserialize)]
struct OneShape {
    version: u32,
    sink: String,
    uid: String,
    position: Position,
    source: SourceIdentity,
    relation: RelationIdentity,
    topic: String,
    #[serde(rename = "topicId", skip_serializing_if = "Option::is_none", default)]
    topic_id: Option<String>,
    #[serde(default)]
    schemas: SchemaIds,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    snapshot: Option<SnapshotProgress>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    columns: Option<Vec<KeptColumn>>,
    #[serde(skip_serializing_if = "History::is_empty", default)]
    history: History,
    #[serde(rename = "startAt", skip_serializing_if = "Option::is_none", default)]
    start_at: Option<ObeyedStart>,
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
    /// The version of a record. A build that knows of no snapshots under way, or of no patterns, must not go on from one with
    /// them, as it would leave out the rows to come; nor from one with columns or changes that are to be left out, as it would
    /// send them.
    fn version(&self) -> u32 {
        match &self.tables {
            Tables::ByPattern(tables) => by_pattern::version(tables, self.start_at.as_ref()),
            Tables::One(OneTable { columns: Some(_), .. }) => 3,
            Tables::One(_) if self.start_at.as_ref().is_some_and(|start| start.skip.is_some()) => 3,
            Tables::One(OneTable { snapshot: Some(_), .. }) => 2,
            Tables::One(_) => 1,
        }
    }

    /// What it says of the relation of a Sink that has one.
    pub fn one(&self) -> Option<&OneTable> {
        match &self.tables {
            Tables::One(one) => Some(one),
            Tables::ByPattern(_) => None,
        }
    }

    /// The record as a Kafka value.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let version = self.version();
        Ok(match self.tables.clone() {
            Tables::One(OneTable { relation, topic, topic_id, schemas, snapshot, columns }) => {
                let Self { sink, uid, position, source, history, start_at, tables: _ } = self.clone();
                serde_json::to_vec(&OneShape {
                    version,
                    sink,
                    uid,
                    position,
                    source,
                    relation,
                    topic,
                    topic_id,
                    schemas,
                    snapshot,
                    columns,
                    history,
                    start_at,
                })
            }
            Tables::ByPattern(tables) => serde_json::to_vec(&PatternShape::new(version, self, tables)),
        }?)
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
        if PATTERN_VERSIONS.contains(&version) {
            return Ok(serde_json::from_slice::<PatternShape>(bytes)?.record()?);
        }
        let OneShape {
            sink,
            uid,
            position,
            source,
            relation,
            topic,
            topic_id,
            schemas,
            snapshot,
            columns,
            history,
            start_at,
            ..
        } = serde_json::from_slice(bytes)?;
        let tables = Tables::One(OneTable { relation, topic, topic_id, schemas, snapshot, columns });
        Ok(Self { sink, uid, position, source, history, start_at, tables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::ChangeId;

    fn record(position: Position, snapshot: Option<SnapshotProgress>) -> ProgressRecord {
        ProgressRecord {
            sink: "default/orders".into(),
            uid: "u".into(),
            position,
            source: SourceIdentity { system: "7".into(), timeline: 1, database: "shop".into(), slot: "s".into() },
            history: History::default(),
            start_at: None,
            tables: Tables::One(OneTable {
                relation: RelationIdentity { oid: 16_400, entry: 16_411 },
                topic: "orders".into(),
                topic_id: None,
                schemas: SchemaIds { key: None, value: Some(3) },
                snapshot,
                columns: None,
            }),
        }
    }

    fn snapshot() -> SnapshotProgress {
        SnapshotProgress { after: Some(vec!["7".into()]), rows: 3, key: vec!["id Integer".into()] }
    }

    fn text(record: &ProgressRecord) -> String {
        let bytes = record.to_bytes().unwrap();
        assert_eq!(&ProgressRecord::from_bytes(&bytes).unwrap(), record);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_shape_is_stable() {
        let done = record(Position::Done(Lsn(0x16_B374)), None);
        assert_eq!(
            text(&done),
            r#"{"version":1,"sink":"default/orders","uid":"u","position":{"done":"0/16B374"},"source":{"system":"7","timeline":1,"database":"shop","slot":"s"},"relation":{"oid":16400,"entry":16411},"topic":"orders","schemas":{"value":3}}"#
        );
        let id = ChangeId { commit: Lsn(9), change: Lsn(5), index: 2, ordinal: 4 };
        text(&record(Position::Within(id), None));
        let chunk = text(&record(Position::Done(Lsn(0x16_B374)), Some(snapshot())));
        assert!(chunk.starts_with(r#"{"version":2,"#), "{chunk}");
        assert!(
            chunk.ends_with(r#""schemas":{"value":3},"snapshot":{"after":["7"],"rows":3,"key":["id Integer"]}}"#),
            "{chunk}"
        );
    }

    #[test]
    fn kept_columns_are_for_builds_that_know_of_them() {
        let mut keeps = record(Position::Done(Lsn(9)), None);
        let Tables::One(one) = &mut keeps.tables else { panic!("it has one table") };
        one.columns = Some(vec![KeptColumn { name: "id".into(), type_oid: 23, modifier: -1 }]);
        let text = text(&keeps);
        assert!(text.starts_with(r#"{"version":3,"#), "{text}");
        assert!(
            text.ends_with(r#""schemas":{"value":3},"columns":[{"name":"id","type":23,"modifier":-1}]}"#),
            "{text}"
        );
    }

    #[test]
    fn changes_that_are_left_out_are_for_builds_that_know_of_them() {
        let mut set_back = record(Position::Done(Lsn(9)), None);
        set_back.start_at = Some(ObeyedStart { asked: "position 0/7".into(), skip: None });
        assert!(text(&set_back).starts_with(r#"{"version":1,"#), "nothing is left out");
        set_back.start_at =
            Some(ObeyedStart { asked: "time t".into(), skip: Some(Skip { before_us: 7, until: Lsn(8) }) });
        assert!(text(&set_back).starts_with(r#"{"version":3,"#));
    }

    #[test]
    fn a_newer_record_is_refused_whatever_its_shape() {
        let error = ProgressRecord::from_bytes(br#"{"version":6,"place":"elsewhere"}"#).unwrap_err();
        assert_eq!(error.to_string(), "the progress record has version 6, this build reads up to 5");
    }
}
