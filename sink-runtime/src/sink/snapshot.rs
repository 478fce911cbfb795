//! The snapshot of a Sink, chunk by chunk beside the stream.
//!
//! Three rules, which `docs/design/0005-chunked-snapshot.md` argues for:
//! 1. The topic holds the rows up to the *cursor*, the key of the last row of the snapshot, as they are at the Sink's
//!    position; a change beyond the cursor is left out, as a later chunk shows it.
//! 2. A chunk shows the table at one point of the log. Its rows go out when every change that commits before the point is
//!    worked off, and none behind it.
//! 3. The cursor is committed in the Kafka transaction of the rows.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::report::Problem;
use afterbay_formats::chunk_key::ChunkKey;
use tokio::sync::oneshot;

use crate::change::{Change, ChangeBatch, ChangeKind, OldRow, RowSpan, Shape};
use crate::position::Position;
use crate::protocol::SnapshotProgress;
use crate::source::chunks::Chunk;

#[cfg(test)]
mod simulation;

/// A chunk that cannot be taken for so long is given back: it holds a snapshot of the database, and with it vacuum.
const PATIENCE: Duration = Duration::from_secs(30);
/// While a chunk is awaited, changes wait for at least this time: it is to show the table behind all that is worked off.
/// Longer after each chunk that came too late nevertheless, up to the second.
const HOLD: Duration = Duration::from_millis(500);
const LONGEST_HOLD: Duration = Duration::from_secs(8);
/// How long nothing is asked for after a chunk was given back.
const PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether a chunk has come: at first, and when it takes long.
const SOON: Duration = Duration::from_millis(2);
const LATER: Duration = Duration::from_millis(25);
/// How near to the end of the log, in bytes, a Sink must be to ask for a chunk.
const NEAR: u64 = 16 << 20;

/// A snapshot that is under way.
pub struct Snapshot {
    /// The order of the rows.
    pub key: ChunkKey,
    /// Where it stands in the rows that come.
    located: Option<ChunkKey>,
    /// What is in the topic, or in the open transaction.
    pub progress: SnapshotProgress,
    /// The commit LSN of the last change that was worked off, whether it was sent or left out.
    last_change: Lsn,
    asked: Option<Asked>,
    /// Nothing is asked for before.
    pause_until: Option<Instant>,
    heard: Heard,
}

struct Asked {
    answer: Answer,
    at: Instant,
}

enum Answer {
    Awaited(oneshot::Receiver<Result<Chunk, Problem>>),
    Here(Box<Chunk>),
}

/// What the source's log had come to, twice: the earlier look is as old as changes are held, at least.
struct Heard {
    earlier: Lsn,
    later: Lsn,
    at: Instant,
    hold: Duration,
}

impl Heard {
    fn at_least_so_long_ago(&mut self, log_end: Lsn) -> Lsn {
        if self.at.elapsed() >= self.hold {
            (self.earlier, self.later, self.at) = (self.later, log_end, Instant::now());
        }
        self.earlier
    }
}

/// A row whose key cannot be compared: its columns are others than those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strange;

/// What is to be done before a change is worked off.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Take the chunk, which is at hand.
    Chunk,
    /// Ask for a chunk.
    Ask,
    /// Wait a little and look again.
    Wait,
    /// Work it off.
    Change,
}

impl Snapshot {
    /// The snapshot of a Sink that stands at this position.
    pub fn new(key: ChunkKey, progress: SnapshotProgress, position: Position) -> Self {
        // Of the transactions before the position all are worked off; of that within which it lies, a part.
        let last_change = match position {
            Position::Done(end) => Lsn(end.0.saturating_sub(1)),
            Position::Within(id) => id.commit,
        };
        let heard = Heard { earlier: Lsn(0), later: Lsn(0), at: Instant::now(), hold: HOLD };
        Self { located: Some(key.clone()), key, progress, last_change, asked: None, pause_until: None, heard }
    }

    /// The snapshot of another relation of the same Sink, behind this one.
    #[must_use]
    pub fn next(self, key: ChunkKey) -> Self {
        let progress = SnapshotProgress { key: key.words(), ..SnapshotProgress::default() };
        Self { located: Some(key.clone()), key, progress, asked: None, pause_until: None, ..self }
    }

    /// What comes before the changes of the transaction with this commit LSN; all that committed before it is worked off.
    pub fn turn(&mut self, commit: Lsn, log_end: Lsn) -> Result<Turn, Problem> {
        self.look()?;
        if commit <= self.last_change {
            return Ok(Turn::Change);
        }
        let point = match &self.asked {
            None if !self.may_ask(commit, log_end) => return Ok(Turn::Change),
            None => return Ok(Turn::Ask),
            Some(Asked { answer: Answer::Here(chunk), .. }) => chunk.point,
            Some(_) if commit < self.heard.at_least_so_long_ago(log_end) => return Ok(Turn::Change),
            Some(_) => return Ok(Turn::Wait),
        };
        Ok(if point <= commit { Turn::Chunk } else { Turn::Change })
    }

