//! Functions: which there are, what they take and what they give.

use std::sync::Arc;

use afterbay_formats::relation::SqlType;
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array as _, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_buffer::i256;
use datafusion_common::ScalarValue;
use datafusion_expr::{Operator, ScalarUDF};
use datafusion_functions::{core, string, unicode};
use sqlparser::ast::{
    CeilFloorKind, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, TrimWhereField,
};

use super::operators::{any_precision, integer};
use super::{Bind, Binder, Bound, Origin, literals, unsupported};
use crate::arithmetic::{self, Arithmetic};
use crate::call::Kernel;
use crate::cast::primitive;
use crate::decimal;
use crate::error::QueryError;
use crate::failure::Failure;
use crate::hashes;
use crate::moments::{self, Part};
use crate::refusals::function_name;
use crate::text_form;
use crate::types::{self, TIMESTAMPTZ, numeric};

/// All that are known, also those with a syntax of their own.
pub const NAMES: &[&str] = &[
    "abs",
    "ascii",
    "btrim",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "crc32",
    "date_part",
    "date_trunc",
    "encode",
    "exp",
    "extract",
    "floor",
    "greatest",
    "initcap",
    "kafka_murmur2",
    "least",
    "left",
    "length",
    "ln",
    "log",
    "log10",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "mod",
    "nullif",
    "octet_length",
    "position",
    "pow",
    "power",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "seahash",
    "sign",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "substring",
    "to_hex",
    "to_timestamp",
    "translate",
    "trim",
    "trunc",
    "upper",
];

/// How long `lpad` and `rpad` make a text at most.
const MAX_PADDED: i32 = 1_000_000;

/// What a function of DataFusion takes: `t`ext or a whole `n`umber, behind `?` also nothing.
type Takes = &'static str;

fn of_datafusion(name: &str) -> Option<(Arc<ScalarUDF>, Takes, SqlType)> {
    Some(match name {
        "ascii" => (string::ascii(), "t", SqlType::Int4),
        "btrim" => (string::btrim(), "t?t", SqlType::Text),
        "char_length" | "character_length" => (unicode::character_length(), "t", SqlType::Int4),
        "initcap" => (unicode::initcap(), "t", SqlType::Text),
        "left" => (unicode::left(), "tn", SqlType::Text),
        "lower" => (string::lower(), "t", SqlType::Text),
        "lpad" => (unicode::lpad(), "tn?t", SqlType::Text),
        "ltrim" => (string::ltrim(), "t?t", SqlType::Text),
        "replace" => (string::replace(), "ttt", SqlType::Text),
        "reverse" => (unicode::reverse(), "t", SqlType::Text),
        "right" => (unicode::right(), "tn", SqlType::Text),
        "rpad" => (unicode::rpad(), "tn?t", SqlType::Text),
        "rtrim" => (string::rtrim(), "t?t", SqlType::Text),
        "split_part" => (string::split_part(), "ttn", SqlType::Text),
        "starts_with" => (string::starts_with(), "tt", SqlType::Bool),
        "strpos" => (unicode::strpos(), "tt", SqlType::Int4),
        "substr" | "substring" => (unicode::substr(), "tn?n", SqlType::Text),
        "translate" => (unicode::translate(), "ttt", SqlType::Text),
        "upper" => (string::upper(), "t", SqlType::Text),
        _ => return None,
    })
}

