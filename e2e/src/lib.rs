//! The harness of the end-to-end tests: real parts, the real programs, and a reference client that is not ours.
//!
//! A test makes a [`Scenario`]: a database, topics and a namespace of its own on the parts of the rig (`e2e/rig/rig up`),
//! so that tests run beside each other. It runs `afterbay run` on manifests ([`Manifests`]) as a user would
//! ([`Afterbay`]), and reads the topics with the [`reference`] consumer. A part that is not up is a failure that
//! names the command to bring it up, never a skip. Waiting is [`await_condition`], never a sleep.

// This crate is nothing but tests: what cannot go on is to fail the test, there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod afterbay;
pub mod broker;
pub mod cluster;
pub mod database;
pub mod follower;
pub mod history;
pub mod http;
pub mod kubernetes;
pub mod manifests;
pub mod message;
pub mod processes;
pub mod programs;
pub mod proxy;
pub mod random;
pub mod reference;
pub mod rig;
pub mod scenario;
pub mod secure;
pub mod waiting;

pub use afterbay::Afterbay;
pub use cluster::Cluster;
pub use database::{Database, Session};
pub use follower::Follower;
pub use history::History;
pub use kubernetes::Namespace;
pub use manifests::{Manifests, Sink};
pub use message::{Format, Message};
pub use rig::Rig;
pub use scenario::Scenario;
pub use waiting::await_condition;
