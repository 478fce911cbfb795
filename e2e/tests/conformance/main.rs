//! What the reference promises, a module for each of its sections and a test for each sentence. Messages are read by a
//! client that is not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod avro;
mod clauses;
mod examples;
mod formats;
mod headers;
mod keys;
mod life;
mod partitioning;
mod views;
