//! Rows in Avro's binary encoding (Avro specification, "Binary Encoding").

use super::plan::{AvroField, AvroType, Decimal};
use crate::encoders::{EncodeError, EncodeErrorKind, float, parsed, ranged, utf8};
use crate::row::Row;
use crate::text::array::{Array, Event, Nesting};
use crate::text::composite::Composite;
use crate::text::datetime::{self, Extended};
use crate::text::hstore::{self, Hstore};
use crate::text::numeric::Unscaled;
use crate::text::{bytea, inet, integer, interval, numeric};

/// The branch of a union with null that is null: the zigzag form of 0.
pub const NULL: u8 = 0;
/// The other branch: the zigzag form of 1.
pub const NOT_NULL: u8 = 2;

type Written = Result<(), EncodeErrorKind>;

/// Appends the fields of a row.
pub fn row<R: Row + ?Sized>(fields: &[AvroField], row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    for field in fields {
        self::field(field, row.cell(field.column), out).map_err(|kind| EncodeError { column: field.column, kind })?;
    }
    Ok(())
}

fn field(field: &AvroField, text: Option<&[u8]>, out: &mut Vec<u8>) -> Written {
    if field.nullable {
        return nullable(&field.avro_type, text, out);
    }
    value(&field.avro_type, text.ok_or(EncodeErrorKind::NullInNotNull)?, out)
}

fn nullable(avro_type: &AvroType, text: Option<&[u8]>, out: &mut Vec<u8>) -> Written {
    let Some(text) = text else {
        out.push(NULL);
        return Ok(());
    };
    out.push(NOT_NULL);
    value(avro_type, text, out)
}

fn value(avro_type: &AvroType, text: &[u8], out: &mut Vec<u8>) -> Written {
    match avro_type {
        AvroType::Boolean => out.push(match text {
            b"t" => 1,
            b"f" => 0,
            _ => return Err(EncodeErrorKind::Malformed { sql_type: "boolean" }),
        }),
        AvroType::Int2 => long(ranged::<i16, _>(integer::signed(text), "smallint")?.into(), out),
        AvroType::Int4 => long(ranged::<i32, _>(integer::signed(text), "integer")?.into(), out),
        AvroType::Long => long(parsed(integer::signed(text), "bigint")?, out),
        AvroType::Uint2 => out.extend_from_slice(&ranged::<u16, _>(integer::unsigned(text), "uint2")?.to_be_bytes()),
        AvroType::Uint4 => out.extend_from_slice(&ranged::<u32, _>(integer::unsigned(text), "uint4")?.to_be_bytes()),
        AvroType::Uint8 => out.extend_from_slice(&ranged::<u64, _>(integer::unsigned(text), "uint8")?.to_be_bytes()),
        AvroType::Float => out.extend_from_slice(&float::<f32>(text, "real")?.to_le_bytes()),
        AvroType::Double => out.extend_from_slice(&float::<f64>(text, "double precision")?.to_le_bytes()),
        AvroType::Decimal(decimal) => self::decimal(*decimal, text, out)?,
        AvroType::String => string(text, "", out)?,
        AvroType::Inet => string(text, inet::mask_of_host(text), out)?,
        AvroType::Bytes => {
            let digits = parsed(bytea::hex_digits(text), "bytea")?;
            long((digits.len() / 2) as i64, out);
            parsed(bytea::decode(digits, out), "bytea")?;
        }
        AvroType::Date => {
            let days = match parsed(datetime::date(text), "date")? {
                Extended::Finite(days) => days,
                Extended::Past => i32::MIN,
                Extended::Future => i32::MAX,
            };
            long(days.into(), out);
        }
        AvroType::TimeMicros => long(parsed(datetime::time(text), "time")?, out),
        AvroType::Timestamp { zone, millis } => long(timestamp(text, *zone, *millis)?, out),
        AvroType::Interval => {
            let interval = parsed(interval::interval(text), "interval")?;
            out.extend_from_slice(&interval.months.to_le_bytes());
            out.extend_from_slice(&interval.days.to_le_bytes());
            out.extend_from_slice(&interval.microseconds.to_le_bytes());
        }
        AvroType::Array { items, delimiter, nesting } => array(items, *delimiter, *nesting, text, out)?,
        AvroType::Map(values) => map(values, text, out)?,
        AvroType::Record(fields) => record(fields, text, out)?,
    }
    Ok(())
}

