//! Casts, with Postgres' rounding and errors.

use std::sync::Arc;

use afterbay_formats::relation::SqlType;
use afterbay_formats::text::inet;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::i256;
use arrow_schema::DataType;
use datafusion_physical_expr::expressions::CastExpr;

use crate::call::{Call, Expression, Kernel};
use crate::civil::DAY_US;
use crate::decimal;
use crate::failure::Failure;
use crate::read;
use crate::text_form::{self, Booleans};
use crate::types::{self, UTC};

type Kerneled = Result<ArrayRef, Failure>;

/// An expression of another type, or none if there is no such cast. Both types are normal ones.
pub fn cast(expression: Expression, from: &SqlType, to: &SqlType) -> Option<Expression> {
    if from == to {
        return Some(expression);
    }
    let returns = types::arrow(to);
    let kernel: Kernel = match (from, to) {
        (from, SqlType::Text) => return Some(to_text(expression, from)),
        (SqlType::Text, to) => from_text(to)?,
        // It travels as text, but is rounded as the number that it is.
        (SqlType::Numeric { typmod: None }, to) if types::is_integer(to) => {
            let to = to.clone();
            Arc::new(move |arguments| integers(whole_numbers(&arguments[0])?, &to))
        }
        (SqlType::Numeric { typmod: None }, to) if types::is_number(to) => from_text(to)?,
        (from, SqlType::Numeric { typmod: None }) if types::as_numeric(from).is_some() => {
            text_kernel(from, Booleans::Cast)
        }
        (from, to) if widens(from, to) => return Some(Arc::new(CastExpr::new(expression, returns, None))),
        (from, to) if types::is_number(from) && types::is_integer(to) => {
            let to = to.clone();
            Arc::new(move |arguments| integers(whole_numbers(&arguments[0])?, &to))
        }
        (from, SqlType::Float8) if types::is_number(from) => {
            Arc::new(|arguments| Ok(Arc::new(PrimitiveArray::<Float64Type>::from(doubles(&arguments[0])?))))
        }
        (from, SqlType::Float4) if types::is_number(from) => Arc::new(|arguments| reals(&arguments[0])),
        (from, SqlType::Numeric { typmod: Some((_, scale)) }) if types::is_number(from) => {
            let (scale, returns) = (i32::from(*scale), returns.clone());
            Arc::new(move |arguments| decimals(&arguments[0], scale, &returns))
        }
        (SqlType::Bool, SqlType::Int4) => Arc::new(|arguments| {
            let array = arguments[0].as_boolean_opt().ok_or(Failure::INTERNAL)?;
            Ok(Arc::new(array.iter().map(|value| value.map(i32::from)).collect::<PrimitiveArray<Int32Type>>()))
        }),
        (SqlType::Int4, SqlType::Bool) => Arc::new(|arguments| {
            let array = arguments[0].as_primitive_opt::<Int32Type>().ok_or(Failure::INTERNAL)?;
            Ok(Arc::new(array.iter().map(|value| value.map(|value| value != 0)).collect::<BooleanArray>()))
        }),
        (from, to) => moments(from, to)?,
    };
    Some(Call::expression("cast", vec![expression], returns, kernel))
}

/// Whether Arrow's own cast gives what Postgres gives, because no value is lost.
fn widens(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Float4, Float8, Int2, Int4, Int8, Oid, Uint2, Uint4, Uint8};
    matches!(
        (from, to),
        (Int2, Int4 | Int8 | Float4 | Float8)
            | (Int4, Int8 | Float8)
            | (Uint2, Int4 | Int8 | Uint4 | Uint8 | Oid | Float8)
            | (Uint4 | Oid, Int8 | Uint8 | Float8 | Uint4 | Oid)
            | (Float4, Float8)
    )
}

/// The text of values as a cast to `text` has it.
fn to_text(expression: Expression, from: &SqlType) -> Expression {
    if matches!(from, SqlType::Other(name) if name == "inet") {
        return Call::expression(
            "text",
            vec![expression],
            DataType::Utf8,
            Arc::new(|arguments| with_masks(&arguments[0])),
        );
    }
    // These are texts already.
    if types::arrow(from) == DataType::Utf8 {
        return expression;
    }
    Call::expression("text", vec![expression], DataType::Utf8, text_kernel(from, Booleans::Cast))
}

