//! What a life does while a snapshot is taken beside the stream; [`Snapshot`] has the rules.

use std::time::{Duration, Instant};

use afterbay_clients::postgres::Lsn;

use super::{Arrived, Ending, IDLE, Life};
use crate::change::{Change, ChangeBatch, Item};
use crate::fault;
use crate::feed::{Delivery, Nothing};
use crate::protocol::Event;
use crate::sink::problems;
use crate::sink::snapshot::{Snapshot, Strange, Turn};
use crate::source::chunks::{ChunkRequest, key_changed};

/// How long a change waits for a chunk.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Life<'_> {
    /// Works off a change, after the chunks that come before it.
    pub(super) fn beside_snapshot(&mut self, batch: &ChangeBatch, change: &Change) -> Result<(), Ending> {
        self.chunks_before(change.id.commit)?;
        if let Some(snapshot) = &mut self.snapshot
            && !self.protocol.has(&change.id)
        {
            snapshot.passes(change.id.commit);
            let judged = snapshot.judge(batch, change);
            let Some(change) = judged.map_err(|error| self.strange(error))? else { return Ok(()) };
            return self.drive(Event::Change(change.id), Arrived::Change(batch, &change));
        }
        self.drive(Event::Change(change.id), Arrived::Change(batch, change))
    }

    fn chunks_before(&mut self, commit: Lsn) -> Result<(), Ending> {
        let begun = Instant::now();
        while let Some(snapshot) = &mut self.snapshot {
            let turn = snapshot.turn(commit, self.context.source.log_end())?;
            let patience = snapshot.patience().unwrap_or_default();
            match turn {
                Turn::Change => break,
                Turn::Chunk => self.take_chunk()?,
                Turn::Ask => self.ask(),
                Turn::Wait if self.context.stop.is_set() => return Err(self.stop()),
                Turn::Wait if self.is_due() || self.is_position_due() => {
                    self.drive(Event::CommitDue, Arrived::Nothing)?;
                }
                // Nothing rests on it that a change waits, and it may be a chunk that never comes.
                Turn::Wait if begun.elapsed() >= LONGEST_WAIT => break,
                Turn::Wait => {
                    self.feed.alive();
                    std::thread::sleep(patience);
                }
            }
        }
        Ok(())
    }

    /// Takes or asks for a chunk where all that commits before `end` is worked off; whether the open transaction may wait
    /// for more.
    pub(super) fn chunk_at_rest(&mut self, end: Lsn) -> Result<bool, Ending> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(false) };
        match snapshot.turn_at_rest(end, self.context.source.log_end())? {
            Turn::Chunk => self.take_chunk()?,
            Turn::Ask => self.ask(),
            Turn::Wait | Turn::Change => {}
        }
        Ok(self.snapshot.is_some() && self.protocol.is_open() && !self.is_due())
    }

    fn ask(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let request = ChunkRequest {
            table: self.context.plan.table.clone(),
            relation: self.recorded,
            identity: self.identity.clone(),
            key: snapshot.key.clone(),
            after: snapshot.progress.after.clone(),
        };
        snapshot.asks(self.context.source.chunk(request));
    }

    /// Sends the rows of the chunk that is at hand. All that commits before its point is worked off, nothing behind it.
    fn take_chunk(&mut self) -> Result<(), Ending> {
        let Some(chunk) = self.snapshot.as_mut().and_then(Snapshot::take) else { return Ok(()) };
        self.drive(Event::Boundary(chunk.point), Arrived::Nothing)?;
        (self.start, self.snapshot_time_us) = (chunk.point, chunk.time_us);
        self.context.status.snapshot(self.snapshot_rows, chunk.rows_estimated);
        self.shaped(&chunk.shape);
        fault::point("chunk");
        let mut rows = 0;
        loop {
            if self.context.stop.is_set() {
                return Err(self.stop());
            }
            // Its changes wait in the meantime.
            self.feed.alive();
            match chunk.rows.next(IDLE) {
                Ok(Delivery::Changes(batch, room)) => {
                    rows += self.take_rows(&batch)?;
                    drop(room);
                }
                Ok(Delivery::SnapshotEnd(_)) => break,
                Ok(Delivery::Lost(problem)) => return Err(problem.into()),
                Ok(Delivery::Continue(_)) => return Err(problems::out_of_order(self.context).into()),
                Err(Nothing::Yet) => {}
                Err(Nothing::Anymore) => return Err(problems::source_gone().into()),
            }
            if self.is_due() {
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
        }
        // The stream does not tell its columns again.
        self.shape = None;
        if let Some(streamed) = self.streamed.clone() {
            self.shaped(&streamed);
        }
        if rows < self.context.source.chunk_rows() {
            self.snapshot = None;
            return self.drive(Event::LastChunk, Arrived::Nothing);
        }
        self.ask();
        Ok(())
    }

    fn take_rows(&mut self, batch: &ChangeBatch) -> Result<u64, Ending> {
        self.messages.prepare(batch);
        let mut rows = 0;
        let mut last = None;
        for item in batch.items() {
            let Item::SnapshotRow(row) = item else { return Err(problems::out_of_order(self.context).into()) };
            self.drive(Event::SnapshotRow, Arrived::Row(batch, *row))?;
            rows += 1;
            last = Some(*row);
            if self.is_large() {
                self.reach(batch, last)?;
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
        }
        self.reach(batch, last)?;
        Ok(rows)
    }

    /// Moves the cursor to the last row that is staged.
    fn reach(&mut self, batch: &ChangeBatch, last: Option<crate::change::RowSpan>) -> Result<(), Ending> {
        let (Some(snapshot), Some(row)) = (&mut self.snapshot, last) else { return Ok(()) };
        let reached = snapshot.reaches(batch, row, self.snapshot_rows);
        reached.map_err(|error| self.strange(error))
    }

    fn strange(&self, Strange: Strange) -> Ending {
        key_changed(&self.context.plan.table).into()
    }
}
