//! Clients of the outside world that the operator and the data plane share: Kafka, Postgres, schema registry.
//!
//! Each error here knows whether trying again can help, and how to tell a user about itself ([`afterbay_crds::report::Problem`]).

pub mod fault;
pub mod kafka;
pub mod postgres;
pub mod registry;
pub mod tls;

mod secret;