/// Writes values as text.
pub fn text_kernel(from: &SqlType, booleans: Booleans) -> Kernel {
    let from = from.clone();
    Arc::new(move |arguments| text_of(&arguments[0], &from, booleans))
}

fn text_of(array: &ArrayRef, sql_type: &SqlType, booleans: Booleans) -> Kerneled {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        text_form::write(array, row, sql_type, booleans, &mut text)?;
        builder.append_value(std::str::from_utf8(&text).map_err(|_| Failure::INTERNAL)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// `inet` as its cast to text has it: with the mask that the text form of a single host leaves out.
fn with_masks(array: &ArrayRef) -> Kerneled {
    let masked = |text: &str| format!("{text}{}", inet::mask_of_host(text.as_bytes()));
    Ok(Arc::new(strings(array)?.iter().map(|text| text.map(masked)).collect::<StringArray>()))
}

fn from_text(to: &SqlType) -> Option<Kernel> {
    Some(match to {
        SqlType::Bool => Arc::new(|arguments| {
            let values: Result<BooleanArray, _> =
                strings(&arguments[0])?.iter().map(|text| text.map(read::boolean).transpose()).collect();
            Ok(Arc::new(values?))
        }),
        to if types::is_integer(to) => {
            let to = to.clone();
            Arc::new(move |arguments| {
                let values: Result<Vec<_>, _> =
                    strings(&arguments[0])?.iter().map(|text| text.map(read::integer).transpose()).collect();
                integers(values?, &to)
            })
        }
        SqlType::Float8 => parsed::<Float64Type>(read::float8),
        SqlType::Float4 => parsed::<Float32Type>(read::float4),
        SqlType::Numeric { typmod: Some((_, scale)) } => {
            let (scale, returns) = (i32::from(*scale), types::arrow(to));
            Arc::new(move |arguments| {
                let read = |text: &str| decimal::parse(text, scale);
                decimal::array(strings(&arguments[0])?.iter().map(|text| text.map(read).transpose()), &returns)
            })
        }
        SqlType::Date => parsed::<Date32Type>(read::date),
        SqlType::Time => parsed::<Time64MicrosecondType>(read::time),
        SqlType::Timestamp { .. } => parsed::<TimestampMicrosecondType>(read::timestamp),
        SqlType::Timestamptz { .. } => {
            let kernel = parsed::<TimestampMicrosecondType>(read::timestamptz);
            Arc::new(move |arguments| in_utc(&kernel(arguments)?))
        }
        SqlType::Interval => parsed::<IntervalMonthDayNanoType>(read::interval),
        SqlType::Uuid => Arc::new(|arguments| {
            let values: Result<StringArray, _> =
                strings(&arguments[0])?.iter().map(|text| text.map(read::uuid).transpose()).collect();
            Ok(Arc::new(values?))
        }),
        SqlType::Bytea => Arc::new(|arguments| {
            let mut builder = BinaryBuilder::new();
            for text in strings(&arguments[0])? {
                builder.append_option(text.map(read::binary).transpose()?);
            }
            Ok(Arc::new(builder.finish()))
        }),
        _ => return None,
    })
}

/// A `numeric` of any precision, rounded to a whole number.
pub fn rounded(text: &str) -> Result<i128, Failure> {
    decimal::parse(text, 0)?.to_i128().ok_or(Failure::OUT_OF_RANGE)
}

fn parsed<T: ArrowPrimitiveType>(read: fn(&str) -> Result<T::Native, Failure>) -> Kernel {
    Arc::new(move |arguments| {
        let values: Result<PrimitiveArray<T>, _> =
            strings(&arguments[0])?.iter().map(|text| text.map(read).transpose()).collect();
        Ok(Arc::new(values?))
    })
}

/// The array as texts.
pub fn strings(array: &ArrayRef) -> Result<&StringArray, Failure> {
    array.as_string_opt::<i32>().ok_or(Failure::INTERNAL)
}

/// The array as numbers of one type.
pub fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&PrimitiveArray<T>, Failure> {
    array.as_primitive_opt::<T>().ok_or(Failure::INTERNAL)
}

/// Says that these moments are UTC.
pub fn in_utc(array: &ArrayRef) -> Kerneled {
    Ok(Arc::new(primitive::<TimestampMicrosecondType>(array)?.clone().with_timezone(UTC.clone())))
}

/// Whole numbers, from any number: exact ones are rounded half away from zero, others half to even, as in Postgres.
pub fn whole_numbers(array: &ArrayRef) -> Result<Vec<Option<i128>>, Failure> {
    fn of<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef) -> Result<Vec<Option<i128>>, Failure> {
        Ok(primitive::<T>(array)?.iter().map(|value| value.map(Into::into)).collect())
    }
    match array.data_type() {
        DataType::Int16 => of::<Int16Type>(array),
        DataType::Int32 => of::<Int32Type>(array),
        DataType::Int64 => of::<Int64Type>(array),
        DataType::UInt16 => of::<UInt16Type>(array),
        DataType::UInt32 => of::<UInt32Type>(array),
        DataType::UInt64 => of::<UInt64Type>(array),
        DataType::Float32 => primitive::<Float32Type>(array)?
            .iter()
            .map(|value| value.map(|value| even(value.into())).transpose())
            .collect(),
        DataType::Float64 => primitive::<Float64Type>(array)?.iter().map(|value| value.map(even).transpose()).collect(),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            let round =
                |units: i256| decimal::rescale(units, (*scale).into(), 0)?.to_i128().ok_or(Failure::OUT_OF_RANGE);
            decimal::values(array)?.into_iter().map(|units| units.map(round).transpose()).collect()
        }
        DataType::Utf8 => strings(array)?.iter().map(|text| text.map(rounded).transpose()).collect(),
        _ => Err(Failure::INTERNAL),
    }
}

