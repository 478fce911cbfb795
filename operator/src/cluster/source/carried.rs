//! What the workers of a SourceConnector carry now, as the cluster has it: the plan that a worker's Deployment names.

use std::collections::BTreeSet;

use afterbay_crds::manifest::Kind;
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::plan::{Plan, SinkPlan};
use afterbay_crds::resolve::{Provisioning, PublicationSpec, Worker, WorkerSink};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;

use crate::cluster::labels;
use crate::cluster::objects::{names, plan::PLAN_FILE};
use crate::cluster::stores::{Key, Stores, in_cluster, worker_of};

/// A worker as it is now.
#[derive(Clone, Debug)]
pub struct Current {
    /// Which.
    pub name: WorkerName,
    /// Its plan; none where that cannot be read (it was removed, or is of another version).
    pub plan: Option<Plan>,
    /// The hash of its plan.
    pub plan_hash: String,
    /// The hash of its secrets; empty where it has none.
    pub secrets_hash: String,
}

impl Current {
    /// What a Sink of it does.
    pub fn sink(&self, name: &str) -> Option<&SinkPlan> {
        self.plan.as_ref()?.sinks.iter().find(|sink| sink.name == name)
    }

    /// Its Sinks.
    pub fn sinks(&self) -> Vec<ResourceName> {
        let sinks = self.plan.iter().flat_map(|plan| &plan.sinks).filter_map(|sink| sink.name.split_once('/'));
        sinks.map(|(namespace, name)| ResourceName::new(namespace, name)).collect()
    }

    /// Whether it carries this Sink.
    pub fn has(&self, sink: &ResourceName) -> bool {
        self.sink(&sink.to_string()).is_some()
    }
}

/// The workers of a SourceConnector.
pub fn workers(stores: &Stores, source: &ResourceName) -> Vec<Current> {
    let deployments = stores.deployments.by(&Key::Source(source.clone()));
    deployments.iter().filter_map(|deployment| current(stores, deployment)).collect()
}

fn current(stores: &Stores, deployment: &Deployment) -> Option<Current> {
    let name = worker_of(deployment)?;
    let annotation = |of| deployment.annotations().get(of).cloned().unwrap_or_default();
    let plan_hash = annotation(labels::PLAN_HASH);
    Some(Current {
        plan: plan(stores, &name, &plan_hash),
        plan_hash,
        secrets_hash: annotation(labels::SECRETS_HASH),
        name,
    })
}

/// The plan of this hash, if it is there and can be read.
pub fn plan(stores: &Stores, worker: &WorkerName, hash: &str) -> Option<Plan> {
    let config_map = stores.config_maps.get(&worker.source.sibling(&names::plan(worker, hash)))?;
    serde_json::from_str(config_map.data.as_ref()?.get(PLAN_FILE)?).ok()
}

/// Has a worker that is to be go on with those Sinks of the current one that cannot be resolved now (`held`): as they were. A Sink
/// does not lose its place because its manifest became wrong.
pub fn keep(worker: &mut Worker, current: &Plan, held: &BTreeSet<String>) {
    for old in current.sinks.iter().filter(|sink| held.contains(&sink.name)) {
        if worker.plan.sinks.iter().any(|sink| sink.name == old.name) {
            continue;
        }
        let Some((namespace, name)) = old.name.split_once('/') else { continue };
        let at = worker.plan.sinks.partition_point(|sink| sink.name < old.name);
        worker.plan.sinks.insert(at, old.clone());
        // It is none of those whose tables are looked for: it keeps those that it has.
        let sink =
            WorkerSink { name: ResourceName::new(namespace, name), place: worker.place.clone(), by_pattern: None };
        worker.sinks.insert(at, sink);
    }
}

/// A worker as its plan has it, with nothing that is to be provided.
pub fn worker(name: &WorkerName, plan: Plan) -> Worker {
    let place = in_cluster(Kind::SourceConnector, &name.source);
    let sinks = plan.sinks.iter().filter_map(|sink| sink.name.split_once('/'));
    let sinks = sinks.map(|(namespace, name)| WorkerSink {
        name: ResourceName::new(namespace, name),
        place: place.clone(),
        by_pattern: None,
    });
    Worker {
        sinks: sinks.collect(),
        provisioning: Provisioning {
            kafka: Vec::new(),
            publication: PublicationSpec { name: plan.source.publication.clone(), managed: false, tables: Vec::new() },
        },
        name: name.clone(),
        place,
        plan,
        secrets: Vec::new(),
    }
}

/// Takes Sinks out of a worker that is to be.
pub fn leave_out(worker: &mut Worker, is_out: impl Fn(&str) -> bool) {
    let names: Vec<_> = worker.plan.sinks.iter().map(|sink| is_out(&sink.name)).collect();
    let mut of_plan = names.iter();
    worker.plan.sinks.retain(|_| !of_plan.next().copied().unwrap_or_default());
    let mut of_sinks = names.iter();
    worker.sinks.retain(|_| !of_sinks.next().copied().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::tests::{resolved, sinks_of};
    use super::*;

    #[test]
    fn a_sink_that_cannot_be_resolved_goes_on_as_it_was() {
        let current = resolved(&["a", "b", "c"]).plan;
        let mut worker = resolved(&["a", "c", "d"]);
        keep(&mut worker, &current, &["eu/b".to_owned(), "eu/c".to_owned(), "eu/x".to_owned()].into());
        assert_eq!(sinks_of(&worker), ["eu/a", "eu/b", "eu/c", "eu/d"]);
        assert_eq!(worker.plan.sinks[1], current.sinks[1]);
        let names: Vec<_> = worker.sinks.iter().map(|sink| sink.name.to_string()).collect();
        assert_eq!(names, sinks_of(&worker));
    }

    #[test]
    fn what_is_left_out_is_left_out_of_both_lists() {
        let mut worker = resolved(&["a", "b", "c"]);
        leave_out(&mut worker, |name| name != "eu/b");
        assert_eq!(sinks_of(&worker), ["eu/b"]);
        assert_eq!(worker.sinks.len(), 1);
        assert_eq!(worker.sinks[0].name.name, "b");
    }
}
