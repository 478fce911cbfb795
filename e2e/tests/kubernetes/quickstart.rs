//! The quickstart in a cluster: installed by Helm, applied by kubectl, carried; and what an upgrade and the end of the
//! installation leave alone.

use std::collections::BTreeSet;

use afterbay_e2e::kubernetes::{OPERATOR, Operated, PATIENCE, bring_image, labels};
use afterbay_e2e::programs::repository;
use afterbay_e2e::{Format, Manifests, Message, await_condition, http};
use serde_json::{Value, json};

const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, pens int NOT NULL);
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
    ALTER TABLE customers REPLICA IDENTITY FULL;
    INSERT INTO customers VALUES (1, 'Ada');
    INSERT INTO orders VALUES (1, 1, 7), (2, 1, 9)";

/// The manifests of `examples/quickstart`, as they are but for addresses, credentials and the names that tests share.
fn quickstart(operated: &Operated) -> Manifests {
    let folder = repository().join("examples/quickstart");
    let mut manifests = Manifests::default();
    for file in ["1-connections.yaml", "2-source.yaml", "3-sinks.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("the example is there");
        for document in serde_yaml::Deserializer::from_str(&text) {
            manifests = manifests.with(<Value as serde::Deserialize>::deserialize(document).expect("it is YAML"));
        }
    }
    let scenario = &operated.scenario;
    let (host, port) = scenario.rig.postgres_address();
    manifests
        .set("KafkaConnection/events", "spec.bootstrapServers", scenario.rig.broker())
        .set("SchemaRegistryConnection/schemas", "spec.url", scenario.rig.registry())
        .set("SourceConnector/shop", "spec.postgres.host", host)
        .set("SourceConnector/shop", "spec.postgres.port", port)
        .set("SourceConnector/shop", "spec.postgres.database", scenario.database.name.as_str())
        .set("SourceConnector/shop", "spec.postgres.authentication.username", scenario.database.role.as_str())
        .set("Secret/shop-db", "stringData.password", scenario.database.password.as_str())
        // One server for all tests, which has each slot once.
        .set("SourceConnector/shop", "spec.postgres.slot", json!({"name": scenario.slot()}))
        .set("Sink/orders", "spec.kafka.topic.name", scenario.topic("orders"))
        .set("Sink/customers", "spec.kafka.topic.name", scenario.topic("customers"))
}

/// The messages of a topic, once there are so many.
async fn messages(operated: &Operated, topic: &str, format: Format, count: usize) -> Vec<Message> {
    let topic = operated.scenario.topic(topic);
    await_condition(&format!("{topic} has {count} messages"), PATIENCE, async || {
        let messages = operated.scenario.messages(&topic, format).await;
        (messages.len() == count).then_some(messages)
    })
    .await
}

#[tokio::test]
async fn it_is_installed_carries_is_upgraded_and_goes() {
    let operated = Operated::begin("quickstart").await;
    operated.scenario.database.run(TABLES).await;
    operated.apply(&quickstart(&operated)).await;
    carries(&operated).await;
    alerts_and_dashboard_ask_for_what_is_told(&operated).await;
    let tested = operated.release.test().await;
    assert!(tested.contains("/readyz: 200 OK"), "{tested}");
    upgrades_leave_workers_alone_that_they_do_not_concern(&operated).await;
    what_is_declared_outlives_the_operator(&operated).await;
}

async fn carries(operated: &Operated) {
    operated.ready("SourceConnector/shop").await;
    for sink in ["Sink/orders", "Sink/customers"] {
        operated.ready(sink).await;
        // A Sink is ready from its snapshot on; a change before its end may be carried as a part of it.
        operated.namespace.seen(sink, "is running", PATIENCE, |sink| sink["status"]["state"] == "running").await;
    }
    operated.scenario.database.run("UPDATE customers SET name = 'Grace'; DELETE FROM orders WHERE id = 2").await;

    let orders = messages(operated, "orders", Format::Json, 3).await;
    let of_two: Vec<_> = orders.iter().filter(|order| order.key == json!({"id": 2})).map(|it| &it.value).collect();
    assert_eq!(of_two, [&json!({"id": 2, "customer": 1, "pens": 9}), &Value::Null], "a row, and its end");
    let customers = messages(operated, "customers", Format::Avro, 2).await;
    let [first, second] = &customers[..] else { panic!("not two: {customers:?}") };
    let name = |value: &Value| value["name"].clone();
    assert_eq!(name(first.field("after")), "Ada", "{first:?}");
    assert_eq!((name(second.field("before")), name(second.field("after"))), (json!("Ada"), json!("Grace")));

    // What people read. Figures come now and then.
    for sink in ["Sink/orders", "Sink/customers"] {
        operated.namespace.seen(sink, "says its lag", PATIENCE, |sink| sink["status"]["lag"].is_string()).await;
    }
    let shown = operated.namespace.kubectl.run(&["get", "sinks"]).await;
    let [head, rows @ ..] = &shown.lines().collect::<Vec<_>>()[..] else { panic!("nothing is shown") };
    let columns: Vec<_> = head.split_whitespace().collect();
    assert_eq!(columns, ["NAME", "SOURCE", "DESTINATION", "STATUS", "LAG", "AGE", "READY"]);
    assert_eq!(rows.len(), 2, "{shown}");
    for (row, name) in rows.iter().zip(["customers", "orders"]) {
        let cells: Vec<_> = row.split_whitespace().collect();
        let destination = format!("kafka/events/{}", operated.scenario.topic(name));
        assert_eq!(cells[..4], [name, "shop", &destination, "running"], "{shown}");
        assert_eq!((cells.len(), *cells.last().expect("there are cells")), (7, "True"), "{shown}");
    }
}

