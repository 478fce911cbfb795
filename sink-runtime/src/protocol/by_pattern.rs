//! What the progress record of a Sink by pattern tells of its tables.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::TableName;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::record::{
    KeptColumn, ObeyedStart, ProgressRecord, RelationIdentity, SchemaIds, SnapshotProgress, SourceIdentity, Tables,
};
use crate::history::History;
use crate::position::Position;

/// The versions of such records.
pub const PATTERN_VERSIONS: RangeInclusive<u32> = 4..=5;

/// A table of a Sink by pattern. One that is not told of has no message in its topic yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    /// Its name.
    pub table: TableName,
    /// The relation.
    pub relation: RelationIdentity,
    /// The topic that it fills.
    pub topic: String,
    /// What tells the topic from another one that had its name before, where the brokers tell.
    #[serde(rename = "topicId", skip_serializing_if = "Option::is_none", default)]
    pub topic_id: Option<String>,
    /// Schemas of the messages.
    #[serde(default)]
    pub schemas: SchemaIds,
    /// The snapshot, until its last row is committed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<SnapshotProgress>,
    /// Rows of a snapshot that is through.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub rows: u64,
    /// Whether it is carried no more: what stands in the topic is of the past.
    #[serde(skip_serializing_if = "is_false", default)]
    pub left: bool,
    /// From where on the log holds all that became of it, as long as that matters: before, it may not have been published. A
    /// build that does not know of it knows of no history that goes further back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Lsn>,
    /// In a replay: what commits before is left out, as the table had not joined then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Lsn>,
    /// The columns that messages keep, where they do not follow those of the table. The record tells them beside the tables.
    #[serde(skip)]
    pub columns: Option<Arc<[KeptColumn]>>,
}

