//! The hashes that choose partitions, computed for all rows of a batch at once.

use afterbay_queries::HashExpression;

use crate::change::{ChangeBatch, Item, OldRow, RowRef, RowSpan};

/// An expression and its values for the rows of one batch.
#[derive(Debug)]
pub struct Hashes {
    expression: HashExpression,
    /// Whose rows they are: which relation of the Sink.
    relation: usize,
    /// How many columns a row has that it is meant for.
    columns: usize,
    /// Which batch the values are of: where its items are. All that are at hand at the same time differ in it.
    batch: usize,
    /// Places of rows in the batch, in ascending order.
    places: Vec<u32>,
    /// Their hashes.
    values: Vec<u64>,
    /// Where the last one was found; mostly the next one is asked for next.
    last: usize,
}

impl Hashes {
    /// Of rows of this relation of the Sink, with so many columns.
    pub fn new(expression: HashExpression, relation: usize, columns: usize) -> Self {
        Self { expression, relation, columns, batch: 0, places: Vec::new(), values: Vec::new(), last: 0 }
    }

    /// Another batch comes, which may lie where an earlier one lay.
    pub fn forget(&mut self) {
        self.batch = 0;
    }

    /// Computes the hashes of a batch. Rows of another width, from before the table's columns changed, are left out. The rows
    /// of a snapshot are all of one relation.
    fn prepare(&mut self, batch: &ChangeBatch) {
        self.batch = batch.items().as_ptr().addr();
        self.last = 0;
        let spans = batch.items().iter().flat_map(|item| match item {
            Item::SnapshotRow(row) => [Some(*row), None],
            Item::Change(change) if change.relation == self.relation => match change.old {
                OldRow::Absent => [change.new, None],
                OldRow::Identity(old) | OldRow::Full(old) => [Some(old), change.new],
            },
            Item::Change(_) | Item::Shape(..) | Item::Boundary(_) => [None, None],
        });
        let mut spans: Vec<RowSpan> = spans.flatten().filter(|span| span.width() == self.columns).collect();
        // Rows stand in the batch as they came; that they do is no promise of the batch.
        spans.sort_unstable_by_key(|span| span.place());
        let rows: Vec<RowRef<'_>> = spans.iter().map(|span| batch.row(*span)).collect();
        self.places.clear();
        self.places.extend(spans.iter().map(|span| span.place()));
        self.expression.hashes(&rows, &mut self.values);
    }

    /// The hash of a row, out of what was computed if it is of that batch.
    pub fn of(&mut self, batch: &ChangeBatch, span: RowSpan) -> u64 {
        // It is the first of its batch, a chunk's rows came in between, or the columns have changed.
        if batch.items().as_ptr().addr() != self.batch {
            self.prepare(batch);
        }
        let next = self.last + 1;
        let found = if self.places.get(next) == Some(&span.place()) {
            Some(next)
        } else {
            self.places.binary_search(&span.place()).ok()
        };
        // One of another width becomes no message.
        let Some(found) = found else { return 0 };
        self.last = found;
        self.values.get(found).copied().unwrap_or_default()
    }
}
