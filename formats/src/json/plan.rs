//! What is to be written for each column, compiled once.

use afterbay_crds::plan::JsonValues;

use super::write;
use crate::relation::{Column, SqlType};
use crate::text::array::Nesting;

/// A member of an object.
#[derive(Debug)]
pub struct JsonField {
    /// Where its text stands in the row.
    pub column: usize,
    /// What stands before its value: brace or comma, name, colon.
    pub prefix: Box<[u8]>,
    /// How the text is written.
    pub json_type: JsonType,
}

impl JsonField {
    /// The members of an object, in order.
    pub fn compile_all<'a>(columns: impl Iterator<Item = (usize, &'a Column)>, values: JsonValues) -> Vec<Self> {
        columns
            .enumerate()
            .map(|(place, (index, column))| {
                let mut prefix = vec![if place == 0 { b'{' } else { b',' }];
                write::quoted(column.name.as_bytes(), "", &mut prefix);
                prefix.push(b':');
                let prefix = prefix.into_boxed_slice();
                Self { column: index, prefix, json_type: JsonType::compile(&column.sql_type, values) }
            })
            .collect()
    }
}

/// How a text becomes JSON. NULL is null for every type.
#[derive(Debug)]
pub enum JsonType {
    Boolean,
    /// Digits, as they are.
    Signed,
    /// Digits, as they are.
    Unsigned,
    /// A string of the text.
    Text,
    /// A string of the text, with the mask that the cast to text adds.
    Inet,
    /// A string of milliseconds since 1970 with three digits of microseconds.
    Timestamp {
        zone: bool,
    },
    /// The number as it is; NaN and infinities, which JSON has not, as a string.
    Float,
    /// The text is JSON.
    Nested,
    /// A string of the bytes in base64 (RFC 4648).
    Base64,
    /// An object of an hstore's pairs.
    Map,
    Array {
        items: Box<JsonType>,
        delimiter: u8,
        nesting: Nesting,
    },
    Object(Vec<JsonField>),
}

impl JsonType {
    fn compile(sql_type: &SqlType, values: JsonValues) -> Self {
        match sql_type {
            SqlType::Bool => Self::Boolean,
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => Self::Signed,
            SqlType::Uint2 | SqlType::Uint4 | SqlType::Uint8 => Self::Unsigned,
            SqlType::Timestamp { .. } => Self::Timestamp { zone: false },
            SqlType::Timestamptz { .. } => Self::Timestamp { zone: true },
            SqlType::Array(items) => Self::Array {
                items: Box::new(Self::compile(items, values)),
                delimiter: items.array_delimiter(),
                nesting: Nesting::Dimensions,
            },
            SqlType::List(items) => Self::Array {
                items: Box::new(Self::compile(items, values)),
                delimiter: b',',
                nesting: Nesting::Elements,
            },
            SqlType::Record { fields, .. } => Self::Object(JsonField::compile_all(fields.iter().enumerate(), values)),
            SqlType::Other(name) if name == "inet" => Self::Inet,
            SqlType::Float4 | SqlType::Float8 if values == JsonValues::Native => Self::Float,
            SqlType::Json | SqlType::Jsonb if values == JsonValues::Native => Self::Nested,
            SqlType::Bytea if values == JsonValues::Native => Self::Base64,
            SqlType::Map(_) if values == JsonValues::Native => Self::Map,
            // The table's "Other", and numeric, whose decimal representation is its text.
            SqlType::Oid
            | SqlType::Float4
            | SqlType::Float8
            | SqlType::Numeric { .. }
            | SqlType::Text
            | SqlType::Bytea
            | SqlType::Date
            | SqlType::Time
            | SqlType::Interval
            | SqlType::Uuid
            | SqlType::Json
            | SqlType::Jsonb
            | SqlType::Map(_)
            | SqlType::Other(_) => Self::Text,
        }
    }
}
