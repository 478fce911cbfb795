//! The Kafka clients against real brokers: the rig's (`e2e/rig/rig up broker secure-broker`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end by panics")]

mod cluster;
mod progress;
mod refusals;
mod rights;
mod topics;
mod transactions;
