//! The chart and the plain manifests, as an API server takes them: with many values, in a namespace that enforces the
//! restricted Pod Security Standard.

use afterbay_e2e::Namespace;
use afterbay_e2e::kubernetes::{Release, definitions};
use afterbay_e2e::programs::{folder, repository};
use afterbay_e2e::scenario::unique;
use serde_json::{Value, json};
use tokio::process::Command;

/// Kinds of Prometheus' operator, which the cluster does not have.
const FOREIGN: [&str; 2] = ["PodMonitor", "PrometheusRule"];

/// What the chart makes of values, as documents.
pub async fn rendered(namespace: &str, values: &Value) -> Vec<Value> {
    let chart = repository().join("charts/afterbay");
    let chart = chart.to_str().expect("the path is text");
    let arguments = ["template", "shop", chart, "--kube-version", "1.34.0", "--values", "-"];
    let release = Release::new("shop", namespace);
    let text = release.run(&arguments, &values.to_string()).await;
    let text = text.unwrap_or_else(|refused| panic!("{values}: {}", refused.0));
    let documents = serde_yaml::Deserializer::from_str(&text).map(serde::Deserialize::deserialize);
    let documents: Result<Vec<Value>, serde_yaml::Error> = documents.collect();
    documents.expect("the chart makes YAML").into_iter().filter(|document| !document.is_null()).collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|document| document["kind"] == kind).collect()
}

