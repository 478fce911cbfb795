//! The board: what is found out of each worker, connection, SourceConnector and Sink, and who is told when it changes.
//!
//! In memory; all of it can be found out again. Who sets something says all that is known of it: what is equal to what is
//! known is no change, and triggers nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afterbay_crds::manifest::{Kind, ManifestError};
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::report::{Problem, SinkReport, WorkerReport};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::pods::{self, PodFacts};
use super::triggers::Queues;

/// How often figures of a Sink are written, if they change.
const FIGURES: Duration = Duration::from_secs(15);

/// How often figures of a SourceConnector are written, if they change.
const FIGURES_OF_SOURCE: Duration = Duration::from_mins(1);

/// What is found out of a Sink by who carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkFacts {
    /// The worker that carries it, or is to.
    pub worker: Option<WorkerName>,
    /// What is wrong with it, or with what it refers to. A worker that carries it already goes on as it was.
    pub invalid: Vec<ManifestError>,
    /// What is not there yet, in words: `KafkaConnection default/events`.
    pub waiting_for: Option<String>,
    /// Where it is being deleted: what that waits for, a sentence.
    pub deletion: Option<String>,
}

/// What is found out of a SourceConnector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// What is wrong with it.
    pub invalid: Vec<ManifestError>,
    /// What is not there yet, in words: `Secret default/shop-db`.
    pub waiting_for: Option<String>,
    /// Where it is being deleted: what that waits for, a sentence.
    pub deletion: Option<String>,
    /// What the database says, where no worker asks it; none: it has not been asked.
    pub handshake: Option<Result<(), Problem>>,
}

/// What is found out of a worker by who provides for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Which.
    pub name: WorkerName,
    /// Its Deployment.
    pub deployment: String,
    /// Its replication slot.
    pub slot: String,
    /// The hash of the plan that it is to run ([`super::labels::PLAN_HASH`] of its pod); none where there is none yet.
    pub plan_hash: Option<String>,
    /// The Sinks of that plan.
    pub sinks: Vec<ResourceName>,
    /// Whether it has been provided for, once at least, since the operator began.
    pub is_provided: bool,
    /// What is missing, by subject: `sink default/orders`, `connection default/events`, `source default/shop`.
    pub problems: Vec<(String, Problem)>,
    /// What there is to know, and stops nothing; tables that are left out among it. By subject.
    pub warnings: Vec<(String, Problem)>,
}

/// What is known of a worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerView {
    /// By who provides for it.
    pub facts: Option<Arc<WorkerFacts>>,
    /// Its pod, the one that is not going.
    pub pod: Option<Arc<PodFacts>>,
    /// What it said last, of this pod.
    pub report: Option<Arc<WorkerReport>>,
    /// Whether this pod has been asked, whatever came of it.
    pub is_asked: bool,
}

impl WorkerView {
    /// Whether all has been looked at that there is to see of it. A new leader begins with nothing.
    pub fn is_known(&self) -> bool {
        let Some(facts) = &self.facts else { return false };
        let is_provided = facts.is_provided || !facts.problems.is_empty();
        let is_asked = self.is_asked || self.pod.as_ref().is_none_or(|pod| !pod.is_running);
        self.report.is_some() || is_provided && is_asked
    }
}

/// What is known of a Sink.
#[derive(Clone, Debug, Default)]
pub struct SinkView {
    /// By who carries it; none: nothing yet.
    pub facts: Option<SinkFacts>,
    /// Whether its KafkaConnection answers; none: not known.
    pub connection: Option<Result<(), Problem>>,
    /// Whether its registries answer; the first that does not.
    pub registry: Option<Result<(), Problem>>,
    /// Its worker.
    pub worker: WorkerView,
}

impl SinkView {
    /// What its worker says of it.
    pub fn report(&self, name: &ResourceName) -> Option<&SinkReport> {
        let name = name.to_string();
        self.worker.report.as_ref()?.sinks.iter().find(|sink| sink.name == name)
    }
}

/// What is known of a SourceConnector.
#[derive(Clone, Debug, Default)]
pub struct SourceView {
    /// By its reconciler; none: nothing yet.
    pub facts: Option<SourceFacts>,
    /// Its workers, by pool.
    pub workers: Vec<WorkerView>,
}

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
        let told = {
            let mut inner = self.lock();
            let worker = inner.worker(&name);
            let old = worker.facts.clone();
            if old.as_deref() == Some(&facts) {
                return;
            }
            let told: Vec<_> = old.iter().flat_map(|old| old.sinks.clone()).chain(facts.sinks.clone()).collect();
            worker.facts = Some(Arc::new(facts));
            told
        };
        self.tell(&name.source, &told);
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
        let Some(gone) = gone else { return };
        self.tell(&name.source, &gone.facts.map(|facts| facts.sinks.clone()).unwrap_or_default());
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
            source_changed = match &old {
                Some(old) if old.source == report.source => None,
                Some(old)
                    if old.source.connected == report.source.connected && old.source.error == report.source.error =>
                {
                    Some(false)
                }
                _ => Some(true),
            };
            worker.report = Some(Arc::new(report));
            worker.is_asked = true;
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

