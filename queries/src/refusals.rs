//! What an expression may consist of, judged by its text alone, and how the rest is refused.

use sqlparser::ast::{
    BinaryOperator, CeilFloorKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Value,
};

use crate::bind::functions;
use crate::error::QueryError;
use crate::names;

/// How deeply an expression may be nested.
const MAX_DEPTH: usize = 200;

/// Refuses what is not computed from one row alone, and what is not known here.
pub fn check(expr: &Expr) -> Result<(), QueryError> {
    check_within(expr, MAX_DEPTH)
}

fn check_within(expr: &Expr, depth: usize) -> Result<(), QueryError> {
    if depth == 0 {
        return Err(QueryError::new("the expression is nested too deeply")
            .hint(format!("at most {MAX_DEPTH} levels are computed; compute a part in the database")));
    }
    for part in parts(expr).map_err(|error| error.at(expr.span()))? {
        check_within(part, depth - 1)?;
    }
    Ok(())
}

/// The expressions that one consists of.
fn parts(expr: &Expr) -> Result<Vec<&Expr>, QueryError> {
    Ok(match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::TypedString(_) => vec![],
        Expr::Value(value) => match &value.value {
            Value::Placeholder(_) => return Err(QueryError::new("there are no parameters here")),
            _ => vec![],
        },
        Expr::Nested(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Extract { expr: inner, .. } => vec![inner],
        Expr::Interval(interval) => vec![&interval.value],
        Expr::Ceil { expr, field } | Expr::Floor { expr, field } => match field {
            CeilFloorKind::DateTimeField(_) => vec![expr],
            CeilFloorKind::Scale(_) => return Err(unsupported("ceil and floor with a scale")),
        },
        Expr::IsDistinctFrom(one, other) | Expr::IsNotDistinctFrom(one, other) => vec![one, other],
        Expr::InList { expr, list, .. } => std::iter::once(expr.as_ref()).chain(list).collect(),
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::BinaryOp { left, op, right } => {
            operator(op)?;
            vec![left, right]
        }
        Expr::Like { any: false, expr, pattern, escape_char: None, .. }
        | Expr::ILike { any: false, expr, pattern, escape_char: None, .. } => vec![expr, pattern],
        Expr::Like { .. } | Expr::ILike { .. } => return Err(unsupported("LIKE with ESCAPE or ANY")),
        Expr::AtTimeZone { timestamp, time_zone } => vec![timestamp, time_zone],
        Expr::Position { expr, r#in } => vec![expr, r#in],
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            [Some(expr), substring_from.as_ref(), substring_for.as_ref()]
                .into_iter()
                .flatten()
                .map(AsRef::as_ref)
                .collect()
        }
        Expr::Trim { expr, trim_what, trim_characters, .. } => {
            std::iter::once(expr.as_ref()).chain(trim_what.as_deref()).chain(trim_characters.iter().flatten()).collect()
        }
        Expr::Case { operand, conditions, else_result, .. } => operand
            .as_deref()
            .into_iter()
            .chain(conditions.iter().flat_map(|case| [&case.condition, &case.result]))
            .chain(else_result.as_deref())
            .collect(),
        Expr::Function(function) => arguments(function)?,
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
            return Err(QueryError::new("a subquery reads other rows, which is not supported")
                .hint("keep what it finds in a column of the table, for example with a trigger in the database"));
        }
        Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            return Err(unsupported("ANY and ALL").hint("write a list: x IN (1, 2)"));
        }
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => return Err(unsupported("GROUP BY")),
        Expr::SimilarTo { .. } | Expr::RLike { .. } => return Err(regular_expressions()),
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => return Err(QueryError::new("* is no value")),
        Expr::CompoundFieldAccess { .. } | Expr::JsonAccess { .. } => {
            return Err(unsupported("access to parts of arrays, composites and json")
                .hint("pass the column as it is, or add a generated column to the table"));
        }
        Expr::Array(_) => return Err(unsupported("ARRAY[…]")),
        Expr::Tuple(_) | Expr::Struct { .. } => return Err(unsupported("ROW(…)")),
        Expr::Collate { .. } => {
            return Err(unsupported("COLLATE").hint("texts compare by their bytes, as with the collation \"C\""));
        }
        Expr::Overlay { .. } => return Err(unsupported("the function overlay")),
        other => return Err(unsupported(&format!("the expression {other}"))),
    })
}

fn unsupported(what: &str) -> QueryError {
    QueryError::new(format!("{what}: not supported"))
}

fn regular_expressions() -> QueryError {
    unsupported("regular expressions").hint("use LIKE, or starts_with, or add a generated column to the table")
}

