//! What is promised, one module a promise, on the real parts and through the real programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chunks;
mod debezium;
mod envelopes;
mod errors;
mod exactly_once;
mod interleavings;
mod isolation;
mod large;
mod one_table;
mod operating;
mod progress;
mod refusals;
mod rejoining;
mod rights;
mod schema_publications;
mod security;
mod snapshot_and_stream;
mod table_changes;
mod tables;
mod telling;
mod topics;
mod types;
