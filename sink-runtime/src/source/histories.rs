//! What the Sinks of a worker retain of the log, for each other: a Sink can be started within what another one retains of the
//! same table.

use std::sync::{Arc, Mutex, PoisonError};

use afterbay_crds::plan::TableName;

use crate::history::History;
use crate::protocol::{RelationIdentity, SourceIdentity};

/// What a Sink retains.
#[derive(Clone, Debug)]
pub struct Retained {
    /// Its relation.
    pub table: TableName,
    /// What its record says of that: it was published all the time.
    pub relation: RelationIdentity,
    /// The database.
    pub identity: SourceIdentity,
    /// Places and times.
    pub history: History,
    /// For how long, in milliseconds.
    pub keep_ms: u64,
}

/// By Sink.
#[derive(Clone, Debug, Default)]
pub struct Histories(Arc<Mutex<Vec<(usize, Retained)>>>);

impl Histories {
    /// A Sink retains this; none: nothing.
    pub fn set(&self, sink: usize, retained: Option<Retained>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| *known != sink);
        all.extend(retained.map(|retained| (sink, retained)));
    }

    /// What is retained of a table.
    pub fn of(&self, table: &TableName) -> Vec<Retained> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, retained)| retained.table == *table).map(|(_, retained)| retained.clone()).collect()
    }
}
