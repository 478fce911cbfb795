//! Of the rows of a batch only some cells, in an order of their own.

use std::sync::Arc;

use super::{ChangeBatch, Item, OldRow, RowSpan, Shape};

/// Which cells are wanted of the rows of each relation.
pub trait Picks {
    /// Rows of this relation with these columns follow; what the columns are that are wanted of them.
    fn shaped(&mut self, relation: usize, shape: &Arc<Shape>) -> Arc<Shape>;

    /// The places of the wanted cells in the rows of this relation that come now; none: all, as they are. Rows of a snapshot
    /// do not say whose they are: they count as those of the first relation.
    fn places(&self, relation: usize) -> Option<&[usize]>;
}

impl ChangeBatch {
    /// Has the rows of this item and of those behind it hold the wanted cells alone; the bytes stay where they are.
    pub fn pick(&mut self, from: usize, picks: &mut impl Picks) {
        let mut items = std::mem::take(&mut self.items);
        for item in items.iter_mut().skip(from) {
            match item {
                Item::Shape(relation, shape) => *shape = picks.shaped(*relation, shape),
                Item::SnapshotRow(row) => *row = self.pick_row(*row, picks.places(0)),
                Item::Change(change) => {
                    let places = picks.places(change.relation);
                    change.old = match change.old {
                        OldRow::Absent => OldRow::Absent,
                        OldRow::Identity(row) => OldRow::Identity(self.pick_row(row, places)),
                        OldRow::Full(row) => OldRow::Full(self.pick_row(row, places)),
                    };
                    change.new = change.new.map(|row| self.pick_row(row, places));
                }
                Item::Boundary(_) => {}
            }
        }
        self.items = items;
    }

    /// A row of these cells. One that is not as wide as its columns stays as it is: whoever sends it sees that.
    fn pick_row(&mut self, row: RowSpan, places: Option<&[usize]>) -> RowSpan {
        let Some(places) = places.filter(|places| places.iter().all(|place| *place < row.width())) else { return row };
        let first = self.cells.len();
        for place in places {
            let cell = self.cells[row.first as usize + place];
            self.cells.push(cell);
        }
        RowSpan { first: first as u32, count: places.len() as u16 }
    }
}

#[cfg(test)]
mod tests {
    use afterbay_clients::postgres::Lsn;
    use afterbay_clients::postgres::pgoutput::RelationColumn;
    use afterbay_formats::row::Row as _;

    use super::*;
    use crate::change::{Change, ChangeKind};
    use crate::position::ChangeId;

    /// The second column of the relations with these numbers.
    struct Second(&'static [usize]);

    impl Picks for Second {
        fn shaped(&mut self, relation: usize, shape: &Arc<Shape>) -> Arc<Shape> {
            if !self.0.contains(&relation) {
                return Arc::clone(shape);
            }
            Arc::new(Shape { columns: shape.columns[1..2].to_vec() })
        }

        fn places(&self, relation: usize) -> Option<&[usize]> {
            self.0.contains(&relation).then_some(&[1])
        }
    }

    fn batch() -> ChangeBatch {
        let mut batch = ChangeBatch::default();
        for (index, relation) in [0, 1, 0, 1].into_iter().enumerate() {
            let column = |name: &str| RelationColumn { key: false, name: name.into(), type_oid: 25, type_modifier: -1 };
            batch.push(Item::Shape(relation, Arc::new(Shape { columns: vec![column("a"), column("b")] })));
            let row = batch.begin_row();
            batch.text(format!("a{index}").as_bytes());
            batch.text(format!("b{index}").as_bytes());
            let new = Some(batch.end_row(&row));
            let id = ChangeId { commit: Lsn(1), change: Lsn(index as u64), index: 0, ordinal: 0 };
            let kind = ChangeKind::Insert;
            batch.push(Item::Change(Change { relation, kind, id, time_us: 0, old: OldRow::Absent, new }));
        }
        batch
    }

    fn rows(batch: &ChangeBatch) -> Vec<String> {
        let rows = batch.items().iter().filter_map(|item| match item {
            Item::Change(change) => change.new.map(|row| batch.row(row)),
            _ => None,
        });
        let text = |row: crate::change::RowRef<'_>| {
            let cells = (0..row.len()).map(|cell| String::from_utf8(row.cell(cell).unwrap().to_vec()).unwrap());
            cells.collect::<Vec<_>>().join(" ")
        };
        rows.map(text).collect()
    }

    #[test]
    fn each_relation_has_cells_of_its_own() {
        let mut batch = batch();
        batch.pick(0, &mut Second(&[1]));
        assert_eq!(rows(&batch), ["a0 b0", "b1", "a2 b2", "b3"]);
    }

    #[test]
    fn what_is_worked_off_stays_as_it_was() {
        let mut batch = batch();
        batch.pick(4, &mut Second(&[0, 1]));
        assert_eq!(rows(&batch), ["a0 b0", "a1 b1", "b2", "b3"]);
        batch.pick(6, &mut Second(&[0]));
        assert_eq!(rows(&batch), ["a0 b0", "a1 b1", "b2", "b3"]);
    }
}
