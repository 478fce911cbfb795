//! Changes on their way from a source to a Sink.
//!
//! A batch holds the rows of one Sink in the source's text form, in one buffer: three growing vectors for as many rows
//! as fit, no allocation per row or cell. `docs/design/0003-rows-travel-as-text.md` says why rows are not Arrow here.

mod picked;

pub use picked::Picks;

use std::sync::Arc;

use afterbay_clients::postgres::Lsn;
use afterbay_clients::postgres::pgoutput::RelationColumn;
use afterbay_formats::row::Row;
use afterbay_formats::table::{ColumnDescription, TableDescription};

use crate::position::ChangeId;

/// What a change does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// `+I`
    Insert,
    /// `-U` and `+U`
    Update,
    /// `-D`
    Delete,
    /// All rows at once.
    Truncate,
}

/// Which old values the source has sent with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldRow {
    /// None: the key did not change.
    Absent,
    /// The columns of the replica identity; the others are NULL without meaning it.
    Identity(RowSpan),
    /// The whole row.
    Full(RowSpan),
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Which relation of its Sink it is of.
    pub relation: usize,
    /// What it does.
    pub kind: ChangeKind,
    /// Its name.
    pub id: ChangeId,
    /// When its transaction committed, in microseconds since 1970.
    pub time_us: i64,
    /// The row before.
    pub old: OldRow,
    /// The row after.
    pub new: Option<RowSpan>,
}

/// What a batch holds, in order.
#[derive(Clone, Debug)]
pub enum Item {
    /// The columns of the rows of this relation of the Sink that follow.
    Shape(usize, Arc<Shape>),
    /// A change.
    Change(Change),
    /// A row of the snapshot.
    SnapshotRow(RowSpan),
    /// The end of a transaction that held changes of this Sink: all before this LSN has arrived.
    Boundary(Lsn),
}

/// The columns of a relation as the source's stream describes them, in the order of the cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The columns.
    pub columns: Vec<RelationColumn>,
}

impl Shape {
    /// The columns of a table as the stream would describe them.
    pub fn of(table: &TableDescription) -> Self {
        let column = |column: &ColumnDescription| RelationColumn {
            key: table.is_identity(&column.name),
            name: column.name.clone(),
            type_oid: column.type_oid,
            type_modifier: column.typmod,
        };
        Self { columns: table.streamed_columns().map(column).collect() }
    }
}

/// Where the cells of a row stand in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSpan {
    first: u32,
    count: u16,
}

impl RowSpan {
    /// Where it begins; no other row of its batch begins there.
    pub fn place(self) -> u32 {
        self.first
    }

    /// How many cells it has.
    pub fn width(self) -> usize {
        usize::from(self.count)
    }
}

/// One cell: a place in the batch's bytes, or one of the values that need none.
#[derive(Clone, Copy, Debug)]
struct CellSpan {
    start: u32,
    len: u32,
}

impl CellSpan {
    const NULL: Self = Self { start: 0, len: u32::MAX };
    const UNCHANGED: Self = Self { start: 0, len: u32::MAX - 1 };
}

/// Changes of one Sink, in order.
#[derive(Debug, Default)]
pub struct ChangeBatch {
    bytes: Vec<u8>,
    cells: Vec<CellSpan>,
    items: Vec<Item>,
}

impl ChangeBatch {
    /// What it holds, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Adds an item.
    pub fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Memory that it takes, in bytes; what the queues count.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.cells.len() * size_of::<CellSpan>() + self.items.len() * size_of::<Item>()
    }

    /// Whether a row of this many bytes still has a place: places are 32-bit numbers.
    pub fn has_room_for(&self, len: usize) -> bool {
        self.bytes.len().saturating_add(len) < u32::MAX as usize / 2
    }

    /// Begins a row; its cells follow, then [`Self::end_row`].
    pub fn begin_row(&mut self) -> RowStart {
        RowStart(self.cells.len() as u32)
    }

    /// Ends a row.
    pub fn end_row(&self, start: &RowStart) -> RowSpan {
        RowSpan { first: start.0, count: (self.cells.len() as u32 - start.0) as u16 }
    }

    /// Adds a cell.
    pub fn text(&mut self, value: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.cells.push(CellSpan { start, len: value.len() as u32 });
    }

    /// Adds cells that stand side by side with one byte between them, and end at these places.
    pub fn texts(&mut self, values: &[u8], ends: impl Iterator<Item = usize>) {
        let base = self.bytes.len() as u32;
        self.bytes.extend_from_slice(values);
        let mut start = 0;
        self.cells.extend(ends.map(|end| {
            let cell = CellSpan { start: base + start, len: end as u32 - start };
            start = end as u32 + 1;
            cell
        }));
    }

    /// Adds a cell whose value is written by `fill`.
    pub fn text_with(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        fill(&mut self.bytes);
        self.cells.push(CellSpan { start: start as u32, len: (self.bytes.len() - start) as u32 });
    }

    /// Adds a NULL.
    pub fn null(&mut self) {
        self.cells.push(CellSpan::NULL);
    }

    /// Adds a cell that the source did not send, as it is large and did not change: it is that of the old row, where
    /// there is one.
    pub fn unchanged(&mut self, old: Option<RowSpan>, column: usize) {
        let cell = old
            .filter(|row| column < usize::from(row.count))
            .map_or(CellSpan::UNCHANGED, |row| self.cells[row.first as usize + column]);
        self.cells.push(cell);
    }

    /// The column of a row whose value is not there, see [`Self::unchanged`].
    pub fn missing(&self, row: RowSpan) -> Option<usize> {
        self.span(row).iter().position(|cell| cell.len == CellSpan::UNCHANGED.len)
    }

    /// As [`Self::missing`], among some columns.
    pub fn missing_of(&self, row: RowSpan, columns: &[usize]) -> Option<usize> {
        let cells = self.span(row);
        let is_missing = |column: &usize| cells.get(*column).is_some_and(|cell| cell.len == CellSpan::UNCHANGED.len);
        columns.iter().copied().find(is_missing)
    }

    /// A row.
    pub fn row(&self, span: RowSpan) -> RowRef<'_> {
        RowRef { bytes: &self.bytes, cells: self.span(span) }
    }

    fn span(&self, row: RowSpan) -> &[CellSpan] {
        &self.cells[row.first as usize..row.first as usize + usize::from(row.count)]
    }
}

/// Where a row begins that is not ended yet.
#[derive(Debug)]
pub struct RowStart(u32);

/// A row of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    bytes: &'a [u8],
    cells: &'a [CellSpan],
}

impl Row for RowRef<'_> {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        let cell = self.cells[column];
        if cell.len >= CellSpan::UNCHANGED.len {
            return None;
        }
        Some(&self.bytes[cell.start as usize..(cell.start + cell.len) as usize])
    }
}

impl RowRef<'_> {
    /// How many cells it has.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether it has no cells.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}