fn even(value: f64) -> Result<i128, Failure> {
    let value = value.round_ties_even();
    // All numbers below are exact, and no type has larger ones.
    if value.abs() < 1e30 { Ok(value as i128) } else { Err(Failure::OUT_OF_RANGE) }
}

fn integers(values: Vec<Option<i128>>, to: &SqlType) -> Kerneled {
    fn of<T: ArrowPrimitiveType<Native: TryFrom<i128>>>(values: Vec<Option<i128>>) -> Kerneled {
        let fit = |value: i128| T::Native::try_from(value).map_err(|_| Failure::OUT_OF_RANGE);
        let array: Result<PrimitiveArray<T>, _> = values.into_iter().map(|value| value.map(fit).transpose()).collect();
        Ok(Arc::new(array?))
    }
    match to {
        SqlType::Int2 => of::<Int16Type>(values),
        SqlType::Int4 => of::<Int32Type>(values),
        SqlType::Int8 => of::<Int64Type>(values),
        SqlType::Uint2 => of::<UInt16Type>(values),
        SqlType::Uint4 | SqlType::Oid => of::<UInt32Type>(values),
        SqlType::Uint8 => of::<UInt64Type>(values),
        _ => Err(Failure::INTERNAL),
    }
}

fn doubles(array: &ArrayRef) -> Result<Vec<Option<f64>>, Failure> {
    match array.data_type() {
        DataType::Float32 => Ok(primitive::<Float32Type>(array)?.iter().map(|value| value.map(f64::from)).collect()),
        DataType::Float64 => Ok(primitive::<Float64Type>(array)?.iter().collect()),
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            decimal_texts(array)?.into_iter().map(|text| text.map(|text| read::float8(&text)).transpose()).collect()
        }
        _ => Ok(whole_numbers(array)?.into_iter().map(|value| value.map(|value| value as f64)).collect()),
    }
}

fn reals(array: &ArrayRef) -> Kerneled {
    let narrow = |value: f64| {
        let narrow = value as f32;
        let lost = (narrow.is_infinite() && value.is_finite()) || (narrow == 0.0 && value != 0.0);
        if lost { Err(Failure::OUT_OF_RANGE) } else { Ok(narrow) }
    };
    let values: Result<PrimitiveArray<Float32Type>, _> = match array.data_type() {
        DataType::Float64 => {
            primitive::<Float64Type>(array)?.iter().map(|value| value.map(narrow).transpose()).collect()
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            decimal_texts(array)?.into_iter().map(|text| text.map(|text| read::float4(&text)).transpose()).collect()
        }
        // From the whole number itself: by way of a wider float it would be rounded twice.
        _ => Ok(whole_numbers(array)?.into_iter().map(|value| value.map(|value| value as f32)).collect()),
    };
    Ok(Arc::new(values?))
}

