//! The columns that a Sink keeps though the table gets others (`schemaChanges: Freeze`).
//!
//! What comes from the source is brought to these columns before anything else looks at it: batches, what the stream tells
//! of columns, and what the catalogue does. So nobody behind this knows that the table has more. A column that is kept and
//! comes no more, or with values of another kind, is no matter of the rows that are passed over: it is told where a change is
//! to be sent.

use std::sync::Arc;

use afterbay_clients::postgres::pgoutput::RelationColumn;
use afterbay_crds::plan::TableName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::table::TableDescription;

use crate::change::{Picks, Shape};
use crate::protocol::KeptColumn;

/// `text` and `varchar`: whatever their length, what a message holds of them is the same.
const TEXTS: [u32; 2] = [25, 1043];

/// The columns that are kept of a table, and where they stand in the rows that come.
#[derive(Clone, Debug)]
pub struct KeptColumns {
    columns: Arc<[KeptColumn]>,
    places: Option<Vec<usize>>,
}

impl KeptColumns {
    /// These, of rows with the columns of this table.
    pub fn new(columns: Arc<[KeptColumn]>, table: &TableDescription) -> Self {
        let mut kept = Self { columns, places: None };
        kept.follow(&Arc::new(Shape::of(table)));
        kept
    }

    /// Those that a table has, to be kept from now on, of rows with just these columns.
    pub fn of_table(table: &TableDescription) -> Self {
        let columns = table.streamed_columns().map(|column| KeptColumn {
            name: column.name.clone(),
            type_oid: column.type_oid,
            modifier: column.typmod,
        });
        Self { columns: columns.collect(), places: None }
    }

    /// As the progress record is to have them.
    pub fn recorded(&self) -> Arc<[KeptColumn]> {
        Arc::clone(&self.columns)
    }

    /// Rows with these columns follow; what is left of them.
    pub fn follow(&mut self, shape: &Arc<Shape>) -> Arc<Shape> {
        let place = |kept: &KeptColumn| shape.columns.iter().position(|column| column.name == kept.name);
        let places: Option<Vec<usize>> = self.columns.iter().map(place).collect();
        let as_they_are =
            |places: &[usize]| places.len() == shape.columns.len() && places.iter().copied().eq(0..places.len());
        // One that is missing is told where such a change is to be sent.
        self.places = places.filter(|places| !as_they_are(places));
        match &self.places {
            None => Arc::clone(shape),
            Some(places) => {
                let columns = places.iter().filter_map(|place| shape.columns.get(*place).cloned());
                Arc::new(Shape { columns: columns.collect() })
            }
        }
    }

    /// The places of these columns in the rows that come now; none: they are all that the rows have, or one is missing.
    pub fn places(&self) -> Option<&[usize]> {
        self.places.as_deref()
    }

    /// The table, brought to these columns as far as it has them.
    pub fn of(&self, table: TableDescription) -> TableDescription {
        let found = |kept: &KeptColumn| table.streamed_columns().find(|column| column.name == kept.name).cloned();
        let columns = self.columns.iter().filter_map(found).collect();
        TableDescription { columns, ..table }
    }

    /// The columns as a stream would describe them.
    pub fn shape(&self, table: &TableDescription) -> Shape {
        let column = |kept: &KeptColumn| RelationColumn {
            key: table.is_identity(&kept.name),
            name: kept.name.clone(),
            type_oid: kept.type_oid,
            type_modifier: kept.modifier,
        };
        Shape { columns: self.columns.iter().map(column).collect() }
    }

    /// What keeps rows with these columns from being carried as the kept ones.
    pub fn against(&self, table: &TableName, shape: &Shape) -> Option<Problem> {
        self.columns.iter().find_map(|kept| {
            let what = match shape.columns.iter().find(|column| column.name == kept.name) {
                None => "is not there any more (dropped, or renamed)",
                Some(column) if !carries_on(kept, column.type_oid, column.type_modifier) => "has another type now",
                Some(_) => return None,
            };
            Some(Reason::SchemaChanged.problem(
                format!("column {} of table {table}, which the Sink keeps (schemaChanges: Freeze), {what}", kept.name),
                "set spec.schemaChanges: Follow to go on with the columns as they are, and back to Freeze afterwards to keep \
                 those; or give the Sink a new name and topic",
            ))
        })
    }

    /// Whether the table has all of them, each of its type.
    pub fn are_in(&self, table: &TableDescription) -> bool {
        let is_in = |kept: &KeptColumn| {
            let column = table.streamed_columns().find(|column| column.name == kept.name);
            column.is_some_and(|column| (column.type_oid, column.typmod) == (kept.type_oid, kept.modifier))
        };
        self.columns.iter().all(is_in)
    }
}

