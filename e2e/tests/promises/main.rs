//! What is promised, one module a promise, on the real parts and through the real programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// A test for each point at which the worker dies: `name: what dies_at of the module takes;`
macro_rules! dies {
    ($($name:ident: $($argument:literal),+;)+) => {
        mod the_worker_dies { $(
            #[tokio::test]
            async fn $name() {
                super::dies_at($($argument),+).await;
            }
        )+ }
    };
}

mod chunks;
mod cut_over;
mod debezium;
mod deletion;
mod envelopes;
mod errors;
mod exactly_once;
mod frozen_columns;
mod interleavings;
mod isolation;
mod large;
mod many_frozen;
mod many_history;
mod many_tables;
mod one_table;
mod operating;
mod patterns;
mod pools;
mod progress;
mod queries;
mod refusals;
mod rejoining;
mod retained_history;
mod rights;
mod schema_publications;
mod security;
mod snapshot_and_stream;
mod table_changes;
mod tables;
mod telling;
mod topics;
mod truncation;
mod types;
