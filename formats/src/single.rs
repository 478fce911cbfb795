//! TEXT and BYTES: messages that are one column and nothing around it.

use crate::encoders::{EncodeError, EncodeErrorKind, float, parsed, ranged};
use crate::relation::SqlType;
use crate::row::Row;
use crate::text::datetime::{self, Extended, Instant};
use crate::text::{Parsed, bytea, integer, interval};

mod numeric;

/// One column.
#[derive(Debug)]
pub struct Single {
    column: usize,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Postgres' text form.
    Text,
    /// Postgres' binary form (what the type's send function writes).
    Binary(Binary),
}

/// How a text becomes the binary form of its type.
#[derive(Clone, Copy, Debug)]
enum Binary {
    /// The text itself.
    Text,
    Bool,
    Int2,
    Int4,
    Int8,
    Uint2,
    Uint4,
    Uint8,
    Float4,
    Float8,
    Numeric,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Jsonb,
}

/// Days from 1970-01-01 to 2000-01-01, where Postgres counts from.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = DAYS_TO_2000 as i64 * 86_400_000_000;
/// The version in front of a jsonb's text (`jsonb_send`).
const JSONB_VERSION: u8 = 1;

impl Single {
    /// A column in Postgres' text form.
    pub fn text(column: usize) -> Self {
        Self { column, form: Form::Text }
    }

    /// A column in Postgres' binary form; none where its type is no scalar, or its binary form is not known.
    pub fn bytes(column: usize, sql_type: &SqlType) -> Option<Self> {
        Binary::of(sql_type).map(|binary| Self { column, form: Form::Binary(binary) })
    }

    /// Appends the column; a NULL is nothing.
    pub fn encode<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some(text) = row.cell(self.column) else { return Ok(()) };
        match self.form {
            Form::Text => {
                out.extend_from_slice(text);
                Ok(())
            }
            Form::Binary(binary) => binary.write(text, out).map_err(|kind| EncodeError { column: self.column, kind }),
        }
    }
}

impl Binary {
    fn of(sql_type: &SqlType) -> Option<Self> {
        Some(match sql_type {
            SqlType::Bool => Self::Bool,
            SqlType::Int2 => Self::Int2,
            SqlType::Int4 => Self::Int4,
            SqlType::Int8 => Self::Int8,
            SqlType::Uint2 => Self::Uint2,
            SqlType::Uint4 | SqlType::Oid => Self::Uint4,
            SqlType::Uint8 => Self::Uint8,
            SqlType::Float4 => Self::Float4,
            SqlType::Float8 => Self::Float8,
            SqlType::Numeric { .. } => Self::Numeric,
            SqlType::Text | SqlType::Json => Self::Text,
            SqlType::Bytea => Self::Bytea,
            SqlType::Date => Self::Date,
            SqlType::Time => Self::Time,
            SqlType::Timestamp { .. } => Self::Timestamp,
            SqlType::Timestamptz { .. } => Self::Timestamptz,
            SqlType::Interval => Self::Interval,
            SqlType::Uuid => Self::Uuid,
            SqlType::Jsonb => Self::Jsonb,
            SqlType::Array(_) | SqlType::List(_) | SqlType::Map(_) | SqlType::Record { .. } | SqlType::Other(_) => {
                return None;
            }
        })
    }