impl Binder<'_> {
    pub(super) fn function(&mut self, function: &Function) -> Bind<Bound> {
        let name = function_name(function)?;
        let arguments = match &function.args {
            FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.bind(expr),
                    _ => Err(QueryError::new(format!("arguments of {name} that are named, or *: not supported"))),
                })
                .collect::<Bind<Vec<_>>>()?,
            _ => vec![],
        };
        self.call_named(&name, arguments)
    }

    /// What has a syntax of its own.
    pub(super) fn special_function(&mut self, expr: &Expr) -> Bind<Bound> {
        match expr {
            Expr::Extract { field, expr, .. } => {
                let bound = self.bind(expr)?;
                let name = match field {
                    DateTimeField::Custom(name) => name.value.clone(),
                    field => field.to_string(),
                };
                let (part, bound) = Self::part(&name, bound)?;
                let kernel = moments::extract(part, &bound.sql_type);
                let returns = part.exact_type(&bound.sql_type);
                Ok(self.call("extract", &[bound], returns, kernel))
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                let bound = self.bind(expr)?;
                self.call_named("ceil", vec![bound])
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                let bound = self.bind(expr)?;
                self.call_named("floor", vec![bound])
            }
            Expr::Position { expr, r#in } => {
                let (part, whole) = (self.bind(expr)?, self.bind(r#in)?);
                self.call_named("strpos", vec![whole, part])
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.bind(expr)?];
                arguments.push(match substring_from {
                    Some(from) => self.bind(from)?,
                    None => integer(1),
                });
                if let Some(length) = substring_for {
                    arguments.push(self.bind(length)?);
                }
                self.call_named("substring", arguments)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let mut arguments = vec![self.bind(expr)?];
                match (trim_what, trim_characters.as_deref()) {
                    (Some(what), None) => arguments.push(self.bind(what)?),
                    (None, Some([what])) => arguments.push(self.bind(what)?),
                    (None, None) => {}
                    _ => return Err(unsupported(expr)),
                }
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "btrim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                self.call_named(name, arguments)
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.at_time_zone(timestamp, time_zone),
            other => Err(unsupported(other)),
        }
    }

    fn at_time_zone(&mut self, moment: &Expr, zone: &Expr) -> Bind<Bound> {
        let moment = self.bind(moment)?;
        let zone = match zone {
            Expr::Value(zone) => literals::value(&zone.value)?.origin,
            _ => Origin::Untyped(None),
        };
        let is_utc = matches!(&zone, Origin::Untyped(Some(zone)) if ["utc", "gmt", "etc/utc"].contains(&zone.to_ascii_lowercase().as_str()));
        if !is_utc {
            return Err(QueryError::new("AT TIME ZONE: only 'UTC' is supported, as the rules of zones change")
                .hint("convert where the messages are read, or in a generated column of the table"));
        }
        match moment.sql_type {
            SqlType::Timestamp { .. } => self.coerce(moment, &TIMESTAMPTZ),
            SqlType::Timestamptz { .. } => self.coerce(moment, &types::TIMESTAMP),
            _ => Err(no_function("timezone", &[moment])),
        }
    }

    fn call_named(&mut self, name: &str, mut arguments: Vec<Bound>) -> Bind<Bound> {
        if let ("substring" | "trim" | "length" | "octet_length", [bound, ..]) = (name, arguments.as_slice())
            && bound.sql_type == SqlType::Bytea
        {
            return match (name, arguments.len()) {
                ("length" | "octet_length", 1) => Ok(self.call(
                    "octet_length",
                    &arguments,
                    SqlType::Int4,
                    over_bytes::<Int32Type>(|bytes| bytes.len() as i32),
                )),
                _ => Err(no_function(name, &arguments)),
            };
        }
        if let Some((function, takes, returns)) = of_datafusion(if name == "length" { "char_length" } else { name }) {
            return self.of_datafusion(name, function, takes, returns, arguments);
        }
        match (name, arguments.len()) {
            ("octet_length", 1) => {
                let text = self.text(name, arguments)?;
                Ok(self.call("octet_length", &text, SqlType::Int4, over_bytes::<Int32Type>(|bytes| bytes.len() as i32)))
            }
            ("coalesce", 1..) => {
                let mut conditions = Vec::new();
                for argument in &arguments[..arguments.len() - 1] {
                    conditions.push(self.is_null_bound(argument, false));
                }
                let nullable = arguments.iter().all(|argument| argument.nullable);
                if conditions.is_empty() {
                    return Ok(arguments.remove(0));
                }
                let mut bound = self.choose(&conditions, arguments, "COALESCE")?;
                bound.nullable = nullable;
                Ok(bound)
            }
            ("nullif", 2) => {
                let (one, other) = (arguments[0].clone(), arguments.remove(1));
                let equal = self.compare(one.clone(), Operator::Eq, other)?;
                let null = Bound { origin: Origin::Untyped(None), sql_type: SqlType::Text, nullable: true };
                self.choose(&[equal], vec![null, one], "NULLIF")
            }
            ("greatest" | "least", 1..) => self.extreme(name, arguments),
            ("concat" | "concat_ws", 1..) => self.concat(name, arguments),
            ("crc32", 1) => self.hash("crc32", arguments, SqlType::Uint4, over_bytes::<UInt32Type>(hashes::crc32)),
            ("seahash", 1) => {
                self.hash("seahash", arguments, SqlType::Uint8, over_bytes::<UInt64Type>(hashes::seahash))
            }
            ("kafka_murmur2", 1) => {
                self.hash("kafka_murmur2", arguments, SqlType::Int4, over_bytes::<Int32Type>(hashes::kafka_murmur2))
            }
            ("md5", 1) => self.hash("md5", arguments, SqlType::Text, texts_over_bytes(hashes::md5)),
            ("chr", 1)
                if matches!(arguments[0].sql_type, SqlType::Int2 | SqlType::Int4) || arguments[0].is_untyped() =>
            {
                let code = self.coerce(arguments.remove(0), &SqlType::Int4)?;
                Ok(self.call("chr", &[code], SqlType::Text, chr()))
            }
            ("to_hex", 1) if matches!(arguments[0].sql_type, SqlType::Int4 | SqlType::Int8) => {
                let wide = arguments[0].sql_type == SqlType::Int8;
                let to = if wide { SqlType::Int8 } else { SqlType::Int4 };
                let number = self.coerce(arguments.remove(0), &to)?;
                Ok(self.call("to_hex", &[number], SqlType::Text, to_hex()))
            }
            ("encode", 2) => {
                let format = arguments.remove(1);
                let is_hex = matches!(&format.origin, Origin::Untyped(Some(format)) if format == "hex");
                if !is_hex || arguments[0].sql_type != SqlType::Bytea {
                    return Err(QueryError::new("encode: only bytea as 'hex' is supported"));
                }
                Ok(self.call("encode", &arguments, SqlType::Text, texts_over_bytes(text_form::hex)))
            }
            _ => self.number_function(name, arguments),
        }
    }

    fn number_function(&mut self, name: &str, mut arguments: Vec<Bound>) -> Bind<Bound> {
        match (name, arguments.len()) {
            ("mod", 2) => {
                let right = arguments.remove(1);
                self.arithmetic(arguments.remove(0), Arithmetic::Modulo, right)
            }
            ("power" | "pow", 2) => {
                let right = arguments.remove(1);
                self.arithmetic(arguments.remove(0), Arithmetic::Power, right)
            }
            ("abs" | "sign", 1) => self.magnitude(name, arguments.remove(0)),
            ("ceil" | "ceiling" | "floor" | "round" | "trunc", 1) => self.rounded(name, arguments.remove(0), None),
            ("round" | "trunc", 2) => {
                let places = arguments.remove(1);
                let Origin::Constant(ScalarValue::Int32(Some(places))) = places.origin else {
                    return Err(QueryError::new(format!("{name}: the number of digits must be written as a number")));
                };
                self.rounded(name, arguments.remove(0), Some(places))
            }
            ("sqrt" | "exp" | "ln" | "log" | "log10", 1) => {
                let argument = self.as_float8(arguments.remove(0), name)?;
                let compute = match name {
                    "sqrt" => sqrt,
                    "exp" => exp,
                    "ln" => ln,
                    _ => log10,
                };
                Ok(self.call("math", &[argument], SqlType::Float8, arithmetic::of_float8(compute)))
            }
            _ => self.moment_function(name, arguments),
        }
    }

    fn moment_function(&mut self, name: &str, mut arguments: Vec<Bound>) -> Bind<Bound> {
        match (name, arguments.len()) {
            ("date_part", 2) => {
                let part = literal(name, &arguments[0])?;
                let (part, bound) = Self::part(&part, arguments.remove(1))?;
                let kernel = moments::date_part(part, &bound.sql_type);
                Ok(self.call("date_part", &[bound], SqlType::Float8, kernel))
            }
            ("date_trunc", 2) => {
                let part = literal(name, &arguments[0])?;
                let mut bound = arguments.remove(1);
                // As in Postgres, which has no `date_trunc` of dates.
                if bound.sql_type == SqlType::Date {
                    bound = self.coerce(bound, &TIMESTAMPTZ)?;
                }
                if !matches!(bound.sql_type, SqlType::Timestamp { .. } | SqlType::Timestamptz { .. }) {
                    return Err(no_function(name, &[bound]).hint("cast it to timestamp"));
                }
                let part = Part::named(&part).filter(|part| moments::truncates(*part)).ok_or_else(|| no_part(&part))?;
                let returns = bound.sql_type.clone();
                Ok(self.call("date_trunc", &[bound], returns, moments::date_trunc(part)))
            }
            ("to_timestamp", 1) => {
                let seconds = arguments.remove(0);
                if seconds.is_untyped() || !types::is_number(&seconds.sql_type) {
                    return Err(no_function(name, &[seconds]).hint("it takes seconds since 1970-01-01"));
                }
                let seconds = self.coerce(seconds, &SqlType::Float8)?;
                Ok(self.call("to_timestamp", &[seconds], TIMESTAMPTZ, moments::of_epoch()))
            }
            _ => Err(no_function(name, &arguments)),
        }
    }

    fn of_datafusion(
        &mut self,
        name: &str,
        function: Arc<ScalarUDF>,
        takes: Takes,
        returns: SqlType,
        arguments: Vec<Bound>,
    ) -> Bind<Bound> {
        let required = takes.find('?').unwrap_or(takes.len());
        let kinds: Vec<char> = takes.chars().filter(|kind| *kind != '?').collect();
        if !(required..=kinds.len()).contains(&arguments.len()) {
            return Err(no_function(name, &arguments));
        }
        let fits = |(argument, kind): (&Bound, &char)| match kind {
            't' => argument.sql_type == SqlType::Text,
            _ => argument.is_untyped() || matches!(argument.sql_type, SqlType::Int2 | SqlType::Int4),
        };
        if !arguments.iter().zip(&kinds).all(fits) {
            return Err(no_function(name, &arguments).hint("cast the arguments, for example x::text"));
        }
        if let ("lpad" | "rpad", [_, length, ..]) = (name, arguments.as_slice()) {
            // Else one row could take all the memory there is.
            let within = matches!(&length.origin, Origin::Constant(ScalarValue::Int32(Some(..=MAX_PADDED))));
            if !within {
                return Err(QueryError::new(format!(
                    "{name}: the length must be written as a number of at most {MAX_PADDED}"
                )));
            }
        }
        let mut coerced = Vec::new();
        for (argument, kind) in arguments.into_iter().zip(kinds) {
            let to = if kind == 't' { SqlType::Text } else { SqlType::Int8 };
            coerced.push(self.coerce(argument, &to)?);
        }
        self.datafusion(function, &coerced, returns)
    }

    /// All as text, if they are.
    fn text(&mut self, name: &str, arguments: Vec<Bound>) -> Bind<Vec<Bound>> {
        if arguments.iter().any(|argument| argument.sql_type != SqlType::Text) {
            return Err(no_function(name, &arguments).hint("cast the argument, for example x::text"));
        }
        arguments.into_iter().map(|argument| self.coerce(argument, &SqlType::Text)).collect()
    }

    fn hash(&mut self, name: &'static str, arguments: Vec<Bound>, returns: SqlType, kernel: Kernel) -> Bind<Bound> {
        let arguments = if arguments[0].sql_type == SqlType::Bytea { arguments } else { self.text(name, arguments)? };
        Ok(self.call(name, &arguments, returns, kernel))
    }

    fn concat(&mut self, name: &str, arguments: Vec<Bound>) -> Bind<Bound> {
        let separated = name == "concat_ws";
        let nullable = separated && arguments[0].nullable;
        let mut texts = Vec::new();
        for argument in arguments {
            texts.push(self.in_text_form(argument)?);
        }
        if separated && texts.len() == 1 {
            return Err(no_function(name, &texts));
        }
        let function = if separated { string::concat_ws() } else { string::concat() };
        let mut bound = self.datafusion(function, &texts, SqlType::Text)?;
        // What is NULL is left out.
        bound.nullable = nullable;
        Ok(bound)
    }

    fn extreme(&mut self, name: &str, arguments: Vec<Bound>) -> Bind<Bound> {
        let mut arguments = self.unify(arguments, &name.to_uppercase())?;
        let sql_type = arguments[0].sql_type.clone();
        let ordered = types::is_number(&sql_type) && sql_type != types::ANY_NUMERIC && !types::is_float(&sql_type);
        let ordered = ordered
            || matches!(
                sql_type,
                SqlType::Bool
                    | SqlType::Text
                    | SqlType::Date
                    | SqlType::Time
                    | SqlType::Timestamp { .. }
                    | SqlType::Timestamptz { .. }
            );
        if !ordered {
            return Err(no_function(name, &arguments).hint("write it with CASE WHEN"));
        }
        if arguments.len() == 1 {
            return Ok(arguments.remove(0));
        }
        let nullable = arguments.iter().all(|argument| argument.nullable);
        let function = if name == "greatest" { core::greatest() } else { core::least() };
        let mut bound = self.datafusion(function, &arguments, sql_type)?;
        bound.nullable = nullable;
        Ok(bound)
    }

    fn magnitude(&mut self, name: &str, argument: Bound) -> Bind<Bound> {
        let sql_type = argument.sql_type.clone();
        let sign = name == "sign";
        match &sql_type {
            _ if argument.is_untyped() => Err(no_function(name, &[argument])),
            SqlType::Numeric { typmod: None } => Err(any_precision()),
            SqlType::Numeric { typmod: Some(_) } => {
                let returns = if sign { numeric(1, 0) } else { sql_type.clone() };
                let arrow = types::arrow(&returns);
                let kernel = if sign {
                    arithmetic::of_decimal(|units| Ok(units.signum()), arrow)
                } else {
                    arithmetic::of_decimal(|units| Ok(units.wrapping_abs()), arrow)
                };
                Ok(self.call("magnitude", &[argument], returns, kernel))
            }
            sql_type if types::is_integer(sql_type) && sign => {
                let argument = self.coerce(argument, &SqlType::Float8)?;
                self.magnitude(name, argument)
            }
            sql_type if types::is_unsigned(sql_type) => Ok(argument),
            sql_type if types::is_integer(sql_type) => {
                // Checked as the subtraction is: the smallest number has no counterpart.
                let zero = self.coerce(integer(0), sql_type)?;
                let negative = self.binary(&zero, Operator::Minus, &argument, sql_type.clone());
                let below = self.compare(argument.clone(), Operator::Lt, zero)?;
                let nullable = argument.nullable;
                let mut bound = self.choose(&[below], vec![negative, argument], "CASE")?;
                bound.nullable = nullable;
                Ok(bound)
            }
            SqlType::Float4 if !sign => {
                Ok(self.call("abs", &[argument], SqlType::Float4, arithmetic::of_float4(f32::abs)))
            }
            SqlType::Float4 => {
                let argument = self.coerce(argument, &SqlType::Float8)?;
                self.magnitude(name, argument)
            }
            SqlType::Float8 => {
                let compute: fn(f64) -> Result<f64, Failure> = if sign {
                    |value| Ok(if value == 0.0 || value.is_nan() { value } else { value.signum() })
                } else {
                    |value| Ok(value.abs())
                };
                Ok(self.call("magnitude", &[argument], SqlType::Float8, arithmetic::of_float8(compute)))
            }
            _ => Err(no_function(name, &[argument])),
        }
    }

    fn rounded(&mut self, name: &str, argument: Bound, places: Option<i32>) -> Bind<Bound> {
        if argument.is_untyped() || !types::is_number(&argument.sql_type) {
            return Err(no_function(name, &[argument]));
        }
        if argument.sql_type == types::ANY_NUMERIC {
            return Err(any_precision());
        }
        // As in Postgres: with a number of digits whole numbers are `numeric`, without they are `double precision`.
        let argument = match (types::is_integer(&argument.sql_type), places) {
            (true, Some(_)) => match types::as_numeric(&argument.sql_type) {
                Some(exact) => self.coerce(argument, &exact)?,
                None => argument,
            },
            (true, None) => self.coerce(argument, &SqlType::Float8)?,
            (false, _) => argument,
        };
        if let Some((whole, scale)) = types::digits(&argument.sql_type) {
            let places = places.unwrap_or(0);
            if !(0..=i32::from(types::MAX_PRECISION)).contains(&places) {
                return Err(QueryError::new(format!("{name}: from 0 to {} digits", types::MAX_PRECISION)));
            }
            let returns = numeric(whole + 1 + places, places);
            if returns == types::ANY_NUMERIC {
                return Err(QueryError::new(format!(
                    "{name}: the result would have more than {} digits",
                    types::MAX_PRECISION
                )));
            }
            let how = match name {
                "round" => decimal::rescale,
                "trunc" => truncate,
                "floor" => floor,
                _ => ceil,
            };
            let kernel = arithmetic::of_decimal(move |units| how(units, scale, places), types::arrow(&returns));
            return Ok(self.call("round", &[argument], returns, kernel));
        }
        if places.is_some() {
            return Err(
                no_function(name, &[argument, integer(0)]).hint("cast it to numeric with a precision and a scale")
            );
        }
        let argument = self.coerce(argument, &SqlType::Float8)?;
        let compute: fn(f64) -> Result<f64, Failure> = match name {
            "round" => |value| Ok(value.round_ties_even()),
            "trunc" => |value| Ok(value.trunc()),
            "floor" => |value| Ok(value.floor()),
            _ => |value| Ok(value.ceil()),
        };
        Ok(self.call("round", &[argument], SqlType::Float8, arithmetic::of_float8(compute)))
    }

    /// A part that the value has.
    fn part(name: &str, bound: Bound) -> Bind<(Part, Bound)> {
        let part = Part::named(name).ok_or_else(|| no_part(name))?;
        if !part.is_of(&bound.sql_type) || bound.is_untyped() {
            return Err(QueryError::new(format!(
                "unit \"{}\" not supported for type {}",
                name.to_lowercase(),
                types::name(&bound.sql_type)
            ))
            .hint("cast the value to timestamp"));
        }
        Ok((part, bound))
    }
}

fn literal(name: &str, bound: &Bound) -> Bind<String> {
    match &bound.origin {
        Origin::Untyped(Some(text)) => Ok(text.clone()),
        _ => Err(QueryError::new(format!("the first argument of {name} must be a text in quotes"))),
    }
}

fn no_part(name: &str) -> QueryError {
    QueryError::new(format!("unit \"{}\" is not supported", name.to_lowercase()))
        .hint("year, quarter, month, week, day, hour, minute, second, milliseconds, microseconds; extract also has epoch, dow, isodow, doy, isoyear")
}

fn no_function(name: &str, arguments: &[Bound]) -> QueryError {
    let types: Vec<String> = arguments
        .iter()
        .map(|argument| if argument.is_untyped() { "unknown".to_owned() } else { types::name(&argument.sql_type) })
        .collect();
    QueryError::new(format!("function {name}({}) does not exist", types.join(", ")))
}

fn truncate(units: i256, from: i32, to: i32) -> Result<i256, Failure> {
    if to >= from {
        return decimal::rescale(units, from, to);
    }
    let divisor = decimal::power_of_ten((from - to) as u32).ok_or(Failure::OUT_OF_RANGE)?;
    Ok(units.wrapping_div(divisor))
}

fn floor(units: i256, from: i32, to: i32) -> Result<i256, Failure> {
    let truncated = truncate(units, from, to)?;
    let below = units.is_negative() && decimal::rescale(truncated, to, from)? != units;
    Ok(if below { truncated.wrapping_sub(i256::ONE) } else { truncated })
}

fn ceil(units: i256, from: i32, to: i32) -> Result<i256, Failure> {
    Ok(floor(units.wrapping_neg(), from, to)?.wrapping_neg())
}

fn sqrt(value: f64) -> Result<f64, Failure> {
    if value < 0.0 { Err(Failure("the square root of a negative number")) } else { Ok(value.sqrt()) }
}

fn exp(value: f64) -> Result<f64, Failure> {
    let result = value.exp();
    let lost = value.is_finite() && (result.is_infinite() || result == 0.0);
    if lost { Err(Failure::OUT_OF_RANGE) } else { Ok(result) }
}

fn ln(value: f64) -> Result<f64, Failure> {
    if value <= 0.0 { Err(Failure("the logarithm of a number that is not positive")) } else { Ok(value.ln()) }
}

fn log10(value: f64) -> Result<f64, Failure> {
    if value <= 0.0 { Err(Failure("the logarithm of a number that is not positive")) } else { Ok(value.log10()) }
}

/// A number for the bytes of each text or `bytea`.
fn over_bytes<T: ArrowPrimitiveType>(compute: fn(&[u8]) -> T::Native) -> Kernel {
    Arc::new(move |arguments| {
        let array = &arguments[0];
        let values: PrimitiveArray<T> = match (array.as_string_opt::<i32>(), array.as_binary_opt::<i32>()) {
            (Some(texts), _) => texts.iter().map(|text| text.map(|text| compute(text.as_bytes()))).collect(),
            (_, Some(bytes)) => bytes.iter().map(|bytes| bytes.map(compute)).collect(),
            _ => return Err(Failure::INTERNAL),
        };
        Ok(Arc::new(values))
    })
}

/// The character of a code; there is none for 0.
fn chr() -> Kernel {
    let character = |code: i32| {
        let code = u32::try_from(code).ok().filter(|code| *code > 0);
        code.and_then(char::from_u32).map(String::from).ok_or(Failure("a number is the code of no character"))
    };
    Arc::new(move |arguments| {
        let codes = primitive::<Int32Type>(&arguments[0])?;
        let texts: Result<StringArray, Failure> = codes.iter().map(|code| code.map(character).transpose()).collect();
        Ok(Arc::new(texts?))
    })
}

/// The digits of a number, which if it is negative are those of its two's complement.
fn to_hex() -> Kernel {
    Arc::new(move |arguments| {
        let array = &arguments[0];
        let texts: StringArray = match array.as_primitive_opt::<Int32Type>() {
            Some(numbers) => numbers.iter().map(|number| number.map(|number| format!("{number:x}"))).collect(),
            None => {
                primitive::<Int64Type>(array)?.iter().map(|number| number.map(|number| format!("{number:x}"))).collect()
            }
        };
        Ok(Arc::new(texts))
    })
}

/// A text for the bytes of each text or `bytea`.
fn texts_over_bytes(write: fn(&[u8], &mut Vec<u8>)) -> Kernel {
    Arc::new(move |arguments: &[ArrayRef]| {
        let array = &arguments[0];
        let (texts, binaries) = (array.as_string_opt::<i32>(), array.as_binary_opt::<i32>());
        let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 32);
        let mut text = Vec::new();
        for row in 0..array.len() {
            let bytes = match (texts, binaries) {
                _ if array.is_null(row) => {
                    builder.append_null();
                    continue;
                }
                (Some(texts), _) => texts.value(row).as_bytes(),
                (_, Some(binaries)) => binaries.value(row),
                _ => return Err(Failure::INTERNAL),
            };
            text.clear();
            write(bytes, &mut text);
            builder.append_value(std::str::from_utf8(&text).map_err(|_| Failure::INTERNAL)?);
        }
        Ok(Arc::new(builder.finish()))
    })
}
