//! `partitionBy`: an expression whose value, modulo the number of partitions, is a message's partition.

use afterbay_formats::relation::Relation;
use afterbay_formats::row::Row;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::i256;
use arrow_schema::{DataType, SchemaRef};
use sqlparser::ast::Spanned as _;

use crate::bind::{Binder, Origin, Scope};
use crate::call::Expression;
use crate::cast::rounded;
use crate::decimal;
use crate::error::QueryError;
use crate::inputs::{Inputs, Unreadable};
use crate::{parse, refusals, types};

/// An expression that gives a hash for each row.
#[derive(Clone, Debug)]
pub struct HashExpression {
    expression: Expression,
    inputs: Inputs,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl HashExpression {
    /// Compiles an expression over the columns of a relation.
    pub fn compile(sql: &str, relation: &Relation, scope: Scope<'_>) -> Result<Self, QueryError> {
        let expr = parse::expression(sql)?;
        refusals::check(&expr)?;
        let mut binder = Binder::new(relation, None, scope);
        let mut bound = binder.bind(&expr)?;
        if matches!(bound.origin, Origin::Untyped(None)) {
            bound = binder.coerce(bound, &afterbay_formats::relation::SqlType::Int8)?;
        }
        if !types::is_number(&bound.sql_type) {
            return Err(QueryError::new(format!(
                "expression must be of a type that can be cast to uint8, but it is of type {}",
                types::name(&bound.sql_type)
            ))
            .hint("make a number of it, for example with kafka_murmur2(…), seahash(…) or crc32(…) of its text")
            .at(expr.span()));
        }
        let expression = binder.expression(&bound);
        let mut inputs = binder.inputs;
        Ok(Self { expression, schema: inputs.schema(), columns: inputs.columns(), inputs })
    }

    /// The columns that it reads, as indexes into the relation's, in order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The hash of each row, in `out`, which is emptied first. It is 0 where the value is NULL or negative, or cannot be
    /// computed for that row. Numbers are rounded to whole ones as Postgres does where a number is assigned.
    pub fn hashes<R: Row>(&self, rows: &[R], out: &mut Vec<u64>) {
        out.clear();
        out.resize(rows.len(), 0);
        if rows.is_empty() {
            return;
        }
        let mut unreadable = Vec::new();
        let Ok(batch) = self.inputs.batch(&self.schema, rows.len(), |row| &rows[row], &mut unreadable) else { return };
        self.fill(&batch, out);
        for Unreadable { row, .. } in unreadable {
            out[row] = 0;
        }
    }

    /// Halves what cannot be computed, so that one row's error does not become that of all.
    fn fill(&self, batch: &RecordBatch, out: &mut [u64]) {
        if let Some(array) = self.evaluate(batch) {
            hashes_of(&array, out);
        } else if out.len() > 1 {
            let middle = out.len() / 2;
            let (front, back) = out.split_at_mut(middle);
            self.fill(&batch.slice(0, middle), front);
            self.fill(&batch.slice(middle, back.len()), back);
        }
    }

    fn evaluate(&self, batch: &RecordBatch) -> Option<ArrayRef> {
        self.expression.evaluate(batch).ok()?.into_array(batch.num_rows()).ok()
    }
}

/// `out` is as long as the array, and 0 where nothing is written.
fn hashes_of(array: &ArrayRef, out: &mut [u64]) {
    fn whole<T: arrow_array::ArrowPrimitiveType<Native: TryInto<u64>>>(array: &ArrayRef, out: &mut [u64]) {
        each::<T>(array, out, |value| value.try_into().ok());
    }
    fn each<T: arrow_array::ArrowPrimitiveType>(
        array: &ArrayRef,
        out: &mut [u64],
        hash: impl Fn(T::Native) -> Option<u64>,
    ) {
        let Some(array) = array.as_primitive_opt::<T>() else { return };
        for (value, out) in array.iter().zip(out) {
            *out = value.and_then(&hash).unwrap_or_default();
        }
    }
    match array.data_type() {
        DataType::Int16 => whole::<Int16Type>(array, out),
        DataType::Int32 => whole::<Int32Type>(array, out),
        DataType::Int64 => whole::<Int64Type>(array, out),
        DataType::UInt16 => whole::<UInt16Type>(array, out),
        DataType::UInt32 => whole::<UInt32Type>(array, out),
        DataType::UInt64 => whole::<UInt64Type>(array, out),
        DataType::Float32 => each::<Float32Type>(array, out, |value| of_float(value.into())),
        DataType::Float64 => each::<Float64Type>(array, out, of_float),
        DataType::Decimal128(_, scale) => {
            each::<Decimal128Type>(array, out, |units| of_decimal(i256::from_i128(units), (*scale).into()));
        }
        DataType::Decimal256(_, scale) => {
            each::<Decimal256Type>(array, out, |units| of_decimal(units, (*scale).into()));
        }
        _ => {
            let Some(texts) = array.as_string_opt::<i32>() else { return };
            for (text, out) in texts.iter().zip(out) {
                *out = text.and_then(|text| u64::try_from(rounded(text).ok()?).ok()).unwrap_or_default();
            }
        }
    }
}

fn of_float(value: f64) -> Option<u64> {
    /// 2^64
    const END: f64 = 18_446_744_073_709_551_616.0;
    let value = value.round_ties_even();
    (0.0..END).contains(&value).then_some(value as u64)
}

fn of_decimal(units: i256, scale: i32) -> Option<u64> {
    u64::try_from(decimal::rescale(units, scale, 0).ok()?.to_i128()?).ok()
}

#[cfg(test)]
mod tests;