/// Values that use what the defaults leave out.
fn much(namespace: &str) -> Value {
    json!({
        "instance": "eu1",
        "watchNamespaces": [namespace],
        "image": {"repository": "registry.example/afterbay", "digest": format!("sha256:{}", "0".repeat(64))},
        "workerImage": {"repository": "registry.example/worker", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": ["pull"],
        "workerImagePullSecrets": ["pull"],
        "replicas": 2,
        "log": {"format": "text", "filter": "debug"},
        "crds": {"enabled": false},
        "serviceAccount": {"annotations": {"example.com/role": "x"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {},
        }],
        "podLabels": {"team": "data"},
        "podAnnotations": {"example.com/note": "n"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "service": {"labels": {"team": "data"}, "annotations": {"example.com/note": "n"}},
        "networkPolicy": {
            "enabled": true,
            "from": [{"namespaceSelector": {}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
        "podMonitor": {"enabled": true},
        "prometheusRule": {"enabled": true, "alarmLabels": {"team": "data"}},
        "dashboard": {"enabled": true},
    })
}

/// A pod is judged where it is made, a Deployment is only warned of: so its pod is judged, too.
async fn assert_taken(namespace: &Namespace, documents: &[Value]) {
    for document in documents.iter().filter(|document| !FOREIGN.iter().any(|kind| document["kind"] == *kind)) {
        let taken = namespace.kubectl.dry_run(&document.to_string()).await;
        assert!(taken.is_ok(), "{taken:?}: {document}");
        if document["kind"] == "Deployment" {
            let template = &document["spec"]["template"];
            // Service accounts are not there, as nothing is kept.
            let mut pod =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
            pod["metadata"]["name"] = json!("judged");
            pod["spec"]["serviceAccountName"] = json!("default");
            let taken = namespace.kubectl.dry_run(&pod.to_string()).await;
            assert!(taken.is_ok(), "{taken:?}: {pod}");
        }
    }
}

#[tokio::test]
async fn it_passes_lint() {
    let chart = repository().join("charts/afterbay");
    let release = Release::new("shop", "default");
    for values in [json!({}), much("default")] {
        let chart = chart.to_str().expect("the path is text");
        let linted = release.run(&["lint", chart, "--strict", "--values", "-"], &values.to_string()).await;
        assert!(linted.is_ok(), "{linted:?}");
    }
}

#[tokio::test]
async fn an_api_server_takes_it_where_pods_are_restricted() {
    definitions().await;
    let namespace = Namespace::create(&unique("chart")).await;
    for values in [json!({"crds": {"enabled": false}}), much(&namespace.name)] {
        assert_taken(&namespace, &rendered(&namespace.name, &values).await).await;
    }
}

#[tokio::test]
async fn rights_are_those_of_the_named_namespaces_or_of_all() {
    let everywhere = rendered("system", &json!({})).await;
    assert_eq!(of_kind(&everywhere, "ClusterRoleBinding").len(), 1);
    assert_eq!(of_kind(&everywhere, "Role").len(), 1, "that of the Lease");
    let named = json!({"watchNamespaces": ["shop", "warehouse"], "rbac": {"aggregate": false}});
    let named = rendered("system", &named).await;
    assert_eq!(of_kind(&named, "ClusterRole"), [] as [&Value; 0]);
    assert_eq!(of_kind(&named, "ClusterRoleBinding"), [] as [&Value; 0]);
    let places: Vec<_> =
        of_kind(&named, "RoleBinding").iter().map(|each| each["metadata"]["namespace"].clone()).collect();
    assert_eq!(places, [json!("shop"), json!("warehouse"), json!("system")]);
    let container = &of_kind(&named, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    for argument in ["--watch-namespace=shop", "--watch-namespace=warehouse", "--instance=default"] {
        assert!(arguments.contains(&json!(argument)), "{argument}: {arguments:?}");
    }
    // No right of it is that of all: no verb and no resource is `*`.
    let text = serde_json::to_string(&everywhere).expect("JSON");
    assert!(!text.contains("\"*\""), "{text}");
}

#[tokio::test]
async fn definitions_come_with_the_chart_and_stay() {
    let documents = rendered("system", &json!({})).await;
    let definitions = of_kind(&documents, "CustomResourceDefinition");
    assert_eq!(definitions.len(), 4);
    for definition in definitions {
        let annotations = &definition["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/resource-policy"], "keep");
        assert_eq!(annotations["argocd.argoproj.io/sync-options"], "Prune=false,Delete=false");
    }
    let documents = rendered("system", &json!({"crds": {"keep": false}})).await;
    for definition in of_kind(&documents, "CustomResourceDefinition") {
        assert!(definition["metadata"].get("annotations").is_none(), "{definition}");
    }
}

#[tokio::test]
async fn values_that_are_none_are_refused() {
    let chart = repository().join("charts/afterbay");
    let chart = chart.to_str().expect("the path is text");
    for (values, word) in [
        (json!({"replica": 2}), "replica"),
        (json!({"instance": "eu-1"}), "instance"),
        (json!({"image": {"tga": "1"}}), "tga"),
        (json!({"watchNamespaces": "shop"}), "watchNamespaces"),
        (json!({"log": {"format": "xml"}}), "format"),
        (json!({"service": {"port": "8080"}}), "port"),
    ] {
        let arguments = ["template", "shop", chart, "--kube-version", "1.34.0", "--values", "-"];
        let refused = Release::new("shop", "default").run(&arguments, &values.to_string()).await;
        let refused = refused.expect_err(&values.to_string());
        assert!(refused.0.contains("don't meet the specifications of the schema"), "{}", refused.0);
        assert!(refused.0.contains(word), "{}", refused.0);
    }
}

#[tokio::test]
async fn plain_manifests_are_the_charts() {
    let afterbay = folder().join("afterbay");
    let check = Command::new(repository().join("deploy/generate.sh")).arg("--check").env("AFTERBAY", afterbay).output();
    let check = check.await.expect("the script can be started");
    let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
}

#[tokio::test]
async fn kustomize_takes_the_plain_manifests() {
    definitions().await;
    let namespace = Namespace::create(&unique("plain")).await;
    let folder = repository().join("deploy/kubernetes");
    let built = namespace.kubectl.run(&["kustomize", folder.to_str().expect("the path is text")]).await;
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&built)
        .map(|document| serde::Deserialize::deserialize(document).expect("kustomize makes YAML"))
        .collect();
    let own = documents.iter().filter(|document| document["kind"] != "CustomResourceDefinition");
    let mut own: Vec<_> = own.cloned().collect();
    for document in own.iter_mut().filter(|document| document["metadata"]["namespace"].is_string()) {
        document["metadata"]["namespace"] = json!(namespace.name);
    }
    assert_taken(&namespace, &own).await;
}
