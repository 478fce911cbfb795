//! What a life retains of the log, and what it leaves out of what is sent again.

use std::time::{Duration, Instant};

use super::Life;
use crate::change::Change;
use crate::position::Position;
use crate::protocol::{ObeyedStart, Skip};
use crate::sink::carried::Carried;
use crate::sink::start_at::{is_before, now_ms};
use crate::source::histories::{RetainedTable, SinkHistory};

/// How often it is looked how much of what is retained may be let go.
const INTERVAL: Duration = Duration::from_secs(1);

impl Life<'_> {
    /// Notes that all before the position is committed, for the record that is to say so. From where on a table was published does
    /// not matter any more where nobody can go back to what was before that.
    pub(super) fn retain(&mut self, position: Position) {
        let mut furthest = position.replay_from();
        if let Some(keep_ms) = self.context.plan.retain_history_ms {
            let now = now_ms();
            self.history.note(now, furthest, keep_ms);
            furthest = self.history.floor(now, keep_ms).map_or(furthest, |floor| floor.min(furthest));
        }
        for carried in self.relations.iter_mut().flatten() {
            carried.from = carried.from.filter(|from| !position.reaches(*from));
            carried.since = carried.since.filter(|since| *since > furthest);
        }
    }

    /// The record is committed: the log is kept from where it says, and others may start within that.
    pub(super) fn retains(&mut self) {
        let context = self.context;
        let Some(keep_ms) = context.plan.retain_history_ms else { return };
        let snapshot = self.snapshot.as_ref().map(|snapshot| &snapshot.progress);
        let begun = |carried: &&Carried<'_>| !context.plan.by_pattern || carried.has_begun(snapshot);
        let table = |carried: &Carried<'_>| RetainedTable {
            table: carried.plan.table.clone(),
            relation: carried.recorded,
            since: carried.since,
        };
        let retained = SinkHistory {
            tables: self.relations.iter().flatten().filter(begun).map(table).collect(),
            identity: self.identity.clone(),
            history: self.history.clone(),
            keep_ms,
        };
        context.source.retains(context.index, Some(retained));
        self.look();
    }

    /// Time goes by, whether anything is committed or not.
    pub(super) fn let_go(&mut self) {
        // Of a life that has committed nothing yet the record of before may say otherwise.
        if self.context.plan.retain_history_ms.is_some() && !self.fresh && self.retained_at.elapsed() >= INTERVAL {
            self.look();
        }
    }

    fn look(&mut self) {
        let Some(keep_ms) = self.context.plan.retain_history_ms else { return };
        self.retained_at = Instant::now();
        let from = self.history.floor(now_ms(), keep_ms);
        self.context.floors.retain(self.context.index, from);
        let committed = self.protocol.committed().map(|position| position.replay_from());
        let held = committed.zip(from).map(|(committed, from)| committed.0.saturating_sub(from.0));
        self.context.status.retains(held);
    }

    /// What the record is to say of the start that was asked for: what is to be left out of what comes, while it can come.
    pub(super) fn obeyed(&mut self, position: Position) -> Option<ObeyedStart> {
        let start_at = self.start_at.as_mut()?;
        start_at.skip = start_at.skip.filter(|skip: &Skip| !position.reaches(skip.until));
        Some(start_at.clone())
    }

    /// Whether a change is not to be sent, as it committed before the time that was asked for, or before its table joined.
    pub(super) fn skips(&self, change: &Change) -> bool {
        let from = self.relations.get(change.relation).and_then(|carried| carried.as_ref()?.from);
        from.is_some_and(|from| change.id.commit < from)
            || is_before(self.start_at.as_ref().and_then(|start| start.skip.as_ref()), change)
    }
}
