//! How a life finds out which columns the tables of a Sink keep (`schemaChanges: Freeze`) that its record does not tell yet.
//!
//! They are those of the first message that is handed over; or those of the catalogue, once all has passed that could be older.
//! The record that is committed with that message tells them, so what is in the topic and what is kept are never apart.

use super::Life;
use crate::change::ChangeBatch;
use crate::kept_columns::KeptColumns;
use crate::position::Position;
use crate::sink::carried::Standing;
use crate::sink::keeping::{self, Keeping};

impl Life<'_> {
    /// Brings a batch of the stream to the columns that are kept by now.
    pub(super) fn pick(&mut self, batch: &mut ChangeBatch) {
        self.newly_kept.clear();
        if keeping::freezes(&self.context.plan) {
            batch.pick(0, &mut Keeping { relations: &mut self.relations, only: None });
        }
    }

    /// Brings the items of a batch from this one on to the columns that became known since it was picked.
    pub(super) fn pick_rest(&mut self, batch: &mut ChangeBatch, from: usize) {
        let only = std::mem::take(&mut self.newly_kept);
        batch.pick(from, &mut Keeping { relations: &mut self.relations, only: Some(&only) });
    }

    /// The columns of a relation are to be seen: it keeps them, if it keeps any and does not know which.
    pub(super) fn seen(&mut self, number: usize) {
        let is_to_keep = keeping::freezes(&self.context.plan);
        if is_to_keep && self.relations.get(number).and_then(Option::as_ref).is_some_and(|it| it.kept.is_none()) {
            self.keep(number);
        }
    }

    /// Nothing that is older than what the catalogue said can come any more: what was not seen by now is kept as it was there.
    /// A table of which nothing is to be in the record has time.
    pub(super) fn keep_what_has_passed(&mut self, position: Position) {
        if !self.fresh && !self.described_at.is_some_and(|described| position.reaches(described)) {
            return;
        }
        let by_pattern = self.context.plan.by_pattern;
        for number in 0..self.relations.len() {
            let Some(Some(carried)) = self.relations.get(number) else { continue };
            if !by_pattern || matches!(carried.standing, Standing::Done) {
                self.seen(number);
            }
        }
    }

    /// From now on messages of a relation have the columns that it has now. Rows that are at hand may have others.
    fn keep(&mut self, number: usize) {
        let Some(Some(carried)) = self.relations.get_mut(number) else { return };
        let mut kept = KeptColumns::of_table(&carried.relation.table);
        if let Some(streamed) = carried.streamed.take() {
            carried.streamed = Some(kept.follow(&streamed));
        }
        if carried.shape.is_some() {
            carried.shape.clone_from(&carried.streamed);
        }
        self.context.source.keeps(self.context.index, carried.recorded.oid, Some(kept.clone()));
        carried.kept = Some(kept);
        self.newly_kept.push(number);
    }
}
