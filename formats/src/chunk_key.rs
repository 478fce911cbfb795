//! The key by which a snapshot is taken in chunks: rows are read in its order, and changes compared with it.
//!
//! The order must be the server's own, so only types count whose order is the same here: integers, `numeric`, `uuid`,
//! `bytea`, dates and timestamps, and text whose collation compares bytes.

use std::cmp::Ordering;

use crate::relation::SqlType;
use crate::row::Row;
use crate::table::{ColumnDescription, TableDescription};
use crate::text::datetime::{self, Extended};
use crate::text::{integer, numeric};

/// The columns of a primary key, each with its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkKey {
    columns: Vec<KeyColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyColumn {
    name: String,
    /// Which of the streamed columns it is.
    index: usize,
    order: Order,
}

/// How the values of a type compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Integer,
    Unsigned,
    Numeric,
    /// The text form orders as the values do: `uuid`, `bytea` in hex, text under a collation that compares bytes.
    Bytes,
    Date,
    Timestamp,
    Timestamptz,
}

/// A cell that is no value of its column's type, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of the key holds nothing that can be compared")]
pub struct NotComparable {
    /// Which of the streamed columns it is.
    pub column: usize,
}

impl ChunkKey {
    /// The primary key, if a snapshot of the table can be taken by it: all its columns belong to the Sink's `key` (so that
    /// rows of one message key are in one chunk), are sent with every change, and can be compared here.
    ///
    /// `bytewise` are the columns of text whose collation compares bytes.
    pub fn of(table: &TableDescription, key: &[String], bytewise: &[String]) -> Option<Self> {
        let primary = table.unique_keys.iter().find(|unique| unique.primary)?;
        let column = |name: &String| {
            if !key.contains(name) || !table.is_identity(name) {
                return None;
            }
            let (index, column) = table.streamed_columns().enumerate().find(|(_, column)| column.name == *name)?;
            let order = Order::of(column, bytewise.contains(name))?;
            Some(KeyColumn { name: name.clone(), index, order })
        };
        let columns: Option<Vec<_>> = primary.columns.iter().map(column).collect();
        columns.filter(|columns| !columns.is_empty()).map(|columns| Self { columns })
    }

    /// The names of its columns, unquoted, in its order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Its columns, each with the word for its order: what is kept of it.
    pub fn words(&self) -> Vec<String> {
        self.columns.iter().map(|column| format!("{} {:?}", column.name, column.order)).collect()
    }

    /// Whether it orders rows as the other does, wherever its columns stand.
    pub fn orders_as(&self, other: &Self) -> bool {
        let own = self.columns.iter().map(|column| (&column.name, column.order));
        own.eq(other.columns.iter().map(|column| (&column.name, column.order)))
    }

    /// The same key of rows with these columns; none where one of its own is not among them.
    pub fn within(&self, columns: &[&str]) -> Option<Self> {
        let place = |column: &KeyColumn| {
            let index = columns.iter().position(|name| *name == column.name)?;
            Some(KeyColumn { index, ..column.clone() })
        };
        self.columns.iter().map(place).collect::<Option<Vec<_>>>().map(|columns| Self { columns })
    }

    /// The key of a row, in text form.
    pub fn cells(&self, row: &impl Row) -> Result<Vec<String>, NotComparable> {
        let cell = |column: &KeyColumn| {
            let text = row.cell(column.index).and_then(|text| std::str::from_utf8(text).ok());
            text.map(str::to_owned).ok_or(NotComparable { column: column.index })
        };
        self.columns.iter().map(cell).collect()
    }

    /// How the key of a row compares with another, which is given in text form.
    pub fn compare(&self, row: &impl Row, other: &[String]) -> Result<Ordering, NotComparable> {
        for (column, other) in self.columns.iter().zip(other) {
            let cell = row.cell(column.index).and_then(|cell| column.order.compare(cell, other.as_bytes()));
            match cell.ok_or(NotComparable { column: column.index })? {
                Ordering::Equal => {}
                unequal => return Ok(unequal),
            }
        }
        Ok(Ordering::Equal)
    }
}

