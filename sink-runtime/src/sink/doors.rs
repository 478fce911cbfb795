//! How many Sinks of a worker speak to one system at once while they begin.
//!
//! A Sink that begins has clients of its own for that: two to read its progress, one to register its schemas. Hundreds of
//! Sinks that begin at once would have hundreds of them, with their threads, and a broker that is just back would see
//! them all in the same moment. Each system has doors of its own, as Sinks that wait for one that does not answer must
//! not keep others from theirs.
//!
//! Nobody in a door waits for somebody who waits before it. So fencing and reading have a door each: a reader waits for
//! the transactions that a killed worker has left open, until their Sinks have fenced it.

use std::collections::HashMap;
use std::sync::Arc;

use afterbay_crds::plan::SinkPlan;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Sinks that are in a door at the same time.
const AT_ONCE: usize = 16;

/// The doors of one Sink.
#[derive(Clone, Debug)]
pub struct Doors {
    fencing: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    registry: Option<Arc<Semaphore>>,
}

impl Doors {
    /// Those of each Sink: Sinks of one connection, or of one registry, share a door.
    pub fn of(sinks: &[SinkPlan]) -> Vec<Self> {
        let mut doors: HashMap<String, Arc<Semaphore>> = HashMap::new();
        let mut door = |name: String| {
            let door = doors.entry(name).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
            Arc::clone(door)
        };
        let of = |sink: &SinkPlan| Self {
            fencing: door(format!("fencing {}", sink.kafka.connection.name)),
            reading: door(format!("reading {}", sink.kafka.connection.name)),
            registry: sink.avro().next().map(|avro| door(format!("registry {}", avro.registry.url))),
        };
        sinks.iter().map(of).collect()
    }

    /// Waits for its turn to fence its predecessors. For threads, not for tasks.
    pub fn fencing(&self, runtime: &Handle) -> Option<SemaphorePermit<'_>> {
        runtime.block_on(self.fencing.acquire()).ok()
    }

    /// Waits for its turn to read what is committed, fenced. For threads, not for tasks.
    pub fn reading(&self, runtime: &Handle) -> Option<SemaphorePermit<'_>> {
        runtime.block_on(self.reading.acquire()).ok()
    }

    /// Waits for its turn at the registry, if it needs one. For threads, not for tasks.
    pub fn registry(&self, runtime: &Handle) -> Option<SemaphorePermit<'_>> {
        runtime.block_on(self.registry.as_ref()?.acquire()).ok()
    }
}
