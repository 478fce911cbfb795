//! A query over the rows of a batch, computed for all of them at once.

use afterbay_crds::plan::Envelope;
use afterbay_queries::carried::Projection;
use afterbay_queries::{CompiledQuery, Evaluated, HashExpression, OutputRow};

use super::messages::{Effect, MessageError, OldValues};
use crate::change::{Change, ChangeBatch, ChangeKind, Item, OldRow, RowRef, RowSpan};

/// A row as the query gives it.
pub type Projected<'a> = OutputRow<'a, RowRef<'a>>;

/// What became of the rows of one batch.
#[derive(Debug)]
pub struct Projecting {
    envelope: Envelope,
    /// Whose rows they are: which relation of the Sink.
    relation: usize,
    /// How many columns a row of the table has.
    columns: usize,
    /// What chooses the partition, where it is not the key.
    partition_by: Option<HashExpression>,
    /// Which batch it is: where its items are. All that are at hand at the same time differ in it.
    batch: usize,
    new: Part,
    old: Part,
}

/// The rows that come, or those that go.
#[derive(Debug)]
struct Part {
    query: CompiledQuery,
    /// Places of rows in the batch, in ascending order.
    places: Vec<u32>,
    evaluated: Evaluated,
    /// Of each row that passes what chooses its partition.
    hashes: Vec<u64>,
    /// Of those that pass, one after the other.
    passing_hashes: Vec<u64>,
}

impl Projecting {
    /// Of rows of this relation of the Sink, with so many columns.
    pub fn new(
        projection: Projection,
        envelope: Envelope,
        partition_by: Option<HashExpression>,
        relation: usize,
        columns: usize,
    ) -> Self {
        let Projection { rows, old_rows } = projection;
        Self { envelope, relation, columns, partition_by, batch: 0, new: Part::new(rows), old: Part::new(old_rows) }
    }

    /// Whether there are rows that do not pass.
    fn filters(&self) -> bool {
        !self.new.query.passes_all()
    }

    /// Another batch comes, which may lie where an earlier one lay.
    pub fn forget(&mut self) {
        self.batch = 0;
    }

    /// Computes the rows of a batch. Rows of another width, from before the table's columns changed, are left out. The rows
    /// of a snapshot are all of one relation.
    fn prepare(&mut self, batch: &ChangeBatch) {
        self.batch = batch.items().as_ptr().addr();
        let relation = self.relation;
        let new = batch.items().iter().filter_map(|item| match item {
            Item::SnapshotRow(row) => Some(*row),
            Item::Change(change) if change.relation == relation => change.new,
            Item::Change(_) | Item::Shape(..) | Item::Boundary(_) => None,
        });
        self.new.prepare(batch, self.columns, self.partition_by.as_ref(), new);
        let old = batch.items().iter().filter_map(|item| match item {
            Item::Change(change) if change.relation == relation => match change.old {
                OldRow::Identity(row) | OldRow::Full(row) => Some(row),
                OldRow::Absent => None,
            },
            _ => None,
        });
        self.old.prepare(batch, self.columns, self.partition_by.as_ref(), old);
    }

    /// Whether a change becomes no message. Why one cannot be computed is told where it is asked for.
    pub fn leaves_out(&mut self, batch: &ChangeBatch, change: &Change) -> bool {
        if !self.filters() {
            return false;
        }
        self.prepared(batch);
        // As nearly all that come: it is not computed twice.
        if change.new.is_some_and(|row| self.new.passes(row)) {
            return false;
        }
        matches!(self.change(batch, change), Ok((Effect::Nothing, _)))
    }

