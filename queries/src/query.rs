//! `source.query` over a table that is known: what rows it gives, and how they are computed.

use std::ops::Range;

use afterbay_formats::relation::{Relation, SqlType};
use afterbay_formats::row::Row;
use arrow_schema::SchemaRef;

use crate::call::Expression;
use crate::error::RowError;
use crate::inputs::Inputs;

mod compile;
mod evaluate;

/// A query that is ready to run.
#[derive(Clone, Debug)]
pub struct CompiledQuery {
    relation: Relation,
    unique_keys: Vec<Vec<String>>,
    outputs: Vec<Output>,
    /// Of each output the table's columns that it is made of.
    behind: Vec<Vec<usize>>,
    filter: Option<Filter>,
    computed: Vec<Computed>,
    inputs: Inputs,
    schema: SchemaRef,
    source_columns: Vec<usize>,
    filter_columns: Vec<usize>,
}

/// Where an output column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// A column of the table, as it is.
    Column(usize),
    /// One of those that are computed.
    Computed(usize),
    /// Nobody asks for it.
    Unasked,
}

#[derive(Clone, Debug)]
struct Filter {
    condition: Expression,
    inputs: Inputs,
    schema: SchemaRef,
}

#[derive(Clone, Debug)]
struct Computed {
    expression: Expression,
    sql_type: SqlType,
    name: String,
    /// The inputs that it reads.
    reads: Vec<usize>,
}

impl CompiledQuery {
    /// The columns that it gives. The relation bears the table's name.
    pub fn relation(&self) -> &Relation {
        &self.relation
    }

    /// The keys of the table whose columns all come through as they are, in output names.
    pub fn unique_keys(&self) -> &[Vec<String>] {
        &self.unique_keys
    }

    /// The table's columns that are read at all, as indexes, in order.
    pub fn source_columns(&self) -> &[usize] {
        &self.source_columns
    }

    /// The table's columns that decide which rows pass, as indexes, in order.
    pub fn filter_columns(&self) -> &[usize] {
        &self.filter_columns
    }

    /// Whether all rows pass.
    pub fn passes_all(&self) -> bool {
        self.filter.is_none()
    }

    /// The table's column that an output column is, if it is one as it is.
    pub fn column_origin(&self, output: usize) -> Option<usize> {
        match self.outputs.get(output)? {
            Output::Column(column) => Some(*column),
            Output::Computed(_) | Output::Unasked => None,
        }
    }

    /// The table's columns that an output column is made of, as indexes.
    pub fn behind(&self, output: usize) -> &[usize] {
        self.behind.get(output).map(Vec::as_slice).unwrap_or_default()
    }

    /// A row that passed, as the query gives it: `source` is the row that was evaluated.
    pub fn output<'a, R: Row>(&'a self, evaluated: &'a Evaluated, row: usize, source: R) -> OutputRow<'a, R> {
        OutputRow { query: self, evaluated, slot: evaluated.slots.get(row).copied().flatten(), source }
    }
}

/// What a query made of some rows.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    /// The rows that pass.
    passing: Vec<usize>,
    /// For each row its place among those that pass.
    slots: Vec<Option<usize>>,
    text: Vec<u8>,
    /// Of each computed column, for each row that passes.
    cells: Vec<Option<Range<usize>>>,
    /// The first error of each row that cannot be computed, by row.
    errors: Vec<RowError>,
}

impl Evaluated {
    /// Whether the row passes the condition; NULL does not.
    pub fn passes(&self, row: usize) -> bool {
        matches!(self.slots.get(row), Some(Some(_)))
    }

    /// The rows that pass, in order.
    pub fn passing(&self) -> &[usize] {
        &self.passing
    }

    /// Why a row cannot be computed, if so: whether it passes, or what it becomes, is not known then.
    pub fn error(&self, row: usize) -> Option<&RowError> {
        if self.errors.is_empty() {
            return None;
        }
        let at = self.errors.binary_search_by_key(&row, |error| error.row).ok()?;
        self.errors.get(at)
    }

    /// The rows that cannot be computed, in order.
    pub fn errors(&self) -> &[RowError] {
        &self.errors
    }

    fn judge(&mut self, row: usize, passes: bool) {
        self.slots.push(passes.then_some(self.passing.len()));
        if passes {
            self.passing.push(row);
        }
    }
}

/// A row as a query gives it. Its cells are in Postgres' text form, like those of the table.
#[derive(Clone, Copy, Debug)]
pub struct OutputRow<'a, R> {
    query: &'a CompiledQuery,
    evaluated: &'a Evaluated,
    slot: Option<usize>,
    source: R,
}

impl<R: Row> Row for OutputRow<'_, R> {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        match self.query.outputs.get(column)? {
            Output::Column(column) => self.source.cell(*column),
            Output::Computed(computed) => {
                let at = computed * self.evaluated.passing.len() + self.slot?;
                let range = self.evaluated.cells.get(at)?.clone()?;
                self.evaluated.text.get(range)
            }
            Output::Unasked => None,
        }
    }
}

#[cfg(test)]
mod tests;