    /// What to do where all that commits before `end` is worked off, and nothing more is at hand.
    pub fn turn_at_rest(&mut self, end: Lsn, log_end: Lsn) -> Result<Turn, Problem> {
        self.look()?;
        Ok(match &self.asked {
            None if !self.may_ask(end, log_end) => Turn::Wait,
            None => Turn::Ask,
            Some(Asked { answer: Answer::Here(chunk), .. }) if chunk.point <= end => Turn::Chunk,
            Some(_) => Turn::Wait,
        })
    }

    /// Whether a chunk that is asked for now can be taken soon: the Sink is near the end of the log.
    fn may_ask(&self, at: Lsn, log_end: Lsn) -> bool {
        at.0 + NEAR >= log_end.0 && self.pause_until.is_none_or(|end| Instant::now() >= end)
    }

    /// A chunk is asked for.
    pub fn asks(&mut self, answer: oneshot::Receiver<Result<Chunk, Problem>>) {
        self.asked = Some(Asked { answer: Answer::Awaited(answer), at: Instant::now() });
    }

    /// The chunk that is at hand.
    pub fn take(&mut self) -> Option<Chunk> {
        self.heard.hold = HOLD;
        match self.asked.take()?.answer {
            Answer::Here(chunk) => Some(*chunk),
            Answer::Awaited(_) => None,
        }
    }

    /// How long to wait before it is looked again, while a chunk is on its way or at hand.
    pub fn patience(&self) -> Option<Duration> {
        let asked = self.asked.as_ref()?;
        Some(if asked.at.elapsed() < Duration::from_secs(1) { SOON } else { LATER })
    }

    /// The rows and changes that follow have these columns. Those of the key count only where they belong to the replica
    /// identity: without it a change does not tell its old key.
    pub fn shaped(&mut self, shape: &Shape) {
        let columns: Vec<_> =
            shape.columns.iter().map(|column| if column.key { column.name.as_str() } else { "" }).collect();
        self.located = self.key.within(&columns);
    }

    /// A row is sent, and all before it.
    pub fn reaches(&mut self, batch: &ChangeBatch, row: RowSpan, rows: u64) -> Result<(), Strange> {
        let key = self.located.as_ref().ok_or(Strange)?;
        self.progress.after = Some(key.cells(&batch.row(row)).map_err(|_| Strange)?);
        self.progress.rows = rows;
        Ok(())
    }

    /// A change with this commit LSN is worked off.
    pub fn passes(&mut self, commit: Lsn) {
        self.last_change = self.last_change.max(commit);
    }

    /// Looks whether the chunk has come. One that shows the table as it was before something that is worked off by now is
    /// of no use, nor is one that nobody could take.
    fn look(&mut self) -> Result<(), Problem> {
        let Some(asked) = &mut self.asked else { return Ok(()) };
        if let Answer::Awaited(answer) = &mut asked.answer {
            match answer.try_recv() {
                Ok(Ok(chunk)) if chunk.point > self.last_change => {
                    asked.answer = Answer::Here(Box::new(chunk));
                    asked.at = Instant::now();
                }
                Ok(Err(problem)) => return Err(problem),
                Err(oneshot::error::TryRecvError::Empty) => {}
                Ok(Ok(_)) => {
                    self.asked = None;
                    self.heard.hold = (self.heard.hold * 2).min(LONGEST_HOLD);
                    tracing::info!(hold = ?self.heard.hold, "a chunk of the snapshot came too late, it is asked for again");
                }
                Err(oneshot::error::TryRecvError::Closed) => self.give_back(),
            }
        } else if asked.at.elapsed() > PATIENCE {
            self.give_back();
        }
        Ok(())
    }

    fn give_back(&mut self) {
        self.asked = None;
        self.pause_until = Some(Instant::now() + PAUSE);
    }

    /// What is left of a change on this side of the cursor; none: a later chunk shows it.
    pub fn judge(&self, batch: &ChangeBatch, change: &Change) -> Result<Option<Change>, Strange> {
        let old = match change.old {
            OldRow::Absent => None,
            OldRow::Identity(row) | OldRow::Full(row) => Some(row),
        };
        // An update that brings no old row has not changed its key.
        let Some(before) = old.or(change.new) else { return Ok(Some(*change)) };
        let after = change.new.unwrap_or(before);
        let judged = match (change.kind, self.holds(batch, before)?, self.holds(batch, after)?) {
            (ChangeKind::Truncate, ..) | (_, true, true) => Some(*change),
            (_, false, false) => None,
            // The row has left for a key that a later chunk brings.
            (_, true, false) => Some(Change { kind: ChangeKind::Delete, new: None, ..*change }),
            // It has come from a key that no chunk has brought.
            (_, false, true) => Some(Change { kind: ChangeKind::Insert, old: OldRow::Absent, ..*change }),
        };
        Ok(judged)
    }

    fn holds(&self, batch: &ChangeBatch, row: RowSpan) -> Result<bool, Strange> {
        let Some(cursor) = &self.progress.after else { return Ok(false) };
        let key = self.located.as_ref().ok_or(Strange)?;
        let order = key.compare(&batch.row(row), cursor).map_err(|_| Strange)?;
        Ok(order != Ordering::Greater)
    }
}
