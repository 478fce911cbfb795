//! The PodDisruptionBudget of a worker.

use afterbay_crds::names::WorkerName;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names;

/// A worker may be drained: it loses nothing, and its successor goes on in seconds. A budget that allowed none would hold up
/// every drain of its node.
pub fn budget(worker: &WorkerName, owner: &OwnerReference) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: ObjectMeta {
            name: Some(names::deployment(worker)),
            namespace: Some(worker.source.namespace.clone()),
            labels: Some(names::labels(worker)),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(names::selector(worker)), ..LabelSelector::default() }),
            // One that is not ready (a Sink of it is stalled) may be drained, too.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
