//! The Deployment of a worker.

use afterbay_crds::resolve::Worker;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, PodTemplateSpec, Probe, ResourceRequirements, Toleration,
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
/// How long a worker may take to end, in seconds: it takes 10 s at most by itself.
const GRACE_SECONDS: i64 = 20;
/// How long a pod stays where its node does not answer, in seconds. Its successor fences it, so nothing is waited for that might
/// still be written.
const LOST_NODE_SECONDS: i64 = 10;
const MIB: u64 = 1 << 20;
/// What a worker's process takes beside its queues, and beside that for each Sink (docs/operations.md, "Memory").
const PROCESS_BYTES: u64 = 96 * MIB;
const SINK_BYTES: u64 = 3 * MIB;

/// A worker, as a Deployment of one pod, which its successor never meets.
pub fn deployment(
    worker: &Worker,
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
            selector: LabelSelector {
                match_labels: Some(names::selector(&worker.name)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), ..DeploymentStrategy::default() }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(own),
                    annotations: Some(annotations.into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(worker, documents, image)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn pod(worker: &Worker, documents: &Documents, image: &WorkerSettings) -> k8s_openapi::api::core::v1::PodSpec {
    let mut mounts = vec![
        Mount {
            name: "plan",
            path: PLAN_DIR.to_owned(),
            source: MountSource::ConfigMap(names::plan(&worker.name, &documents.plan_hash)),
        },
        Mount {
            name: "begun",
            path: BEGUN_DIR.to_owned(),
            source: MountSource::ConfigMap(names::begun(&worker.name)),
        },
    ];
    mounts.extend(documents.secrets_dir.as_ref().map(|directory| Mount {
        name: "secrets",
        path: directory.display().to_string(),
        source: MountSource::Secret(names::secrets(&worker.name, &documents.secrets_hash)),
    }));
    let arguments = ["--plan", &format!("{PLAN_DIR}/{PLAN_FILE}"), "--begun", &format!("{BEGUN_DIR}/{BEGUN_FILE}")];
    let mut pod = pod::spec(image, names::WORKER, arguments.map(str::to_owned).into(), &mounts);
    pod.termination_grace_period_seconds = Some(GRACE_SECONDS);
    pod.tolerations = Some(["not-ready", "unreachable"].map(lost_node).into());
    for container in &mut pod.containers {
        serve(container);
        container.resources = Some(resources(worker));
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

/// What a worker of that memory and so many Sinks takes at most, and half of it to be sure of.
fn resources(worker: &Worker) -> ResourceRequirements {
    let limit = worker.plan.memory_bytes + PROCESS_BYTES + SINK_BYTES * worker.sinks.len() as u64;
    let mebibytes = |bytes: u64| Quantity(format!("{}Mi", bytes.div_ceil(MIB)));
    ResourceRequirements {
        requests: Some(
            [("cpu".to_owned(), Quantity("50m".to_owned())), ("memory".to_owned(), mebibytes(limit / 2))].into(),
        ),
        limits: Some([("memory".to_owned(), mebibytes(limit))].into()),
        ..ResourceRequirements::default()
    }
}

fn lost_node(how: &str) -> Toleration {
    Toleration {
        key: Some(format!("node.kubernetes.io/{how}")),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(LOST_NODE_SECONDS),
        ..Toleration::default()
    }
}
