//! Postgres' text forms, read without copying wherever the text itself will do.
//!
//! What is accepted is what the output functions of the server write under the session's settings, nothing more: a
//! text that is anything else is a bug or another setting, and guessing would put a wrong value into a topic.

pub(crate) mod array;
pub mod bytea;
pub(crate) mod composite;
pub mod datetime;
pub(crate) mod hstore;
pub mod inet;
pub mod integer;
pub mod interval;
pub mod numeric;

mod quoted;
mod scan;

/// The text is not in the form of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A value, or the text is not in the form of its type.
pub type Parsed<T> = Result<T, Malformed>;
