//! The SQL that users write: `partitionBy`, an expression that chooses a message's partition, and `source.query`, a
//! stateless SELECT over one table. Pure: no I/O, no clock.
//!
//! A text is parsed ([`HashExpression::compile`], [`Query::parse`]), what does not depend on one row alone is refused by
//! name, each value gets its type by Postgres' rules, and the result is an expression of DataFusion, which is evaluated
//! on batches of rows. DataFusion's own planner has no part in it: it casts where Postgres refuses, and rounds and
//! compares otherwise, so that a partition or a row would differ from what the database says.
//!
//! Rows come in Postgres' text form and leave in it. What an expression does not touch is neither read nor copied.

mod arithmetic;
mod bind;
mod call;
pub mod carried;
mod cast;
mod civil;
mod decimal;
mod error;
mod failure;
mod hash_expression;
mod hashes;
mod inputs;
mod moments;
mod names;
mod parse;
mod query;
mod read;
mod refusals;
mod statement;
mod text_form;
mod types;

pub use bind::Scope;
pub use error::{Clause, Place, QueryError, RowError};
pub use hash_expression::HashExpression;
pub use query::{CompiledQuery, Evaluated, OutputRow};
pub use statement::Query;