fn operator(operator: &BinaryOperator) -> Result<(), QueryError> {
    use BinaryOperator as Op;
    match operator {
        Op::Plus
        | Op::Minus
        | Op::Multiply
        | Op::Divide
        | Op::Modulo
        | Op::StringConcat
        | Op::Gt
        | Op::Lt
        | Op::GtEq
        | Op::LtEq
        | Op::Eq
        | Op::NotEq
        | Op::And
        | Op::Or
        | Op::BitwiseOr
        | Op::BitwiseAnd
        | Op::PGBitwiseXor
        | Op::PGExp => Ok(()),
        Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch => Err(regular_expressions()),
        Op::Arrow | Op::LongArrow | Op::HashArrow | Op::HashLongArrow => {
            Err(unsupported(&format!("operator {operator}"))
                .hint("pass the column as it is, or add a generated column to the table"))
        }
        other => Err(unsupported(&format!("operator {other}"))),
    }
}

/// The arguments of a function, once it is found to be one that is computed here.
fn arguments(function: &Function) -> Result<Vec<&Expr>, QueryError> {
    let name = function_name(function)?;
    if function.over.is_some() || WINDOW.contains(&name.as_str()) {
        return Err(QueryError::new(format!("window function {name} looks at other rows, which is not supported"))
            .hint("compute it where the messages are read, or keep it in a column with a trigger in the database"));
    }
    let aggregate = AGGREGATES.contains(&name.as_str()) || AGGREGATE_FAMILIES.iter().any(|of| name.starts_with(of));
    if aggregate || function.filter.is_some() || !function.within_group.is_empty() {
        return Err(QueryError::new(format!("aggregate function {name} looks at many rows, which is not supported"))
            .hint("keep the result in a table of its own, with a trigger in the database, and carry that table"));
    }
    if SET_RETURNING.contains(&name.as_str()) {
        return Err(QueryError::new(format!(
            "set-returning function {name} makes many rows of one, which is not supported"
        ))
        .hint("keep its rows in a table of their own, with a trigger in the database, and carry that table"));
    }
    if VOLATILE.contains(&name.as_str()) || name.starts_with("uuid_generate_") {
        return Err(QueryError::new(format!(
            "function {name} gives another result each time, so that a repeated message would differ from the first"
        ))
        .hint("keep its result in a column of the table, for example as the column's default"));
    }
    let known = |name: &str| functions::NAMES.contains(&name);
    if !known(&name) {
        let error = QueryError::new(format!("function {name} is not supported"));
        return Err(match names::nearest(&name, functions::NAMES.iter().copied()) {
            Some(nearest) => error.hint(format!("did you mean {nearest}?")),
            None => error.hint("compute it in the database, in a generated column of the table"),
        });
    }
    let list = match &function.args {
        FunctionArguments::None => return Ok(vec![]),
        FunctionArguments::Subquery(_) => return Err(unsupported("a subquery as an argument")),
        FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() || function.null_treatment.is_some() {
        return Err(unsupported(&format!("clauses within the arguments of {name}")));
    }
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(unsupported(&format!("arguments of {name} that are named, or *"))),
        })
        .collect()
}

/// The name without the schema that all functions are in.
pub fn function_name(function: &Function) -> Result<String, QueryError> {
    match names::parts(&function.name).as_deref() {
        Some([name]) => Ok(name.clone()),
        Some([schema, name]) if schema == "pg_catalog" => Ok(name.clone()),
        _ => Err(QueryError::new(format!("function {} is not supported", function.name))
            .hint("compute it in the database, in a generated column of the table")),
    }
}

const VOLATILE: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "random",
    "random_normal",
    "setseed",
    "gen_random_uuid",
    "gen_random_bytes",
    "uuidv4",
    "uuidv7",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "txid_current",
    "pg_current_xact_id",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_database",
    "current_catalog",
    "current_schema",
    "current_setting",
    "inet_client_addr",
    "inet_server_addr",
    "pg_backend_pid",
    "version",
    "pg_sleep",
    "age",
];

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "every",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "corr",
    "mode",
    "bit_and",
    "bit_or",
    "bit_xor",
    "xmlagg",
    "any_value",
    "variance",
    "range_agg",
];

const AGGREGATE_FAMILIES: &[&str] = &["stddev", "var_", "covar_", "regr_", "percentile_"];

const WINDOW: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Functions that make rows.
pub const SET_RETURNING: &[&str] = &[
    "unnest",
    "generate_series",
    "generate_subscripts",
    "json_each",
    "json_each_text",
    "jsonb_each",
    "jsonb_each_text",
    "json_array_elements",
    "json_array_elements_text",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "json_object_keys",
    "jsonb_object_keys",
    "json_populate_recordset",
    "jsonb_populate_recordset",
    "json_to_recordset",
    "jsonb_to_recordset",
    "jsonb_path_query",
    "regexp_split_to_table",
    "regexp_matches",
    "string_to_table",
    "each",
    "skeys",
    "svals",
];
