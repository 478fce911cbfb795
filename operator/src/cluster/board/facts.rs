//! What stands on the board: what is found out, and what is known of a resource by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use afterbay_crds::manifest::ManifestError;
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::report::{Problem, SinkReport, WorkerReport};

use crate::cluster::pods::PodFacts;
use crate::cluster::status::kept::KeptSlot;

/// What is found out of a Sink by who carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkFacts {
    /// The worker that carries it, or is to.
    pub worker: Option<WorkerName>,
    /// What is wrong with it, or with what it refers to. A worker that carries it already goes on as it was.
    pub invalid: Vec<ManifestError>,
    /// What is not there yet, in words: `KafkaConnection default/events`.
    pub waiting_for: Option<String>,
    /// What its worker waits for before it begins, a sentence.
    pub held_up: Option<String>,
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
    /// The slots that are kept though no Sink reads them.
    pub kept: Vec<KeptSlot>,
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
    /// The hash of the plan that it is to run ([`crate::cluster::labels::PLAN_HASH`] of its pod); none where there is none yet.
    pub plan_hash: Option<String>,
    /// The Sinks of that plan.
    pub sinks: Vec<ResourceName>,
    /// Whether it has been provided for, once at least, since the operator began.
    pub is_provided: bool,
    /// What is missing, by subject: `sink default/orders`, `connection default/events`, `source default/shop`.
    pub problems: Vec<(String, Problem)>,
    /// Of those the subjects that have no place in the plan as they are wanted now: what is carried already goes on as it was.
    pub held_back: BTreeSet<String>,
    /// What there is to know, and stops nothing; tables that are left out among it. By subject.
    pub warnings: Vec<(String, Problem)>,
}

impl WorkerFacts {
    /// What is missing for its connections, with their names.
    pub(super) fn of_connections(&self) -> impl Iterator<Item = (ResourceName, &Problem)> {
        self.problems.iter().filter_map(|(about, problem)| {
            let (namespace, name) = about.strip_prefix("connection ")?.split_once('/')?;
            Some((ResourceName::new(namespace, name), problem))
        })
    }
}

/// What is known of a worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerView {
    /// By who provides for it.
    pub facts: Option<Arc<WorkerFacts>>,
    /// Its pod, the one that is not going.
    pub pod: Option<Arc<PodFacts>>,
    /// Why no pod of it can be made, as its Deployment says.
    pub refusal: Option<Problem>,
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
