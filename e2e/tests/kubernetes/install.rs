//! The chart, installed: it comes up where pods are restricted, its own test passes, and what is kept stays when it goes.

use afterbay_e2e::Namespace;
use afterbay_e2e::kubernetes::{Release, definitions, image_values};
use afterbay_e2e::scenario::unique;
use serde_json::{Value, json};

/// Values of a release beside others: of one namespace, with definitions that are there.
fn values(namespace: &Namespace) -> Value {
    let mut values = image_values("dev");
    values["watchNamespaces"] = json!([namespace.name]);
    values["crds"] = json!({"enabled": false});
    values["replicas"] = json!(2);
    values
}

#[tokio::test]
async fn it_comes_up_passes_its_test_and_leaves_what_is_declared() {
    definitions().await;
    let namespace = Namespace::create(&unique("install")).await;
    let release = Release::new("shop", &namespace.name);
    let notes = release.install(&values(&namespace)).await;
    assert!(notes.contains(&format!("carries what is declared in the namespaces {}", namespace.name)), "{notes}");

    let tested = release.test().await;
    assert!(tested.contains("/readyz: 200 OK"), "{tested}");

    // One of the two leads, and says so at its Lease.
    let held = |lease: &Value| lease["spec"]["holderIdentity"].as_str().is_some_and(|holder| !holder.is_empty());
    namespace.seen("Lease/shop-afterbay", "is held", afterbay_e2e::kubernetes::PATIENCE, held).await;

    // It has the right to look at what is declared, and to say that it has.
    let connection = json!({
        "apiVersion": "afterbay.dev/v1alpha1", "kind": "KafkaConnection", "metadata": {"name": "nowhere"},
        "spec": {"bootstrapServers": "127.0.0.1:1"},
    });
    namespace.kubectl.apply(&connection.to_string()).await;
    let seen = |object: &Value| object["status"]["observedGeneration"] == 1;
    namespace.seen("KafkaConnection/nowhere", "is looked at", afterbay_e2e::kubernetes::PATIENCE, seen).await;

    release.uninstall().await;
    assert!(namespace.get("KafkaConnection/nowhere").await.is_some(), "it stays");
    assert!(namespace.get("Deployment/shop-afterbay").await.is_none(), "it has gone");
}
