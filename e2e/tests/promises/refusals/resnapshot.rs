//! `slot.onLoss: Resnapshot`: what the slot has lost is made good by all rows, sent again into the same topic.

use std::collections::BTreeSet;

use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Cluster, Format, History, Manifests, Message, Scenario, Sink, await_condition, broker};
use serde_json::json;

use super::{resnapshot, scenario_on, told};
use crate::one_table::{TABLE, scenario};
use crate::telling::check;

fn mode(manifests: Manifests, mode: &str, rows: u32) -> Manifests {
    manifests.set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": mode, "chunkRows": rows}))
}

async fn all_rows_come_again(how: &str) {
    let (scenario, topic, manifests) = scenario(&format!("resnapshot-{how}"), TABLE).await;
    let manifests = mode(resnapshot(manifests), how, 2);
    let database = &scenario.database;
    database.run("INSERT INTO t VALUES (2, 2), (3, 3)").await;
    scenario.carry(&manifests).await;
    scenario.drop_slot().await;
    database.run("UPDATE t SET n = 11 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 4)").await;
    let afterbay = scenario.run(&manifests);
    let line = afterbay
        .logged("what is done about it", |line| line.contains("all rows of table public.t are sent again"))
        .await;
    check(&line, &["SlotLost", &scenario.slot(), &topic]);
    afterbay.caught_up(&scenario).await;
    database.run("UPDATE t SET n = 33 WHERE id = 3").await;
    afterbay.caught_up(&scenario).await;
    let report = afterbay.report().await.expect("the worker answers");
    assert_eq!((&report.sinks[0].error, report.sinks[0].begun_anew), (&None, 1), "it is over");
    let lines = afterbay.log().into_iter().filter(|line| line.contains("are sent again")).count();
    assert_eq!(lines, 1, "told once");
    afterbay.stop().await;
    // That row 2 is gone cannot be told. At once rows come as they lie in the table.
    let mut messages = told(&scenario, &topic).await;
    messages[3..6].sort();
    assert_eq!(messages, ["s1=1", "s2=2", "s3=3", "s1=11", "s3=3", "s4=4", "3=33"]);
    scenario.carry(&manifests).await;
    assert_eq!(told(&scenario, &topic).await.len(), 7, "it is over for good");
}

#[tokio::test]
async fn all_rows_come_again_in_chunks() {
    all_rows_come_again("Chunked").await;
}

#[tokio::test]
async fn all_rows_come_again_at_once() {
    all_rows_come_again("Consistent").await;
}

/// Two Sinks of one slot that is lost; the worker dies when it comes by this point for the nth time. Behind the loss each
/// topic has the rows once, as of one place for each, and every change after that.
async fn dies_at(how: &str, point: &str, nth: u32) {
    let scenario = Scenario::new(&format!("resnapshot-{point}")).await;
    let database = &scenario.database;
    let history = History::begin(database, 60).await;
    let topics = [scenario.topic("one"), scenario.topic("two")];
    let [one, two] = [("one", &topics[0]), ("two", &topics[1])]
        .map(|(name, topic)| Sink::new(name, "public.ledger", topic).key(&["id"]).partitions(1));
    let manifests = mode(resnapshot(scenario.manifests().with(one).with(two)), how, 40);
    scenario.carry(&manifests).await;
    let mut before = Vec::new();
    for topic in &topics {
        let messages = scenario.messages(topic, Format::Json).await;
        history.check(&messages, true).await;
        before.push(messages.len());
    }
    scenario.drop_slot().await;
    history.work(300).await;
    let writer = history.writer().await;
    let afterbay = scenario.run_with(&manifests, &Options::default().dies_at(&scenario, point, nth));
    afterbay.worker_has_died().await;
    writer.stop().await;
    afterbay.caught_up(&scenario).await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    for (topic, before) in topics.iter().zip(before) {
        let messages = scenario.messages(topic, Format::Json).await;
        let names: BTreeSet<_> = messages.iter().map(Message::position).collect();
        assert_eq!(names.len(), messages.len(), "each message has a name of its own");
        history.check(&messages[before..], true).await;
    }
}

dies! {
    when_the_slot_is_made_anew: "Consistent", "slot-made", 1;
    with_some_rows_staged: "Consistent", "staged", 30;
    before_the_first_commit: "Consistent", "flushed", 1;
    when_one_sink_is_over: "Consistent", "committed", 1;
    when_one_sink_is_over_and_its_rows_are_to_come: "Auto", "committed", 1;
    with_a_chunk_at_hand: "Auto", "chunk", 2;
}

