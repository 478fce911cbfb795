//! What the Sinks of a worker retain of the log, for each other: a Sink can be started within what another one retains of the
//! same table.

use std::sync::{Arc, Mutex, PoisonError};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::TableName;

use crate::history::History;
use crate::protocol::{RelationIdentity, SourceIdentity};

/// What a Sink retains.
#[derive(Clone, Debug)]
pub struct SinkHistory {
    /// Its relations.
    pub tables: Vec<RetainedTable>,
    /// The database.
    pub identity: SourceIdentity,
    /// Places and times.
    pub history: History,
    /// For how long, in milliseconds.
    pub keep_ms: u64,
}

/// A relation of which a Sink retains history.
#[derive(Clone, Debug)]
pub struct RetainedTable {
    /// Its name.
    pub table: TableName,
    /// What the Sink's record says of it: it was published all the time.
    pub relation: RelationIdentity,
    /// From where on; none: as far as history goes back.
    pub since: Option<Lsn>,
}

/// What a Sink retains of one relation.
#[derive(Clone, Debug)]
pub struct Retained {
    /// The relation.
    pub relation: RelationIdentity,
    /// From where on it was published all the time; none: as far as history goes back.
    pub since: Option<Lsn>,
    /// The database.
    pub identity: SourceIdentity,
    /// Places and times.
    pub history: History,
    /// For how long, in milliseconds.
    pub keep_ms: u64,
}

impl Retained {
    /// From where on the log holds all that became of the relation; none where nothing is known.
    pub fn floor(&self, now_ms: u64) -> Option<Lsn> {
        let floor = self.history.floor(now_ms, self.keep_ms)?;
        Some(self.since.map_or(floor, |since| since.max(floor)))
    }
}

/// By Sink.
#[derive(Clone, Debug, Default)]
pub struct Histories(Arc<Mutex<Vec<(usize, SinkHistory)>>>);

impl Histories {
    /// A Sink retains this; none: nothing.
    pub fn set(&self, sink: usize, history: Option<SinkHistory>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| *known != sink);
        all.extend(history.map(|history| (sink, history)));
    }

    /// What is retained of a table.
    pub fn of(&self, table: &TableName) -> Vec<Retained> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_sink = |(_, sink): &(usize, SinkHistory)| {
            let RetainedTable { relation, since, .. } = sink.tables.iter().find(|known| known.table == *table)?;
            Some(Retained {
                relation: *relation,
                since: *since,
                identity: sink.identity.clone(),
                history: sink.history.clone(),
                keep_ms: sink.keep_ms,
            })
        };
        all.iter().filter_map(of_sink).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TableName {
        TableName { schema: "public".into(), name: name.into() }
    }

    /// A Sink that retains from place 100 on, with a table that was there before and one that joined.
    fn histories() -> Histories {
        let mut history = History::default();
        history.note(1_000, Lsn(100), 60_000);
        let table = |table, oid, since| RetainedTable {
            table: name(table),
            relation: RelationIdentity { oid, entry: 1 },
            since,
        };
        let histories = Histories::default();
        histories.set(
            3,
            Some(SinkHistory {
                tables: vec![table("a", 7, None), table("b", 8, Some(Lsn(150)))],
                identity: SourceIdentity { system: "7".into(), timeline: 1, database: "d".into(), slot: "s".into() },
                history,
                keep_ms: 60_000,
            }),
        );
        histories
    }

    #[test]
    fn a_table_that_joined_is_retained_from_there_on() {
        let of = |table| {
            let found = histories().of(&name(table));
            found.iter().map(|retained| (retained.relation.oid, retained.floor(2_000))).collect::<Vec<_>>()
        };
        assert_eq!(of("a"), [(7, Some(Lsn(100)))]);
        assert_eq!(of("b"), [(8, Some(Lsn(150)))]);
        assert_eq!(of("c"), []);
    }

    #[test]
    fn a_sink_that_retains_no_more_is_forgotten() {
        let histories = histories();
        histories.set(3, None);
        assert!(histories.of(&name("a")).is_empty());
    }
}