/// Whether values of this type make the same messages as those of the kept one.
fn carries_on(kept: &KeptColumn, type_oid: u32, modifier: i32) -> bool {
    (kept.type_oid, kept.modifier) == (type_oid, modifier)
        || (TEXTS.contains(&kept.type_oid) && TEXTS.contains(&type_oid))
}

/// For batches of one relation.
impl Picks for KeptColumns {
    fn shaped(&mut self, _: usize, shape: &Arc<Shape>) -> Arc<Shape> {
        self.follow(shape)
    }

    fn places(&self, _: usize) -> Option<&[usize]> {
        self.places()
    }
}

#[cfg(test)]
mod tests {
    use afterbay_clients::postgres::Lsn;
    use afterbay_formats::row::Row as _;

    use super::*;
    use crate::change::{Change, ChangeBatch, ChangeKind, Item, OldRow};
    use crate::position::ChangeId;

    fn column(name: &str, type_oid: u32) -> RelationColumn {
        RelationColumn { key: false, name: name.into(), type_oid, type_modifier: -1 }
    }

    fn shape(columns: &[(&str, u32)]) -> Arc<Shape> {
        Arc::new(Shape { columns: columns.iter().map(|(name, type_oid)| column(name, *type_oid)).collect() })
    }

    fn kept() -> KeptColumns {
        let kept = |name: &str, type_oid| KeptColumn { name: name.into(), type_oid, modifier: -1 };
        KeptColumns { columns: [kept("id", 23), kept("name", 1043)].into(), places: None }
    }

    fn against(columns: &[(&str, u32)]) -> Option<String> {
        let table = TableName { schema: "public".into(), name: "t".into() };
        kept().against(&table, &shape(columns)).map(|problem| problem.message)
    }

    #[test]
    fn rows_are_brought_to_the_columns_that_are_kept() {
        let mut batch = ChangeBatch::default();
        let row = |batch: &mut ChangeBatch, values: &[&str]| {
            let row = batch.begin_row();
            for value in values {
                batch.text(value.as_bytes());
            }
            batch.end_row(&row)
        };
        let as_before = row(&mut batch, &["1", "one"]);
        batch.push(Item::Shape(0, shape(&[("id", 23), ("name", 1043)])));
        batch.push(Item::SnapshotRow(as_before));
        batch.push(Item::Shape(0, shape(&[("more", 25), ("name", 1043), ("id", 23)])));
        let (old, new) = (row(&mut batch, &["x", "one", "1"]), row(&mut batch, &["y", "two", "2"]));
        let id = ChangeId { commit: Lsn(1), change: Lsn(1), index: 0, ordinal: 0 };
        let change =
            Change { relation: 0, kind: ChangeKind::Update, id, time_us: 0, old: OldRow::Full(old), new: Some(new) };
        batch.push(Item::Change(change));
        batch.push(Item::Boundary(Lsn(2)));

        batch.pick(0, &mut kept());
        let names = |shape: &Shape| shape.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        let cells = |row| [0, 1].map(|cell| String::from_utf8(batch.row(row).cell(cell).unwrap().to_vec()).unwrap());
        let mut found = Vec::new();
        for item in batch.items() {
            match item {
                Item::Shape(_, shape) => assert_eq!(names(shape), ["id", "name"]),
                Item::SnapshotRow(row) => found.push(cells(*row)),
                Item::Change(Change { old: OldRow::Full(old), new: Some(new), .. }) => {
                    assert_eq!((old.width(), new.width()), (2, 2));
                    found.extend([cells(*old), cells(*new)]);
                }
                Item::Change(change) => panic!("{change:?}"),
                Item::Boundary(end) => assert_eq!(*end, Lsn(2)),
            }
        }
        assert_eq!(found, [["1", "one"], ["1", "one"], ["2", "two"]]);
    }

    #[test]
    fn what_is_kept_must_come() {
        assert_eq!(against(&[("id", 23), ("more", 23), ("name", 1043)]), None);
        assert_eq!(against(&[("id", 23), ("name", 25)]), None, "a text is a text");
        assert!(against(&[("id", 20), ("name", 1043)]).unwrap().contains("column id of table public.t"));
        assert!(against(&[("id", 23), ("title", 1043)]).unwrap().contains("not there any more"));
    }

    #[test]
    fn rows_that_lack_a_column_are_left_as_they_are() {
        let mut kept = kept();
        let lacking = shape(&[("more", 25), ("id", 23)]);
        assert_eq!(kept.follow(&lacking), lacking);
        assert_eq!(kept.places(), None);
    }
}