/// Invalidated by the server, which then keeps a slot of that name that is of no use.
#[tokio::test]
async fn a_slot_that_the_server_has_invalidated() {
    let server = Cluster::new(&[("max_slot_wal_keep_size", "2MB"), ("max_wal_size", "4MB")]).await;
    let (scenario, topic, manifests) = scenario_on("invalidated", &[&server]).await;
    let database = &scenario.database;
    scenario.carry(&manifests).await;
    database.run("UPDATE t SET n = 2").await;
    outgrow(&scenario).await;
    let state = format!("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    assert_eq!(database.text(&state).await, "lost");
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "SlotLost").await;
    check(&message, &["max_slot_wal_keep_size"]);
    check(&hint, &["give the Sink a new name and topic", "slot.onLoss: Resnapshot"]);
    afterbay.stop().await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1"]);
    // Killed between the old slot's end and the new one's beginning.
    let options = Options::default().dies_at(&scenario, "slot-dropped", 1);
    let afterbay = scenario.run_with(&resnapshot(manifests), &options);
    afterbay.worker_has_died().await;
    afterbay.caught_up(&scenario).await;
    database.run("UPDATE t SET n = 3").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "s1=2", "1=3"]);
    assert_eq!(database.text(&state).await, "reserved");
}

/// One Sink cannot go on, and holds the log until the server has enough of it. The other one begins anew under way, and the
/// first one when it can.
#[tokio::test]
async fn a_slot_that_a_stalled_sink_has_cost() {
    let server = Cluster::new(&[("max_slot_wal_keep_size", "2MB"), ("max_wal_size", "4MB")]).await;
    let (scenario, topic, manifests) = scenario_on("slot-cost", &[&server]).await;
    let ailing = scenario.topic("ailing");
    let manifests = resnapshot(manifests).with(Sink::new("ailing", "public.t", &ailing).key(&["id"]));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "100").await;
    scenario.database.run("UPDATE t SET n = 2").await;
    afterbay.stalled("ailing", "MessageTooLarge").await;
    afterbay.sink_caught_up(&scenario, "t").await;
    outgrow(&scenario).await;
    afterbay.logged("the slot is lost to it", |line| line.contains("/t ") && line.contains("are sent again")).await;
    afterbay.sink_caught_up(&scenario, "t").await;
    broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "1000000").await;
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET n = 3").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "1=2", "s1=2", "1=3"]);
    assert_eq!(told(&scenario, &ailing).await, ["s1=1", "s1=2", "1=3"]);
}

/// Lets the log grow beyond what the server keeps for slots.
async fn outgrow(scenario: &Scenario) {
    // At once: a checkpoint in between takes the slot, and what is made in its place is not to be taken as well.
    let fill = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000)) FROM generate_series(1, 8)";
    scenario.database.run(fill).await;
    scenario.database.run_as_superuser("CHECKPOINT").await;
}

/// Moved on by somebody else: what lies between is as lost as with the slot.
#[tokio::test]
async fn a_slot_that_was_moved_on() {
    let (scenario, topic, manifests) = scenario("resnapshot-moved", TABLE).await;
    let manifests = resnapshot(manifests);
    scenario.carry(&manifests).await;
    scenario.database.run("UPDATE t SET n = 2").await;
    scenario.advance_slot().await;
    scenario.carry(&manifests).await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "s1=2"]);
}

#[tokio::test]
async fn a_sink_that_takes_no_snapshot_has_nothing_to_begin_anew_with() {
    let (scenario, topic, manifests) = scenario("resnapshot-none", TABLE).await;
    let other = scenario.topic("other");
    let without = resnapshot(manifests)
        .set("Sink/t", "spec.snapshot", false)
        .with(Sink::new("other", "public.t", &other).key(&["id"]));
    scenario.carry(&without).await;
    scenario.database.run("UPDATE t SET n = 2").await;
    scenario.carry(&without).await;
    scenario.drop_slot().await;
    scenario.database.run("UPDATE t SET n = 3").await;
    let afterbay = scenario.run(&without);
    let (message, hint) = afterbay.stalled("t", "SlotLost").await;
    check(&message, &["the Sink takes no snapshot"]);
    check(&hint, &["set snapshot: true"]);
    // The other one has begun anew, and keeps no log for what is lost: that would cost it the new slot too.
    let database = &scenario.database;
    let (end, slot) = (database.log_end().await, scenario.slot());
    let confirmed = format!(
        "SELECT coalesce(max(confirmed_flush_lsn), '0/0') FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    database.run("UPDATE t SET n = 4").await;
    await_condition("the slot follows the other Sink", PATIENCE, async || {
        (lsn(&database.text(&confirmed).await) > end).then_some(())
    })
    .await;
    afterbay.stop().await;
    scenario.carry(&without.set("Sink/t", "spec.snapshot", true)).await;
    assert_eq!(told(&scenario, &topic).await, ["1=2", "s1=4"]);
}
