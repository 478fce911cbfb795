//! A query over a batch of rows.

use std::ops::Range;

use afterbay_formats::relation::SqlType;
use afterbay_formats::row::Row;
use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, RecordBatch};

use super::{CompiledQuery, Computed, Evaluated};
use crate::call::Expression;
use crate::error::{Clause, RowError};
use crate::failure::{Failure, reason};
use crate::inputs::Unreadable;
use crate::text_form::{self, Booleans};

impl CompiledQuery {
    /// Computes which rows pass and what they become. `out` is emptied first, and can be used again and again. A row that
    /// cannot be computed touches no other: it does not pass, or has no cells, and [`Evaluated::error`] says why.
    pub fn evaluate<R: Row>(&self, rows: &[R], out: &mut Evaluated) {
        out.passing.clear();
        out.slots.clear();
        out.text.clear();
        out.cells.clear();
        out.errors.clear();
        self.judge(rows, out);
        self.compute(rows, out);
        // Of each row the first, in the order of the clauses.
        out.errors.sort_by_key(|error| error.row);
        out.errors.dedup_by_key(|error| error.row);
    }

    /// Which rows pass.
    fn judge<R: Row>(&self, rows: &[R], out: &mut Evaluated) {
        let Some(filter) = &self.filter else {
            out.passing.extend(0..rows.len());
            out.slots.extend((0..rows.len()).map(Some));
            return;
        };
        let failed = |row: usize, Failure(reason): Failure| RowError { row, clause: Clause::Where, reason };
        let mut unreadable = Vec::new();
        let batch = match filter.inputs.batch(&filter.schema, rows.len(), |row| &rows[row], &mut unreadable) {
            Ok(batch) => batch,
            Err(failure) => {
                out.slots.extend(rows.iter().map(|_| None));
                return out.errors.extend((0..rows.len()).map(|row| failed(row, failure)));
            }
        };
        out.errors.extend(unreadable.into_iter().map(|Unreadable { row, failure, .. }| failed(row, failure)));
        let mut unjudged: Vec<usize> = out.errors.iter().map(|error| error.row).collect();
        unjudged.sort_unstable();
        by_halves(&filter.condition, &batch, 0, &mut |from, len, result| {
            let passes = result.and_then(|array| array.as_boolean_opt().cloned().ok_or(Failure::INTERNAL));
            for at in 0..len {
                let row = from + at;
                let is_judged = unjudged.binary_search(&row).is_err();
                match &passes {
                    Ok(passes) => out.judge(row, is_judged && passes.is_valid(at) && passes.value(at)),
                    Err(failure) => {
                        out.judge(row, false);
                        if is_judged {
                            out.errors.push(failed(row, *failure));
                        }
                    }
                }
            }
        });
    }

    /// The cells of the rows that pass.
    fn compute<R: Row>(&self, rows: &[R], out: &mut Evaluated) {
        let Evaluated { passing, text, cells, errors, .. } = out;
        if self.computed.is_empty() || passing.is_empty() {
            return;
        }
        let mut unreadable = Vec::new();
        let batch = self.inputs.batch(&self.schema, passing.len(), |slot| &rows[passing[slot]], &mut unreadable);
        let mut failed = |slot: usize, computed: &Computed, Failure(reason): Failure| {
            errors.push(RowError { row: passing[slot], clause: Clause::Column(computed.name.clone()), reason });
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(failure) => {
                return (0..passing.len()).for_each(|slot| failed(slot, &self.computed[0], failure));
            }
        };
        for Unreadable { row, input, failure } in unreadable {
            if let Some(computed) = self.computed.iter().find(|computed| computed.reads.contains(&input)) {
                failed(row, computed, failure);
            }
        }
        for computed in &self.computed {
            by_halves(&computed.expression, &batch, 0, &mut |from, len, result| {
                for at in 0..len {
                    let cell = match &result {
                        Ok(array) => write(array, at, &computed.sql_type, text),
                        Err(failure) => Err(*failure),
                    };
                    cells.push(cell.unwrap_or_else(|failure| {
                        failed(from + at, computed, failure);
                        None
                    }));
                }
            });
        }
    }
}

/// Evaluates rows, and halves what cannot be computed until the rows that fail stand alone: one row's error is that of all.
/// `take` is given each part in order: where it begins, how many rows it has, and what came of it.
fn by_halves(
    expression: &Expression,
    batch: &RecordBatch,
    from: usize,
    take: &mut impl FnMut(usize, usize, Result<ArrayRef, Failure>),
) {
    let rows = batch.num_rows();
    if rows == 0 {
        return;
    }
    let result = evaluate(expression, batch);
    if result.is_ok() || rows == 1 {
        return take(from, rows, result);
    }
    let middle = rows / 2;
    by_halves(expression, &batch.slice(0, middle), from, take);
    by_halves(expression, &batch.slice(middle, rows - middle), from + middle, take);
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