impl Order {
    fn of(column: &ColumnDescription, bytewise: bool) -> Option<Self> {
        match column.sql_type {
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => Some(Self::Integer),
            SqlType::Uint2 | SqlType::Uint4 | SqlType::Uint8 | SqlType::Oid => Some(Self::Unsigned),
            SqlType::Numeric { .. } => Some(Self::Numeric),
            SqlType::Uuid | SqlType::Bytea => Some(Self::Bytes),
            SqlType::Text => bytewise.then_some(Self::Bytes),
            SqlType::Date => Some(Self::Date),
            SqlType::Timestamp { .. } => Some(Self::Timestamp),
            SqlType::Timestamptz { .. } => Some(Self::Timestamptz),
            _ => None,
        }
    }

    fn compare(self, one: &[u8], other: &[u8]) -> Option<Ordering> {
        fn by<T: Ord>(
            one: &[u8],
            other: &[u8],
            parse: impl Fn(&[u8]) -> Result<T, crate::text::Malformed>,
        ) -> Option<Ordering> {
            Some(parse(one).ok()?.cmp(&parse(other).ok()?))
        }
        match self {
            Self::Integer => by(one, other, integer::signed),
            Self::Unsigned => by(one, other, integer::unsigned),
            Self::Numeric => numeric::compare(one, other).ok(),
            Self::Bytes => Some(one.cmp(other)),
            Self::Date => by(one, other, |text| datetime::date(text).map(line)),
            Self::Timestamp => by(one, other, |text| datetime::timestamp(text).map(moment)),
            Self::Timestamptz => by(one, other, |text| datetime::timestamptz(text).map(moment)),
        }
    }
}

/// A point on the line with its ends, as something that is ordered.
fn line<T>(point: Extended<T>) -> (i8, Option<T>) {
    match point {
        Extended::Past => (-1, None),
        Extended::Finite(value) => (0, Some(value)),
        Extended::Future => (1, None),
    }
}

fn moment(point: Extended<datetime::Instant>) -> (i8, Option<(i64, i64)>) {
    let (place, value) = line(point);
    (place, value.map(|instant| (instant.millis, instant.micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ascending by the server's order; `clients/tests` holds the same against a real server.
    fn ascending(order: Order, values: &[&str]) {
        for (place, one) in values.iter().enumerate() {
            for (other_place, other) in values.iter().enumerate() {
                let found = order.compare(one.as_bytes(), other.as_bytes());
                assert_eq!(found, Some(place.cmp(&other_place)), "{order:?}: {one} and {other}");
            }
        }
    }

    #[test]
    fn values_order_as_the_server_orders_them() {
        ascending(Order::Integer, &["-9223372036854775808", "-10", "-9", "0", "9", "10", "9223372036854775807"]);
        ascending(Order::Unsigned, &["0", "9", "10", "4294967295"]);
        ascending(Order::Bytes, &["", "B", "a", "a ", "aa", "é"]);
        ascending(Order::Bytes, &["\\x", "\\x00", "\\x0000", "\\x01", "\\xff"]);
        ascending(
            Order::Numeric,
            &["-Infinity", "-100", "-20.5", "-20", "-0.01", "0", "0.001", "0.01", "9", "10", "10.5", "Infinity", "NaN"],
        );
        ascending(Order::Date, &["-infinity", "0044-03-15 BC", "0001-01-01", "2024-02-29", "10000-01-01", "infinity"]);
        let moments =
            ["-infinity", "0044-03-15 00:00:00 BC", "2024-01-01 00:00:00", "2024-01-01 00:00:00.5", "infinity"];
        ascending(Order::Timestamp, &moments);
        ascending(
            Order::Timestamptz,
            &["2024-01-01 00:00:00+00", "2024-01-01 00:00:00.5+00", "2024-01-01 00:00:01+00"],
        );
    }

    #[test]
    fn numbers_of_other_scales_are_equal() {
        assert_eq!(Order::Numeric.compare(b"1.50", b"1.5"), Some(Ordering::Equal));
        assert_eq!(Order::Numeric.compare(b"-0.0", b"0"), Some(Ordering::Equal));
        assert_eq!(Order::Integer.compare(b"x", b"1"), None);
    }
}
