//! Operators, with Postgres' types.

use std::sync::Arc;

use afterbay_formats::relation::SqlType;
use arrow_array::ArrayRef;
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{LikeExpr, in_list};
use sqlparser::ast::{BinaryOperator, Expr, Spanned as _, UnaryOperator, Value};

use super::{Bind, Binder, Bound, Origin, literals, unsupported};
use crate::arithmetic::{self, Arithmetic};
use crate::error::QueryError;
use crate::moments;
use crate::types::{self, TIMESTAMP, TIMESTAMPTZ, numeric};

impl Binder<'_> {
    pub(super) fn operator(&mut self, expr: &Expr) -> Bind<Bound> {
        match expr {
            Expr::BinaryOp { left, op, right } => self.binary_operator(left, op, right),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let bound = self.condition(expr, "NOT")?;
                Ok(self.not(&bound))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                // The sign belongs to the number: the smallest `integer` has no positive counterpart.
                if let Expr::Value(literal) = expr.as_ref()
                    && let Value::Number(digits, false) = &literal.value
                {
                    return literals::number(&format!("-{digits}"));
                }
                let bound = self.bind(expr)?;
                self.negative(bound)
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => {
                let bound = self.bind(expr)?;
                if types::is_number(&bound.sql_type) && !bound.is_untyped() {
                    Ok(bound)
                } else {
                    Err(unary("+", &bound))
                }
            }
            Expr::UnaryOp { op, .. } => Err(QueryError::new(format!("operator {op}: not supported"))),
            Expr::IsDistinctFrom(one, other) => self.bind_comparison(one, Operator::IsDistinctFrom, other),
            Expr::IsNotDistinctFrom(one, other) => self.bind_comparison(one, Operator::IsNotDistinctFrom, other),
            Expr::Between { expr, negated, low, high } => {
                let value = self.bind(expr)?;
                let (low, high) = (self.bind(low)?, self.bind(high)?);
                let above = self.compare(value.clone(), Operator::GtEq, low)?;
                let below = self.compare(value, Operator::LtEq, high)?;
                let within = self.binary(&above, Operator::And, &below, SqlType::Bool);
                Ok(if *negated { self.not(&within) } else { within })
            }
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Like { negated, expr, pattern, .. } => self.like(expr, pattern, *negated, false),
            Expr::ILike { negated, expr, pattern, .. } => self.like(expr, pattern, *negated, true),
            other => Err(unsupported(other)),
        }
    }

    fn binary_operator(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Bind<Bound> {
        let comparison = match operator {
            BinaryOperator::And | BinaryOperator::Or => {
                let word = if *operator == BinaryOperator::And { "AND" } else { "OR" };
                let (left, right) = (self.condition(left, word)?, self.condition(right, word)?);
                let operator = if *operator == BinaryOperator::And { Operator::And } else { Operator::Or };
                return Ok(self.binary(&left, operator, &right, SqlType::Bool));
            }
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            _ => {
                let (left, right) = (self.bind(left)?, self.bind(right)?);
                return match operator {
                    BinaryOperator::StringConcat => self.concatenation(left, right),
                    BinaryOperator::Plus => self.arithmetic(left, Arithmetic::Plus, right),
                    BinaryOperator::Minus => self.arithmetic(left, Arithmetic::Minus, right),
                    BinaryOperator::Multiply => self.arithmetic(left, Arithmetic::Times, right),
                    BinaryOperator::Divide => self.arithmetic(left, Arithmetic::Divided, right),
                    BinaryOperator::Modulo => self.arithmetic(left, Arithmetic::Modulo, right),
                    BinaryOperator::PGExp => self.arithmetic(left, Arithmetic::Power, right),
                    BinaryOperator::BitwiseAnd => self.bitwise(left, Operator::BitwiseAnd, right),
                    BinaryOperator::BitwiseOr => self.bitwise(left, Operator::BitwiseOr, right),
                    BinaryOperator::PGBitwiseXor => self.bitwise(left, Operator::BitwiseXor, right),
                    other => Err(QueryError::new(format!("operator {other}: not supported"))),
                };
            }
        };
        self.bind_comparison(left, comparison, right)
    }

    fn bind_comparison(&mut self, left: &Expr, operator: Operator, right: &Expr) -> Bind<Bound> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        self.compare(left, operator, right)
    }

    /// Two values with a type in which they compare.
    pub(super) fn compare(&mut self, left: Bound, operator: Operator, right: Bound) -> Bind<Bound> {
        let (left, right) = self.alike(left, right, &operator.to_string())?;
        comparable(&left.sql_type)?;
        let distinct = matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
        let mut bound = match &left.sql_type {
            SqlType::Numeric { typmod: None } if distinct => {
                return Err(QueryError::new("IS DISTINCT FROM between numeric of any precision: not supported")
                    .hint("cast both to numeric with a precision and a scale"));
            }
            SqlType::Numeric { typmod: None } => {
                let order = self.call("compare", &[left, right], SqlType::Int4, arithmetic::compare_numerics());
                let zero = integer(0);
                self.binary(&order, operator, &zero, SqlType::Bool)
            }
            SqlType::Float4 | SqlType::Float8 => {
                let (left, right) = (self.comparable_float(left), self.comparable_float(right));
                self.binary(&left, operator, &right, SqlType::Bool)
            }
            _ => self.binary(&left, operator, &right, SqlType::Bool),
        };
        bound.nullable &= !distinct;
        Ok(bound)
    }

    fn comparable_float(&mut self, bound: Bound) -> Bound {
        let sql_type = bound.sql_type.clone();
        self.call(
            "comparable",
            &[bound],
            sql_type,
            Arc::new(|arguments: &[ArrayRef]| arithmetic::comparable(&arguments[0])),
        )
    }

    /// Both with the type that they have in common.
    fn alike(&mut self, left: Bound, right: Bound, operator: &str) -> Bind<(Bound, Bound)> {
        let common = match (left.is_untyped(), right.is_untyped()) {
            (true, true) => SqlType::Text,
            (true, false) => right.sql_type.clone(),
            (false, true) => left.sql_type.clone(),
            (false, false) => match (unsigned_for(&left, &right), unsigned_for(&right, &left)) {
                (Some(common), _) | (None, Some(common)) => common,
                (None, None) => types::common(&exact_type(&left, &right), &exact_type(&right, &left))
                    .ok_or_else(|| no_operator(operator, &left, &right))?,
            },
        };
        comparable_literal(&left, &right, &common)?;
        Ok((self.coerce(left, &common)?, self.coerce(right, &common)?))
    }

    fn in_list(&mut self, expr: &Expr, list: &[Expr], negated: bool) -> Bind<Bound> {
        let value = self.bind(expr)?;
        let list = list.iter().map(|item| self.bind(item)).collect::<Bind<Vec<_>>>()?;
        let constants = list.iter().all(Bound::is_constant);
        if constants && !types::is_float(&value.sql_type) && value.sql_type != types::ANY_NUMERIC {
            let mut all = vec![value.clone()];
            all.extend(list.iter().cloned());
            let all = self.unify(all, "IN")?;
            comparable(&all[0].sql_type)?;
            if !types::is_float(&all[0].sql_type) && all[0].sql_type != types::ANY_NUMERIC {
                let nullable = all.iter().any(|value| value.nullable);
                let mut expressions = all.iter().map(|value| self.expression(value)).collect::<Vec<_>>().into_iter();
                let schema = self.inputs.schema();
                let value = expressions.next();
                let list = value.and_then(|value| in_list(value, expressions.collect(), &negated, &schema).ok());
                let list = list.ok_or_else(|| QueryError::new("IN with these values: not supported"))?;
                return Ok(Bound::computed(list, SqlType::Bool, nullable));
            }
        }
        let mut any: Option<Bound> = None;
        for item in list {
            let equal = self.compare(value.clone(), Operator::Eq, item)?;
            any = Some(match any {
                Some(any) => self.binary(&any, Operator::Or, &equal, SqlType::Bool),
                None => equal,
            });
        }
        let any = any.ok_or_else(|| QueryError::new("IN has no values"))?;
        Ok(if negated { self.not(&any) } else { any })
    }

    fn like(&mut self, expr: &Expr, pattern: &Expr, negated: bool, insensitive: bool) -> Bind<Bound> {
        let (value, pattern_value) = (self.bind(expr)?, self.bind(pattern)?);
        for bound in [&value, &pattern_value] {
            if bound.sql_type != SqlType::Text {
                return Err(no_operator("LIKE", &value, &pattern_value).at(expr.span()));
            }
        }
        let nullable = value.nullable || pattern_value.nullable;
        let (value, pattern) = (self.expression(&value), self.expression(&pattern_value));
        Ok(Bound::computed(Arc::new(LikeExpr::new(negated, insensitive, value, pattern)), SqlType::Bool, nullable))
    }

    fn concatenation(&mut self, left: Bound, right: Bound) -> Bind<Bound> {
        let is_text = |bound: &Bound| bound.sql_type == SqlType::Text;
        let joins_otherwise = |bound: &Bound| {
            matches!(
                bound.sql_type,
                SqlType::Array(_) | SqlType::List(_) | SqlType::Bytea | SqlType::Jsonb | SqlType::Map(_)
            )
        };
        if !(is_text(&left) || is_text(&right)) || joins_otherwise(&left) || joins_otherwise(&right) {
            return Err(no_operator("||", &left, &right));
        }
        let (left, right) = (self.coerce(left, &SqlType::Text)?, self.coerce(right, &SqlType::Text)?);
        Ok(self.binary(&left, Operator::StringConcat, &right, SqlType::Text))
    }

    fn bitwise(&mut self, left: Bound, operator: Operator, right: Bound) -> Bind<Bound> {
        let (left, right) = self.alike(left, right, &operator.to_string())?;
        if !types::is_integer(&left.sql_type) {
            return Err(no_operator(&operator.to_string(), &left, &right));
        }
        let returns = left.sql_type.clone();
        Ok(self.binary(&left, operator, &right, returns))
    }

    fn negative(&mut self, bound: Bound) -> Bind<Bound> {
        match &bound.sql_type {
            _ if bound.is_untyped() => Err(unary("-", &bound)),
            sql_type if types::is_unsigned(sql_type) => Err(unary("-", &bound).hint("cast it to bigint or numeric")),
            sql_type if types::is_integer(sql_type) => {
                let zero = self.coerce(integer(0), &sql_type.clone())?;
                let returns = sql_type.clone();
                Ok(self.binary(&zero, Operator::Minus, &bound, returns))
            }
            SqlType::Float4 => Ok(self.call("-", &[bound], SqlType::Float4, arithmetic::of_float4(|value| -value))),
            SqlType::Float8 => Ok(self.call("-", &[bound], SqlType::Float8, arithmetic::of_float8(|value| Ok(-value)))),
            SqlType::Numeric { typmod: Some(_) } => {
                let returns = bound.sql_type.clone();
                let kernel = arithmetic::of_decimal(|units| Ok(units.wrapping_neg()), types::arrow(&returns));
                Ok(self.call("-", &[bound], returns, kernel))
            }
            SqlType::Numeric { typmod: None } => Err(any_precision()),
            _ => Err(unary("-", &bound)),
        }
    }

    /// `+ - * / % ^`, among numbers and among moments.
    pub(super) fn arithmetic(&mut self, left: Bound, operator: Arithmetic, right: Bound) -> Bind<Bound> {
        let is_moment = |bound: &Bound| {
            matches!(
                bound.sql_type,
                SqlType::Date
                    | SqlType::Time
                    | SqlType::Timestamp { .. }
                    | SqlType::Timestamptz { .. }
                    | SqlType::Interval
            )
        };
        if is_moment(&left) || is_moment(&right) {
            return self.moments(left, operator, right);
        }
        if operator == Arithmetic::Power {
            let (left, right) = (self.as_float8(left, "^")?, self.as_float8(right, "^")?);
            return Ok(self.call("power", &[left, right], SqlType::Float8, arithmetic::float8(operator)));
        }
        let symbol = symbol(operator);
        if left.is_untyped() && right.is_untyped() {
            return Err(no_operator(symbol, &left, &right));
        }
        let (exact_left, exact_right) = (exact_type(&left, &right), exact_type(&right, &left));
        let both_numbers = types::is_number(&left.sql_type) && types::is_number(&right.sql_type);
        let common = match unsigned_for(&left, &right).or_else(|| unsigned_for(&right, &left)) {
            Some(common) => common,
            None if both_numbers => types::common(&left.sql_type, &right.sql_type).unwrap_or(SqlType::Float8),
            None if left.is_untyped() => right.sql_type.clone(),
            None if right.is_untyped() => left.sql_type.clone(),
            None => return Err(no_operator(symbol, &left, &right)),
        };
        match common {
            SqlType::Numeric { .. } => {
                let (left_type, right_type) = (types::as_numeric(&exact_left), types::as_numeric(&exact_right));
                // A text in quotes is as its neighbour is.
                let (left_type, right_type) = match (left_type, right_type) {
                    (Some(left_type), Some(right_type)) => (left_type, right_type),
                    _ => (common.clone(), common),
                };
                let (left, right) = (self.coerce(left, &left_type)?, self.coerce(right, &right_type)?);
                self.decimals(left, operator, right)
            }
            SqlType::Float4 | SqlType::Float8 if operator == Arithmetic::Modulo => {
                Err(no_operator(symbol, &left, &right).hint("cast to numeric with a precision and a scale"))
            }
            SqlType::Float4 => {
                let (left, right) = (self.coerce(left, &common)?, self.coerce(right, &common)?);
                Ok(self.call(symbol, &[left, right], common, arithmetic::float4(operator)))
            }
            SqlType::Float8 => {
                let (left, right) = (self.coerce(left, &common)?, self.coerce(right, &common)?);
                Ok(self.call(symbol, &[left, right], common, arithmetic::float8(operator)))
            }
            _ if types::is_integer(&common) => {
                let (left, right) = (self.coerce(left, &common)?, self.coerce(right, &common)?);
                let operator = match operator {
                    Arithmetic::Plus => Operator::Plus,
                    Arithmetic::Minus => Operator::Minus,
                    Arithmetic::Times => Operator::Multiply,
                    Arithmetic::Divided => Operator::Divide,
                    Arithmetic::Modulo | Arithmetic::Power => Operator::Modulo,
                };
                Ok(self.binary(&left, operator, &right, common))
            }
            _ => Err(no_operator(symbol, &left, &right)),
        }
    }

    fn decimals(&mut self, left: Bound, operator: Arithmetic, right: Bound) -> Bind<Bound> {
        if operator == Arithmetic::Divided {
            return Err(QueryError::new("division of numeric: not supported, as its digits depend on the values")
                .hint("cast both to double precision, or multiply by the inverse"));
        }
        let (Some((left_whole, left_scale)), Some((right_whole, right_scale))) =
            (types::digits(&left.sql_type), types::digits(&right.sql_type))
        else {
            return Err(any_precision());
        };
        let (whole, scale) = match operator {
            Arithmetic::Times => (left_whole + right_whole, left_scale + right_scale),
            Arithmetic::Modulo => (left_whole.max(right_whole), left_scale.max(right_scale)),
            _ => (left_whole.max(right_whole) + 1, left_scale.max(right_scale)),
        };
        let most = i32::from(types::MAX_PRECISION);
        if scale > most {
            return Err(QueryError::new(format!("the result would have more than {most} digits behind the point"))
                .hint("round the operands first: round(x, 10)"));
        }
        // What would not fit is an error of its row.
        let returns = numeric((whole + scale).min(most), scale);
        let kernel = arithmetic::decimals(operator, left_scale, right_scale, types::arrow(&returns));
        Ok(self.call(symbol(operator), &[left, right], returns, kernel))
    }

    fn moments(&mut self, left: Bound, operator: Arithmetic, right: Bound) -> Bind<Bound> {
        use SqlType::{Date, Interval, Timestamp, Timestamptz};
        let forward = operator == Arithmetic::Plus;
        if !forward && operator != Arithmetic::Minus {
            return Err(no_operator(symbol(operator), &left, &right));
        }
        // The moment comes first.
        let swap = forward && !matches!(left.sql_type, Date | Timestamp { .. } | Timestamptz { .. });
        let (left, right) = if swap { (right, left) } else { (left, right) };
        let right = match (&left.sql_type, right.is_untyped()) {
            (Timestamp { .. } | Timestamptz { .. }, true) if forward => self.coerce(right, &Interval)?,
            (Date | Timestamp { .. } | Timestamptz { .. }, true) if !forward => self.coerce(right, &left.sql_type)?,
            _ => right,
        };
        match (left.sql_type.clone(), right.sql_type.clone()) {
            (Date, SqlType::Int2 | SqlType::Int4) => {
                let right = self.coerce(right, &SqlType::Int4)?;
                Ok(self.call(symbol(operator), &[left, right], Date, moments::step_days(forward)))
            }
            (Date, Interval) => {
                let left = self.coerce(left, &TIMESTAMP)?;
                Ok(self.call(symbol(operator), &[left, right], TIMESTAMP, moments::step(forward)))
            }
            (sql_type @ (Timestamp { .. } | Timestamptz { .. }), Interval) => {
                Ok(self.call(symbol(operator), &[left, right], sql_type, moments::step(forward)))
            }
            (Date, Date) if !forward => {
                Ok(self.call(symbol(operator), &[left, right], SqlType::Int4, moments::days_between()))
            }
            (Date | Timestamp { .. } | Timestamptz { .. }, Date | Timestamp { .. } | Timestamptz { .. })
                if !forward =>
            {
                let common = types::common(&left.sql_type, &right.sql_type).unwrap_or(TIMESTAMPTZ);
                let (left, right) = (self.coerce(left, &common)?, self.coerce(right, &common)?);
                Ok(self.call(symbol(operator), &[left, right], Interval, moments::time_between()))
            }
            _ => Err(no_operator(symbol(operator), &left, &right)),
        }
    }

    /// For what is computed in floats alone. Of `numeric` Postgres computes more digits, so it has to be cast first.
    pub(super) fn as_float8(&mut self, bound: Bound, what: &str) -> Bind<Bound> {
        match &bound.sql_type {
            SqlType::Numeric { .. } if !bound.is_constant() => {
                Err(QueryError::new(format!("{what} of numeric: not supported")).hint("cast it to double precision"))
            }
            sql_type if bound.is_untyped() || types::is_number(sql_type) => self.coerce(bound, &SqlType::Float8),
            _ => Err(QueryError::new(format!("{what} does not take type {}", types::name(&bound.sql_type)))),
        }
    }
}

