//! Of the rows of a batch only some cells, in an order of their own.

use std::sync::Arc;

use super::{ChangeBatch, Item, OldRow, RowSpan, Shape};

/// Which cells are wanted.
pub trait Picks {
    /// Rows with these columns follow; what the columns are that are wanted of them.
    fn shaped(&mut self, shape: &Arc<Shape>) -> Arc<Shape>;

    /// The places of the wanted cells in the rows that come now; none: all, as they are.
    fn places(&self) -> Option<&[usize]>;
}

impl ChangeBatch {
    /// The batch with the wanted cells alone; its bytes stay where they are.
    #[must_use]
    pub fn picked(mut self, picks: &mut impl Picks) -> Self {
        let mut items = std::mem::take(&mut self.items);
        let mut cells = Vec::new();
        for item in &mut items {
            match item {
                Item::Shape(_, shape) => *shape = picks.shaped(shape),
                Item::SnapshotRow(row) => *row = self.pick(*row, picks.places(), &mut cells),
                Item::Change(change) => {
                    let mut pick = |row| self.pick(row, picks.places(), &mut cells);
                    change.old = match change.old {
                        OldRow::Absent => OldRow::Absent,
                        OldRow::Identity(row) => OldRow::Identity(pick(row)),
                        OldRow::Full(row) => OldRow::Full(pick(row)),
                    };
                    change.new = change.new.map(pick);
                }
                Item::Boundary(_) => {}
            }
        }
        Self { bytes: self.bytes, cells, items }
    }

    /// Copies the places of a row's values. A row that is not as wide as its columns stays as it is: whoever sends it sees that.
    fn pick(&self, row: RowSpan, places: Option<&[usize]>, cells: &mut Vec<super::CellSpan>) -> RowSpan {
        let (first, all) = (cells.len(), self.span(row));
        match places {
            Some(places) if places.iter().all(|place| *place < all.len()) => {
                cells.extend(places.iter().map(|place| all[*place]));
            }
            _ => cells.extend_from_slice(all),
        }
        RowSpan { first: first as u32, count: (cells.len() - first) as u16 }
    }
}
