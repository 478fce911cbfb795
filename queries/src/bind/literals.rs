//! Literals.

use afterbay_formats::relation::SqlType;
use datafusion_common::ScalarValue;
use sqlparser::ast::{Expr, Interval, Value};

use super::{Bind, Binder, Bound, Origin};
use crate::decimal;
use crate::error::QueryError;
use crate::types::{self, numeric};

/// A literal; those in quotes have no type yet.
pub fn value(value: &Value) -> Bind<Bound> {
    let untyped = |text| Bound { nullable: false, origin: Origin::Untyped(text), sql_type: SqlType::Text };
    match value {
        Value::Number(digits, false) => number(digits),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) | Value::UnicodeStringLiteral(text) => {
            Ok(untyped(Some(text.clone())))
        }
        Value::DollarQuotedString(text) => Ok(untyped(Some(text.value.clone()))),
        Value::Boolean(value) => Ok(Bound {
            origin: Origin::Constant(ScalarValue::Boolean(Some(*value))),
            sql_type: SqlType::Bool,
            nullable: false,
        }),
        Value::Null => Ok(Bound { nullable: true, ..untyped(None) }),
        other => Err(QueryError::new(format!("the literal {other}: not supported"))),
    }
}

/// The smallest type that holds it, from `integer` on.
pub fn number(digits: &str) -> Bind<Bound> {
    let constant = |value, sql_type| Ok(Bound { origin: Origin::Constant(value), sql_type, nullable: false });
    if let Ok(value) = digits.parse::<i32>() {
        return constant(ScalarValue::Int32(Some(value)), SqlType::Int4);
    }
    if let Ok(value) = digits.parse::<i64>() {
        return constant(ScalarValue::Int64(Some(value)), SqlType::Int8);
    }
    exact(digits).ok_or_else(|| {
        QueryError::new(format!("the number {digits} has more than {} digits", types::MAX_PRECISION))
            .hint("write it as double precision: '…'::double precision")
    })
}

/// A `numeric` with the digits that are written.
fn exact(digits: &str) -> Option<Bound> {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let scale = i32::try_from(fraction).ok()?.checked_sub(exponent)?.max(0);
    let units = decimal::parse(digits, scale).ok()?;
    let sql_type = numeric(i32::try_from(units.to_string().trim_start_matches('-').len()).ok()?, scale);
    let (precision, scale) = match sql_type {
        SqlType::Numeric { typmod: Some((precision, scale)) } => (precision as u8, scale as i8),
        _ => return None,
    };
    let value = match units.to_i128() {
        Some(units) if precision <= 38 => ScalarValue::Decimal128(Some(units), precision, scale),
        _ => ScalarValue::Decimal256(Some(units), precision, scale),
    };
    Some(Bound { origin: Origin::Constant(value), sql_type, nullable: false })
}

impl Binder<'_> {
    /// `INTERVAL '1 day'`, `INTERVAL '1' DAY`
    pub(super) fn interval(&mut self, interval: &Interval) -> Bind<Bound> {
        let text = match interval.value.as_ref() {
            Expr::Value(literal) => value(&literal.value)?,
            _ => return Err(QueryError::new("INTERVAL wants a text in quotes").hint("for example INTERVAL '1 day'")),
        };
        let Origin::Untyped(Some(text)) = text.origin else {
            return Err(QueryError::new("INTERVAL wants a text in quotes").hint("for example INTERVAL '1 day'"));
        };
        if interval.last_field.is_some() || interval.leading_precision.is_some() {
            return Err(QueryError::new("INTERVAL with a range of fields: not supported"));
        }
        let text = match &interval.leading_field {
            Some(field) => format!("{text} {field}"),
            None => text,
        };
        let untyped = Bound { origin: Origin::Untyped(Some(text)), sql_type: SqlType::Text, nullable: false };
        self.coerce(untyped, &SqlType::Interval)
    }
}
