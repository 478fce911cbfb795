//! Which columns of their tables the Sinks keep: what becomes of the others is no matter of theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use afterbay_formats::table::TableDescription;

use crate::kept_columns::KeptColumns;

/// By Sink and table.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<HashMap<(usize, u32), KeptColumns>>>);

impl Kept {
    /// A Sink keeps these columns of the table with this oid; none: it follows.
    pub fn set(&self, sink: usize, table: u32, kept: Option<KeptColumns>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Some(kept) => all.insert((sink, table), kept),
            None => all.remove(&(sink, table)),
        };
    }

    /// The table as the Sink has it.
    pub fn of(&self, sink: usize, table: TableDescription) -> TableDescription {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&(sink, table.oid)) {
            Some(kept) => kept.of(table),
            None => table,
        }
    }
}
