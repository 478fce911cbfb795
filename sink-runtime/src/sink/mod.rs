//! A Sink: a thread that carries the changes of its relations, most often of one, each into a topic.
//!
//! [`thread`] lives one [`life`] after the other. A life begins in [`begin`] and does what the [`crate::protocol`] says, with a producer and a
//! feed of its own, and ends with the first thing that goes wrong.

pub mod batches;
pub mod begin;
pub mod carried;
pub mod doors;
pub mod hashes;
pub mod keeping;
pub mod keys_seen;
pub mod life;
pub mod messages;
pub mod patience;
pub mod problems;
mod projected;
pub mod relation;
pub mod snapshot;
pub mod start_at;
pub mod status;
pub mod tables;
pub mod thread;
pub mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use afterbay_crds::plan::SinkPlan;

use crate::source::SourceHandle;
use crate::source::floors::Floors;
use batches::Batches;
use doors::Doors;
use status::SinkStatus;

/// What a Sink's thread is given.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The Sink.
    pub plan: SinkPlan,
    /// Which Sink of the worker's plan it is.
    pub index: usize,
    /// The source.
    pub source: SourceHandle,
    /// Where it says what it has committed.
    pub floors: Floors,
    /// Where it says how it is.
    pub status: SinkStatus,
    /// Where it waits for its turn to begin.
    pub doors: Doors,
    /// Bytes that its producer may hold.
    pub producer_bytes: u64,
    /// How large its batches are.
    pub batches: Batches,
    /// For the calls that are asynchronous.
    pub runtime: tokio::runtime::Handle,
    /// When to end.
    pub stop: Stop,
}

/// Tells the threads of a worker to end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells them.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether they are told.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