/// Zigzag, then seven bits a byte, the lowest first.
fn long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    // Written elsewhere first, so that there is one look at the room for it.
    let mut bytes = [0; 10];
    let mut len = 0;
    while rest >= 0x80 {
        bytes[len] = rest as u8 | 0x80;
        len += 1;
        rest >>= 7;
    }
    bytes[len] = rest as u8;
    out.extend_from_slice(&bytes[..=len]);
}

fn string(text: &[u8], suffix: &str, out: &mut Vec<u8>) -> Written {
    utf8(text)?;
    long((text.len() + suffix.len()) as i64, out);
    out.extend_from_slice(text);
    out.extend_from_slice(suffix.as_bytes());
    Ok(())
}

fn decimal(decimal: Decimal, text: &[u8], out: &mut Vec<u8>) -> Written {
    let out_of_range = |what| EncodeErrorKind::OutOfRange { what, target: "an Avro decimal" };
    match parsed(numeric::unscaled(text, decimal.precision as usize, decimal.scale as usize), "numeric")? {
        Unscaled::Small(number) => {
            let bytes = number.to_be_bytes();
            let bytes = numeric::minimal(&bytes);
            long(bytes.len() as i64, out);
            out.extend_from_slice(bytes);
        }
        Unscaled::Big(number) => {
            let bytes = number.to_signed_bytes_be();
            long(bytes.len() as i64, out);
            out.extend_from_slice(&bytes);
        }
        Unscaled::NotANumber => return Err(out_of_range("NaN")),
        Unscaled::Infinite => return Err(out_of_range("an infinite number")),
        Unscaled::TooManyDigits => return Err(out_of_range("a number with more digits than its type has")),
    }
    Ok(())
}

fn timestamp(text: &[u8], zone: bool, millis: bool) -> Result<i64, EncodeErrorKind> {
    let (moment, sql_type) =
        if zone { (datetime::timestamptz(text), "timestamptz") } else { (datetime::timestamp(text), "timestamp") };
    Ok(match parsed(moment, sql_type)? {
        Extended::Finite(instant) if millis => instant.millis,
        Extended::Finite(instant) => instant.as_micros().ok_or(EncodeErrorKind::OutOfRange {
            what: "a time after 294247-01-10 04:00:54.775807",
            target: "microseconds in an Avro long",
        })?,
        Extended::Past => i64::MIN,
        Extended::Future => i64::MAX,
    })
}

/// All dimensions in one, row by row.
fn array(items: &AvroType, delimiter: u8, nesting: Nesting, text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut scratch = Vec::new();
    let mut array = Array::new(text, delimiter, nesting);
    block(out, |out| {
        let mut count = 0;
        while let Some(event) = parsed(array.next(&mut scratch), "array")? {
            match event {
                Event::Open | Event::Close => continue,
                Event::Null => nullable(items, None, out)?,
                Event::Value(text) => nullable(items, Some(text), out)?,
            }
            count += 1;
        }
        Ok(count)
    })
}

fn map(values: &AvroType, text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut scratch = hstore::Scratch::default();
    let mut pairs = Hstore::new(text);
    block(out, |out| {
        let mut count = 0;
        while let Some((key, text)) = parsed(pairs.next(&mut scratch), "hstore")? {
            string(key, "", out)?;
            nullable(values, text, out)?;
            count += 1;
        }
        Ok(count)
    })
}

fn record(fields: &[AvroField], text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut scratch = Vec::new();
    let mut composite = parsed(Composite::new(text), "composite")?;
    for field in fields {
        let text = parsed(composite.next(&mut scratch), "composite")?;
        self::field(field, text, out)?;
    }
    parsed(composite.end(), "composite")
}

/// One block of items behind their number, then the empty block that ends an array or map. How many there are is known
/// only when they are written, so the number is turned to the front afterwards.
fn block(out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>) -> Result<i64, EncodeErrorKind>) -> Written {
    let start = out.len();
    let count = items(out)?;
    if count > 0 {
        let end = out.len();
        long(count, out);
        let count_len = out.len() - end;
        out[start..].rotate_right(count_len);
    }
    out.push(0);
    Ok(())
}
