//! Broker, database or registry go away and come back: told once, then on, with nothing lost or doubled.
//!
//! These tests stop the rig's parts under everybody's feet: they are a test binary of their own, and run one after the
//! other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Afterbay, Format, History, Manifests, Rig, Scenario, Sink, await_condition, broker};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

/// Held by the test that runs, whatever the number of test threads.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    TURN.lock().await
}

/// A part of the rig that is away, and how it comes back, at the latest when the test ends.
struct Away {
    part: &'static str,
    back: &'static str,
}

impl Away {
    fn new(part: &'static str, how: &str) -> Self {
        let words = Rig::get().run(&[how, part]);
        assert!(words.is_empty(), "{words}");
        Self { part, back: if how == "pause" { "resume" } else { "start" } }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        Rig::get().run(&[self.back, self.part]);
    }
}

fn manifests(scenario: &Scenario, topic: &str) -> Manifests {
    scenario.manifests().with(Sink::new("ledger", "public.ledger", topic).key(&["id"]).partitions(2))
}

/// What every subject that was told of was told: so many outages, each as one problem and its end.
async fn told_once_each(afterbay: &Afterbay, outages: &[&str]) {
    let expected: Vec<_> = outages.iter().flat_map(|reason| [*reason, "solved"]).collect();
    await_condition("each outage is told, and that it is over", PATIENCE, async || {
        let tellings = afterbay.tellings();
        (!tellings.is_empty() && tellings.values().all(|told| told.len() >= expected.len())).then_some(())
    })
    .await;
    for (subject, told) in afterbay.tellings() {
        assert_eq!(told, expected, "{subject}: {:?}", afterbay.output());
    }
}

/// Waits until this Sink's problem is told as the last thing of so many.
async fn told_of_it(afterbay: &Afterbay, outage: usize) {
    await_condition("the outage is told", PATIENCE, async || {
        let tellings = afterbay.tellings();
        tellings
            .iter()
            .any(|(subject, told)| subject.starts_with("sink ") && told.len() >= 2 * outage - 1)
            .then_some(())
    })
    .await;
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
        // A broker that stops in order forgets the transactions that it is about to commit (docs/kafka.md).
        afterbay.caught_up(&scenario).await;
        let away = Away::new("broker", if round == 1 { "stop" } else { "kill" });
        history.work(100).await;
        told_of_it(&afterbay, round).await;
        history.work(100).await;
        drop(away);
        afterbay.caught_up(&scenario).await;
        told_once_each(&afterbay, &["KafkaUnreachable", "KafkaUnreachable"][..round]).await;
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
    for (round, how) in [(1, "stop"), (2, "crash")] {
        let history = History::of(&scenario.database);
        let writer = history.writer().await;
        afterbay.sink("is under way", "ledger", |sink| sink.messages_committed > 100).await;
        let away = Away::new("postgres", how);
        told_of_it(&afterbay, round).await;
        drop(away);
        writer.stop().await;
        scenario.database.reconnect().await;
        History::of(&scenario.database).work(50).await;
        afterbay.caught_up(&scenario).await;
        told_once_each(&afterbay, &["SourceUnreachable", "SourceUnreachable"][..round]).await;
    }
    assert_eq!(worker, afterbay.worker().await, "the worker has not ended for it");
    History::of(&scenario.database).check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// A server that shuts down waits for all who read its log to acknowledge it; what is not committed never is.
#[tokio::test]
async fn the_database_shuts_down_though_a_sink_is_stalled() {
    let _turn = alone().await;
    let mut scenario = Scenario::new("shutdown").await;
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]);
    let history = History::begin(&scenario.database, 50).await;
    let afterbay = scenario.run(&scenario.manifests().with(sink("well", &well)).with(sink("ailing", &ailing)));
    afterbay.caught_up(&scenario).await;
    broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "100").await;
    history.work(50).await;
    afterbay.stalled("ailing", "MessageTooLarge").await;
    afterbay.sink_caught_up(&scenario, "well").await;
    // What does not end by itself is killed, and that is told.
    let away = Away::new("postgres", "stop");
    broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "1000000").await;
    drop(away);
    scenario.database.reconnect().await;
    let history = History::of(&scenario.database);
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&well, Format::Json).await, false).await;
    history.check(&scenario.messages(&ailing, Format::Json).await, false).await;
}

#[tokio::test]
async fn the_registry_is_away_at_the_start_and_later() {
    let _turn = alone().await;
    let scenario = Scenario::new("registry-away").await;
    let history = History::begin(&scenario.database, 50).await;
    let topic = scenario.topic("ledger");
    let manifests =
        manifests(&scenario, &topic).set("Sink/ledger", "spec.kafka.format", json!({"avro": {"registry": "schemas"}}));
    let away = Away::new("registry", "stop");
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.problem("RegistryUnreachable").await;
    assert!(!message.is_empty() && !hint.is_empty());
    history.work(10).await;
    drop(away);
    afterbay.caught_up(&scenario).await;
    told_once_each(&afterbay, &["RegistryUnreachable"]).await;
    // The schemas are known by now: nothing is asked of it any more. (It forgets them when it is stopped, and the reader
    // needs them.)
    let away = Away::new("registry", "pause");
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    drop(away);
    history.check(&scenario.messages(&topic, Format::Avro).await, true).await;
}
