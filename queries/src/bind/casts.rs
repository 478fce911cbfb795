//! Casts that the user writes, and the names of types.

use std::sync::Arc;

use afterbay_formats::relation::SqlType;
use arrow_array::StringArray;
use sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use super::{Bind, Binder, Bound, Origin, no_cast};
use crate::cast::strings;
use crate::error::QueryError;
use crate::names;
use crate::types::{self, ANY_NUMERIC, TIMESTAMP, TIMESTAMPTZ};

/// What a value is cast to.
#[derive(Clone, Debug)]
pub struct Target {
    sql_type: SqlType,
    /// `varchar(n)` cuts off what is longer.
    max_chars: Option<u64>,
}

impl Target {
    fn of(sql_type: SqlType) -> Self {
        Self { sql_type, max_chars: None }
    }
}

/// The type that is named.
pub fn sql_type(data_type: &DataType) -> Bind<Target> {
    let sql_type = match data_type {
        DataType::Bool | DataType::Boolean => SqlType::Bool,
        DataType::SmallInt(None) | DataType::Int2(None) => SqlType::Int2,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => SqlType::Int4,
        DataType::BigInt(None) | DataType::Int8(None) => SqlType::Int8,
        DataType::UInt8 => SqlType::Uint8,
        DataType::Real | DataType::Float4 | DataType::Float(ExactNumberInfo::Precision(1..=24)) => SqlType::Float4,
        DataType::DoublePrecision
        | DataType::Float8
        | DataType::Double(ExactNumberInfo::None)
        | DataType::Float(ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53)) => SqlType::Float8,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => return numeric(*info),
        DataType::Text => SqlType::Text,
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            let max_chars = match length {
                None => None,
                Some(CharacterLength::IntegerLength { length, unit: None }) => Some(*length),
                Some(_) => return Err(unknown(data_type)),
            };
            return Ok(Target { sql_type: SqlType::Text, max_chars });
        }
        DataType::Char(_) | DataType::Character(_) => {
            return Err(QueryError::new("casts to char(n): not supported").hint("cast to varchar(n) or to text"));
        }
        DataType::Bytea => SqlType::Bytea,
        DataType::Uuid => SqlType::Uuid,
        DataType::Date => SqlType::Date,
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => SqlType::Time,
        DataType::Timestamp(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => TIMESTAMP,
        DataType::Timestamp(None | Some(6), TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => TIMESTAMPTZ,
        DataType::Timestamp(Some(_), _) => {
            return Err(QueryError::new("casts to a timestamp of fewer digits: not supported")
                .hint("date_trunc('second', …) or date_trunc('milliseconds', …) cut digits off"));
        }
        DataType::Interval { fields: None, precision: None } => SqlType::Interval,
        DataType::JSON => SqlType::Json,
        DataType::JSONB => SqlType::Jsonb,
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            match names::parts(name).unwrap_or_default().join(".").as_str() {
                "uint2" => SqlType::Uint2,
                "uint4" => SqlType::Uint4,
                "uint8" => SqlType::Uint8,
                "oid" => SqlType::Oid,
                "name" => SqlType::Text,
                _ => return Err(unknown(data_type)),
            }
        }
        _ => return Err(unknown(data_type)),
    };
    Ok(Target::of(sql_type))
}

fn numeric(info: ExactNumberInfo) -> Bind<Target> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(Target::of(ANY_NUMERIC)),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let too_wide = || {
        QueryError::new(format!("numeric({precision},{scale}) is not supported as the type of a cast"))
            .hint(format!("from 1 to {} digits, of which none to all stand behind the point", types::MAX_PRECISION))
    };
    let (precision, scale) = match (i32::try_from(precision), i32::try_from(scale)) {
        (Ok(precision), Ok(scale)) if precision > 0 && (0..=precision).contains(&scale) => (precision, scale),
        _ => return Err(too_wide()),
    };
    match types::numeric(precision, scale) {
        ANY_NUMERIC => Err(too_wide()),
        sql_type => Ok(Target::of(sql_type)),
    }
}

fn unknown(data_type: &DataType) -> QueryError {
    QueryError::new(format!("casts to type {data_type}: not supported"))
        .hint("cast to a number, boolean, text, bytea, uuid, date, time, timestamp, timestamptz or interval")
}

impl Binder<'_> {
    /// A cast that the user wrote.
    pub(super) fn explicit(&mut self, bound: Bound, to: Target) -> Bind<Bound> {
        let sql_type = match to.sql_type {
            ANY_NUMERIC => match exact(&bound) {
                Some(sql_type) => sql_type,
                None => {
                    return Err(QueryError::new(format!(
                        "a cast of {} to numeric needs a precision and a scale here",
                        types::name(&bound.sql_type)
                    ))
                    .hint("for example numeric(20,4)"));
                }
            },
            sql_type => sql_type,
        };
        let bound = match (&bound.origin, &sql_type) {
            // What is a `json` column stays one.
            (_, SqlType::Json | SqlType::Jsonb) if bound.sql_type != sql_type => {
                return Err(no_cast(&bound.sql_type, &sql_type).hint("it is written as it is: cast to text"));
            }
            _ => self.coerce(bound, &sql_type)?,
        };
        let Some(max_chars) = to.max_chars else { return Ok(bound) };
        let cut = move |text: &str| -> String { text.chars().take(max_chars as usize).collect() };
        let kernel = Arc::new(move |arguments: &[arrow_array::ArrayRef]| {
            let cut: StringArray = strings(&arguments[0])?.iter().map(|text| text.map(cut)).collect();
            Ok(Arc::new(cut) as arrow_array::ArrayRef)
        });
        Ok(self.call("varchar", &[bound], SqlType::Text, kernel))
    }
}

/// The `numeric` that holds all values of the type.
fn exact(bound: &Bound) -> Option<SqlType> {
    match bound.origin {
        Origin::Untyped(None) => Some(types::numeric(1, 0)),
        Origin::Untyped(Some(_)) => None,
        _ => types::as_numeric(&bound.sql_type),
    }
}
