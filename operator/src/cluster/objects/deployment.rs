//! The Deployment of a worker.

use std::collections::BTreeMap;

use afterbay_crds::api::Worker as WorkerSpec;
use afterbay_crds::api::pod::{Toleration, typed};
use afterbay_crds::quantity;
use afterbay_crds::resolve::Worker;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    self as core, Container, ContainerPort, HTTPGetAction, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names;
use super::plan::{BEGUN_DIR, BEGUN_FILE, Documents, PLAN_DIR, PLAN_FILE};
use super::pod::{self, Mount, MountSource};
use crate::cluster::labels;
use crate::cluster::settings::WorkerSettings;

/// Where the worker listens in its pod.
pub const LISTEN: &str = "0.0.0.0:8080";
const PORT: i32 = 8080;
const PORT_NAME: &str = "http";
/// How long a worker may take to end, in seconds: by itself it takes less than 10 s.
const GRACE_SECONDS: i64 = 20;
/// How long a pod stays where its node does not answer, in seconds. Its successor fences it, so nothing is waited for that might
/// still be written.
const LOST_NODE_SECONDS: i64 = 10;
const MEMORY: &str = "memory";
const CPU: &str = "cpu";
/// What a worker asks of its node: it needs more while much changes, and takes it where it is free.
const CPU_REQUEST: &str = "50m";
const MIB: u64 = 1 << 20;
/// What a worker's process takes beside its queues, and beside that for each Sink (docs/operations.md, "Memory").
const PROCESS_BYTES: u64 = 96 * MIB;
const SINK_BYTES: u64 = 3 * MIB;

/// A worker, as a Deployment of one pod, which its successor never meets.
pub fn deployment(
    worker: &Worker,
    spec: &WorkerSpec,
    documents: &Documents,
    owner: &OwnerReference,
    image: &WorkerSettings,
) -> Deployment {
    let own = names::labels(&worker.name);
    let annotations = [
        (labels::PLAN_HASH.to_owned(), documents.plan_hash.clone()),
        (labels::SECRETS_HASH.to_owned(), documents.secrets_hash.clone()),
    ];
    Deployment {
        metadata: ObjectMeta {
            name: Some(names::deployment(&worker.name)),
            namespace: Some(worker.name.source.namespace.clone()),
            labels: Some(own.clone()),
            annotations: Some(annotations.clone().into()),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            // What an older one names is gone.
            revision_history_limit: Some(0),
            selector: LabelSelector { match_labels: Some(names::selector(&worker.name)), ..LabelSelector::default() },
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), ..DeploymentStrategy::default() }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(with(&spec.pod_labels, own)),
                    annotations: Some(with(&spec.pod_annotations, annotations.into())),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(worker, spec, documents, image)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// What users add, and what is Afterbay's own, which they cannot change.
fn with(theirs: &BTreeMap<String, String>, own: BTreeMap<String, String>) -> BTreeMap<String, String> {
    theirs.clone().into_iter().chain(own).collect()
}

fn pod(worker: &Worker, spec: &WorkerSpec, documents: &Documents, image: &WorkerSettings) -> PodSpec {
    let mut mounts = vec![
        Mount {
            name: "plan",
            path: PLAN_DIR.to_owned(),
            source: MountSource::ConfigMap(names::plan(&worker.name, &documents.plan_hash)),
        },
        Mount { name: "begun", path: BEGUN_DIR.to_owned(), source: MountSource::ConfigMap(names::begun(&worker.name)) },
    ];
    mounts.extend(documents.secrets_dir.as_ref().map(|directory| Mount {
        name: "secrets",
        path: directory.display().to_string(),
        source: MountSource::Secret(names::secrets(&worker.name, &documents.secrets_hash)),
    }));
    let arguments = ["--plan", &format!("{PLAN_DIR}/{PLAN_FILE}"), "--begun", &format!("{BEGUN_DIR}/{BEGUN_FILE}")];
    let mut pod = pod::spec(image, names::WORKER, arguments.map(str::to_owned).into(), &mounts);
    pod.termination_grace_period_seconds = Some(GRACE_SECONDS);
    let tolerations = ["not-ready", "unreachable"].map(lost_node).into_iter();
    pod.tolerations = Some(tolerations.chain(spec.tolerations.iter().map(Toleration::to_core)).collect());
    pod.node_selector = Some(spec.node_selector.clone()).filter(|labels| !labels.is_empty());
    pod.priority_class_name.clone_from(&spec.priority_class_name);
    // Validation has refused what these types do not hold.
    pod.affinity = spec.affinity.as_ref().and_then(|affinity| typed(affinity).ok());
    let spread: Vec<_> = spec.topology_spread_constraints.iter().filter_map(|each| typed(each).ok()).collect();
    pod.topology_spread_constraints = Some(spread).filter(|spread| !spread.is_empty());
    for container in &mut pod.containers {
        serve(container);
        container.resources = Some(resources(worker, spec));
    }
    pod
}

/// How it is asked whether it lives, and whether all of its Sinks have found their place.
fn serve(container: &mut Container) {
    container.ports = Some(vec![ContainerPort {
        name: Some(PORT_NAME.to_owned()),
        container_port: PORT,
        ..ContainerPort::default()
    }]);
    let probe = |path: &str, period_seconds: i32, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    };
    container.liveness_probe = Some(probe("/livez", 10, 6));
    container.readiness_probe = Some(probe("/readyz", 5, 1));
}

/// What users give; of what they do not, what a worker of that memory and so many Sinks takes at most, and half of it to be sure of.
fn resources(worker: &Worker, spec: &WorkerSpec) -> ResourceRequirements {
    let limit = worker.plan.memory_bytes + PROCESS_BYTES + SINK_BYTES * worker.sinks.len() as u64;
    let mebibytes = |bytes: u64| Quantity(format!("{}Mi", bytes.div_ceil(MIB)));
    let half = mebibytes(limit / 2);
    let given = spec.resources.to_requirements();
    let (mut requests, mut limits) = (given.requests.unwrap_or_default(), given.limits.unwrap_or_default());
    // Kubernetes takes a limit for the request, where there is none: ours could be more than their limit.
    if !limits.contains_key(MEMORY) {
        let limit = mebibytes(limit);
        let request = requests.entry(MEMORY.to_owned()).or_insert_with(|| half.clone());
        // Who asks for more may use it.
        let is_more = quantity::amount(&request.0) > quantity::amount(&limit.0);
        limits.insert(MEMORY.to_owned(), if is_more { request.clone() } else { limit });
    }
    if !limits.contains_key(CPU) {
        requests.entry(CPU.to_owned()).or_insert_with(|| Quantity(CPU_REQUEST.to_owned()));
    }
    ResourceRequirements { requests: Some(requests), limits: Some(limits), ..ResourceRequirements::default() }
}

fn lost_node(how: &str) -> core::Toleration {
    core::Toleration {
        key: Some(format!("node.kubernetes.io/{how}")),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(LOST_NODE_SECONDS),
        ..core::Toleration::default()
    }
}
