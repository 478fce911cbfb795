//! What a life does while a snapshot is taken beside the stream; [`Snapshot`] has the rules.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_clients::fault;
use afterbay_clients::postgres::Lsn;

use super::{Arrived, Ending, IDLE, Life};
use crate::change::{Change, ChangeBatch, Item, Shape};
use crate::feed::{Delivery, Nothing};
use crate::kept_columns::KeptColumns;
use crate::protocol::Event;
use crate::sink::begin::tell_rows;
use crate::sink::carried::{Carried, Standing, counts};
use crate::sink::snapshot::{Snapshot, Strange, Turn};
use crate::sink::tables::next_to_begin;
use crate::sink::{keeping, problems};
use crate::source::chunks::{ChunkRequest, key_changed};

/// How long a change waits for a chunk.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Life<'_> {
    /// Works off a change, when the chunks that come before it are worked off.
    pub(super) fn beside_snapshot(&mut self, batch: &ChangeBatch, change: &Change) -> Result<(), Ending> {
        if let Some(snapshot) = &mut self.snapshot
            && !self.protocol.has(&change.id)
        {
            snapshot.passes(change.id.commit);
            let judged = match &self.relations.get(change.relation) {
                Some(Some(carried)) if carried.waits() => return Ok(()),
                Some(Some(Carried { standing: Standing::UnderWay, .. })) => snapshot.judge(batch, change),
                _ => Ok(Some(*change)),
            };
            let Some(change) = judged.map_err(|error| self.strange(error))? else { return Ok(()) };
            return self.drive(Event::Change(change.id), Arrived::Change(batch, &change));
        }
        self.drive(Event::Change(change.id), Arrived::Change(batch, change))
    }

    /// Works off the chunks that come before a transaction.
    pub(super) fn chunks_before(&mut self, commit: Lsn) -> Result<(), Ending> {
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
        let (Some(snapshot), Some(Some(carried))) = (&mut self.snapshot, self.relations.get(self.in_chunks)) else {
            return;
        };
        let request = ChunkRequest {
            table: carried.plan.table.clone(),
            relation: carried.recorded,
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
        let number = self.in_chunks;
        // What commits from there on has begun to write when the table was published.
        let is_first = self.context.plan.by_pattern
            && self.snapshot.as_ref().is_some_and(|snapshot| snapshot.progress.after.is_none());
        if let Some(Some(carried)) = self.relations.get_mut(number) {
            carried.rows_estimated = chunk.rows_estimated.or(carried.rows_estimated);
            if is_first {
                carried.since = Some(chunk.point);
            }
        }
        tell_rows(self.context, &self.relations);
        let mut kept = self.kept_of_chunk(number, &chunk.shape)?;
        let shape = kept.as_mut().map_or_else(|| Arc::clone(&chunk.shape), |kept| kept.follow(&chunk.shape));
        self.shaped(number, &shape);
        fault::point("chunk");
        let mut rows = 0;
        loop {
            if self.context.stop.is_set() {
                return Err(self.stop());
            }
            // Its changes wait in the meantime.
            self.feed.alive();
            match chunk.rows.next(IDLE) {
                Ok(Delivery::Changes(mut batch, room)) => {
                    if let Some(kept) = &mut kept {
                        batch.pick(0, kept);
                    }
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
        self.back_to_the_stream(number);
        if rows < self.context.source.chunk_rows() && !self.next_snapshot(number) {
            self.snapshot = None;
            return self.drive(Event::LastChunk, Arrived::Nothing);
        }
        self.ask();
        Ok(())
    }

    /// What is kept of the rows of a chunk with these columns. The first one tells it, also where it has no rows: the table may
    /// have waited for long since the catalogue was looked at.
    fn kept_of_chunk(&mut self, number: usize, shape: &Arc<Shape>) -> Result<Option<KeptColumns>, Ending> {
        if keeping::freezes(&self.context.plan) && self.kept(number).is_none() {
            self.follow(number, shape)?;
            self.seen(number);
        }
        Ok(self.kept(number).cloned())
    }

    fn kept(&self, number: usize) -> Option<&KeptColumns> {
        self.relations.get(number)?.as_ref()?.kept.as_ref()
    }

    /// What follows of a relation comes from the stream, which does not tell its columns again.
    fn back_to_the_stream(&mut self, number: usize) {
        let Some(Some(carried)) = self.relations.get_mut(number) else { return };
        carried.shape = None;
        if let Some(streamed) = carried.streamed.clone() {
            self.shaped(number, &streamed);
        }
    }

    /// The snapshot of a relation is through; whether that of another begins. That it is through, and what is known of the
    /// other, becomes part of the record with what is committed next.
    fn next_snapshot(&mut self, through: usize) -> bool {
        if let Some(Some(carried)) = self.relations.get_mut(through) {
            carried.standing = Standing::Done;
        }
        let next = next_to_begin(&mut self.relations);
        self.context.status.counts(counts(&self.relations));
        let (Some((number, key)), Some(snapshot)) = (next, self.snapshot.take()) else { return false };
        self.snapshot = Some(snapshot.next(key));
        self.in_chunks = number;
        self.back_to_the_stream(number);
        true
    }

    fn take_rows(&mut self, batch: &ChangeBatch) -> Result<u64, Ending> {
        self.begin_batch();
        let number = self.in_chunks;
        let mut rows = 0;
        let mut last = None;
        for item in batch.items() {
            let Item::SnapshotRow(row) = item else { return Err(problems::out_of_order(self.context).into()) };
            self.drive(Event::SnapshotRow, Arrived::Row(number, batch, *row))?;
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
        let rows = self.relations.get(self.in_chunks).and_then(Option::as_ref).map_or(0, |carried| carried.rows);
        let reached = snapshot.reaches(batch, row, rows);
        reached.map_err(|error| self.strange(error))
    }

    fn strange(&self, Strange: Strange) -> Ending {
        match self.relations.get(self.in_chunks) {
            Some(Some(carried)) => key_changed(&carried.plan.table).into(),
            _ => problems::out_of_order(self.context).into(),
        }
    }
}
