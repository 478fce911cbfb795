//! From rows to a batch of Arrow: only the columns that an expression reads, and in the form in which it reads them.

use std::sync::Arc;

use afterbay_formats::relation::{Relation, SqlType};
use afterbay_formats::row::Row;
use afterbay_formats::text::datetime::{self, Extended};
use afterbay_formats::text::numeric::{Unscaled, unscaled};
use afterbay_formats::text::{Parsed, bytea, inet, integer, interval};
use arrow_array::builder::{BinaryBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::failure::Failure;
use crate::read;
use crate::types;

/// How an expression reads a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a value of its type.
    Value,
    /// As the text that a cast to `text` gives, which is nearly always the text that came.
    Text,
    /// As the text that came.
    Raw,
}

#[derive(Clone, Debug)]
struct Input {
    column: usize,
    reader: Reader,
    data_type: DataType,
}

/// The columns that expressions read.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    all: Vec<Input>,
    forms: Vec<Form>,
    schema: Option<SchemaRef>,
}

/// A row with a value that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which of the rows.
    pub row: usize,
    /// Which of the inputs.
    pub input: usize,
    /// What is wrong.
    pub failure: Failure,
}

impl Inputs {
    /// The index of a column in the batch; it is added if it is new.
    pub fn add(&mut self, relation: &Relation, column: usize, form: Form) -> usize {
        let known = |(input, known): (&Input, &Form)| input.column == column && *known == form;
        if let Some(at) = self.all.iter().zip(&self.forms).position(known) {
            return at;
        }
        let sql_type = relation.columns.get(column).map_or(SqlType::Text, |column| types::normal(&column.sql_type));
        let (reader, data_type) = match form {
            Form::Value => (Reader::of(&sql_type), types::arrow(&sql_type)),
            Form::Text => (Reader::of_text(&sql_type), DataType::Utf8),
            Form::Raw => (Reader::Text, DataType::Utf8),
        };
        self.all.push(Input { column, reader, data_type });
        self.forms.push(form);
        self.schema = None;
        self.all.len() - 1
    }

    /// The columns of the relation that are read, in order and each once.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = self.all.iter().map(|input| input.column).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The column of the relation that an input is.
    pub fn column(&self, input: usize) -> Option<usize> {
        self.all.get(input).map(|input| input.column)
    }

    /// The batch's schema. All can be NULL: what cannot be read is.
    pub fn schema(&mut self) -> SchemaRef {
        let inputs = &self.all;
        self.schema
            .get_or_insert_with(|| {
                let field = |(at, input): (usize, &Input)| Field::new(at.to_string(), input.data_type.clone(), true);
                Arc::new(Schema::new(inputs.iter().enumerate().map(field).collect::<Vec<_>>()))
            })
            .clone()
    }

    /// Reads rows. Those with a value that cannot be read have NULL in its stead, and are told in `unreadable`.
    pub fn batch<R: Row>(
        &self,
        schema: &SchemaRef,
        rows: usize,
        row: impl Fn(usize) -> R,
        unreadable: &mut Vec<Unreadable>,
    ) -> Result<RecordBatch, Failure> {
        unreadable.clear();
        let read = |(at, input): (usize, &Input)| {
            let mut source = Source { input: at, column: input.column, rows, row: &row, unreadable };
            input.reader.read(&mut source, &input.data_type)
        };
        let arrays = self.all.iter().enumerate().map(read).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(|_| Failure::INTERNAL)
    }
}

struct Source<'a, F> {
    input: usize,
    column: usize,
    rows: usize,
    row: &'a F,
    unreadable: &'a mut Vec<Unreadable>,
}

impl<F> Source<'_, F> {
    /// Calls `take` for each cell, which is NULL where `read` cannot read it.
    fn each<R: Row, T>(&mut self, read: impl Fn(&[u8]) -> Result<T, Failure>, mut take: impl FnMut(Option<T>))
    where
        F: Fn(usize) -> R,
    {
        for at in 0..self.rows {
            let row = (self.row)(at);
            match row.cell(self.column).map(&read).transpose() {
                Ok(value) => take(value),
                Err(failure) => {
                    take(None);
                    self.unreadable.push(Unreadable { row: at, input: self.input, failure });
                }
            }
        }
    }

    fn primitive<R: Row, T: ArrowPrimitiveType>(
        &mut self,
        data_type: &DataType,
        read: impl Fn(&[u8]) -> Result<T::Native, Failure>,
    ) -> ArrayRef
    where
        F: Fn(usize) -> R,
    {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.rows).with_data_type(data_type.clone());
        self.each(read, |value| builder.append_option(value));
        Arc::new(builder.finish())
    }
}

