//! Whatever dies, and whenever: every change stands once, in order per key.

use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::{Afterbay, Format, History, Manifests, Scenario, Sink, await_condition};
use serde_json::json;

const ROWS: u32 = 50;

/// One Sink of the history's table, on several partitions.
fn manifests(scenario: &Scenario, topic: &str) -> Manifests {
    scenario.manifests().with(Sink::new("ledger", "public.ledger", topic).key(&["id"]).partitions(3))
}

/// All rows of the snapshot in one transaction.
fn at_once(scenario: &Scenario, topic: &str) -> Manifests {
    manifests(scenario, topic).set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": "Consistent"}))
}

/// The worker dies when it comes by this point for the nth time while it carries a snapshot of so many rows.
async fn dies_in_snapshot_at(point: &str, nth: u32, rows: u32) {
    let scenario = Scenario::new(&format!("snapshot-{point}")).await;
    let history = History::begin(&scenario.database, rows).await;
    let topic = scenario.topic("ledger");
    let afterbay = scenario.run_with(&at_once(&scenario, &topic), &Options::default().dies_at(&scenario, point, nth));
    afterbay.worker_has_died().await;
    history.work(20).await;
    afterbay.caught_up(&scenario).await;
    history.work(20).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// The worker dies when it comes by this point for the nth time after the snapshot is through.
async fn dies_in_stream_at(point: &str, nth: u32) {
    let scenario = Scenario::new(&format!("stream-{point}")).await;
    let history = History::begin(&scenario.database, ROWS).await;
    let topic = scenario.topic("ledger");
    let manifests = manifests(&scenario, &topic);
    scenario.carry(&manifests).await;
    history.work(100).await;
    let afterbay = scenario.run_with(&manifests, &Options::default().dies_at(&scenario, point, nth));
    await_condition("the worker comes by its fault point", PATIENCE, async || {
        history.work(10).await;
        (!scenario.fuse().exists()).then_some(())
    })
    .await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, false).await;
}

macro_rules! snapshot {
    ($($name:ident: $point:literal, $nth:literal of $rows:literal;)+) => {
        mod the_worker_dies_in_the_snapshot { $(
            #[tokio::test]
            async fn $name() {
                super::dies_in_snapshot_at($point, $nth, $rows).await;
            }
        )+ }
    };
}

macro_rules! stream {
    ($($name:ident: $point:literal, $nth:literal;)+) => {
        mod the_worker_dies_in_the_stream { $(
            #[tokio::test]
            async fn $name() {
                super::dies_in_stream_at($point, $nth).await;
            }
        )+ }
    };
}

snapshot! {
    when_fenced: "fenced", 1 of 50;
    with_progress_read: "progress-read", 1 of 50;
    when_attached: "attached", 1 of 50;
    with_a_transaction_begun: "begun", 1 of 50;
    with_a_row_staged: "staged", 1 of 50;
    in_the_middle_of_the_rows: "staged", 2500 of 5000;
    with_the_last_row_staged: "staged", 5000 of 5000;
    before_the_progress_record: "before-progress", 1 of 50;
    with_the_record_staged: "progress-staged", 1 of 50;
    before_the_commit: "flushed", 1 of 50;
    behind_the_commit: "committed", 1 of 50;
    when_started: "started", 1 of 50;
}

stream! {
    when_fenced: "fenced", 1;
    with_progress_read: "progress-read", 1;
    when_attached: "attached", 1;
    with_a_transaction_begun: "begun", 2;
    with_a_change_staged: "staged", 33;
    before_the_progress_record: "before-progress", 2;
    with_the_record_staged: "progress-staged", 2;
    before_the_commit: "flushed", 2;
    behind_the_commit: "committed", 2;
    when_acknowledged: "acknowledged", 2;
    when_the_database_knows: "confirmed", 2;
}

#[tokio::test]
async fn the_worker_is_killed_at_any_time_under_load() {
    let scenario = Scenario::new("killed-worker").await;
    let history = History::begin(&scenario.database, ROWS).await;
    let topic = scenario.topic("ledger");
    let writers = [history.writer().await, history.writer().await];
    let afterbay = scenario.run(&manifests(&scenario, &topic));
    for round in 1..=8_u64 {
        carries(&afterbay, round * 40).await;
        afterbay.kill_worker().await;
    }
    for writer in writers {
        writer.stop().await;
    }
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn the_worker_is_killed_in_the_middle_of_the_snapshot_under_load() {
    let scenario = Scenario::new("killed-snapshot").await;
    let rows = 100_000;
    let history = History::begin(&scenario.database, rows).await;
    let topic = scenario.topic("ledger");
    let writer = history.writer().await;
    let afterbay = scenario.run(&at_once(&scenario, &topic));
    for round in 1..=2_u64 {
        let seen = afterbay.sink("is in the snapshot", "ledger", |sink| sink.snapshot_rows > round * 5_000).await;
        assert!(seen.snapshot_rows < u64::from(rows), "the snapshot was through before the worker could be killed");
        assert_eq!(seen.messages_committed, 0, "readers see all rows at once");
        afterbay.kill_worker().await;
    }
    afterbay.sink("carries the stream", "ledger", |sink| sink.messages_committed > u64::from(rows)).await;
    writer.stop().await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn all_is_killed_and_started_again_on_the_same_state() {
    let scenario = Scenario::new("killed-run").await;
    let history = History::begin(&scenario.database, ROWS).await;
    let topic = scenario.topic("ledger");
    let manifests = manifests(&scenario, &topic);
    let writers = [history.writer().await, history.writer().await];
    for round in 1..=4 {
        let afterbay = scenario.run(&manifests);
        carries(&afterbay, round * 100).await;
        afterbay.kill().await;
    }
    let afterbay = scenario.run(&manifests);
    for writer in writers {
        writer.stop().await;
    }
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn the_worker_ends_after_its_parent_without_losing_a_change() {
    let scenario = Scenario::new("stopped-run").await;
    let history = History::begin(&scenario.database, ROWS).await;
    let topic = scenario.topic("ledger");
    let manifests = manifests(&scenario, &topic);
    let writer = history.writer().await;
    for _ in 0..3 {
        let afterbay = scenario.run(&manifests);
        carries(&afterbay, 100).await;
        let finished = afterbay.stop().await;
        assert!(finished.success(), "{finished:?}");
    }
    writer.stop().await;
    scenario.carry(&manifests).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// Waits until the worker has committed so many messages, or has begun to stage them: a moment like any other.
async fn carries(afterbay: &Afterbay, messages: u64) {
    await_condition("messages are carried", PATIENCE, async || {
        let report = afterbay.report().await?;
        report.sinks.iter().any(|sink| sink.messages_staged >= messages).then_some(())
    })
    .await;
}