/// By way of digits, which is the one way that rounds once.
fn decimal_texts(array: &ArrayRef) -> Result<Vec<Option<String>>, Failure> {
    let scale = match array.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => usize::try_from(*scale).unwrap_or_default(),
        _ => return Err(Failure::INTERNAL),
    };
    let text = |units: i256| {
        let mut text = Vec::new();
        text_form::decimal(&units.to_string(), scale, &mut text);
        String::from_utf8(text).map_err(|_| Failure::INTERNAL)
    };
    decimal::values(array)?.into_iter().map(|units| units.map(text).transpose()).collect()
}

fn decimals(array: &ArrayRef, scale: i32, returns: &DataType) -> Kerneled {
    match array.data_type() {
        DataType::Decimal128(_, from) | DataType::Decimal256(_, from) => {
            let rescale = |units: i256| decimal::rescale(units, (*from).into(), scale);
            decimal::array(decimal::values(array)?.into_iter().map(|units| units.map(rescale).transpose()), returns)
        }
        // Postgres goes by the digits that such a number is sure to have.
        DataType::Float32 => {
            let read = |value: f32| float_as_decimal(value.into(), &format!("{value:.5e}"), scale);
            let values = primitive::<Float32Type>(array)?.iter();
            decimal::array(values.map(|value| value.map(read).transpose()), returns)
        }
        DataType::Float64 => {
            let read = |value: f64| float_as_decimal(value, &format!("{value:.14e}"), scale);
            let values = primitive::<Float64Type>(array)?.iter();
            decimal::array(values.map(|value| value.map(read).transpose()), returns)
        }
        _ => {
            let units = |value: i128| decimal::rescale(i256::from_i128(value), 0, scale);
            let values = whole_numbers(array)?.into_iter();
            decimal::array(values.map(|value| value.map(units).transpose()), returns)
        }
    }
}

fn float_as_decimal(value: f64, digits: &str, scale: i32) -> Result<i256, Failure> {
    if value.is_finite() { decimal::parse(digits, scale) } else { Err(Failure::NOT_A_NUMBER) }
}

/// Casts among moments; `timestamptz` is UTC.
fn moments(from: &SqlType, to: &SqlType) -> Option<Kernel> {
    use SqlType::{Date, Time, Timestamp, Timestamptz};
    Some(match (from, to) {
        (Date, Timestamp { .. }) => Arc::new(|arguments| midnights(&arguments[0])),
        (Date, Timestamptz { .. }) => Arc::new(|arguments| in_utc(&midnights(&arguments[0])?)),
        (Timestamp { .. }, Timestamptz { .. }) => Arc::new(|arguments| in_utc(&arguments[0])),
        (Timestamptz { .. }, Timestamp { .. }) => Arc::new(|arguments| {
            Ok(Arc::new(
                primitive::<TimestampMicrosecondType>(&arguments[0])?.clone().with_timezone_opt(None::<Arc<str>>),
            ))
        }),
        (Timestamp { .. } | Timestamptz { .. }, Date) => Arc::new(|arguments| {
            let day = |micros| match micros {
                i64::MIN => i32::MIN,
                i64::MAX => i32::MAX,
                micros => micros.div_euclid(DAY_US) as i32,
            };
            Ok(Arc::new(primitive::<TimestampMicrosecondType>(&arguments[0])?.unary::<_, Date32Type>(day)))
        }),
        (Timestamp { .. } | Timestamptz { .. }, Time) => Arc::new(|arguments| {
            let moments = primitive::<TimestampMicrosecondType>(&arguments[0])?;
            let of_day = |micros| match micros {
                i64::MIN | i64::MAX => Err(Failure::INFINITE_MOMENT),
                micros => Ok(micros.rem_euclid(DAY_US)),
            };
            Ok(Arc::new(moments.try_unary::<_, Time64MicrosecondType, _>(of_day)?))
        }),
        _ => return None,
    })
}

fn midnights(array: &ArrayRef) -> Kerneled {
    let midnight = |days| match days {
        i32::MIN => Ok(i64::MIN),
        i32::MAX => Ok(i64::MAX),
        days => i64::from(days).checked_mul(DAY_US).ok_or(Failure::OUT_OF_RANGE),
    };
    Ok(Arc::new(primitive::<Date32Type>(array)?.try_unary::<_, TimestampMicrosecondType, _>(midnight)?))
}
