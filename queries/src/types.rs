//! Types as expressions see them: their names, how Arrow holds them, and which type two of them have in common.

use std::sync::{Arc, LazyLock};

use afterbay_formats::relation::SqlType;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

/// Digits that Arrow's wider decimal holds.
pub const MAX_PRECISION: u8 = 76;
/// Digits that Arrow's narrower decimal holds.
const NARROW_PRECISION: u8 = 38;

/// The zone of every `timestamptz`: sessions have `TimeZone` UTC.
pub static UTC: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("UTC"));

/// `numeric` of any precision, whose values travel as text.
pub const ANY_NUMERIC: SqlType = SqlType::Numeric { typmod: None };
/// `timestamp`
pub const TIMESTAMP: SqlType = SqlType::Timestamp { precision: None };
/// `timestamptz`
pub const TIMESTAMPTZ: SqlType = SqlType::Timestamptz { precision: None };

/// `numeric(precision, scale)`, or of any precision where Arrow has no decimal for it.
pub fn numeric(precision: i32, scale: i32) -> SqlType {
    // Since Postgres 15 the scale may be negative or larger than the precision; the same values fit into these.
    let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    if precision > i32::from(MAX_PRECISION) {
        return ANY_NUMERIC;
    }
    SqlType::Numeric { typmod: Some((precision.max(1) as u16, scale as i16)) }
}

/// The type without what makes no difference to an expression.
pub fn normal(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Numeric { typmod: Some((precision, scale)) } => numeric((*precision).into(), (*scale).into()),
        SqlType::Timestamp { .. } => TIMESTAMP,
        SqlType::Timestamptz { .. } => TIMESTAMPTZ,
        other => other.clone(),
    }
}

/// How Arrow holds values of a (normal) type.
pub fn arrow(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::Bool => DataType::Boolean,
        SqlType::Int2 => DataType::Int16,
        SqlType::Int4 => DataType::Int32,
        SqlType::Int8 => DataType::Int64,
        SqlType::Uint2 => DataType::UInt16,
        SqlType::Uint4 | SqlType::Oid => DataType::UInt32,
        SqlType::Uint8 => DataType::UInt64,
        SqlType::Float4 => DataType::Float32,
        SqlType::Float8 => DataType::Float64,
        SqlType::Numeric { typmod: Some((precision, scale)) } => {
            let (precision, scale) = (*precision as u8, *scale as i8);
            if precision <= NARROW_PRECISION {
                DataType::Decimal128(precision, scale)
            } else {
                DataType::Decimal256(precision, scale)
            }
        }
        SqlType::Bytea => DataType::Binary,
        SqlType::Date => DataType::Date32,
        SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
        SqlType::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
        SqlType::Timestamptz { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.clone())),
        SqlType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Numeric { typmod: None }
        | SqlType::Text
        | SqlType::Uuid
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Array(_)
        | SqlType::List(_)
        | SqlType::Map(_)
        | SqlType::Record { .. }
        | SqlType::Other(_) => DataType::Utf8,
    }
}

/// The type in Postgres' words.
pub fn name(sql_type: &SqlType) -> String {
    let name = match sql_type {
        SqlType::Bool => "boolean",
        SqlType::Int2 => "smallint",
        SqlType::Int4 => "integer",
        SqlType::Int8 => "bigint",
        SqlType::Uint2 => "uint2",
        SqlType::Uint4 => "uint4",
        SqlType::Uint8 => "uint8",
        SqlType::Oid => "oid",
        SqlType::Float4 => "real",
        SqlType::Float8 => "double precision",
        SqlType::Numeric { .. } => "numeric",
        SqlType::Text => "text",
        SqlType::Bytea => "bytea",
        SqlType::Date => "date",
        SqlType::Time => "time without time zone",
        SqlType::Timestamp { .. } => "timestamp without time zone",
        SqlType::Timestamptz { .. } => "timestamp with time zone",
        SqlType::Interval => "interval",
        SqlType::Uuid => "uuid",
        SqlType::Json => "json",
        SqlType::Jsonb => "jsonb",
        SqlType::Array(element) => return format!("{}[]", name(element)),
        SqlType::List(element) => return format!("{} list", name(element)),
        SqlType::Map(_) => "hstore",
        SqlType::Record { name, .. } | SqlType::Other(name) => name,
    };
    name.to_owned()
}

