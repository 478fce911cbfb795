//! What becomes of a pool's slot when its last Sink goes: nobody is to find the database's disk full of a log that nobody reads.

use afterbay_e2e::kubernetes::{LONG, OPERATOR, Operated, condition};
use afterbay_e2e::{Format, Manifests, Sink, await_condition};
use serde_json::{Value, json};

use crate::allowed;

const TABLES: &str =
    "CREATE TABLE plain (id int PRIMARY KEY); CREATE TABLE bulk (id int PRIMARY KEY); INSERT INTO bulk VALUES (1)";

/// Sinks `plain`, and `bulk` in a pool of its own.
fn manifests(operated: &Operated) -> Manifests {
    let scenario = &operated.scenario;
    let sink = |name: &str| Sink::new(name, &format!("public.{name}"), &scenario.topic(name)).key(&["id"]);
    scenario.manifests().with(sink("plain")).with(sink("bulk")).set("Sink/bulk", "spec.pool", "bulk")
}

/// Waits until the database has so many slots and publications.
async fn holds(operated: &Operated, slots: i64, publications: i64) {
    let wanted = (slots, publications);
    await_condition(&format!("{slots} slots and {publications} publications"), LONG, async || {
        (operated.held().await == wanted).then_some(())
    })
    .await;
}

/// Waits until a topic holds these ids, in order, each once.
async fn carried(operated: &Operated, table: &str, ids: &[i64]) {
    let topic = operated.scenario.topic(table);
    await_condition(&format!("{table} holds {ids:?}"), LONG, async || {
        let messages = operated.scenario.messages(&topic, Format::Json).await;
        let found: Vec<_> = messages.iter().map(|message| message.integer("id")).collect();
        (found == ids).then_some(())
    })
    .await;
}

async fn deleted(operated: &Operated, sink: &str) {
    operated.namespace.delete(sink).await;
    operated.namespace.gone(sink, LONG).await;
}

