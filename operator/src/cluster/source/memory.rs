//! What is remembered of SourceConnectors between two looks: only to ask other systems less often, and to know of what the stores have
//! not heard yet.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afterbay_crds::names::{ResourceName, WorkerName};

use super::handshake::Handshake;
use super::kept::Known;
use super::patterns::Looks;
use super::provide::Provided;

/// Of all SourceConnectors.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<ResourceName, Arc<tokio::sync::Mutex<Memory>>>>);

/// Of one.
#[derive(Default)]
pub(super) struct Memory {
    /// Of each of its workers.
    pub workers: HashMap<WorkerName, WorkerMemory>,
    /// What the database says, where no worker asks it.
    pub handshake: Option<Handshake>,
    /// What the database says of the slots that no Sink reads.
    pub kept: Option<Known>,
    /// Jobs that have been made to drop slots, as far as the stores may not have heard of them.
    pub jobs: BTreeSet<ResourceName>,
}

/// Of a worker.
#[derive(Default)]
pub(super) struct WorkerMemory {
    pub provided: Option<Provided>,
    pub looks: Looks,
}

impl Memories {
    pub(super) fn of(&self, name: &ResourceName) -> Arc<tokio::sync::Mutex<Memory>> {
        Arc::clone(self.lock().entry(name.clone()).or_default())
    }

    pub(super) fn forget(&self, name: &ResourceName) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceName, Arc<tokio::sync::Mutex<Memory>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
