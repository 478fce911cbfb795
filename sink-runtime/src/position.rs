//! Where a change stands in its source, and how far a Sink has come.
//!
//! A change is named by its transaction's commit LSN, its own LSN and its index among the changes of one LSN: all three
//! are read from the log, so a replay gives the same names whatever was cached or counted before. The ordinal counts
//! the changes of the Sink's relation within the transaction; it is what people see, and a replay must reproduce it.

use std::fmt;

use afterbay_clients::postgres::Lsn;
use serde::{Deserialize, Serialize};

/// The name of one change of one relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeId {
    /// Start of the transaction's commit record (pgoutput's Begin).
    pub commit: Lsn,
    /// Start of the change's own record.
    pub change: Lsn,
    /// Which of the changes of that record it is, from 0: one record of a `COPY` holds many rows.
    pub index: u32,
    /// Which change of this relation in its transaction it is, from 0.
    pub ordinal: u64,
}

/// How far a Sink has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// All transactions whose commit record starts before this LSN.
    Done(Lsn),
    /// All transactions with a smaller commit LSN, and of this one all changes up to this one.
    Within(ChangeId),
}

impl Position {
    /// Whether a change is part of what this position says is done.
    pub fn covers(&self, id: &ChangeId) -> bool {
        match self {
            Self::Done(end) => id.commit < *end,
            Self::Within(last) => {
                id.commit < last.commit
                    || (id.commit == last.commit && (id.change, id.index) <= (last.change, last.index))
            }
        }
    }

    /// Whether all transactions that start their commit record before `end` are part of what is done.
    pub fn reaches(&self, end: Lsn) -> bool {
        self.replay_from() >= end
    }

    /// From which commit LSN on the source must be replayed.
    pub fn replay_from(&self) -> Lsn {
        match self {
            Self::Done(end) => *end,
            Self::Within(last) => last.commit,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(end) => end.fmt(f),
            Self::Within(last) => write!(f, "{}:{}", last.commit, last.ordinal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(commit: u64, change: u64, index: u32) -> ChangeId {
        ChangeId { commit: Lsn(commit), change: Lsn(change), index, ordinal: 0 }
    }

    #[test]
    fn done_covers_what_commits_before_it() {
        let done = Position::Done(Lsn(100));
        assert!(done.covers(&id(99, 500, 0)));
        assert!(!done.covers(&id(100, 1, 0)), "a commit record that starts at the end of the last one is new");
    }

    #[test]
    fn within_covers_up_to_its_change() {
        let within = Position::Within(id(100, 50, 1));
        assert!(within.covers(&id(99, 90, 7)));
        assert!(within.covers(&id(100, 49, 9)));
        assert!(within.covers(&id(100, 50, 1)));
        assert!(!within.covers(&id(100, 50, 2)), "rows of one record have one LSN");
        assert!(!within.covers(&id(101, 1, 0)));
    }
}
