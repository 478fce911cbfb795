//! The kinds that tests look at, by name.

use kube::core::{ApiResource, GroupVersionKind};

/// Kinds of the product, in the order in which they can be taken away without waiting for each other.
pub(super) const OURS: [&str; 4] = ["Sink", "SourceConnector", "KafkaConnection", "SchemaRegistryConnection"];

/// Where the API server keeps a kind.
pub(super) fn api_resource(kind: &str) -> ApiResource {
    let (group, version) = match kind {
        "Pod" | "Secret" | "ConfigMap" | "Service" | "ServiceAccount" | "Event" | "Namespace" | "Node" => ("", "v1"),
        "Deployment" | "ReplicaSet" => ("apps", "v1"),
        "Job" => ("batch", "v1"),
        "PodDisruptionBudget" => ("policy", "v1"),
        "Lease" => ("coordination.k8s.io", "v1"),
        "NetworkPolicy" => ("networking.k8s.io", "v1"),
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => ("rbac.authorization.k8s.io", "v1"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1"),
        _ if OURS.contains(&kind) => ("afterbay.dev", "v1alpha1"),
        _ => panic!("the harness knows no kind {kind}: name its group in kinds.rs"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Kind and name of `Kind/name`.
pub(super) fn split(resource: &str) -> (&str, &str) {
    resource.split_once('/').unwrap_or_else(|| panic!("{resource} is not Kind/name"))
}
