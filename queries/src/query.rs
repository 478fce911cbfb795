//! `source.query` over a table that is known: what rows it gives, and how they are computed.

use std::ops::Range;

use afterbay_formats::relation::{Column, Relation, SqlType};
use afterbay_formats::row::Row;
use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use datafusion_physical_expr::expressions::Column as InputColumn;
use sqlparser::ast::{Expr, Ident, Spanned as _};

use crate::bind::{Binder, Bound, Origin, Scope};
use crate::call::Expression;
use crate::error::{Clause, QueryError, RowError};
use crate::failure::{Failure, reason};
use crate::inputs::{Inputs, Unreadable};
use crate::names;
use crate::refusals::function_name;
use crate::statement::{Item, Query};
use crate::text_form::{self, Booleans};

/// A query that is ready to run.
#[derive(Clone, Debug)]
pub struct CompiledQuery {
    relation: Relation,
    unique_keys: Vec<Vec<String>>,
    outputs: Vec<Output>,
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

impl Query {
    /// Finds the query's columns in the table, and derives those that it gives. `unique_keys` are the keys of the table
    /// that are known to be unique, by their columns.
    pub fn compile(&self, table: &Relation, unique_keys: &[Vec<String>]) -> Result<CompiledQuery, QueryError> {
        let filter = match self.condition() {
            None => None,
            Some(condition) => {
                let mut binder = Binder::new(table, self.alias(), Scope::AllColumns);
                let bound = binder.condition(condition, "WHERE")?;
                let condition = binder.expression(&bound);
                let mut inputs = binder.inputs;
                Some(Filter { condition, schema: inputs.schema(), inputs })
            }
        };
        let mut binder = Binder::new(table, self.alias(), Scope::AllColumns);
        let mut columns: Vec<Column> = Vec::new();
        let mut outputs = Vec::new();
        let mut computed: Vec<Computed> = Vec::new();
        let mut add = |column: Column, output: Output, place| {
            if columns.iter().any(|known| known.name == column.name) {
                return Err(QueryError::new(format!("there are two columns with the name \"{}\"", column.name))
                    .hint("give one of them another name with AS")
                    .at(place));
            }
            columns.push(column);
            outputs.push(output);
            Ok(())
        };
        for item in self.projection() {
            match item {
                Item::All(qualifier) => {
                    if let Some(qualifier) = qualifier
                        && !binder.is_table(qualifier)
                    {
                        return Err(QueryError::new(format!("there is no table \"{}\" here", qualifier.join("."))));
                    }
                    for (at, column) in table.columns.iter().enumerate() {
                        add(column.clone(), Output::Column(at), sqlparser::tokenizer::Span::empty())?;
                    }
                }
                Item::Expression(expr, alias) => {
                    let bound = binder.bind(expr)?;
                    let name = name_of(expr, alias.as_ref()).map_err(|error| error.at(expr.span()))?;
                    if let Origin::Column(at) = bound.origin {
                        let column = Column { name, ..table.columns[at].clone() };
                        add(column, Output::Column(at), expr.span())?;
                        continue;
                    }
                    let expression = binder.expression(&bound);
                    let Bound { sql_type, nullable, .. } = bound;
                    let column = Column { name: name.clone(), sql_type: sql_type.clone(), nullable };
                    add(column, Output::Computed(computed.len()), expr.span())?;
                    let mut reads = Vec::new();
                    inputs_of(&expression, &mut reads);
                    computed.push(Computed { expression, sql_type, name, reads });
                }
            }
        }
        let mut inputs = binder.inputs;
        let filter_columns = filter.as_ref().map(|filter| filter.inputs.columns()).unwrap_or_default();
        let mut source_columns = inputs.columns();
        source_columns.extend(&filter_columns);
        source_columns.extend(outputs.iter().filter_map(|output| match output {
            Output::Column(column) => Some(*column),
            Output::Computed(_) => None,
        }));
        source_columns.sort_unstable();
        source_columns.dedup();
        let relation = Relation { schema: table.schema.clone(), name: table.name.clone(), columns };
        let unique_keys = unique_keys.iter().filter_map(|key| renamed(key, table, &relation, &outputs)).collect();
        let schema = inputs.schema();
        Ok(CompiledQuery {
            relation,
            unique_keys,
            outputs,
            filter,
            computed,
            inputs,
            schema,
            source_columns,
            filter_columns,
        })
    }
}

/// The inputs that an expression reads.
fn inputs_of(expression: &Expression, reads: &mut Vec<usize>) {
    if let Some(column) = expression.downcast_ref::<InputColumn>() {
        reads.push(column.index());
    }
    for part in expression.children() {
        inputs_of(part, reads);
    }
}

/// A key in output names; none unless all of its columns come through.
fn renamed(key: &[String], table: &Relation, relation: &Relation, outputs: &[Output]) -> Option<Vec<String>> {
    key.iter()
        .map(|name| {
            let at = table.columns.iter().position(|column| column.name == *name)?;
            let output = outputs.iter().position(|output| *output == Output::Column(at))?;
            Some(relation.columns[output].name.clone())
        })
        .collect()
}

/// The name that Postgres would give, where it gives one that says something.
fn name_of(expr: &Expr, alias: Option<&Ident>) -> Result<String, QueryError> {
    if let Some(alias) = alias {
        return Ok(names::folded(alias));
    }
    Ok(match expr {
        Expr::Identifier(name) => names::folded(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(names::folded).unwrap_or_default(),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => name_of(inner, None)?,
        Expr::Function(function) => function_name(function)?,
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::Ceil { .. } => "ceil".to_owned(),
        Expr::Floor { .. } => "floor".to_owned(),
        Expr::Position { .. } => "position".to_owned(),
        Expr::Substring { shorthand, .. } => if *shorthand { "substr" } else { "substring" }.to_owned(),
        Expr::Trim { .. } => "btrim".to_owned(),
        _ => {
            return Err(
                QueryError::new(format!("the column {expr} has no name")).hint(format!("write {expr} AS a_name"))
            );
        }
    })
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
            Output::Computed(_) => None,
        }
    }

