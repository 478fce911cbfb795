//! What becomes of a Sink while it is there.

use std::time::Duration;

use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Format, Scenario, Sink, await_condition};

/// A Sink that is paused keeps its place, and the log is kept for it; the others go on.
#[tokio::test]
async fn a_sink_is_paused_and_goes_on_where_it_was() {
    let scenario = Scenario::new("pause").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)").await;
    let (one, other) = (scenario.topic("t"), scenario.topic("u"));
    let manifests = scenario
        .manifests()
        .with(Sink::new("t", "public.t", &one).key(&["id"]).partitions(1))
        .with(Sink::new("u", "public.u", &other).key(&["id"]).partitions(1));
    scenario.carry(&manifests).await;
    let paused_from = database.log_end().await;
    let afterbay = scenario.run(&manifests.clone().set("Sink/t", "spec.state", "paused"));
    database.run("INSERT INTO t VALUES (2); INSERT INTO u VALUES (2)").await;
    afterbay.sink_caught_up(&scenario, "u").await;
    let sink = afterbay.sink("it is paused", "t", |sink| sink.state == SinkState::Paused).await;
    assert!(sink.error.is_none() && sink.position.is_some(), "{sink:?}");
    // Acknowledgements go out each second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let confirmed =
        format!("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    assert!(lsn(&database.text(&confirmed).await) <= paused_from, "the log is kept for it");
    afterbay.stop().await;
    assert_eq!(scenario.messages(&one, Format::Json).await.len(), 1);
    assert_eq!(scenario.messages(&other, Format::Json).await.len(), 2);
    scenario.carry(&manifests).await;
    let ids: Vec<_> = scenario.messages(&one, Format::Json).await.iter().map(|message| message.integer("id")).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(scenario.messages(&other, Format::Json).await.len(), 2);
}

/// A SourceConnector that is paused holds all of its Sinks, also those that have not begun; nobody waits for them.
#[tokio::test]
async fn a_source_is_paused() {
    let scenario = Scenario::new("pause-source").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    scenario.carry(&manifests.clone().set("SourceConnector/shop", "spec.state", "paused")).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 0);
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

/// What the slot has lost for a paused Sink is told; and the log is not kept for it, which would cost the others the slot.
#[tokio::test]
async fn a_paused_sink_whose_log_is_lost_holds_up_nobody() {
    let scenario = Scenario::new("pause-lost").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)").await;
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.slot.onLoss", "Resnapshot")
        .with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"]))
        .with(Sink::new("u", "public.u", &scenario.topic("u")).key(&["id"]));
    scenario.carry(&manifests).await;
    scenario.drop_slot().await;
    database.run("INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)").await;
    let afterbay = scenario.run(&manifests.set("Sink/t", "spec.state", "paused"));
    afterbay.sink_caught_up(&scenario, "u").await;
    let is_told = |sink: &SinkReport| {
        sink.state == SinkState::Paused && sink.warnings.iter().any(|it| it.reason == "SlotAheadOfProgress")
    };
    afterbay.sink("the loss is told", "t", is_told).await;
    database.run("INSERT INTO u VALUES (2)").await;
    let end = database.log_end().await;
    let confirmed =
        format!("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    await_condition("the log is let go", PATIENCE, async || {
        database.run("INSERT INTO u SELECT max(id) + 1 FROM u").await;
        (lsn(&database.text(&confirmed).await) >= end).then_some(())
    })
    .await;
}
