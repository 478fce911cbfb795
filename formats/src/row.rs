//! How the encoders read a row.

/// A row whose cells are in Postgres' text form.
pub trait Row {
    /// The text of a column, counted from 0 in the order of [`crate::relation::Relation::columns`]; `None` is NULL.
    fn cell(&self, column: usize) -> Option<&[u8]>;
}

impl<R: Row + ?Sized> Row for &R {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        (**self).cell(column)
    }
}

/// A row at hand, for tests and small tools.
impl Row for [Option<&str>] {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        self.get(column).copied().flatten().map(str::as_bytes)
    }
}
