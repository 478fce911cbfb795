//! What a Sink reads: a table, or a query over one.

use super::display;
use crate::table::TableDescription;

/// What a query makes of a table, as far as it decides about fitness.
#[derive(Clone, Debug)]
pub struct Derived {
    /// Its columns, keys and comments, as if they were those of a table.
    pub outputs: TableDescription,
    /// Of each of those columns what it is made of.
    pub columns: Vec<DerivedColumn>,
    /// The table's columns that decide which rows pass.
    pub filter: Vec<String>,
    /// The table's columns that are read at all.
    pub read: Vec<String>,
}

/// What a column of a query is made of.
#[derive(Clone, Debug)]
pub struct DerivedColumn {
    /// The table's column that it is as it is.
    pub origin: Option<String>,
    /// The table's columns that it is made of.
    pub behind: Vec<String>,
}

/// What a Sink reads.
#[derive(Clone, Copy, Debug)]
pub struct Source<'t> {
    /// The table.
    pub table: &'t TableDescription,
    /// What a query makes of it; none: it is carried as it is.
    pub derived: Option<&'t Derived>,
}

impl<'t> From<&'t TableDescription> for Source<'t> {
    fn from(table: &'t TableDescription) -> Self {
        Self { table, derived: None }
    }
}

impl<'t> Source<'t> {
    /// What messages are made of.
    pub(super) fn seen(self) -> &'t TableDescription {
        self.derived.map_or(self.table, |derived| &derived.outputs)
    }

    /// For people.
    pub(super) fn in_words(self) -> String {
        let table = display(&self.table.schema, &self.table.name);
        if self.derived.is_some() { format!("the query over table {table}") } else { format!("table {table}") }
    }

    fn column(self, name: &str) -> Option<&'t DerivedColumn> {
        let derived = self.derived?;
        let at = derived.outputs.columns.iter().position(|column| column.name == name)?;
        derived.columns.get(at)
    }

    /// The table's columns behind a column of what is carried; none where there is no such column.
    pub(super) fn behind(self, name: &'t str) -> Vec<&'t str> {
        match self.derived {
            Some(_) => self.column(name).iter().flat_map(|column| &column.behind).map(String::as_str).collect(),
            None if self.table.streamed_columns().any(|column| column.name == name) => vec![name],
            None => Vec::new(),
        }
    }

    /// The table's column that a column of what is carried is as it is.
    pub(super) fn origin(self, name: &'t str) -> Option<&'t str> {
        if self.derived.is_some() { self.column(name)?.origin.as_deref() } else { Some(name) }
    }

    /// The table's columns that decide which rows are carried.
    pub(super) fn filter(self) -> impl Iterator<Item = &'t str> {
        self.derived.into_iter().flat_map(|derived| &derived.filter).map(String::as_str)
    }

    /// Whether a column of the table is read.
    pub(super) fn reads(self, column: &str) -> bool {
        self.derived.is_none_or(|derived| derived.read.iter().any(|read| read == column))
    }
}
