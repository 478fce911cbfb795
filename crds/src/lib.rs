//! The API of Afterbay: resources, their validation, names, and the plan that a worker runs.
//!
//! Pure: no I/O, no async runtime, no client of Kafka, Postgres or Kubernetes. Both programs share this crate.

pub mod api;
pub mod plan;
pub mod reason;
pub mod report;
