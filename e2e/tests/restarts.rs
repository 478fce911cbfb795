//! Broker, database or registry go away and come back: told once, then on, with nothing lost or doubled.
//!
//! These tests stop the rig's parts under everybody's feet: they are a test binary of their own, and run one after the
//! other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;

use afterbay_e2e::{Afterbay, Format, History, Manifests, Rig, Scenario, Sink};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

/// Held by the test that runs, whatever the number of test threads.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    TURN.lock().await
}

/// A part of the rig that is away; it comes back at the latest when the test ends.
struct Away(&'static str);

impl Away {
    fn stop(part: &'static str) -> Self {
        Rig::get().run(&["stop", part]);
        Self(part)
    }

    fn kill(part: &'static str) -> Self {
        Rig::get().run(&["kill", part]);
        Self(part)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        Rig::get().run(&["start", self.0]);
    }
}

fn manifests(scenario: &Scenario, topic: &str) -> Manifests {
    scenario.manifests().with(Sink::new("ledger", "public.ledger", topic).key(&["id"]).partitions(2))
}

/// How often a problem of one of these reasons is told.
fn told(afterbay: &Afterbay, reasons: &[&str]) -> usize {
    let lines = afterbay.output();
    let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    events
        .filter(|event| event["event"] == "problem")
        .filter(|event| event["reason"].as_str().is_some_and(|reason| reasons.contains(&reason)))
        .count()
}

#[tokio::test]
async fn the_broker_goes_and_comes() {
    let _turn = alone().await;
    let scenario = Scenario::new("broker-restart").await;
    let history = History::begin(&scenario.database, 50).await;
    let topic = scenario.topic("ledger");
    let afterbay = scenario.run(&manifests(&scenario, &topic));
    afterbay.caught_up(&scenario).await;
    let worker = afterbay.worker().await;
    for round in 1..=2 {
        history.work(100).await;
        let away = if round == 1 { Away::stop("broker") } else { Away::kill("broker") };
        history.work(100).await;
        afterbay.sink("is told of the broker", "ledger", |sink| sink.error.is_some()).await;
        history.work(100).await;
        drop(away);
        afterbay.caught_up(&scenario).await;
        let told = told(&afterbay, &["KafkaUnreachable", "TransactionFailed"]);
        assert!((1..=2 * round).contains(&told), "told {told} times in {round} rounds: {:?}", afterbay.output());
    }
    assert_eq!(worker, afterbay.worker().await, "the worker has not ended for it");
    history.check(&scenario.messages(&topic, Format::Json).await, false).await;
}

#[tokio::test]
async fn the_database_goes_and_comes() {
    let _turn = alone().await;
    let mut scenario = Scenario::new("postgres-restart").await;
    let topic = scenario.topic("ledger");
    History::begin(&scenario.database, 50).await.work(100).await;
    let afterbay = scenario.run(&manifests(&scenario, &topic));
    afterbay.caught_up(&scenario).await;
    let worker = afterbay.worker().await;
    for how in ["stop", "crash"] {
        let history = History::of(&scenario.database);
        let writer = history.writer().await;
        afterbay.sink("is under way", "ledger", |sink| sink.messages_committed > 100).await;
        Rig::get().run(&[how, "postgres"]);
        let away = Away("postgres");
        afterbay.sink("is told of the database", "ledger", |sink| sink.error.is_some()).await;
        drop(away);
        writer.stop().await;
        scenario.database.reconnect().await;
        History::of(&scenario.database).work(50).await;
        afterbay.caught_up(&scenario).await;
    }
    let told = told(&afterbay, &["SourceUnreachable", "SourceFailed"]);
    assert!((2..=8).contains(&told), "told {told} times in two rounds: {:?}", afterbay.output());
    assert_eq!(worker, afterbay.worker().await, "the worker has not ended for it");
    History::of(&scenario.database).check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn the_registry_is_away_at_the_start_and_later() {
    let _turn = alone().await;
    let scenario = Scenario::new("registry-away").await;
    let history = History::begin(&scenario.database, 50).await;
    let topic = scenario.topic("ledger");
    let manifests =
        manifests(&scenario, &topic).set("Sink/ledger", "spec.kafka.format", json!({"avro": {"registry": "schemas"}}));
    let away = Away::stop("registry");
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.problem("RegistryUnreachable").await;
    assert!(!message.is_empty() && !hint.is_empty());
    history.work(10).await;
    drop(away);
    afterbay.caught_up(&scenario).await;
    assert!(told(&afterbay, &["RegistryUnreachable"]) <= 2, "{:?}", afterbay.output());
    // The schemas are known by now: nothing is asked of it any more.
    let away = Away::stop("registry");
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    drop(away);
}
