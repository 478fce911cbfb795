//! Installed as the documentation says, word for word, in a cluster that has never seen the product: for all namespaces, the definitions
//! by the chart or by the plain manifests; upgraded, taken away, installed again, and in the end without a trace.

use std::path::{Path, PathBuf};
use std::process::Command;

use afterbay_e2e::kubernetes::{Kubectl, Operated, PATIENCE, Release, Unseen, bring_image, requests};
use afterbay_e2e::programs::repository;
use afterbay_e2e::{Format, Namespace, Scenario, await_condition};
use serde_json::{Value, json};

use crate::examples::quickstart;
use crate::quickstart::{TABLES, messages};

/// The namespace of the documentation, and of `deploy/kubernetes`.
const SYSTEM: &str = "afterbay-system";

/// The operator there, as the API server knows it.
const OPERATOR: &str = "system:serviceaccount:afterbay-system:afterbay";

const DEFINITIONS: [&str; 4] = [
    "kafkaconnections.afterbay.dev",
    "schemaregistryconnections.afterbay.dev",
    "sinks.afterbay.dev",
    "sourceconnectors.afterbay.dev",
];

/// What is the cluster's own beside them.
const RIGHTS: &str = "clusterroles,clusterrolebindings";
const OF_THE_PRODUCT: &str = "--selector=app.kubernetes.io/part-of=afterbay";

/// What is declared in each of the namespaces.
const RESOURCES: [&str; 5] = [
    "KafkaConnection/events",
    "SchemaRegistryConnection/schemas",
    "SourceConnector/shop",
    "Sink/orders",
    "Sink/customers",
];

/// An operator for all namespaces, and two shops in namespaces of their own.
struct Installed {
    shops: [Operated; 2],
    system: Namespace,
    release: Release,
    _unseen: Unseen,
}

#[tokio::test]
async fn it_is_installed_upgraded_taken_away_and_leaves_no_trace() {
    let installed = begin().await;
    let (older, asked) = (older_chart(&installed), requests(OPERATOR).len());
    installed.helm(&["install", "afterbay", &older, "--create-namespace"]).await;
    let tested = installed.release.test().await;
    assert!(tested.contains("/readyz: 200 OK"), "{tested}");
    installed.is_applied().await;
    let workers = installed.workers().await;

    installed.is_upgraded().await;
    installed.looks_after_both("Retain", 3).await;
    assert_eq!(installed.workers().await, workers, "an upgrade that does not concern them leaves them alone");
    let refused: Vec<_> = requests(OPERATOR).drain(asked..).filter(|request| request.code == 403).collect();
    assert_eq!(refused, [], "it has the rights that it needs, in all namespaces");

    installed.is_taken_away(4).await;
    assert_eq!(installed.workers().await, workers, "they run on");
    installed.helm(&["install", "afterbay", &chart(), "--create-namespace"]).await;
    installed.looks_after_both("Delete", 5).await;
    assert_eq!(installed.workers().await, workers, "another operator takes them over");

    installed.is_taken_away(6).await;
    installed.is_installed_plainly().await;
    installed.looks_after_both("Retain", 7).await;
    assert_eq!(installed.workers().await, workers, "and so does one that came without Helm");
    installed.ends().await;
}

async fn begin() -> Installed {
    let scenarios = (Scenario::new("documented").await, Scenario::new("documented-too").await);
    let first = Namespace::alone(&scenarios.0).await;
    let unseen = Unseen::begin(&first).await;
    // What a test that failed has left there.
    Kubectl::anywhere().run(&["delete", RIGHTS, OF_THE_PRODUCT, "--ignore-not-found"]).await;
    Kubectl::anywhere().run(&["delete", "namespace", SYSTEM, "--ignore-not-found", "--timeout=120s"]).await;
    let second = first.another(&scenarios.1.unique).await;
    let system = first.another(SYSTEM).await;
    bring_image(&version());
    let release = Release::new("afterbay", SYSTEM);
    let shop = |scenario: Scenario, namespace| Operated { namespace, release: release.clone(), scenario };
    let shops = [shop(scenarios.0, first), shop(scenarios.1, second)];
    Installed { shops, system, release, _unseen: unseen }
}

fn chart() -> String {
    repository().join("charts/afterbay").to_str().expect("the path is text").to_owned()
}

fn plain() -> String {
    repository().join("deploy/kubernetes").to_str().expect("the path is text").to_owned()
}

/// The version of the chart, by which it finds the image.
fn version() -> String {
    let chart = std::fs::read_to_string(Path::new(&chart()).join("Chart.yaml")).expect("the chart is there");
    let chart: Value = serde_yaml::from_str(&chart).expect("it is YAML");
    chart["appVersion"].as_str().expect("it has a version").to_owned()
}

/// The chart as an earlier version of it may have been: Sinks do not show their lag yet.
fn older_chart(installed: &Installed) -> String {
    let copy: PathBuf = installed.shops[0].scenario.folder().join("chart");
    let done = Command::new("cp").arg("-r").arg(chart()).arg(&copy).status().expect("cp is there");
    assert!(done.success());
    let changed = |file: &str, change: &dyn Fn(&mut Value)| {
        let path = copy.join(file);
        let text = std::fs::read_to_string(&path).expect("the chart has it");
        let documents = serde_yaml::Deserializer::from_str(&text).map(|document| {
            let mut document = <Value as serde::Deserialize>::deserialize(document).expect("it is YAML");
            change(&mut document);
            serde_yaml::to_string(&document).expect("it is YAML")
        });
        let text = documents.collect::<Vec<_>>().join("---\n");
        std::fs::write(&path, text).expect("the copy can be written");
    };
    changed("Chart.yaml", &|chart| chart["version"] = json!("0.0.1"));
    changed("files/crds.yaml", &|definition| {
        if definition["spec"]["names"]["kind"] == "Sink" {
            let columns = &mut definition["spec"]["versions"][0]["additionalPrinterColumns"];
            columns.as_array_mut().expect("a list").retain(|column| column["name"] != "Lag");
        }
    });
    copy.to_str().expect("the path is text").to_owned()
}