impl TableProgress {
    /// Of a table of which nothing is known but what it is and where it goes.
    pub fn new(table: TableName, relation: RelationIdentity, topic: String) -> Self {
        Self {
            table,
            relation,
            topic,
            topic_id: None,
            schemas: SchemaIds::default(),
            snapshot: None,
            rows: 0,
            left: false,
            since: None,
            from: None,
            columns: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as above")]
fn is_false(left: &bool) -> bool {
    !left
}

/// The version of a record. A build that knows of no columns that are kept, of no changes that are to be left out, or of no replay
/// that is done, must not go on from one with them: it would send them, or have it done again.
pub fn version(tables: &[TableProgress], start_at: Option<&ObeyedStart>) -> u32 {
    let leaves_out = |table: &TableProgress| table.columns.is_some() || table.from.is_some();
    if start_at.is_some() || tables.iter().any(leaves_out) { 5 } else { 4 }
}

/// A record of these versions.
#[derive(Serialize, Deserialize)]
pub struct PatternShape {
    version: u32,
    sink: String,
    uid: String,
    position: Position,
    source: SourceIdentity,
    #[serde(skip_serializing_if = "History::is_empty", default)]
    history: History,
    #[serde(rename = "startAt", skip_serializing_if = "Option::is_none", default)]
    start_at: Option<ObeyedStart>,
    tables: Vec<TableShape>,
    /// What tables keep, each once: it is the same for many of them, and goes out with each transaction.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    columns: Vec<Arc<[KeptColumn]>>,
}

#[derive(Serialize, Deserialize)]
struct TableShape {
    #[serde(flatten)]
    table: TableProgress,
    /// Which of the columns it keeps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    columns: Option<usize>,
}

impl PatternShape {
    /// The record of a Sink that carries these tables.
    pub fn new(version: u32, record: &ProgressRecord, tables: Vec<TableProgress>) -> Self {
        let mut columns = Vec::new();
        let mut known = HashMap::new();
        let tables = tables.into_iter().map(|mut table| {
            let kept = table.columns.take().map(|kept| {
                *known.entry(kept).or_insert_with_key(|kept| {
                    columns.push(Arc::clone(kept));
                    columns.len() - 1
                })
            });
            TableShape { table, columns: kept }
        });
        Self {
            version,
            sink: record.sink.clone(),
            uid: record.uid.clone(),
            position: record.position,
            source: record.source.clone(),
            history: record.history.clone(),
            start_at: record.start_at.clone(),
            tables: tables.collect(),
            columns,
        }
    }

    /// What it tells.
    pub fn record(self) -> Result<ProgressRecord, serde_json::Error> {
        let Self { sink, uid, position, source, history, start_at, tables, columns, .. } = self;
        let table = |TableShape { table, columns: kept }| {
            let kept = kept.map(|number: usize| {
                let missing = || serde_json::Error::custom(format!("there are no columns {number}"));
                columns.get(number).cloned().ok_or_else(missing)
            });
            Ok(TableProgress { columns: kept.transpose()?, ..table })
        };
        let tables = tables.into_iter().map(table).collect::<Result<_, serde_json::Error>>()?;
        Ok(ProgressRecord { sink, uid, position, source, history, start_at, tables: Tables::ByPattern(tables) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Skip;

    fn table(name: &str) -> TableProgress {
        let table = TableName { schema: "public".into(), name: name.into() };
        let topic_id = (name == "a").then(|| "dG9waWM".into());
        TableProgress {
            topic_id,
            ..TableProgress::new(table, RelationIdentity { oid: 7, entry: 8 }, format!("shop.{name}"))
        }
    }

    /// The record of these tables, which is what it is read as.
    fn text(tables: Vec<TableProgress>) -> String {
        text_with(History::default(), None, tables)
    }

    fn text_with(history: History, start_at: Option<ObeyedStart>, tables: Vec<TableProgress>) -> String {
        let record = ProgressRecord {
            sink: "default/orders".into(),
            uid: "u".into(),
            position: Position::Done(Lsn(0x16_B374)),
            source: SourceIdentity { system: "7".into(), timeline: 1, database: "shop".into(), slot: "s".into() },
            history,
            start_at,
            tables: Tables::ByPattern(tables),
        };
        let bytes = record.to_bytes().unwrap();
        assert_eq!(ProgressRecord::from_bytes(&bytes).unwrap(), record);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_shape_of_many_tables_is_stable() {
        let under_way = SnapshotProgress { after: Some(vec!["7".into()]), rows: 3, key: vec!["id Integer".into()] };
        let tables = vec![
            TableProgress { rows: 5, ..table("a") },
            TableProgress { snapshot: Some(under_way), ..table("b") },
            TableProgress { left: true, ..table("c") },
        ];
        assert_eq!(
            text(tables),
            r#"{"version":4,"sink":"default/orders","uid":"u","position":{"done":"0/16B374"},"source":{"system":"7","timeline":1,"database":"shop","slot":"s"},"tables":[{"table":{"schema":"public","name":"a"},"relation":{"oid":7,"entry":8},"topic":"shop.a","topicId":"dG9waWM","schemas":{},"rows":5},{"table":{"schema":"public","name":"b"},"relation":{"oid":7,"entry":8},"topic":"shop.b","schemas":{},"snapshot":{"after":["7"],"rows":3,"key":["id Integer"]}},{"table":{"schema":"public","name":"c"},"relation":{"oid":7,"entry":8},"topic":"shop.c","schemas":{},"left":true}]}"#
        );
    }

    #[test]
    fn columns_that_many_tables_keep_stand_there_once() {
        let columns = |names: &[&str]| {
            let column = |name: &&str| KeptColumn { name: (*name).into(), type_oid: 23, modifier: -1 };
            Some(names.iter().map(column).collect())
        };
        let tables = vec![
            TableProgress { columns: columns(&["id", "n"]), ..table("b") },
            TableProgress { columns: columns(&["id"]), ..table("c") },
            TableProgress { columns: columns(&["id", "n"]), ..table("d") },
            table("e"),
        ];
        let text = text(tables);
        assert!(text.starts_with(r#"{"version":5,"#), "{text}");
        assert!(
            text.ends_with(
                r#""topic":"shop.d","schemas":{},"columns":0},{"table":{"schema":"public","name":"e"},"relation":{"oid":7,"entry":8},"topic":"shop.e","schemas":{}}],"columns":[[{"name":"id","type":23,"modifier":-1},{"name":"n","type":23,"modifier":-1}],[{"name":"id","type":23,"modifier":-1}]]}"#
            ),
            "{text}"
        );
    }

    #[test]
    fn history_is_for_all_tables_and_each_says_how_far_it_holds() {
        let mut history = History::default();
        history.note(7, Lsn(0x16_B374), 1_000);
        let text = text_with(history, None, vec![TableProgress { since: Some(Lsn(0x16_B375)), ..table("b") }]);
        assert!(text.starts_with(r#"{"version":4,"#), "an older build retains less, and is welcome: {text}");
        assert!(text.contains(r#","history":[[7,"0/16B374"]],"tables":["#), "{text}");
        assert!(text.ends_with(r#""schemas":{},"since":"0/16B375"}]}"#), "{text}");
    }

    #[test]
    fn a_replay_and_what_it_leaves_out_are_for_builds_that_know_of_them() {
        let text_of =
            |start_at, from| text_with(History::default(), start_at, vec![TableProgress { from, ..table("b") }]);
        let obeyed = |skip| Some(ObeyedStart { asked: "position 0/7".into(), skip });
        assert!(text_of(None, None).starts_with(r#"{"version":4,"#));
        let all = text_of(obeyed(None), None);
        assert!(all.starts_with(r#"{"version":5,"#) && all.contains(r#""startAt":{"asked":"position 0/7"},"#), "{all}");
        assert!(text_of(None, Some(Lsn(8))).starts_with(r#"{"version":5,"#));
        assert!(text_of(obeyed(Some(Skip { before_us: 7, until: Lsn(8) })), None).starts_with(r#"{"version":5,"#));
    }

    #[test]
    fn a_table_without_the_columns_that_it_is_said_to_keep_is_not_read() {
        let kept = [KeptColumn { name: "id".into(), type_oid: 23, modifier: -1 }];
        let text = text(vec![TableProgress { columns: Some(kept.into()), ..table("b") }]);
        let damaged = text.replace(r#""columns":0"#, r#""columns":1"#);
        let error = ProgressRecord::from_bytes(damaged.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("there are no columns 1"), "{error}");
    }
}