    /// What a row of the snapshot is to the topic.
    pub fn row<'a>(
        &'a mut self,
        batch: &'a ChangeBatch,
        row: RowSpan,
    ) -> Result<(Effect<Projected<'a>>, Option<u64>), MessageError> {
        self.prepared(batch);
        let (row, hash) = self.new.row(batch, row, self.columns)?;
        Ok((row.map_or(Effect::Nothing, Effect::Come), hash))
    }

    /// What a change is to the topic, and the hashes of the row that comes and of the one that goes.
    pub fn change<'a>(
        &'a mut self,
        batch: &'a ChangeBatch,
        change: &Change,
    ) -> Result<(Effect<Projected<'a>>, [Option<u64>; 2]), MessageError> {
        self.prepared(batch);
        let (old, values) = match change.old {
            OldRow::Absent => (None, OldValues::OfIdentity),
            OldRow::Identity(row) => (Some(row), OldValues::OfIdentity),
            OldRow::Full(row) => (Some(row), OldValues::All),
        };
        // Of a row of which only a part is known, only a part can be computed.
        if self.envelope == Envelope::Debezium
            && values == OldValues::OfIdentity
            && matches!(change.kind, ChangeKind::Update | ChangeKind::Delete)
        {
            return Err(MessageError::OldRowMissing);
        }
        let (new, come) = match change.new {
            Some(row) => self.new.row(batch, row, self.columns)?,
            None => (None, None),
        };
        // Where the source has sent no old row, what it identifies a row by is as it was; and so is all that decides
        // whether it passes, as that is part of it.
        let is_known = old.is_some();
        let (old, gone) = match old {
            Some(row) => self.old.row(batch, row, self.columns)?,
            None => (None, None),
        };
        let effect = match (change.kind, new, old) {
            (ChangeKind::Update, Some(new), Some(old)) => Effect::Change(Some((old, values)), new),
            (ChangeKind::Update, Some(new), None) if !is_known => Effect::Change(None, new),
            (ChangeKind::Insert, Some(new), _) | (ChangeKind::Update, Some(new), None) => Effect::Come(new),
            (ChangeKind::Update, None, Some(old)) | (ChangeKind::Delete, _, Some(old)) => Effect::Go(old, values),
            (ChangeKind::Delete, _, None) if !is_known => return Err(MessageError::OldRowMissing),
            (ChangeKind::Insert, None, _) | (ChangeKind::Update, None, None) | (ChangeKind::Delete, _, None) => {
                Effect::Nothing
            }
            (ChangeKind::Truncate, ..) => return Err(MessageError::OldRowMissing),
        };
        Ok((effect, [come, gone]))
    }

    fn prepared(&mut self, batch: &ChangeBatch) {
        // It is the first of its batch, a chunk's rows came in between, or the columns have changed.
        if batch.items().as_ptr().addr() != self.batch {
            self.prepare(batch);
        }
    }
}

impl Part {
    fn new(query: CompiledQuery) -> Self {
        let (places, evaluated) = (Vec::new(), Evaluated::default());
        Self { query, places, evaluated, hashes: Vec::new(), passing_hashes: Vec::new() }
    }

    fn prepare(
        &mut self,
        batch: &ChangeBatch,
        columns: usize,
        partition_by: Option<&HashExpression>,
        spans: impl Iterator<Item = RowSpan>,
    ) {
        let mut spans: Vec<RowSpan> = spans.filter(|span| span.width() == columns).collect();
        // Rows stand in the batch as they came; that they do is no promise of the batch.
        spans.sort_unstable_by_key(|span| span.place());
        let rows: Vec<RowRef<'_>> = spans.iter().map(|span| batch.row(*span)).collect();
        self.places.clear();
        self.places.extend(spans.iter().map(|span| span.place()));
        self.query.evaluate(&rows, &mut self.evaluated);
        let Some(expression) = partition_by else { return };
        let passing = self.evaluated.passing();
        let outputs: Vec<_> = passing.iter().map(|row| self.query.output(&self.evaluated, *row, rows[*row])).collect();
        expression.hashes(&outputs, &mut self.passing_hashes);
        self.hashes.clear();
        self.hashes.resize(rows.len(), 0);
        for (row, hash) in passing.iter().zip(&self.passing_hashes) {
            self.hashes[*row] = *hash;
        }
    }

    /// Whether a row is known to pass.
    fn passes(&self, span: RowSpan) -> bool {
        self.places.binary_search(&span.place()).is_ok_and(|row| self.evaluated.passes(row))
    }

    /// The row as the query gives it, and its hash; no row if it does not pass.
    fn row<'a>(
        &'a self,
        batch: &'a ChangeBatch,
        span: RowSpan,
        columns: usize,
    ) -> Result<(Option<Projected<'a>>, Option<u64>), MessageError> {
        if let Some(column) = batch.missing_of(span, self.query.source_columns()) {
            return Err(MessageError::Unchanged { column });
        }
        let width = || MessageError::Width { expected: columns, found: span.width() };
        let row = self.places.binary_search(&span.place()).map_err(|_| width())?;
        if let Some(error) = self.evaluated.error(row) {
            return Err(MessageError::NotComputable(error.clone()));
        }
        if !self.evaluated.passes(row) {
            return Ok((None, None));
        }
        let output = self.query.output(&self.evaluated, row, batch.row(span));
        Ok((Some(output), self.hashes.get(row).copied()))
    }
}