impl Installed {
    /// A command of helm, until all of it is ready.
    async fn helm(&self, arguments: &[&str]) {
        let done = self.release.run(&[arguments, &["--wait", "--timeout", "300s"]].concat(), "").await;
        done.unwrap_or_else(|refused| panic!("helm {}: {}", arguments.join(" "), refused.0));
    }

    /// The quickstart, in both namespaces.
    async fn is_applied(&self) {
        for shop in &self.shops {
            shop.scenario.database.run(TABLES).await;
            shop.apply(&quickstart(&shop.scenario)).await;
        }
        for shop in &self.shops {
            for resource in RESOURCES {
                shop.ready(resource).await;
            }
            messages(shop, "orders", Format::Json, 2).await;
            messages(shop, "customers", Format::Avro, 1).await;
        }
    }

    async fn workers(&self) -> Vec<String> {
        let mut workers = Vec::new();
        for shop in &self.shops {
            workers.push(shop.worker_uid("shop").await);
        }
        workers
    }

    /// What `kubectl get sinks` has above its columns.
    async fn columns(&self) -> Vec<String> {
        let shown = self.shops[0].namespace.kubectl.run(&["get", "sinks"]).await;
        let head = shown.lines().next().unwrap_or_default();
        head.split_whitespace().map(ToOwned::to_owned).collect()
    }

    async fn is_upgraded(&self) {
        let columns = self.columns().await;
        assert!(columns.contains(&"STATUS".to_owned()) && !columns.contains(&"LAG".to_owned()), "{columns:?}");
        self.helm(&["upgrade", "afterbay", &chart()]).await;
        await_condition("the definitions are those of the new version", PATIENCE, async || {
            self.columns().await.contains(&"LAG".to_owned()).then_some(())
        })
        .await;
        // As Argo CD sees it: what the chart makes is what is there, definitions and all.
        let arguments = ["template", "afterbay", &chart(), "--kube-version", "1.34.0", "--skip-tests"];
        let made = self.release.run(&arguments, "").await.expect("the chart can be rendered");
        assert!(made.contains("kind: CustomResourceDefinition"), "{made}");
        Kubectl::anywhere().differs_in_nothing(&made).await;
    }

    /// One order more in each shop, of so many in all.
    async fn carries(&self, orders: usize) {
        for shop in &self.shops {
            shop.scenario.database.run(&format!("INSERT INTO orders VALUES ({orders}, 1, 1)")).await;
        }
        for shop in &self.shops {
            messages(shop, "orders", Format::Json, orders).await;
        }
    }

    /// An operator has looked at what is declared in both namespaces: it answers to a change that no worker has to know of.
    async fn looks_after_both(&self, policy: &str, orders: usize) {
        for shop in &self.shops {
            shop.namespace.patch("SourceConnector/shop", &json!({"spec": {"deletionPolicy": policy}})).await;
            shop.ready("SourceConnector/shop").await;
        }
        self.carries(orders).await;
    }

    /// Without an operator all stays that is declared, and is carried.
    async fn is_taken_away(&self, orders: usize) {
        self.release.uninstall().await;
        assert!(self.system.get("Deployment/afterbay").await.is_none(), "the operator has gone");
        assert_eq!(self.definitions().await, DEFINITIONS);
        for shop in &self.shops {
            for resource in RESOURCES {
                let object = shop.namespace.get(resource).await.unwrap_or_else(|| panic!("{resource} has gone"));
                assert_eq!(object["metadata"]["deletionTimestamp"], Value::Null, "{resource}");
            }
        }
        self.carries(orders).await;
    }

    /// The product's definitions, sorted.
    async fn definitions(&self) -> Vec<String> {
        let all = Kubectl::anywhere().run(&["get", "crds", "-o", "name"]).await;
        let names = all.lines().filter_map(|line| line.split_once('/')).map(|(_, name)| name.to_owned());
        let mut own: Vec<_> = names.filter(|name| name.ends_with(".afterbay.dev")).collect();
        own.sort();
        own
    }

    async fn is_installed_plainly(&self) {
        Kubectl::anywhere().run(&["apply", "--server-side", "-k", &plain()]).await;
        Kubectl::anywhere().run(&["rollout", "status", "-n", SYSTEM, "deployment/afterbay", "--timeout=300s"]).await;
    }

    /// What is declared is deleted first, since the operator is what ends its deletion; then that, and the definitions.
    async fn ends(&self) {
        for shop in &self.shops {
            shop.namespace.patch("SourceConnector/shop", &json!({"spec": {"deletionPolicy": "Delete"}})).await;
        }
        let kinds = "sinks,sourceconnectors,kafkaconnections,schemaregistryconnections";
        Kubectl::anywhere().run(&["delete", kinds, "--all", "-A", "--timeout=180s"]).await;
        for shop in &self.shops {
            assert_eq!(shop.held().await, (0, 0), "slot and publication go");
            assert!(!shop.has_progress("orders").await, "the record goes");
        }
        Kubectl::anywhere().run(&["delete", "-k", &plain(), "--timeout=180s"]).await;
        assert_eq!(self.definitions().await, [""; 0]);
        let rights = ["get", RIGHTS, OF_THE_PRODUCT, "-o", "name"];
        assert_eq!(Kubectl::anywhere().run(&rights).await, "");
    }
}