    fn write(self, text: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeErrorKind> {
        match self {
            Self::Text => out.extend_from_slice(text),
            Self::Bool => out.push(match text {
                b"t" => 1,
                b"f" => 0,
                _ => return Err(EncodeErrorKind::Malformed { sql_type: "boolean" }),
            }),
            Self::Int2 => out.extend_from_slice(&ranged::<i16, _>(integer::signed(text), "smallint")?.to_be_bytes()),
            Self::Int4 => out.extend_from_slice(&ranged::<i32, _>(integer::signed(text), "integer")?.to_be_bytes()),
            Self::Int8 => out.extend_from_slice(&parsed(integer::signed(text), "bigint")?.to_be_bytes()),
            Self::Uint2 => out.extend_from_slice(&ranged::<u16, _>(integer::unsigned(text), "uint2")?.to_be_bytes()),
            Self::Uint4 => out.extend_from_slice(&ranged::<u32, _>(integer::unsigned(text), "uint4")?.to_be_bytes()),
            Self::Uint8 => out.extend_from_slice(&parsed(integer::unsigned(text), "uint8")?.to_be_bytes()),
            Self::Float4 => out.extend_from_slice(&float::<f32>(text, "real")?.to_be_bytes()),
            Self::Float8 => out.extend_from_slice(&float::<f64>(text, "double precision")?.to_be_bytes()),
            Self::Numeric => parsed(numeric::send(text, out), "numeric")?,
            Self::Bytea => {
                let digits = parsed(bytea::hex_digits(text), "bytea")?;
                parsed(bytea::decode(digits, out), "bytea")?;
            }
            Self::Date => {
                let days = match parsed(datetime::date(text), "date")? {
                    Extended::Finite(days) => days - DAYS_TO_2000,
                    Extended::Past => i32::MIN,
                    Extended::Future => i32::MAX,
                };
                out.extend_from_slice(&days.to_be_bytes());
            }
            Self::Time => out.extend_from_slice(&parsed(datetime::time(text), "time")?.to_be_bytes()),
            Self::Timestamp => out.extend_from_slice(&micros(datetime::timestamp(text), "timestamp")?.to_be_bytes()),
            Self::Timestamptz => {
                out.extend_from_slice(&micros(datetime::timestamptz(text), "timestamptz")?.to_be_bytes());
            }
            Self::Interval => {
                let interval = parsed(interval::interval(text), "interval")?;
                out.extend_from_slice(&interval.microseconds.to_be_bytes());
                out.extend_from_slice(&interval.days.to_be_bytes());
                out.extend_from_slice(&interval.months.to_be_bytes());
            }
            Self::Uuid => {
                let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
                if digits.len() != 32 {
                    return Err(EncodeErrorKind::Malformed { sql_type: "uuid" });
                }
                parsed(bytea::decode(&digits, out), "uuid")?;
            }
            Self::Jsonb => {
                out.push(JSONB_VERSION);
                out.extend_from_slice(text);
            }
        }
        Ok(())
    }
}

/// Microseconds since 2000-01-01, in which all that Postgres has fits.
fn micros(moment: Parsed<Extended<Instant>>, sql_type: &'static str) -> Result<i64, EncodeErrorKind> {
    Ok(match parsed(moment, sql_type)? {
        Extended::Finite(Instant { millis, micros }) => {
            let since_2000 = millis - MICROS_TO_2000 / 1_000;
            since_2000
                .checked_mul(1_000)
                .and_then(|micros_of_millis| micros_of_millis.checked_add(micros))
                .ok_or(EncodeErrorKind::Malformed { sql_type })?
        }
        Extended::Past => i64::MIN,
        Extended::Future => i64::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_scalar_has_none() {
        let array = SqlType::Array(Box::new(SqlType::Int4));
        for sql_type in [array, SqlType::Map(Box::new(SqlType::Text)), SqlType::Other("mood".into())] {
            assert!(Single::bytes(0, &sql_type).is_none(), "{sql_type:?}");
        }
    }

    fn hex(sql_type: &SqlType, text: &str) -> String {
        let mut out = Vec::new();
        let single = Single::bytes(0, sql_type).expect("it is scalar");
        single.encode(&[Some(text)][..], &mut out).expect(text);
        out.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// The bytes are those of Postgres' own send functions: `SELECT encode(int4send(…), 'hex')`.
    #[test]
    fn the_binary_forms_of_postgres() {
        let numeric = || SqlType::Numeric { typmod: None };
        let timestamp = || SqlType::Timestamp { precision: None };
        for (sql_type, text, expected) in [
            (SqlType::Bool, "t", "01"),
            (SqlType::Int2, "-2", "fffe"),
            (SqlType::Int4, "3", "00000003"),
            (SqlType::Int8, "-1", "ffffffffffffffff"),
            (SqlType::Oid, "4294967295", "ffffffff"),
            (SqlType::Float4, "1.5", "3fc00000"),
            (SqlType::Float8, "-Infinity", "fff0000000000000"),
            (SqlType::Text, "é", "c3a9"),
            (SqlType::Bytea, "\\x00ff", "00ff"),
            (SqlType::Date, "2000-01-02", "00000001"),
            (SqlType::Date, "1970-01-01", "ffffd533"),
            (SqlType::Date, "infinity", "7fffffff"),
            (SqlType::Time, "00:00:01", "00000000000f4240"),
            (timestamp(), "2000-01-01 00:00:00.000001", "0000000000000001"),
            (timestamp(), "294276-12-31 23:59:59.999999", "7fffff5bb3b29fff"),
            (timestamp(), "-infinity", "8000000000000000"),
            (SqlType::Timestamptz { precision: None }, "1999-12-31 23:59:59+00", "fffffffffff0bdc0"),
            (SqlType::Interval, "1 mon 1 day 00:00:00.000001", "00000000000000010000000100000001"),
            (SqlType::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            (SqlType::Jsonb, "{}", "017b7d"),
            (SqlType::Json, "{}", "7b7d"),
            (numeric(), "0", "0000000000000000"),
            (numeric(), "0.00", "0000000000000002"),
            (numeric(), "12345.678", "0003000100000003000109291a7c"),
            (numeric(), "-1", "00010000400000000001"),
            (numeric(), "10000", "00010001000000000001"),
            (numeric(), "99999999", "0002000100000000270f270f"),
            (numeric(), "0.0001", "0001ffff000000040001"),
            (numeric(), "0.00001", "0001fffe0000000503e8"),
            (numeric(), "-0.5", "0001ffff400000011388"),
            (numeric(), "1.50", "000200000000000200011388"),
            (
                numeric(),
                "123456789012345678901234567890.123456789",
                "000b000700000009000c0d801ed204d2162e23340d801ed204d2162e2328",
            ),
            (numeric(), "1000000000000", "00010003000000000001"),
            (numeric(), "NaN", "00000000c0000000"),
            (numeric(), "Infinity", "00000000d0000020"),
            (numeric(), "-Infinity", "00000000f0000020"),
        ] {
            assert_eq!(hex(&sql_type, text), expected, "{sql_type:?} {text}");
        }
    }
}
