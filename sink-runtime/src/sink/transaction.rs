//! The open transaction of a life.

use std::time::Instant;

use super::messages::Staged;
use crate::position::ChangeId;

/// What the open transaction holds.
pub struct Transaction {
    /// When it was begun.
    pub begun: Instant,
    /// How much it holds.
    pub staged: Staged,
    /// When the oldest of its changes was committed, in microseconds since 1970.
    pub oldest_us: Option<i64>,
    /// The size in bytes of the largest message, and the change or row that it is of.
    pub largest: (u64, Place),
}

/// What a message is of.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A change.
    Change(ChangeId),
    /// A row of the snapshot, by its number.
    SnapshotRow(u64),
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
        Self { begun: now, staged: Staged::default(), oldest_us: None, largest: (0, Place::SnapshotRow(0)) }
    }
}
