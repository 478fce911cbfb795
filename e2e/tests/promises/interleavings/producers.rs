//! Whose record counts, and whose transaction.

use afterbay_crds::report::SinkState;
use afterbay_e2e::afterbay::{Afterbay, Options, PATIENCE};
use afterbay_e2e::manifests::resource;
use afterbay_e2e::{Format, History, Manifests, Message, Scenario, Sink, await_condition, broker, processes};
use serde_json::{Value, json};

use super::ledger;
use crate::one_table::{TABLE, scenario};

/// The key of a record of the test's own, that no reader of read_committed sees before the transactions that were open when
/// it was written have ended.
const MARK: &str = "mark";

/// A Sink's transactions end, by the broker's hand, after five seconds.
fn ends_soon(manifests: Manifests, sink: &str) -> Manifests {
    manifests.set(&format!("Sink/{sink}"), "spec.kafka.commit", json!({"interval": "1s", "timeout": "5s"}))
}

/// Waits until the broker has ended what is open in the topic.
async fn open_transactions_end(scenario: &Scenario, topic: &str) {
    broker::write(scenario.rig, topic, &json!(MARK).to_string(), Some("{}"));
    await_condition("the open transactions end", PATIENCE, async || {
        let messages = scenario.messages(topic, Format::Json).await;
        messages.iter().any(|message| message.key == MARK).then_some(())
    })
    .await;
}

/// Where the topic ends when a Sink runs: the broker has marked the transactions of the life before then, as it lets the
/// Sink's producer in behind them only.
async fn end_at_start(afterbay: &Afterbay, scenario: &Scenario, sink: &str, topic: &str) -> i64 {
    afterbay.sink("runs", sink, |sink| sink.state == SinkState::Running).await;
    broker::end(scenario.rig, topic, 0)
}

/// Waits until what a worker has staged is at the broker: it may have waited for a batch. The broker may have ended the
/// transaction meanwhile.
async fn arrives(scenario: &Scenario, topic: &str, before: i64) {
    await_condition("what is staged is at the broker", PATIENCE, async || {
        let (stable, end) = (broker::stable_end(scenario.rig, topic, 0), broker::end(scenario.rig, topic, 0));
        (stable < end || end > before).then_some(())
    })
    .await;
}

/// All messages but those of the test's own.
async fn messages(scenario: &Scenario, topic: &str) -> Vec<Message> {
    let messages = scenario.messages(topic, Format::Json).await;
    messages.into_iter().filter(|message| message.key != MARK).collect()
}

/// A record of another Sink of that name, or of a life that somebody has ended on purpose.
#[tokio::test]
async fn case_12_the_record_of_another_uid_is_none() {
    let (scenario, topic, manifests) = scenario("other-uid", TABLE).await;
    let progress = scenario.progress_topic();
    broker::create_topic(scenario.rig, &progress, 1, &[("cleanup.policy", "compact")]).await;
    let record = json!({
        "version": 1, "sink": format!("{}/t", scenario.unique), "uid": "another", "position": {"done": "FF/0"},
        "source": {"system": "1", "timeline": 1, "database": scenario.database.name, "slot": scenario.slot()},
        "relation": {"oid": 1, "entry": 1}, "topic": "another", "schemas": {},
    });
    broker::write(scenario.rig, &progress, &scenario.progress_key("t"), Some(&record.to_string()));
    scenario.carry(&manifests).await;
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 2);
}

#[tokio::test]
async fn case_13_the_broker_ends_the_transaction_of_a_worker_that_lives() {
    let scenario = Scenario::new("timed-out").await;
    let history = History::begin(&scenario.database, 20).await;
    let topic = scenario.topic("ledger");
    let manifests = ends_soon(scenario.manifests().with(ledger(&topic)), "ledger");
    scenario.carry(&manifests).await;
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "staged", 1));
    let before = end_at_start(&afterbay, &scenario, "ledger", &topic).await;
    let worker = afterbay.worker().await;
    history.work(50).await;
    afterbay.worker_stands_still().await;
    arrives(&scenario, &topic, before).await;
    open_transactions_end(&scenario, &topic).await;
    scenario.lets_go();
    // It goes on at once, so that who asks for its state may not come upon it.
    let is_told = |line: &str| line.contains("the broker ended it") && line.contains("TransactionFailed");
    afterbay.logged("it is told what became of the transaction", is_told).await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(worker, afterbay.worker().await, "nobody else is there that it would have to make way for");
    history.check(&messages(&scenario, &topic).await, false).await;
}

