//! The board: what is found out of each worker, connection, SourceConnector and Sink, and who is told when it changes.
//!
//! In memory; all of it can be found out again. Who sets something says all that is known of it: what is equal to what is
//! known is no change, and triggers nothing.

mod facts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afterbay_crds::manifest::Kind;
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{Problem, SinkReport, SinkState, WorkerReport};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::pods::{self, PodFacts};
use super::status::facet::{Facet, facet};
use super::triggers::Queues;
pub use facts::{SinkFacts, SinkView, SourceFacts, SourceView, WorkerFacts, WorkerView};

/// How often figures of a Sink are written, if they change.
const FIGURES: Duration = Duration::from_secs(15);

/// How often figures of a SourceConnector are written, if they change.
const FIGURES_OF_SOURCE: Duration = Duration::from_mins(1);

/// The board.
pub struct Board {
    inner: Mutex<Inner>,
    queues: Arc<Queues>,
}

#[derive(Default)]
struct Inner {
    sinks: HashMap<ResourceName, SinkFacts>,
    sources: HashMap<ResourceName, SourceFacts>,
    /// By SourceConnector and pool.
    workers: HashMap<ResourceName, BTreeMap<String, WorkerView>>,
    handshakes: HashMap<(ResourceName, &'static str), Result<(), Problem>>,
    /// When figures were last asked to be written.
    written: HashMap<(&'static str, ResourceName), Instant>,
}

impl Board {
    /// An empty one that tells these.
    pub fn new(queues: Arc<Queues>) -> Self {
        Self { inner: Mutex::default(), queues }
    }

    /// Says what is found out of a Sink; `None`: there is no such Sink.
    pub fn set_sink(&self, name: &ResourceName, facts: Option<SinkFacts>) {
        if set(&mut self.lock().sinks, name, facts) {
            self.queues.sinks.add(name);
        }
    }

    /// Says what is found out of a SourceConnector; `None`: there is no such SourceConnector.
    pub fn set_source(&self, name: &ResourceName, facts: Option<SourceFacts>) {
        if set(&mut self.lock().sources, name, facts) {
            self.queues.source_statuses.add(name);
        }
    }

    /// Says what is found out of a worker by who provides for it.
    pub fn set_worker(&self, facts: WorkerFacts) {
        let name = facts.name.clone();
        let (told, connections) = {
            let mut inner = self.lock();
            let worker = inner.worker(&name);
            let old = worker.facts.clone();
            if old.as_deref() == Some(&facts) {
                return;
            }
            let told: Vec<_> = old.iter().flat_map(|old| old.sinks.clone()).chain(facts.sinks.clone()).collect();
            let connections = differing(old.as_deref(), Some(&facts));
            worker.facts = Some(Arc::new(facts));
            (told, connections)
        };
        self.tell(&name.source, &told);
        self.tell_connections(&connections);
    }

    /// A worker is no more.
    pub fn remove_worker(&self, name: &WorkerName) {
        let gone = {
            let mut inner = self.lock();
            let Some(pools) = inner.workers.get_mut(&name.source) else { return };
            let gone = pools.remove(&name.pool);
            if pools.is_empty() {
                inner.workers.remove(&name.source);
            }
            gone
        };
        let Some(facts) = gone.map(|gone| gone.facts) else { return };
        self.tell(&name.source, &facts.as_ref().map(|facts| facts.sinks.clone()).unwrap_or_default());
        self.tell_connections(&differing(facts.as_deref(), None));
    }

    /// The workers of a SourceConnector of which anything is known.
    pub fn workers(&self, source: &ResourceName) -> Vec<WorkerName> {
        let inner = self.lock();
        let pools = inner.workers.get(source).into_iter().flat_map(BTreeMap::keys);
        pools.map(|pool| WorkerName { source: source.clone(), pool: pool.clone() }).collect()
    }

    /// Sees what pods a SourceConnector has, of whichever pools.
    pub fn see_pods(&self, worker: &WorkerName, of_source: &[Arc<Pod>]) {
        let seen = pods::of_worker(worker, of_source).map(Arc::new);
        let sinks = {
            let mut inner = self.lock();
            let worker = inner.worker(worker);
            if worker.pod == seen {
                return;
            }
            let is_other = worker.pod.as_ref().map(|pod| &pod.name) != seen.as_ref().map(|pod| &pod.name);
            if is_other {
                // What another pod has said is over.
                worker.report = None;
                worker.is_asked = false;
            }
            worker.pod = seen;
            worker.facts.as_ref().map(|facts| facts.sinks.clone()).unwrap_or_default()
        };
        self.tell(&worker.source, &sinks);
        // Plans and secrets of before go once the new pod is ready.
        self.queues.sources.add(&worker.source);
    }

    /// Sees why no pod of a worker can be made, if so.
    pub fn see_refusal(&self, worker: &WorkerName, refusal: Option<Problem>) {
        let sinks = {
            let mut inner = self.lock();
            let is_known = inner.workers.get(&worker.source).is_some_and(|pools| pools.contains_key(&worker.pool));
            if refusal.is_none() && !is_known {
                return;
            }
            let worker = inner.worker(worker);
            if worker.refusal == refusal {
                return;
            }
            worker.refusal = refusal;
            worker.facts.as_ref().map(|facts| facts.sinks.clone()).unwrap_or_default()
        };
        self.tell(&worker.source, &sinks);
    }

    /// The workers to be asked, with the addresses of their pods.
    pub fn to_ask(&self) -> Vec<(WorkerName, Arc<PodFacts>)> {
        let inner = self.lock();
        let workers = inner.workers.iter().flat_map(|(source, pools)| {
            pools.iter().filter_map(|(pool, worker)| {
                let pod = worker.pod.clone().filter(|pod| pod.address.is_some())?;
                Some((WorkerName { source: source.clone(), pool: pool.clone() }, pod))
            })
        });
        workers.collect()
    }

    /// Says what a worker's pod has answered.
    pub fn set_report(&self, name: &WorkerName, pod: &str, report: WorkerReport) {
        let (mut now, mut later) = (Vec::new(), Vec::new());
        let source_changed;
        let right_is_missing;
        {
            let mut inner = self.lock();
            let worker = inner.worker(name);
            // It has been replaced while it was asked.
            if worker.pod.as_ref().is_none_or(|known| known.name != pod) {
                return;
            }
            let old = worker.report.take();
            for sink in &report.sinks {
                let was = old.as_ref().and_then(|old| old.sinks.iter().find(|was| was.name == sink.name));
                let Some((namespace, own)) = sink.name.split_once('/') else { continue };
                let name = ResourceName::new(namespace, own);
                match was {
                    Some(was) if was == sink => {}
                    Some(was) if says_the_same(was, sink) => later.push(name),
                    _ => now.push(name),
                }
            }
            // Where nobody reads the source, what its Sinks do says whether anybody need.
            let is_theirs = !report.source.connected && !now.is_empty();
            source_changed = match &old {
                _ if is_theirs => Some(true),
                Some(old) if old.source == report.source => None,
                Some(old)
                    if old.source.connected == report.source.connected && old.source.error == report.source.error =>
                {
                    Some(false)
                }
                _ => Some(true),
            };
            let lacked =
                |name: &str| old.iter().flat_map(|old| &old.sinks).any(|was| was.name == name && lacks_a_right(was));
            right_is_missing = report.sinks.iter().any(|sink| lacks_a_right(sink) && !lacked(&sink.name));
            worker.report = Some(Arc::new(report));
            worker.is_asked = true;
        }
        if right_is_missing {
            // It may be one that is given here.
            self.queues.sources.add(&name.source);
        }
        for sink in &now {
            self.queues.sinks.add(sink);
        }
        for sink in &later {
            self.queues.sinks.add_after(sink, self.until_written(Kind::Sink, sink, FIGURES));
        }
        match source_changed {
            Some(true) => self.queues.source_statuses.add(&name.source),
            Some(false) => {
                let pause = self.until_written(Kind::SourceConnector, &name.source, FIGURES_OF_SOURCE);
                self.queues.source_statuses.add_after(&name.source, pause);
            }
            None => {}
        }
    }

    /// Says that a worker's pod has been asked, and has not answered.
    pub fn set_unanswered(&self, name: &WorkerName, pod: &str) {
        let sinks = {
            let mut inner = self.lock();
            let worker = inner.worker(name);
            if worker.is_asked || worker.pod.as_ref().is_none_or(|known| known.name != pod) {
                return;
            }
            worker.is_asked = true;
            worker.facts.as_ref().map(|facts| facts.sinks.clone()).unwrap_or_default()
        };
        self.tell(&name.source, &sinks);
    }

    /// Says whether a connection or a registry answers; `None`: there is none of this name, or it has not been asked.
    pub fn set_handshake(&self, kind: Kind, name: &ResourceName, handshake: Option<Result<(), Problem>>) -> bool {
        set(&mut self.lock().handshakes, &(name.clone(), kind.as_str()), handshake)
    }

    /// Whether a connection or a registry answers, as far as it is known.
    pub fn handshake(&self, kind: Kind, name: &ResourceName) -> Option<Result<(), Problem>> {
        self.lock().handshakes.get(&(name.clone(), kind.as_str())).cloned()
    }

    /// What is known of a Sink with this connection and these registries.
    pub fn sink(&self, name: &ResourceName, connection: &ResourceName, registries: &[ResourceName]) -> SinkView {
        let inner = self.lock();
        let facts = inner.sinks.get(name).cloned();
        let worker = facts.as_ref().and_then(|facts| facts.worker.as_ref());
        let worker = worker.and_then(|worker| inner.workers.get(&worker.source)?.get(&worker.pool)).cloned();
        let answers = |kind: Kind, name: &ResourceName| inner.handshakes.get(&(name.clone(), kind.as_str())).cloned();
        let of_registries: Option<Vec<_>> =
            registries.iter().map(|registry| answers(Kind::SchemaRegistryConnection, registry)).collect();
        SinkView {
            facts,
            connection: answers(Kind::KafkaConnection, connection),
            registry: of_registries.map(|all| all.into_iter().find(Result::is_err).unwrap_or(Ok(()))),
            worker: worker.unwrap_or_default(),
        }
    }

    /// What could not be provided with a connection: of the first worker that it is missing for. That it does not answer is not said
    /// here: its own reconciler asks it.
    pub fn trouble(&self, connection: &ResourceName) -> Option<Problem> {
        let inner = self.lock();
        let pools = inner.workers.values().flat_map(BTreeMap::values).filter_map(|worker| worker.facts.as_ref());
        let missing = pools.filter_map(|facts| {
            let mut own = facts.of_connections().filter(|(name, _)| name == connection).map(|(_, problem)| problem);
            Some((&facts.name, own.find(|problem| facet(&problem.reason) != Facet::Connection)?))
        });
        let first = missing.min_by_key(|(worker, _)| *worker);
        first.map(|(_, problem)| problem.clone())
    }

    /// What is known of a SourceConnector.
    pub fn source(&self, name: &ResourceName) -> SourceView {
        let inner = self.lock();
        let workers = inner.workers.get(name).into_iter().flat_map(BTreeMap::values).cloned().collect();
        SourceView { facts: inner.sources.get(name).cloned(), workers }
    }

    /// What is known of a worker.
    pub fn worker(&self, name: &WorkerName) -> WorkerView {
        self.lock().workers.get(&name.source).and_then(|pools| pools.get(&name.pool)).cloned().unwrap_or_default()
    }

    /// The status of a Sink or a SourceConnector has just been written.
    pub fn written(&self, kind: Kind, name: &ResourceName) {
        self.lock().written.insert((kind.as_str(), name.clone()), Instant::now());
    }

    /// The status of one that is gone will not be written any more.
    pub fn forget(&self, kind: Kind, name: &ResourceName) {
        self.lock().written.remove(&(kind.as_str(), name.clone()));
    }

    /// How long figures have to wait.
    fn until_written(&self, kind: Kind, name: &ResourceName, interval: Duration) -> Duration {
        let written = self.lock().written.get(&(kind.as_str(), name.clone())).copied();
        written.map_or(Duration::ZERO, |written| interval.saturating_sub(written.elapsed()))
    }

    fn tell_connections(&self, connections: &BTreeSet<ResourceName>) {
        for connection in connections {
            self.queues.connections.add(connection);
        }
    }

    fn tell(&self, source: &ResourceName, sinks: &[ResourceName]) {
        for sink in sinks {
            self.queues.sinks.add(sink);
        }
        self.queues.source_statuses.add(source);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn worker(&mut self, name: &WorkerName) -> &mut WorkerView {
        self.workers.entry(name.source.clone()).or_default().entry(name.pool.clone()).or_default()
    }
}

/// Whether a Sink stands still as its worker lacks a right at the brokers.
pub fn lacks_a_right(sink: &SinkReport) -> bool {
    let is_about_rights = |problem: &Problem| problem.reason == Reason::KafkaNotAuthorized.as_str();
    !matches!(sink.state, SinkState::Running | SinkState::Snapshotting)
        && sink.error.as_ref().is_some_and(is_about_rights)
}

/// Whether a report says nothing new but figures.
fn says_the_same(was: &SinkReport, is: &SinkReport) -> bool {
    was.state == is.state
        && was.begun == is.begun
        && was.error == is.error
        && was.warnings == is.warnings
        && was.tables == is.tables
        && was.table == is.table
        && was.topic == is.topic
}

/// The connections of which a worker's facts say something else than before.
fn differing(old: Option<&WorkerFacts>, new: Option<&WorkerFacts>) -> BTreeSet<ResourceName> {
    let said = |facts: Option<&WorkerFacts>| {
        let said = facts.into_iter().flat_map(WorkerFacts::of_connections);
        said.map(|(name, problem)| (name, problem.clone())).collect::<Vec<_>>()
    };
    let (old, new) = (said(old), said(new));
    let only = |one: &[(ResourceName, Problem)], other: &[(ResourceName, Problem)]| {
        let only = one.iter().filter(|said| !other.contains(said));
        only.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    only(&old, &new).into_iter().chain(only(&new, &old)).collect()
}

/// Whether that is a change.
fn set<K: Clone + Eq + std::hash::Hash, V: PartialEq>(all: &mut HashMap<K, V>, name: &K, new: Option<V>) -> bool {
    if all.get(name) == new.as_ref() {
        return false;
    }
    match new {
        Some(new) => all.insert(name.clone(), new),
        None => all.remove(name),
    };
    true
}
