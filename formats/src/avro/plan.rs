//! What is to be written for each column, compiled once.

use crate::relation::{Column, SqlType};
use crate::text::array::Nesting;

/// A field of a record.
#[derive(Debug)]
pub struct AvroField {
    /// Where its text stands in the row.
    pub column: usize,
    /// Whether its type is a union with null.
    pub nullable: bool,
    /// How the text is written.
    pub avro_type: AvroType,
}

impl AvroField {
    pub fn compile(index: usize, column: &Column) -> Self {
        Self { column: index, nullable: column.nullable, avro_type: AvroType::compile(&column.sql_type) }
    }
}

/// How a text becomes Avro's binary encoding.
#[derive(Debug)]
pub enum AvroType {
    Boolean,
    Int2,
    Int4,
    Long,
    Uint2,
    Uint4,
    Uint8,
    Float,
    Double,
    Decimal(Decimal),
    String,
    /// A string, with the mask that the cast to text adds.
    Inet,
    Bytes,
    Date,
    TimeMicros,
    Timestamp {
        zone: bool,
        millis: bool,
    },
    Interval,
    Array {
        items: Box<AvroType>,
        delimiter: u8,
        nesting: Nesting,
    },
    Map(Box<AvroType>),
    Record(Vec<AvroField>),
}

impl AvroType {
    fn compile(sql_type: &SqlType) -> Self {
        match sql_type {
            SqlType::Bool => Self::Boolean,
            SqlType::Int2 => Self::Int2,
            SqlType::Int4 => Self::Int4,
            SqlType::Int8 => Self::Long,
            SqlType::Uint2 => Self::Uint2,
            SqlType::Uint4 | SqlType::Oid => Self::Uint4,
            SqlType::Uint8 => Self::Uint8,
            SqlType::Float4 => Self::Float,
            SqlType::Float8 => Self::Double,
            SqlType::Numeric { typmod: Some((precision, scale)) } => {
                Self::Decimal(Decimal::holding(*precision, *scale))
            }
            SqlType::Other(name) if name == "inet" => Self::Inet,
            SqlType::Numeric { typmod: None }
            | SqlType::Text
            | SqlType::Uuid
            | SqlType::Json
            | SqlType::Jsonb
            | SqlType::Other(_) => Self::String,
            SqlType::Bytea => Self::Bytes,
            SqlType::Date => Self::Date,
            SqlType::Time => Self::TimeMicros,
            SqlType::Timestamp { precision } => {
                Self::Timestamp { zone: false, millis: timestamp_is_millis(*precision) }
            }
            SqlType::Timestamptz { precision } => {
                Self::Timestamp { zone: true, millis: timestamp_is_millis(*precision) }
            }
            SqlType::Interval => Self::Interval,
            SqlType::Array(items) => Self::Array {
                items: Box::new(Self::compile(items)),
                delimiter: items.array_delimiter(),
                nesting: Nesting::Dimensions,
            },
            SqlType::List(items) => {
                Self::Array { items: Box::new(Self::compile(items)), delimiter: b',', nesting: Nesting::Elements }
            }
            SqlType::Map(values) => Self::Map(Box::new(Self::compile(values))),
            SqlType::Record { fields, .. } => Self::Record(
                fields.iter().enumerate().map(|(index, column)| AvroField::compile(index, column)).collect(),
            ),
        }
    }
}

/// Milliseconds, if the type has no finer digits.
pub fn timestamp_is_millis(precision: Option<u8>) -> bool {
    precision.is_some_and(|precision| precision <= 3)
}

/// Avro's decimal: `precision` digits, `scale` of them behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    pub precision: u32,
    pub scale: u32,
}

impl Decimal {
    /// The smallest decimal that holds every value of `numeric(precision, scale)`. Avro wants 0 ≤ scale ≤ precision,
    /// Postgres (since 15) also allows a negative scale, which is zeros before the point, and one beyond the precision,
    /// which is zeros behind it. Those zeros are counted in.
    pub fn holding(precision: u16, scale: i16) -> Self {
        let precision = u32::from(precision);
        let places = u32::from(scale.unsigned_abs());
        if scale < 0 {
            Self { precision: precision + places, scale: 0 }
        } else {
            Self { precision: precision.max(places), scale: places }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_hold_every_value() {
        for (numeric, decimal) in [((12, 2), (12, 2)), ((5, 0), (5, 0)), ((3, -2), (5, 0)), ((2, 5), (5, 5))] {
            let Decimal { precision, scale } = Decimal::holding(numeric.0, numeric.1);
            assert_eq!((precision, scale), decimal, "numeric{numeric:?}");
        }
    }

    #[test]
    fn timestamps_without_precision_have_micros() {
        assert!(timestamp_is_millis(Some(0)) && timestamp_is_millis(Some(3)));
        assert!(!timestamp_is_millis(Some(4)) && !timestamp_is_millis(None));
    }
}