#[cfg(test)]
mod tests {
    use afterbay_crds::report::{SinkState, SourceReport};
    use serde_json::json;

    use super::*;
    use crate::cluster::labels;
    use crate::cluster::queue::Queue;

    fn name(name: &str) -> ResourceName {
        ResourceName::new("default", name)
    }

    fn worker() -> WorkerName {
        WorkerName { source: name("shop"), pool: "default".to_owned() }
    }

    fn board() -> (Board, Arc<Queues>) {
        let queues = Arc::new(Queues::default());
        (Board::new(Arc::clone(&queues)), queues)
    }

    /// Which Sinks were asked to be looked at at once, and which later; and whether the SourceConnector's status was.
    fn check(queues: &Queues, now: &[&str], later: &[&str], status: bool) {
        let asked = |queue: &Queue, now: bool| {
            let names = queue.asked(now).into_iter().map(|name| name.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!((asked(&queues.sinks, true), asked(&queues.sinks, false)), (words(now), words(later)));
        assert_eq!(asked(&queues.source_statuses, true).len(), usize::from(status));
        queues.sinks.clear();
        queues.source_statuses.clear();
    }

    fn words(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn pod(pod: &str) -> Arc<Pod> {
        let pod = json!({"metadata": {
            "name": pod, "namespace": "default", "labels": {labels::SOURCE: "shop", labels::POOL: "default"},
        }, "status": {"podIP": "10.0.0.1"}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn report(rows: u64, state: SinkState, log_end: &str) -> WorkerReport {
        let sink = |name: &str| SinkReport { name: format!("default/{name}"), ..SinkReport::default() };
        WorkerReport {
            worker: "default/shop".to_owned(),
            source: SourceReport { connected: true, log_end: Some(log_end.to_owned()), ..SourceReport::default() },
            sinks: vec![SinkReport { snapshot_rows: rows, state, ..sink("a") }, sink("b")],
        }
    }

    #[test]
    fn what_is_known_already_is_told_to_nobody() {
        let (board, queues) = board();
        let facts = || Some(SinkFacts { waiting_for: Some("Secret default/x".to_owned()), ..SinkFacts::default() });
        board.set_sink(&name("a"), facts());
        check(&queues, &["a"], &[], false);
        board.set_sink(&name("a"), facts());
        check(&queues, &[], &[], false);
        board.set_sink(&name("a"), None);
        check(&queues, &["a"], &[], false);
        assert!(board.set_handshake(Kind::KafkaConnection, &name("k"), Some(Ok(()))));
        assert!(!board.set_handshake(Kind::KafkaConnection, &name("k"), Some(Ok(()))));
        assert!(board.set_handshake(Kind::SchemaRegistryConnection, &name("k"), Some(Ok(()))), "another of its name");
    }

    #[test]
    fn states_are_told_at_once_and_figures_later() {
        let (board, queues) = board();
        board.see_pods(&worker(), &[pod("p")]);
        check(&queues, &[], &[], true);
        board.set_report(&worker(), "p", report(0, SinkState::Starting, "0/1"));
        check(&queues, &["a", "b"], &[], true);
        board.set_report(&worker(), "p", report(0, SinkState::Starting, "0/1"));
        check(&queues, &[], &[], false);
        board.written(Kind::Sink, &name("a"));
        board.written(Kind::SourceConnector, &name("shop"));
        board.set_report(&worker(), "p", report(5, SinkState::Starting, "0/2"));
        check(&queues, &[], &["a"], false);
        board.set_report(&worker(), "p", report(5, SinkState::Running, "0/2"));
        check(&queues, &["a"], &[], false);
    }

    #[test]
    fn what_a_pod_has_said_goes_with_it() {
        let (board, _) = board();
        board.see_pods(&worker(), &[pod("p")]);
        board.set_report(&worker(), "p", report(0, SinkState::Running, "0/1"));
        assert!(board.worker(&worker()).report.is_some());
        board.see_pods(&worker(), &[pod("q")]);
        assert!(board.worker(&worker()).report.is_none());
        board.set_report(&worker(), "p", report(0, SinkState::Running, "0/1"));
        assert!(board.worker(&worker()).report.is_none(), "it was asked before it was replaced");
        assert_eq!(board.to_ask().len(), 1);
        board.remove_worker(&worker());
        assert!(board.to_ask().is_empty() && board.workers(&name("shop")).is_empty());
    }
}
