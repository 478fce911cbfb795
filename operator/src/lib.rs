//! The control plane of Afterbay: without a cluster (manifests from files, workers as child processes), and in one
//! ([`cluster`]).
//!
//! Phases: [`dereference`] (files) → `afterbay_crds::validate` → `afterbay_crds::resolve` → [`provision`] and [`run`]
//! (I/O) → [`render`] (pure). Nothing here produces a record.

pub mod cli;
pub mod cluster;
pub mod dereference;
pub mod events;
pub mod online;
pub mod probe;
pub mod provision;
pub mod render;
pub mod run;
pub mod state;
pub mod tables;
pub mod topic_fit;
pub mod transaction_fit;
