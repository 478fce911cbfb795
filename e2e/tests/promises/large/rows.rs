//! Rows of megabytes: they go through where they may, and where they may not nothing is lost.

use afterbay_e2e::{Format, Manifests, Scenario, Sink, broker};
use serde_json::json;

/// What the brokers take for this topic, and the client for all.
const LIMIT: &str = "8000000";
/// Rows of about 5 MB each that do not compress well.
const LARGE: &str = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 156250) n)";

/// A worker whose queues are much smaller than the row.
fn manifests(scenario: &Scenario, topic: &str) -> Manifests {
    scenario
        .manifests()
        .set("KafkaConnection/events", "spec.config", json!({"message.max.bytes": LIMIT}))
        .set("SourceConnector/shop", "spec.worker.memory", "8Mi")
        .with(Sink::new("t", "public.t", topic).key(&["id"]))
}

const TABLE: &str =
    "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, body text NOT NULL); ALTER TABLE t REPLICA IDENTITY FULL";

async fn check(scenario: &Scenario, topic: &str) {
    let mut found: Vec<_> = scenario
        .messages(topic, Format::Json)
        .await
        .into_iter()
        .map(|message| {
            let body = message.value["body"].as_str().expect("a text").to_owned();
            (message.value["id"].as_i64().expect("a number"), message.value["n"].as_i64().expect("a number"), body)
        })
        .collect();
    found.sort();
    let rows = scenario.database.rows("SELECT id, n, body FROM t ORDER BY id").await;
    assert_eq!(found.len(), rows.len());
    for ((id, n, body), row) in found.iter().zip(&rows) {
        let right = row[0] == Some(id.to_string()) && row[1] == Some(n.to_string()) && row[2].as_ref() == Some(body);
        assert!(right, "row {id} is not as it is in the table");
    }
}

#[tokio::test]
async fn rows_of_five_megabytes_go_through_small_queues() {
    let scenario = Scenario::new("large-rows").await;
    let database = &scenario.database;
    database.run(TABLE).await;
    database.run(&format!("INSERT INTO t SELECT i, i, i || {LARGE} FROM generate_series(1, 3) i")).await;
    let topic = scenario.topic("t");
    broker::create_topic(scenario.rig, &topic, 1, &[("max.message.bytes", LIMIT)]).await;
    let afterbay = scenario.run(&manifests(&scenario, &topic));
    afterbay.caught_up(&scenario).await;
    database.run(&format!("INSERT INTO t SELECT i, i, i || {LARGE} FROM generate_series(4, 6) i")).await;
    database.run("INSERT INTO t VALUES (7, 7, 'small')").await;
    afterbay.caught_up(&scenario).await;
    check(&scenario, &topic).await;
}

#[tokio::test]
async fn a_row_that_is_too_large_is_told_by_its_key_and_goes_through_when_it_may() {
    let scenario = Scenario::new("too-large-row").await;
    let database = &scenario.database;
    database.run(TABLE).await;
    let topic = scenario.topic("t");
    broker::create_topic(scenario.rig, &topic, 1, &[("max.message.bytes", "1000000")]).await;
    // The client allows it: the broker refuses.
    let afterbay = scenario.run(&manifests(&scenario, &topic));
    afterbay.caught_up(&scenario).await;
    database.run(&format!("INSERT INTO t VALUES (1, 1, 'before'), (4711, 2, {LARGE}), (3, 3, 'behind')")).await;
    let (message, hint) = afterbay.stalled("t", "MessageTooLarge").await;
    for word in [&topic, "with the key id 4711", " bytes"] {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    assert!(hint.contains("message.max.bytes") && hint.contains("max.message.bytes of the topic"), "{hint}");
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", LIMIT).await;
    afterbay.caught_up(&scenario).await;
    afterbay.stop().await;
    // The broker would take it: the client refuses.
    let afterbay = scenario.run(&manifests(&scenario, &topic).set(
        "KafkaConnection/events",
        "spec.config",
        json!({"message.max.bytes": "1000000"}),
    ));
    afterbay.caught_up(&scenario).await;
    database.run(&format!("INSERT INTO t VALUES (4712, 4, {LARGE})")).await;
    let (message, _) = afterbay.stalled("t", "MessageTooLarge").await;
    assert!(message.contains("with the key id 4712"), "{message}");
    afterbay.stop().await;
    let afterbay = scenario.run(&manifests(&scenario, &topic));
    afterbay.caught_up(&scenario).await;
    check(&scenario, &topic).await;
}

#[tokio::test]
async fn a_topic_that_takes_small_batches_only() {
    let scenario = Scenario::new("small-batches").await;
    let database = &scenario.database;
    database.run(TABLE).await;
    database.run("INSERT INTO t SELECT i, i, repeat('x', 300) FROM generate_series(1, 2000) i").await;
    let (small, smallest) = (scenario.topic("small"), scenario.topic("smallest"));
    broker::create_topic(scenario.rig, &small, 1, &[("max.message.bytes", "20000")]).await;
    broker::create_topic(scenario.rig, &smallest, 1, &[("max.message.bytes", "1000")]).await;
    let manifests = scenario
        .manifests()
        .with(Sink::new("small", "public.t", &small).key(&["id"]))
        .with(Sink::new("smallest", "public.t", &smallest).key(&["id"]));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run("INSERT INTO t SELECT i, i, repeat('x', 300) FROM generate_series(2001, 4000) i").await;
    afterbay.caught_up(&scenario).await;
    for topic in [&small, &smallest] {
        check(&scenario, topic).await;
    }
}