/// Whether it is a number of any kind.
pub fn is_number(sql_type: &SqlType) -> bool {
    rank(sql_type).is_some()
}

/// Whether it is a whole number.
pub fn is_integer(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) || is_unsigned(sql_type)
}

/// Whether it is a whole number that is never negative.
pub fn is_unsigned(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Uint2 | SqlType::Uint4 | SqlType::Uint8 | SqlType::Oid)
}

/// Whether it is `real` or `double precision`.
pub fn is_float(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Float4 | SqlType::Float8)
}

/// Postgres' order of implicit casts among numbers; unsigned ones are as the next larger signed one.
fn rank(sql_type: &SqlType) -> Option<u8> {
    Some(match sql_type {
        SqlType::Int2 => 0,
        SqlType::Int4 | SqlType::Uint2 => 1,
        SqlType::Int8 | SqlType::Uint4 | SqlType::Oid => 2,
        SqlType::Numeric { .. } | SqlType::Uint8 => 3,
        SqlType::Float4 => 4,
        SqlType::Float8 => 5,
        _ => return None,
    })
}

/// The `numeric` that holds every value of a whole number's type, or the type itself if it is one.
pub fn as_numeric(sql_type: &SqlType) -> Option<SqlType> {
    Some(match sql_type {
        SqlType::Int2 | SqlType::Uint2 => numeric(5, 0),
        SqlType::Int4 | SqlType::Uint4 | SqlType::Oid => numeric(10, 0),
        SqlType::Int8 => numeric(19, 0),
        SqlType::Uint8 => numeric(20, 0),
        SqlType::Numeric { .. } => sql_type.clone(),
        _ => return None,
    })
}

/// The type in which two values are compared, or of which either can be; none where Postgres has none either, or where
/// this crate does not know how values compare.
pub fn common(one: &SqlType, other: &SqlType) -> Option<SqlType> {
    if one == other {
        return Some(one.clone());
    }
    if let (Some(one_rank), Some(other_rank)) = (rank(one), rank(other)) {
        return Some(match one_rank.max(other_rank) {
            0 => SqlType::Int2,
            1 => SqlType::Int4,
            2 => SqlType::Int8,
            3 => common_numeric(&as_numeric(one)?, &as_numeric(other)?),
            // As in Postgres: among `real` and a number that is not, `double precision` is preferred.
            _ => SqlType::Float8,
        });
    }
    match (one, other) {
        (SqlType::Date | SqlType::Timestamp { .. }, SqlType::Date | SqlType::Timestamp { .. }) => Some(TIMESTAMP),
        (
            SqlType::Date | SqlType::Timestamp { .. } | SqlType::Timestamptz { .. },
            SqlType::Date | SqlType::Timestamp { .. } | SqlType::Timestamptz { .. },
        ) => Some(TIMESTAMPTZ),
        _ => None,
    }
}

fn common_numeric(one: &SqlType, other: &SqlType) -> SqlType {
    match (digits(one), digits(other)) {
        (Some((whole, scale)), Some((other_whole, other_scale))) => {
            let scale = scale.max(other_scale);
            numeric(whole.max(other_whole) + scale, scale)
        }
        _ => ANY_NUMERIC,
    }
}

/// Digits before and behind the point of a `numeric` that says so.
pub fn digits(sql_type: &SqlType) -> Option<(i32, i32)> {
    match sql_type {
        SqlType::Numeric { typmod: Some((precision, scale)) } => {
            let (precision, scale) = (i32::from(*precision), i32::from(*scale));
            Some((precision - scale, scale))
        }
        _ => None,
    }
}
