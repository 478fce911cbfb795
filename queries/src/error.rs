//! What is wrong with an expression or a query, and what is wrong with a row.

use std::fmt;

use sqlparser::tokenizer::Span;

/// Why there is no compiled form of what the user wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// Where it stands, if that is known.
    pub place: Option<Place>,
    /// What to do, if that is known.
    pub hint: Option<String>,
}

/// A place in the text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl QueryError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The innermost place is kept: it says most.
    pub(crate) fn at(mut self, span: Span) -> Self {
        if self.place.is_none() && span.start.line > 0 {
            self.place = Some(Place { line: span.start.line, column: span.start.column });
        }
        self
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(Place { line: 1, column }) => write!(f, " (at character {column})"),
            Some(Place { line, column }) => write!(f, " (at line {line}, character {column})"),
            None => Ok(()),
        }
    }
}

/// Why a row has no result. Holds no value of the row, so it can be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{clause}: {reason}")]
pub struct RowError {
    /// Which of the rows that were given, from 0.
    pub row: usize,
    /// What was computed.
    pub clause: Clause,
    /// What went wrong.
    pub reason: &'static str,
}

/// A part of a query that is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// The condition.
    Where,
    /// An output column, by its name.
    Column(String),
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Where => f.write_str("the condition after WHERE cannot be computed"),
            Self::Column(name) => write!(f, "output column \"{name}\" cannot be computed"),
        }
    }
}
