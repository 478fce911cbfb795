//! The open transaction of a life.

use std::time::Instant;

use super::messages::Staged;
use crate::change::Change;
use crate::position::ChangeId;

/// What the open transaction holds.
pub struct Transaction {
    /// When it was begun.
    pub begun: Instant,
    /// How much it holds.
    pub staged: Staged,
    /// When the oldest of its changes was committed, in microseconds since 1970.
    pub oldest_us: Option<i64>,
    /// The largest message.
    pub largest: Largest,
    /// How often the table was truncated in what it holds, and where it was last.
    pub truncated: Option<(u64, Change)>,
}

/// The largest message of a transaction: what to tell where one is too large.
#[derive(Clone, Debug, Default)]
pub struct Largest {
    /// Bytes of key and value.
    pub bytes: u64,
    /// The change or row that it is of.
    pub place: Place,
    /// Its key, in words.
    pub key: String,
}

impl std::fmt::Display for Largest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, place, key } = self;
        write!(f, "{place}{key}: {bytes} bytes")
    }
}

/// What a message is of.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A change.
    Change(ChangeId),
    /// A row of the snapshot, by its number.
    SnapshotRow(u64),
}

impl Default for Place {
    fn default() -> Self {
        Self::SnapshotRow(0)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Change(id) => write!(f, "the change {}:{}", id.commit, id.ordinal),
            Self::SnapshotRow(row) => write!(f, "row {row} of the snapshot"),
        }
    }
}

impl Transaction {
    /// One that is begun now.
    pub fn new(now: Instant) -> Self {
        Self { begun: now, staged: Staged::default(), oldest_us: None, largest: Largest::default(), truncated: None }
    }
}
