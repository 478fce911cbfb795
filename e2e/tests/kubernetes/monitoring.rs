//! What the chart makes for Prometheus' operator, held against the definitions of that operator by an API server.

use afterbay_e2e::Namespace;
use afterbay_e2e::kubernetes::{Kubectl, PATIENCE, Release};
use afterbay_e2e::programs::repository;
use afterbay_e2e::scenario::unique;
use serde_json::{Value, json};

/// Where the rig has brought the definitions, see `e2e/rig/kubernetes/build.sh`.
const DEFINITIONS: &str = "target/kubernetes/bin/foreign";
/// The group of its kinds.
const GROUP: &str = "monitoring.coreos.com";

#[tokio::test]
async fn prometheus_operator_takes_monitors_and_alarms() {
    let folder = repository().join(DEFINITIONS);
    let kubectl = Kubectl::new("default");
    for kind in ["podmonitors", "prometheusrules"] {
        let file = folder.join(format!("{GROUP}_{kind}.yaml"));
        let definition = std::fs::read_to_string(&file);
        let definition =
            definition.unwrap_or_else(|error| panic!("{}: {error}: run e2e/rig/kubernetes/build.sh", file.display()));
        kubectl.apply(&definition).await;
        let deadline = format!("--timeout={}s", PATIENCE.as_secs());
        kubectl.run(&["wait", "--for=condition=Established", &deadline, &format!("crd/{kind}.{GROUP}")]).await;
    }
    let namespace = Namespace::create(&unique("monitoring")).await;
    let labels = json!({"team": "data"});
    let values = json!({
        "watchNamespaces": [namespace.name],
        "podMonitor": {"enabled": true, "labels": labels},
        "prometheusRule": {"enabled": true, "labels": labels, "alarmLabels": labels},
    });
    let release = Release::new("shop", &namespace.name);
    let chart = repository().join("charts/afterbay");
    let chart = chart.to_str().expect("the path is text");
    let arguments = ["template", "shop", chart, "--kube-version", "1.34.0", "--values", "-"];
    let rendered = release.run(&arguments, &values.to_string()).await.expect("the chart takes the values");
    let documents = serde_yaml::Deserializer::from_str(&rendered)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).expect("the chart makes YAML"));
    let is_its = |document: &Value| document["apiVersion"].as_str().is_some_and(|version| version.starts_with(GROUP));
    let its: Vec<_> = documents.filter(is_its).collect();
    assert_eq!(its.len(), 3, "operator and workers are looked at, and judged: {its:?}");
    for document in its {
        let taken = namespace.kubectl.dry_run(&document.to_string()).await;
        assert!(taken.is_ok(), "{taken:?}: {document}");
        // A slip would be seen.
        let mut slip = document;
        slip["spec"]["groupz"] = json!([]);
        let refused = namespace.kubectl.dry_run(&slip.to_string()).await;
        assert!(refused.is_err_and(|refused| refused.0.contains("groupz")), "{slip}");
    }
}
