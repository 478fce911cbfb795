//! A worker's pod, as the API server has it: it may do nothing that it need not, and is what its SourceConnector asks for.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// Where pods find what lets them talk to the API server.
const TOKEN: &str = "/var/run/secrets/kubernetes.io";

/// Checks that it has no token and no rights, and can write nowhere. Where the restricted Pod Security Standard is enforced a pod could
/// still have the token, and a root that it can write to.
pub fn may_do_nothing(pod: &Pod) {
    let pod = serde_json::to_value(pod).expect("a pod is JSON");
    let spec = &pod["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false, "{spec}");
    let security = &spec["securityContext"];
    assert_eq!(security["runAsNonRoot"], true, "{security}");
    assert!(security["runAsUser"].as_i64().is_some_and(|user| user > 0), "{security}");
    assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}), "{security}");
    for of_the_node in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec[of_the_node].is_null() || spec[of_the_node] == false, "{of_the_node}: {spec}");
    }
    // Neither a token nor a place to write to, but for what it is to read.
    for volume in list(&spec["volumes"]) {
        assert!(volume["configMap"].is_object() || volume["secret"].is_object(), "{volume}");
    }
    let containers: Vec<_> = [&spec["containers"], &spec["initContainers"]].into_iter().flat_map(list).collect();
    assert!(!containers.is_empty(), "{spec}");
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{security}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{security}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{security}");
        assert!(security["privileged"].is_null() || security["privileged"] == false, "{security}");
        let mounts: Vec<_> = list(&container["volumeMounts"]).collect();
        assert!(!mounts.is_empty(), "it has a plan: {container}");
        for mount in mounts {
            let is_token = mount["mountPath"].as_str().is_none_or(|path| path.starts_with(TOKEN));
            assert!(!is_token && mount["readOnly"] == true, "{mount}");
        }
    }
}

/// A `spec.worker` that asks for all that the node of any cluster has.
pub fn asked() -> Value {
    json!({
        "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "300Mi"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [
            {"key": "team", "operator": "Equal", "value": "data", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        ],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]},
        ]}}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "worker"}},
        }],
        "podLabels": {"team": "data"},
        "podAnnotations": {"example.com/note": "seen by others"},
    })
}

/// Checks that a pod is what [`asked`] asks for, beside what all of them have.
pub fn is_as_asked(pod: &Pod) {
    let (asked, pod) = (asked(), serde_json::to_value(pod).expect("a pod is JSON"));
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    for field in ["nodeSelector", "affinity", "topologySpreadConstraints"] {
        assert_eq!(spec[field], asked[field], "{field}");
    }
    for toleration in list(&asked["tolerations"]) {
        assert!(list(&spec["tolerations"]).any(|found| found == toleration), "{toleration}: {}", spec["tolerations"]);
    }
    for node in ["not-ready", "unreachable"] {
        let key = format!("node.kubernetes.io/{node}");
        let own = list(&spec["tolerations"]).find(|each| each["key"] == key.as_str());
        assert!(own.is_some_and(|own| own["tolerationSeconds"] == 10), "{node}: {}", spec["tolerations"]);
    }
    for (field, found) in [("podLabels", &metadata["labels"]), ("podAnnotations", &metadata["annotations"])] {
        for (name, value) in asked[field].as_object().expect("a map") {
            assert_eq!(&found[name], value, "{field} {name}");
        }
    }
    assert_eq!(metadata["labels"]["app.kubernetes.io/component"], "worker");
    let resources = &spec["containers"][0]["resources"];
    assert_eq!(resources["requests"]["cpu"], asked["resources"]["requests"]["cpu"], "{resources}");
    assert_eq!(resources["limits"]["memory"], asked["resources"]["limits"]["memory"], "{resources}");
}

fn list(values: &Value) -> impl Iterator<Item = &Value> {
    values.as_array().into_iter().flatten()
}
