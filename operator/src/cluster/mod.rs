//! `afterbay operator`: the control plane in a cluster.
//!
//! One reconciler per kind; see `docs/design/0011-operator.md`. Nothing here produces a record, and no worker depends on it.

pub mod apply;
pub mod board;
pub mod context;
pub mod events;
pub mod finalize;
pub mod labels;
pub mod metrics;
pub mod objects;
pub mod pods;
pub mod queue;
pub mod retire;
pub mod scratch;
pub mod settings;
pub mod source;
pub mod stores;
pub mod triggers;