async fn nothing_is_left_of_workers(operated: &Operated) {
    for kind in ["Deployment", "ConfigMap", "Secret", "Job"] {
        await_condition(&format!("each {kind} goes"), LONG, async || {
            operated.namespace.list(kind, "afterbay.dev/source=shop").await.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn it_is_dropped_with_the_last_sink_and_made_anew_for_the_next() {
    let operated = Operated::begin("pools").await;
    let database = &operated.scenario.database;
    database.run(TABLES).await;
    let manifests =
        manifests(&operated).set("Sink/plain", "spec.kafka.format", json!({"avro": {"registry": "schemas"}}));
    operated.apply(&manifests).await;
    operated.ready("Sink/plain").await;
    operated.ready("Sink/bulk").await;
    holds(&operated, 2, 1).await;
    let of_default = "afterbay.dev/pool=default,app.kubernetes.io/component=worker";
    let untouched = operated.namespace.ready_pod(of_default).await.metadata.uid;

    deleted(&operated, "Sink/bulk").await;
    holds(&operated, 1, 1).await;
    operated.ready("SourceConnector/shop").await;
    operated.apply(&manifests).await;
    operated.ready("Sink/bulk").await;
    holds(&operated, 2, 1).await;
    carried(&operated, "bulk", &[1, 1]).await;
    let plain = operated.namespace.ready_pod(of_default).await;
    assert_eq!(plain.metadata.uid, untouched, "the other pool's worker runs on");

    // One that is only paused keeps its place, and so does one that is wrong.
    let paused = manifests.clone().set("Sink/bulk", "spec.state", "paused");
    operated.apply(&paused).await;
    let is_paused = |sink: &Value| sink["status"]["state"] == "paused";
    operated.namespace.seen("Sink/bulk", "is paused", LONG, is_paused).await;
    deleted(&operated, "Sink/plain").await;
    holds(&operated, 1, 1).await;
    let left = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() AND NOT temporary";
    assert_eq!(database.text(left).await, format!("{}_bulk", operated.scenario.slot()));

    deleted(&operated, "Sink/bulk").await;
    holds(&operated, 0, 0).await;
    nothing_is_left_of_workers(&operated).await;
    operated.ready("SourceConnector/shop").await;
    allowed::check(&operated).await;
}

#[tokio::test]
async fn a_sink_that_comes_while_it_is_dropped_waits_for_that() {
    let operated = Operated::begin("pool-back").await;
    let database = &operated.scenario.database;
    database.run(TABLES).await;
    let manifests = manifests(&operated).without("Sink/plain");
    operated.apply(&manifests).await;
    operated.ready("Sink/bulk").await;
    // The Job comes as far as the publication.
    let publication = database.text("SELECT pubname FROM pg_publication").await;
    let holding = database.session().await;
    holding.run(&format!("BEGIN; COMMENT ON PUBLICATION {publication} IS 'somebody looks at it'")).await;
    deleted(&operated, "Sink/bulk").await;
    holds(&operated, 0, 1).await;

    operated.apply(&manifests).await;
    let message = operated.not_ready("Sink/bulk", "Waiting").await;
    assert!(message.contains("a Job drops it"), "{message}");
    assert_eq!(operated.namespace.list("Deployment", "afterbay.dev/source=shop").await.len(), 0);
    holding.run("COMMIT").await;
    operated.ready("Sink/bulk").await;
    holds(&operated, 1, 1).await;
    database.run("INSERT INTO bulk VALUES (2)").await;
    carried(&operated, "bulk", &[1, 1, 2]).await;
}

#[tokio::test]
async fn it_is_kept_for_a_sink_that_was_retained_which_goes_on_there() {
    let operated = Operated::begin("pool-kept").await;
    let database = &operated.scenario.database;
    database.run(TABLES).await;
    let manifests = manifests(&operated).without("Sink/plain").set("Sink/bulk", "spec.deletionPolicy", "Retain");
    operated.apply(&manifests).await;
    operated.ready("Sink/bulk").await;
    carried(&operated, "bulk", &[1]).await;
    deleted(&operated, "Sink/bulk").await;
    database.run("INSERT INTO bulk VALUES (2)").await;
    let slot = format!("{}_bulk", operated.scenario.slot());
    let kept = |source: &Value| {
        let said = condition(source, "SlotKept").map(|kept| kept["message"].as_str().unwrap_or_default());
        said.is_some_and(|said| said.contains(&slot) && said.contains("progress records: bulk"))
    };
    operated.namespace.seen("SourceConnector/shop", "tells that the slot is kept", LONG, kept).await;
    let told = operated.event("SourceConnector/shop", "SlotKept").await;
    assert!(told.contains(&format!("SELECT pg_drop_replication_slot('{slot}')")), "{told}");
    operated.ready("SourceConnector/shop").await;
    holds(&operated, 1, 1).await;
    let series = format!("afterbay_operator_kept_slots{{source=\"{}/shop\"}}", operated.scenario.unique);
    assert_eq!(operated.namespace.series(&series).await, Some(1));

    operated.apply(&manifests).await;
    operated.ready("Sink/bulk").await;
    carried(&operated, "bulk", &[1, 2]).await;
    let not_kept = |source: &Value| condition(source, "SlotKept").is_none();
    operated.namespace.seen("SourceConnector/shop", "keeps nothing", LONG, not_kept).await;
    assert_eq!(operated.namespace.series(&series).await, Some(0));

    // One whose finalizer goes, with nobody there to give it another one, is one of those.
    let deployment = "Deployment/afterbay";
    operated.namespace.patch(deployment, &json!({"spec": {"replicas": 0}})).await;
    await_condition("no operator is left", LONG, async || {
        operated.namespace.list("Pod", OPERATOR).await.is_empty().then_some(())
    })
    .await;
    operated.namespace.patch("Sink/bulk", &json!({"metadata": {"finalizers": null}})).await;
    deleted(&operated, "Sink/bulk").await;
    operated.namespace.patch(deployment, &json!({"spec": {"replicas": 1}})).await;
    operated.namespace.seen("SourceConnector/shop", "tells that the slot is kept", LONG, kept).await;
    holds(&operated, 1, 1).await;

    // Who has dropped it by hand hears no more of it: an operator that begins anew asks at once.
    let reads = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active");
    await_condition("nobody reads from it", LONG, async || (database.number(&reads).await == 0).then_some(())).await;
    database.run_as_superuser(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    for pod in operated.namespace.pods(OPERATOR).await {
        operated.namespace.force_delete(&pod.metadata.name.expect("a pod has a name")).await;
    }
    operated.namespace.seen("SourceConnector/shop", "keeps nothing", LONG, not_kept).await;
    nothing_is_left_of_workers(&operated).await;
}
