//! The API of Afterbay: resources, their validation, names, and the plan that a worker runs.
//!
//! Pure: no I/O, no async runtime, no client of Kafka, Postgres or Kubernetes. Both programs share this crate. The way of
//! a manifest: [`manifest`] (text → typed) → [`validate`] → [`resolve`] → [`plan`].

pub mod api;
pub mod manifest;
pub mod names;
pub mod plan;
pub mod quantity;
pub mod reason;
pub mod report;
pub mod resolve;
pub mod retirement;
pub mod rights;
pub mod table_name;
pub mod table_pattern;
pub mod topic_template;
pub mod validate;