#[tokio::test]
async fn case_13_a_worker_comes_back_with_its_commit_when_another_has_gone_on() {
    let scenario = Scenario::new("comes-back").await;
    let history = History::begin(&scenario.database, 20).await;
    let topic = scenario.topic("ledger");
    let manifests = scenario.manifests().with(ledger(&topic));
    scenario.carry(&manifests).await;
    let first = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "flushed", 1));
    history.work(50).await;
    first.worker_stands_still().await;
    let second = scenario.run_elsewhere(&manifests);
    history.work(50).await;
    second.caught_up(&scenario).await;
    scenario.lets_go();
    // The Sink may be heard of it before the worker has left.
    let is_of_the_worker = |event: &Value| {
        let subject = event["subject"].as_str().unwrap_or_default();
        event["event"] == "problem" && event["reason"] == "Fenced" && subject.starts_with("worker ")
    };
    let told = first.event("the worker left, as it is fenced", is_of_the_worker).await;
    let message = told["message"].as_str().unwrap_or_default();
    assert!(message.contains("another producer has its transactional ids"), "{message}");
    assert!(first.stop().await.success());
    history.work(50).await;
    second.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, false).await;
}

/// The record of a transaction that nobody will commit any more hides what stands behind it in the shared progress topic.
#[tokio::test]
async fn case_16_a_crashed_transaction_of_another_sink_holds_a_start_up_for_its_timeout() {
    let scenario = Scenario::new("held-up").await;
    let history = History::begin(&scenario.database, 20).await;
    let (well, gone) = (scenario.topic("well"), scenario.topic("gone"));
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]);
    let only_well = scenario.manifests().with(sink("well", &well));
    let both = another_source(&scenario, only_well.clone()).with(sink("gone", &gone));
    let both = ends_soon(both.set("Sink/gone", "spec.source.name", "another"), "gone");
    scenario.carry(&both).await;
    let only_gone = both.clone().without("Sink/well").without("SourceConnector/shop");
    let afterbay = scenario.run_with(&only_gone, &Options::default().holds_at(&scenario, "progress-staged", 1));
    let progress = scenario.progress_topic();
    let before = end_at_start(&afterbay, &scenario, "gone", &progress).await;
    history.work(20).await;
    afterbay.worker_stands_still().await;
    arrives(&scenario, &progress, before).await;
    let worker = afterbay.worker().await;
    processes::signal(afterbay.pid(), "STOP");
    processes::signal(worker, "KILL");
    afterbay.kill().await;
    history.work(20).await;
    let afterbay = scenario.run(&only_well);
    afterbay.caught_up(&scenario).await;
    assert!(afterbay.stop().await.success());
    scenario.carry(&both).await;
    history.check(&scenario.messages(&well, Format::Json).await, false).await;
    history.check(&scenario.messages(&gone, Format::Json).await, false).await;
}

/// With a source `another`, of the same database, that has a worker and a slot of its own.
fn another_source(scenario: &Scenario, manifests: Manifests) -> Manifests {
    let (host, port) = scenario.rig.postgres_address();
    let database = &scenario.database;
    let spec = json!({"postgres": {
        "host": host,
        "port": port,
        "database": database.name,
        "authentication": {
            "username": database.role,
            "passwordSecret": {"secretName": "shop-db", "password": "password"},
        },
        "slot": {"name": format!("{}_another", scenario.slot())},
    }});
    manifests.with(resource("SourceConnector", "another", spec))
}