    /// Computes which rows pass and what they become. `out` is emptied first, and can be used again and again. After an
    /// error it holds the rows before the one that is named.
    pub fn evaluate<R: Row>(&self, rows: &[R], out: &mut Evaluated) -> Result<(), RowError> {
        out.passing.clear();
        out.slots.clear();
        out.text.clear();
        out.cells.clear();
        let mut error = self.filter(rows, out).err();
        if let Err(earlier) = self.compute(rows, out) {
            error = Some(earlier);
        }
        error.map_or(Ok(()), Err)
    }

    /// A row that passed, as the query gives it: `source` is the row that was evaluated.
    pub fn output<'a, R: Row>(&'a self, evaluated: &'a Evaluated, row: usize, source: R) -> OutputRow<'a, R> {
        OutputRow { query: self, evaluated, slot: evaluated.slots.get(row).copied().flatten(), source }
    }

    /// Which rows pass; after an error, which of those before it.
    fn filter<R: Row>(&self, rows: &[R], out: &mut Evaluated) -> Result<(), RowError> {
        let Some(filter) = &self.filter else {
            out.passing.extend(0..rows.len());
            out.slots.extend((0..rows.len()).map(Some));
            return Ok(());
        };
        let failed = |row: usize, Failure(reason): Failure| RowError { row, clause: Clause::Where, reason };
        let mut unreadable = Vec::new();
        let batch = filter.inputs.batch(&filter.schema, rows.len(), |row| &rows[row], &mut unreadable);
        let batch = batch.map_err(|failure| failed(0, failure))?;
        if unreadable.is_empty()
            && let Ok(array) = evaluate(&filter.condition, &batch)
        {
            let passes = array.as_boolean_opt().ok_or_else(|| failed(0, Failure::INTERNAL))?;
            for row in 0..rows.len() {
                out.judge(row, passes.is_valid(row) && passes.value(row));
            }
            return Ok(());
        }
        for row in 0..rows.len() {
            if let Some(Unreadable { failure, .. }) = unreadable.iter().find(|unreadable| unreadable.row == row) {
                return Err(failed(row, *failure));
            }
            let array = evaluate(&filter.condition, &batch.slice(row, 1)).map_err(|failure| failed(row, failure))?;
            let passes = array.as_boolean_opt().ok_or_else(|| failed(row, Failure::INTERNAL))?;
            out.judge(row, passes.is_valid(0) && passes.value(0));
        }
        Ok(())
    }

    /// The cells of the rows that pass.
    fn compute<R: Row>(&self, rows: &[R], out: &mut Evaluated) -> Result<(), RowError> {
        let Evaluated { passing, text, cells, .. } = out;
        if self.computed.is_empty() || passing.is_empty() {
            return Ok(());
        }
        let mut unreadable = Vec::new();
        let batch = self.inputs.batch(&self.schema, passing.len(), |slot| &rows[passing[slot]], &mut unreadable);
        let failed = |slot: usize, computed: &Computed, Failure(reason): Failure| RowError {
            row: passing[slot],
            clause: Clause::Column(computed.name.clone()),
            reason,
        };
        let batch = batch.map_err(|failure| failed(0, &self.computed[0], failure))?;
        let mut first: Option<RowError> = None;
        let mut earliest = |error: RowError| {
            if first.as_ref().is_none_or(|known| error.row < known.row) {
                first = Some(error);
            }
        };
        for Unreadable { row, input, failure } in unreadable {
            if let Some(computed) = self.computed.iter().find(|computed| computed.reads.contains(&input)) {
                earliest(failed(row, computed, failure));
            }
        }
        for computed in &self.computed {
            let whole = evaluate(&computed.expression, &batch);
            let begin = cells.len();
            for slot in 0..passing.len() {
                let cell = match &whole {
                    Ok(array) => write(array, slot, &computed.sql_type, text),
                    // One row's error is that of all; so each is tried by itself.
                    Err(_) => evaluate(&computed.expression, &batch.slice(slot, 1))
                        .and_then(|array| write(&array, 0, &computed.sql_type, text)),
                };
                match cell {
                    Ok(cell) => cells.push(cell),
                    Err(failure) => {
                        earliest(failed(slot, computed, failure));
                        break;
                    }
                }
            }
            // Behind an error there is nothing, but columns are found by their number.
            cells.resize(begin + passing.len(), None);
        }
        first.map_or(Ok(()), Err)
    }
}

fn evaluate(expression: &Expression, batch: &RecordBatch) -> Result<ArrayRef, Failure> {
    let value = expression.evaluate(batch).map_err(|error| reason(&error))?;
    value.into_array(batch.num_rows()).map_err(|error| reason(&error))
}

fn write(
    array: &ArrayRef,
    row: usize,
    sql_type: &SqlType,
    text: &mut Vec<u8>,
) -> Result<Option<Range<usize>>, Failure> {
    if array.is_null(row) {
        return Ok(None);
    }
    let begin = text.len();
    text_form::write(array, row, sql_type, Booleans::Form, text)?;
    Ok(Some(begin..text.len()))
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
        }
    }
}

#[cfg(test)]
mod tests;