pub(super) fn integer(value: i32) -> Bound {
    Bound { origin: Origin::Constant(ScalarValue::Int32(Some(value))), sql_type: SqlType::Int4, nullable: false }
}

/// The unsigned type of one, if the other is a whole number that is written out and not negative.
fn unsigned_for(one: &Bound, other: &Bound) -> Option<SqlType> {
    let Origin::Constant(value) = &other.origin else { return None };
    let fits = match value {
        ScalarValue::Int32(Some(value)) => u64::try_from(*value).ok(),
        ScalarValue::Int64(Some(value)) => u64::try_from(*value).ok(),
        _ => None,
    }?;
    let most = match one.sql_type {
        SqlType::Uint2 => u64::from(u16::MAX),
        SqlType::Uint4 | SqlType::Oid => u64::from(u32::MAX),
        SqlType::Uint8 => u64::MAX,
        _ => return None,
    };
    (fits <= most).then(|| one.sql_type.clone())
}

/// Beside a `numeric` a whole number that is written out has the digits that it has, not all that its type may have.
fn exact_type(bound: &Bound, beside: &Bound) -> SqlType {
    let digits = |value: u64| numeric(value.to_string().len() as i32, 0);
    match &bound.origin {
        _ if !matches!(beside.sql_type, SqlType::Numeric { .. }) => bound.sql_type.clone(),
        Origin::Constant(ScalarValue::Int32(Some(value))) => digits(value.unsigned_abs().into()),
        Origin::Constant(ScalarValue::Int64(Some(value))) => digits(value.unsigned_abs()),
        _ => bound.sql_type.clone(),
    }
}