async fn alerts_and_dashboard_ask_for_what_is_told(operated: &Operated) {
    let mut told = String::new();
    for pods in [OPERATOR, &labels("shop")] {
        let address = operated.namespace.ready_pod(pods).await.status.and_then(|status| status.pod_ip);
        let metrics = format!("http://{}:8080/metrics", address.expect("a pod that is ready has an address"));
        let (_, body) = http::request("GET", &metrics, "").await.expect("it answers");
        told.push_str(&body);
    }
    let told: BTreeSet<_> = told.lines().filter_map(|line| line.split([' ', '{']).next()).collect();
    for file in ["templates/prometheusrule.yaml", "files/dashboard.json"] {
        let asks = std::fs::read_to_string(repository().join("charts/afterbay").join(file)).expect("the chart has it");
        let words = asks.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let asked: BTreeSet<_> = words.filter(|word| word.starts_with("afterbay_")).collect();
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(!asked.is_empty() && unknown.is_empty(), "{file} asks for {unknown:?}, and there are {told:?}");
    }
}

async fn upgrades_leave_workers_alone_that_they_do_not_concern(operated: &Operated) {
    let worker = operated.worker_uid("shop").await;
    bring_image("next");
    let mut values = operated.values();
    // Another version of the operator alone, and something that is none of the workers' business.
    values["image"]["tag"] = json!("next");
    values["workerImage"] = json!({"tag": "dev"});
    values["log"] = json!({"filter": "debug"});
    operated.release.install(&values).await;
    let operator = operated.namespace.get("Deployment/afterbay").await.expect("it is installed");
    assert_eq!(operator["spec"]["template"]["spec"]["containers"][0]["image"], "afterbay:next");
    has_looked(operated).await;
    assert_eq!(operated.worker_uid("shop").await, worker, "it had no reason to go");
    operated.scenario.database.run("INSERT INTO orders VALUES (3, 1, 1)").await;
    messages(operated, "orders", Format::Json, 4).await;

    values["workerImage"] = json!({"tag": "next"});
    operated.release.install(&values).await;
    await_condition("the worker is one of the new image", PATIENCE, async || {
        let pods = operated.namespace.pods(&labels("shop")).await;
        let [pod] = &pods[..] else { return None };
        let image = pod.spec.as_ref()?.containers.first()?.image.as_deref()?;
        (image == "afterbay:next" && pod.metadata.uid.as_ref() != Some(&worker)).then_some(())
    })
    .await;
    operated.caught_up("shop", 2).await;
    messages(operated, "orders", Format::Json, 4).await;
}

/// Waits until an operator that has just begun has looked at the SourceConnector: a connection that comes now is answered.
async fn has_looked(operated: &Operated) {
    let connection = json!({
        "apiVersion": "afterbay.dev/v1alpha1", "kind": "KafkaConnection", "metadata": {"name": "probe"},
        "spec": {"bootstrapServers": operated.scenario.rig.broker()},
    });
    operated.namespace.kubectl.apply(&connection.to_string()).await;
    operated.ready("KafkaConnection/probe").await;
    operated.ready("SourceConnector/shop").await;
}

async fn what_is_declared_outlives_the_operator(operated: &Operated) {
    let worker = operated.worker_uid("shop").await;
    operated.release.uninstall().await;
    assert!(operated.namespace.get("Deployment/afterbay").await.is_none(), "the operator has gone");
    for resource in ["Sink/orders", "Sink/customers", "SourceConnector/shop", "KafkaConnection/events"] {
        assert!(operated.namespace.get(resource).await.is_some(), "{resource} stays");
    }
    operated.scenario.database.run("INSERT INTO orders VALUES (4, 1, 1)").await;
    messages(operated, "orders", Format::Json, 5).await;
    assert_eq!(operated.worker_uid("shop").await, worker, "it goes on");
    let definitions = operated.namespace.kubectl.run(&["get", "crds", "-o", "name"]).await;
    assert!(definitions.contains("sinks.afterbay.dev"), "{definitions}");
}