/// How the text of a cell is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Bool,
    Int2,
    Int4,
    Int8,
    Uint2,
    Uint4,
    Uint8,
    Float4,
    Float8,
    Decimal { precision: usize, scale: usize },
    WideDecimal { precision: usize, scale: usize },
    Text,
    BoolText,
    InetText,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
}

/// Not the text form of its type: a bug, or a setting of the session.
const MALFORMED: Failure = Failure("a value is not the text form of its type");
const BEYOND: Failure = Failure("a moment is beyond the years that can be computed with");

impl Reader {
    fn of(sql_type: &SqlType) -> Self {
        match sql_type {
            SqlType::Bool => Self::Bool,
            SqlType::Int2 => Self::Int2,
            SqlType::Int4 => Self::Int4,
            SqlType::Int8 => Self::Int8,
            SqlType::Uint2 => Self::Uint2,
            SqlType::Uint4 | SqlType::Oid => Self::Uint4,
            SqlType::Uint8 => Self::Uint8,
            SqlType::Float4 => Self::Float4,
            SqlType::Float8 => Self::Float8,
            SqlType::Numeric { typmod: Some((precision, scale)) } => {
                let (precision, scale) = (usize::from(*precision), usize::try_from(*scale).unwrap_or_default());
                match types::arrow(sql_type) {
                    DataType::Decimal128(..) => Self::Decimal { precision, scale },
                    _ => Self::WideDecimal { precision, scale },
                }
            }
            SqlType::Bytea => Self::Bytea,
            SqlType::Date => Self::Date,
            SqlType::Time => Self::Time,
            SqlType::Timestamp { .. } => Self::Timestamp,
            SqlType::Timestamptz { .. } => Self::Timestamptz,
            SqlType::Interval => Self::Interval,
            _ => Self::Text,
        }
    }

    fn of_text(sql_type: &SqlType) -> Self {
        match sql_type {
            SqlType::Bool => Self::BoolText,
            SqlType::Other(name) if name == "inet" => Self::InetText,
            _ => Self::Text,
        }
    }

