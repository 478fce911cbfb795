//! From text to sqlparser's trees.

use sqlparser::ast::{Expr, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::error::{Place, QueryError};

/// What anyone writes by hand is far shorter; a limit on the text is one on the depth of its tree.
const MAX_TEXT: usize = 16_384;

/// One expression.
pub fn expression(sql: &str) -> Result<Expr, QueryError> {
    let mut parser = parser(sql)?;
    let expr = parser.parse_expr().map_err(syntax)?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(expr);
    }
    Err(QueryError::new(format!("syntax error at or near \"{}\"", rest.token))
        .hint("one expression is expected, and nothing behind it")
        .at(rest.span))
}

/// All statements.
pub fn statements(sql: &str) -> Result<Vec<Statement>, QueryError> {
    parser(sql)?.parse_statements().map_err(syntax)
}

fn parser(sql: &str) -> Result<Parser<'static>, QueryError> {
    if sql.len() > MAX_TEXT {
        return Err(QueryError::new(format!("the text has {} bytes; at most {MAX_TEXT} are read", sql.len())));
    }
    Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).map_err(syntax)
}

fn syntax(error: ParserError) -> QueryError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => return QueryError::new("the expression is nested too deeply"),
    };
    // The place is told within the message alone.
    let (what, place) = message.rsplit_once(" at Line: ").unwrap_or((&message, ""));
    let place = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Place { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    let mut error = QueryError::new(format!("syntax error: {}", first_lower(what)));
    error.place = place.filter(|place| place.line > 0);
    error
}

fn first_lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
