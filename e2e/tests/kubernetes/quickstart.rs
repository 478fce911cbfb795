//! The quickstart in a cluster: installed by Helm, applied by kubectl, carried; and what an upgrade and the end of the
//! installation leave alone.

use std::collections::BTreeSet;

use afterbay_e2e::kubernetes::{OPERATOR, Operated, PATIENCE, bring_image, labels};
use afterbay_e2e::{Format, Manifests, Message, await_condition};
use serde_json::{Value, json};

use crate::examples::quickstart;
use crate::{promql, worker_pod};

/// The shop, with a customer and two orders.
pub const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, pens int NOT NULL);
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
    ALTER TABLE customers REPLICA IDENTITY FULL;
    INSERT INTO customers VALUES (1, 'Ada');
    INSERT INTO orders VALUES (1, 1, 7), (2, 1, 9)";

/// The messages of a topic of the scenario, once there are so many.
pub async fn messages(operated: &Operated, topic: &str, format: Format, count: usize) -> Vec<Message> {
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
    let manifests = quickstart(&operated.scenario);
    operated.apply(&manifests).await;
    carries(&operated).await;
    nobody_else_declares_anything(&operated, &manifests).await;
    promql::check(&operated).await;
    what_is_logged_is_structured(&operated).await;
    worker_pod::may_do_nothing(&operated.worker("shop").await);
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
        assert_eq!(*cells.last().expect("there are cells"), "True", "{shown}");
    }
}

/// Who holds what is declared against what is there, as Argo CD does, finds no difference: defaults stand in the definitions,
/// and nobody writes a `spec`.
async fn nobody_else_declares_anything(operated: &Operated, manifests: &Manifests) {
    operated.namespace.kubectl.differs_in_nothing(&manifests.to_yaml()).await;
    let ours = ["KafkaConnection/events", "SchemaRegistryConnection/schemas", "SourceConnector/shop"];
    for resource in ours.into_iter().chain(["Sink/orders", "Sink/customers"]) {
        let object = operated.namespace.get(resource).await.expect("it is there");
        assert_eq!(object["metadata"]["generation"], 1, "{resource}");
        let managers = object["metadata"]["managedFields"].as_array().expect("a list");
        let of_spec = managers.iter().filter(|each| each["fieldsV1"].get("f:spec").is_some());
        let of_spec: BTreeSet<_> = of_spec.filter_map(|each| each["manager"].as_str()).collect();
        assert_eq!(of_spec, BTreeSet::from(["kubectl"]), "{resource}");
        assert!(managers.iter().any(|each| each["manager"] == "afterbay"), "it has said how it is: {managers:?}");
    }
}

/// Machines read it: each line is an object of its own, also of what nobody thought of.
async fn what_is_logged_is_structured(operated: &Operated) {
    for pods in [OPERATOR, &labels("shop")] {
        let pod = operated.namespace.ready_pod(pods).await.metadata.name.expect("a pod has a name");
        let log = operated.namespace.kubectl.run(&["logs", &pod]).await;
        assert!(!log.is_empty(), "{pod} says nothing");
        for line in log.lines() {
            let said: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{pod}: {error}: {line}"));
            let is_level = |level| ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
            assert!(said["level"].as_str().is_some_and(is_level), "{pod}: {line}");
            // As RFC 3339 has it, in UTC: 2026-01-31T12:00:00.000000Z.
            let is_time = |time: &str| time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z');
            assert!(said["timestamp"].as_str().is_some_and(is_time), "{pod}: {line}");
            assert!(said["fields"]["message"].as_str().is_some_and(|words| !words.is_empty()), "{pod}: {line}");
        }
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
}