    fn read<R: Row, F: Fn(usize) -> R>(self, source: &mut Source<'_, F>, data_type: &DataType) -> ArrayRef {
        match self {
            Self::Bool => {
                let mut values = Vec::with_capacity(source.rows);
                source.each(boolean, |value| values.push(value));
                Arc::new(BooleanArray::from(values))
            }
            Self::Int2 => source.primitive::<R, Int16Type>(data_type, |text| narrow(integer::signed(text))),
            Self::Int4 => source.primitive::<R, Int32Type>(data_type, |text| narrow(integer::signed(text))),
            Self::Int8 => source.primitive::<R, Int64Type>(data_type, |text| narrow(integer::signed(text))),
            Self::Uint2 => source.primitive::<R, UInt16Type>(data_type, |text| narrow(integer::unsigned(text))),
            Self::Uint4 => source.primitive::<R, UInt32Type>(data_type, |text| narrow(integer::unsigned(text))),
            Self::Uint8 => source.primitive::<R, UInt64Type>(data_type, |text| narrow(integer::unsigned(text))),
            Self::Float4 => source.primitive::<R, Float32Type>(data_type, |text| read::float4(utf8(text)?)),
            Self::Float8 => source.primitive::<R, Float64Type>(data_type, |text| read::float8(utf8(text)?)),
            Self::Decimal { precision, scale } => source.primitive::<R, Decimal128Type>(data_type, |text| {
                decimal(text, precision, scale)?.to_i128().ok_or(MALFORMED)
            }),
            Self::WideDecimal { precision, scale } => {
                source.primitive::<R, Decimal256Type>(data_type, |text| decimal(text, precision, scale))
            }
            Self::Text => texts(source, |text, _| utf8(text)),
            Self::BoolText => texts(source, |text, _| Ok(if boolean(text)? { "true" } else { "false" })),
            Self::InetText => texts(source, |text, longer| {
                longer.clear();
                longer.push_str(utf8(text)?);
                longer.push_str(inet::mask_of_host(text));
                Ok(longer)
            }),
            Self::Bytea => {
                let mut builder = BinaryBuilder::with_capacity(source.rows, source.rows * 16);
                let decode = |text: &[u8]| {
                    let mut bytes = Vec::new();
                    bytea::hex_digits(text)
                        .and_then(|digits| bytea::decode(digits, &mut bytes))
                        .map_err(|_| MALFORMED)?;
                    Ok(bytes)
                };
                source.each(decode, |value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            Self::Date => source.primitive::<R, Date32Type>(data_type, |text| match datetime::date(text) {
                Ok(Extended::Past) => Ok(i32::MIN),
                Ok(Extended::Future) => Ok(i32::MAX),
                Ok(Extended::Finite(days)) => Ok(days),
                Err(_) => Err(MALFORMED),
            }),
            Self::Time => source
                .primitive::<R, Time64MicrosecondType>(data_type, |text| datetime::time(text).map_err(|_| MALFORMED)),
            Self::Timestamp => {
                source.primitive::<R, TimestampMicrosecondType>(data_type, |text| moment(datetime::timestamp(text)))
            }
            Self::Timestamptz => {
                source.primitive::<R, TimestampMicrosecondType>(data_type, |text| moment(datetime::timestamptz(text)))
            }
            Self::Interval => source.primitive::<R, IntervalMonthDayNanoType>(data_type, |text| {
                if text.ends_with(b"infinity") {
                    return Err(Failure::INFINITE_MOMENT);
                }
                let parts = interval::interval(text).map_err(|_| MALFORMED)?;
                read::nanos(parts.months, parts.days, parts.microseconds)
            }),
        }
    }
}

/// Texts are copied once, into the array.
fn texts<R: Row, F: Fn(usize) -> R>(
    source: &mut Source<'_, F>,
    read: impl for<'t> Fn(&'t [u8], &'t mut String) -> Result<&'t str, Failure>,
) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(source.rows, source.rows * 16);
    let mut scratch = String::new();
    for at in 0..source.rows {
        let row = (source.row)(at);
        match row.cell(source.column).map(|text| read(text, &mut scratch)).transpose() {
            Ok(value) => builder.append_option(value),
            Err(failure) => {
                builder.append_null();
                source.unreadable.push(Unreadable { row: at, input: source.input, failure });
            }
        }
    }
    Arc::new(builder.finish())
}

fn boolean(text: &[u8]) -> Result<bool, Failure> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(MALFORMED),
    }
}

fn narrow<T, N: TryFrom<T>>(value: Parsed<T>) -> Result<N, Failure> {
    value.ok().and_then(|value| N::try_from(value).ok()).ok_or(MALFORMED)
}

fn utf8(text: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(text).map_err(|_| Failure("a text is not UTF-8"))
}

fn decimal(text: &[u8], precision: usize, scale: usize) -> Result<i256, Failure> {
    match unscaled(text, precision, scale) {
        Ok(Unscaled::Small(units)) => Ok(i256::from_i128(units)),
        Ok(Unscaled::Big(units)) => i256::from_string(&units.to_string()).ok_or(MALFORMED),
        Ok(Unscaled::NotANumber | Unscaled::Infinite) => Err(Failure::NOT_A_NUMBER),
        Ok(Unscaled::TooManyDigits) | Err(_) => Err(MALFORMED),
    }
}

fn moment(read: Parsed<Extended<datetime::Instant>>) -> Result<i64, Failure> {
    match read.map_err(|_| MALFORMED)? {
        Extended::Past => Ok(i64::MIN),
        Extended::Future => Ok(i64::MAX),
        // The extremes are taken.
        Extended::Finite(instant) => {
            instant.as_micros().filter(|micros| !matches!(*micros, i64::MIN | i64::MAX)).ok_or(BEYOND)
        }
    }
}
