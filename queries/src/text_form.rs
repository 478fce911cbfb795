//! Values of Arrow as Postgres writes them.

use std::io::Write as _;

use afterbay_formats::relation::SqlType;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType};

use crate::civil::{Civil, DAY_US};
use crate::failure::Failure;

/// How `boolean` is written: the only type whose cast to text differs from its text form once it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booleans {
    /// `t` and `f`, as rows travel.
    Form,
    /// `true` and `false`, as a cast to text gives.
    Cast,
}

/// Appends the text of a value that is not NULL.
pub fn write(
    array: &dyn Array,
    row: usize,
    sql_type: &SqlType,
    booleans: Booleans,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    match sql_type {
        SqlType::Bool => {
            let value = array.as_boolean_opt().ok_or(Failure::INTERNAL)?.value(row);
            out.extend_from_slice(match (booleans, value) {
                (Booleans::Form, true) => b"t",
                (Booleans::Form, false) => b"f",
                (Booleans::Cast, true) => b"true",
                (Booleans::Cast, false) => b"false",
            });
        }
        SqlType::Int2 => integer(native::<Int16Type>(array, row)?, out),
        SqlType::Int4 => integer(native::<Int32Type>(array, row)?, out),
        SqlType::Int8 => integer(native::<Int64Type>(array, row)?, out),
        SqlType::Uint2 => integer(native::<UInt16Type>(array, row)?, out),
        SqlType::Uint4 | SqlType::Oid => integer(native::<UInt32Type>(array, row)?, out),
        SqlType::Uint8 => integer(native::<UInt64Type>(array, row)?, out),
        SqlType::Float4 => float4(native::<Float32Type>(array, row)?, out),
        SqlType::Float8 => float8(native::<Float64Type>(array, row)?, out),
        SqlType::Numeric { typmod: Some((_, scale)) } => {
            let scale = usize::try_from(*scale).unwrap_or_default();
            match array.as_primitive_opt::<Decimal128Type>() {
                Some(array) => decimal(itoa::Buffer::new().format(array.value(row)), scale, out),
                None => decimal(&native::<Decimal256Type>(array, row)?.to_string(), scale, out),
            }
        }
        SqlType::Bytea => bytea(array.as_binary_opt::<i32>().ok_or(Failure::INTERNAL)?.value(row), out),
        SqlType::Date => date(native::<Date32Type>(array, row)?, out),
        SqlType::Time => time(native::<Time64MicrosecondType>(array, row)?, out),
        SqlType::Timestamp { .. } => timestamp(native::<TimestampMicrosecondType>(array, row)?, "", out),
        SqlType::Timestamptz { .. } => timestamp(native::<TimestampMicrosecondType>(array, row)?, "+00", out),
        SqlType::Interval => {
            let value = native::<IntervalMonthDayNanoType>(array, row)?;
            interval(value.months, value.days, value.nanoseconds / 1_000, out);
        }
        SqlType::Numeric { typmod: None }
        | SqlType::Text
        | SqlType::Uuid
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Array(_)
        | SqlType::List(_)
        | SqlType::Map(_)
        | SqlType::Record { .. }
        | SqlType::Other(_) => {
            out.extend_from_slice(array.as_string_opt::<i32>().ok_or(Failure::INTERNAL)?.value(row).as_bytes());
        }
    }
    Ok(())
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Result<T::Native, Failure> {
    Ok(array.as_primitive_opt::<T>().ok_or(Failure::INTERNAL)?.value(row))
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends formatted text; writing to memory does not fail.
fn formatted(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// `real`, with the fewest digits that tell it from all others.
pub fn float4(value: f32, out: &mut Vec<u8>) {
    float(value.into(), &format!("{value}"), &format!("{value:e}"), 6, out);
}

/// `double precision`, with the fewest digits that tell it from all others.
pub fn float8(value: f64, out: &mut Vec<u8>) {
    float(value, &format!("{value}"), &format!("{value:e}"), 15, out);
}

/// From `10^plain_below` on, and below `0.0001`, Postgres writes an exponent, of at least two digits.
fn float(value: f64, plain: &str, scientific: &str, plain_below: i32, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value == 0.0 || (-4..plain_below).contains(&exponent) {
        out.extend_from_slice(plain.as_bytes());
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        formatted(out, format_args!("{mantissa}e{sign}{:02}", exponent.abs()));
    }
}

/// Digits (and a sign) with a point before the last `scale` of them.
pub fn decimal(digits: &str, scale: usize, out: &mut Vec<u8>) {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    out.extend_from_slice(sign.as_bytes());
    if scale == 0 {
        return out.extend_from_slice(digits.as_bytes());
    }
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits.as_bytes()[..whole] });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(digits.len())));
    out.extend_from_slice(&digits.as_bytes()[whole..]);
}

/// `\x` and the digits in lower case.
pub fn bytea(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\x");
    hex(bytes, out);
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
}

/// The smallest and the largest number stand for the infinities, as they do in Postgres.
fn infinite<T: PartialEq>(value: &T, past: &T, future: &T, out: &mut Vec<u8>) -> bool {
    if value == past {
        out.extend_from_slice(b"-infinity");
    } else if value == future {
        out.extend_from_slice(b"infinity");
    } else {
        return false;
    }
    true
}

fn date(days: i32, out: &mut Vec<u8>) {
    if infinite(&days, &i32::MIN, &i32::MAX, out) {
        return;
    }
    let day = Civil::of_days(days.into());
    calendar(day, out);
    era(day, out);
}

fn timestamp(micros: i64, zone: &str, out: &mut Vec<u8>) {
    if infinite(&micros, &i64::MIN, &i64::MAX, out) {
        return;
    }
    let day = Civil::of_days(micros.div_euclid(DAY_US));
    calendar(day, out);
    out.push(b' ');
    time(micros.rem_euclid(DAY_US), out);
    out.extend_from_slice(zone.as_bytes());
    era(day, out);
}

fn calendar(day: Civil, out: &mut Vec<u8>) {
    let year = if day.year > 0 { day.year } else { 1 - day.year };
    formatted(out, format_args!("{year:04}-{:02}-{:02}", day.month, day.day));
}

fn era(day: Civil, out: &mut Vec<u8>) {
    if day.year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Hours of at least two digits, and the fraction without zeros at its end.
fn time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    formatted(out, format_args!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    let fraction = micros % 1_000_000;
    if fraction > 0 {
        formatted(out, format_args!(".{fraction:06}"));
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Each part with its own sign; a plus is written only behind a negative part.
fn interval(months: i32, days: i32, micros: i64, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut after_negative = false;
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number != 0 {
            let blank = if out.len() > begin { " " } else { "" };
            let plus = if after_negative && number > 0 { "+" } else { "" };
            let plural = if number == 1 { "" } else { "s" };
            formatted(out, format_args!("{blank}{plus}{number} {unit}{plural}"));
            after_negative = number < 0;
        }
    }
    if out.len() == begin || micros != 0 {
        if out.len() > begin {
            out.push(b' ');
        }
        match micros {
            ..0 => out.push(b'-'),
            _ if after_negative => out.push(b'+'),
            _ => {}
        }
        // The smallest number of nanoseconds is far from the smallest of microseconds.
        time(micros.abs(), out);
    }
}