/// What cannot be compared by value here, though Postgres can.
fn comparable(sql_type: &SqlType) -> Bind<()> {
    match sql_type {
        SqlType::Interval
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Array(_)
        | SqlType::List(_)
        | SqlType::Map(_)
        | SqlType::Record { .. }
        | SqlType::Other(_) => {
            Err(QueryError::new(format!("values of type {} cannot be compared here", types::name(sql_type)))
                .hint("compare their texts: x::text = '…'"))
        }
        _ => Ok(()),
    }
}

/// Says so before a literal is blamed for not being of such a type.
fn comparable_literal(left: &Bound, right: &Bound, common: &SqlType) -> Bind<()> {
    if left.is_untyped() || right.is_untyped() { comparable(common) } else { Ok(()) }
}

fn symbol(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Plus => "+",
        Arithmetic::Minus => "-",
        Arithmetic::Times => "*",
        Arithmetic::Divided => "/",
        Arithmetic::Modulo => "%",
        Arithmetic::Power => "^",
    }
}

fn type_name(bound: &Bound) -> String {
    if bound.is_untyped() { "unknown".to_owned() } else { types::name(&bound.sql_type) }
}

fn no_operator(operator: &str, left: &Bound, right: &Bound) -> QueryError {
    QueryError::new(format!("operator does not exist: {} {operator} {}", type_name(left), type_name(right)))
        .hint("cast one side to the type of the other")
}

fn unary(operator: &str, bound: &Bound) -> QueryError {
    QueryError::new(format!("operator does not exist: {operator} {}", type_name(bound)))
}

pub(super) fn any_precision() -> QueryError {
    QueryError::new("numeric without a precision cannot be computed with")
        .hint("cast it to numeric(p,s) with as many digits as needed, or to double precision")
}
