//! History that a Sink retains: another one begins within it, it is set back to a place of it, once, and what is older is let go.

use afterbay_crds::report::SinkReport;
use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Database, Format, Manifests, Scenario, Sink, await_condition};
use serde_json::json;

use crate::one_table::{TABLE, scenario};

pub const TIME: &str = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

async fn ids(scenario: &Scenario, topic: &str) -> Vec<i64> {
    scenario.messages(topic, Format::Json).await.iter().map(|message| message.integer("id")).collect()
}

pub async fn position(database: &Database) -> String {
    database.text("SELECT pg_current_wal_insert_lsn()").await
}

async fn insert(database: &Database, id: i64) {
    database.run(&format!("INSERT INTO t VALUES ({id}, 0)")).await;
}

fn retaining(manifests: &Manifests, length: &str) -> Manifests {
    manifests.clone().set("Sink/t", "spec.retainHistory", length)
}

pub fn started_at(manifests: &Manifests, sink: &str, kind: &str, place: &str) -> Manifests {
    manifests.clone().set(&format!("Sink/{sink}"), "spec.source.startAt", json!({kind: place}))
}

pub async fn confirmed(scenario: &Scenario) -> u64 {
    let sql =
        format!("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    lsn(&scenario.database.text(&sql).await)
}

#[tokio::test]
async fn another_sink_begins_within_what_is_retained() {
    for (point, nth) in [("attached", 2), ("progress-staged", 1), ("committed", 2)] {
        let (scenario, topic, manifests) = scenario("history-other", TABLE).await;
        let manifests = retaining(&manifests, "1h");
        let database = &scenario.database;
        scenario.carry(&manifests).await;
        insert(database, 2).await;
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        let place = position(database).await;
        insert(database, 3).await;
        afterbay.caught_up(&scenario).await;
        // A restart forgets nothing.
        afterbay.kill_worker().await;
        insert(database, 4).await;
        afterbay.caught_up(&scenario).await;
        let held = afterbay.sink("retains", "t", |sink| sink.retained_bytes.is_some_and(|bytes| bytes > 0)).await;
        assert!(held.error.is_none(), "{held:?}");
        afterbay.stop().await;
        assert!(confirmed(&scenario).await <= lsn(&place));
        let other = scenario.topic("other");
        let both = manifests.clone().with(Sink::new("u", "public.t", &other).key(&["id"]).partitions(1));
        let both = started_at(&both, "u", "position", &place);
        let afterbay = scenario.run_with(&both, &Options::default().dies_at(&scenario, point, nth));
        afterbay.sink_caught_up(&scenario, "u").await;
        insert(database, 5).await;
        await_condition("the worker comes by its fault point", PATIENCE, async || {
            database.run("UPDATE t SET n = n + 1 WHERE id = 1").await;
            (!scenario.fuse().exists()).then_some(())
        })
        .await;
        afterbay.caught_up(&scenario).await;
        let found: Vec<_> = ids(&scenario, &other).await.into_iter().filter(|id| *id != 1).collect();
        assert_eq!(found, [3, 4, 5], "{point}: from there on, each once, and no row of a snapshot");
        let found: Vec<_> = ids(&scenario, &topic).await.into_iter().filter(|id| *id != 1).collect();
        assert_eq!(found, [2, 3, 4, 5], "{point}: the other goes on as ever");
    }
}

#[tokio::test]
async fn a_sink_is_set_back_once() {
    let (scenario, topic, manifests) = scenario("history-back", TABLE).await;
    let manifests = retaining(&manifests, "1h").set("Sink/t", "spec.kafka.topic.partitions", 1);
    let database = &scenario.database;
    scenario.carry(&manifests).await;
    insert(database, 2).await;
    let place = position(database).await;
    insert(database, 3).await;
    scenario.carry(&manifests).await;
    // Killed before anything of it is committed, and behind its first commit: it is done once.
    let back = started_at(&manifests, "t", "position", &place);
    for point in ["progress-staged", "committed"] {
        let afterbay = scenario.run_with(&back, &Options::default().dies_at(&scenario, point, 1));
        insert(database, if point == "committed" { 5 } else { 4 }).await;
        afterbay.worker_has_died().await;
        afterbay.caught_up(&scenario).await;
        afterbay.stop().await;
    }
    assert_eq!(ids(&scenario, &topic).await, [1, 2, 3, 3, 4, 5]);
    // Another place is another replay; that of a time leaves out what was before it.
    let time = database.text(TIME).await;
    insert(database, 6).await;
    scenario.carry(&back).await;
    let back = started_at(&manifests, "t", "time", &time);
    scenario.carry(&back).await;
    let afterbay = scenario.run(&back);
    afterbay.caught_up(&scenario).await;
    afterbay.kill_worker().await;
    insert(database, 7).await;
    afterbay.caught_up(&scenario).await;
    afterbay.stop().await;
    assert_eq!(ids(&scenario, &topic).await, [1, 2, 3, 3, 4, 5, 6, 6, 7]);
    // Without the field it stays where it is.
    scenario.carry(&manifests).await;
    scenario.carry(&back).await;
    assert_eq!(ids(&scenario, &topic).await.len(), 9);
}

/// What a Sink has not sent yet is no part of a replay.
#[tokio::test]
async fn a_time_behind_what_is_committed_leaves_nothing_out() {
    let (scenario, topic, manifests) = scenario("history-ahead", TABLE).await;
    let manifests = retaining(&manifests, "1h").set("Sink/t", "spec.kafka.topic.partitions", 1);
    let database = &scenario.database;
    scenario.carry(&manifests).await;
    insert(database, 2).await;
    let time = database.text(TIME).await;
    insert(database, 3).await;
    scenario.carry(&started_at(&manifests, "t", "time", &time)).await;
    assert_eq!(ids(&scenario, &topic).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_place_that_is_not_retained_is_refused() {
    let (scenario, topic, manifests) = scenario("history-refused", TABLE).await;
    let database = &scenario.database;
    let before = position(database).await;
    scenario.carry(&manifests).await;
    insert(database, 2).await;
    scenario.carry(&manifests).await;
    let refused = async |manifests: &Manifests| {
        let afterbay = scenario.run(manifests);
        let (message, hint) = afterbay.stalled("t", "StartAtRefused").await;
        assert!(hint.contains("startAt"), "{hint}");
        afterbay.stop().await;
        message
    };
    let message = refused(&started_at(&manifests, "t", "position", &before)).await;
    assert!(message.contains("no Sink") && message.contains("retainHistory"), "{message}");
    let manifests = retaining(&manifests, "1h");
    scenario.carry(&manifests).await;
    insert(database, 3).await;
    scenario.carry(&manifests).await;
    let message = refused(&started_at(&manifests, "t", "position", &before)).await;
    assert!(message.contains("retained from"), "{message}");
    let message = refused(&started_at(&manifests, "t", "time", "2020-01-01T00:00:00Z")).await;
    assert!(message.contains("retained from"), "{message}");
    let message = refused(&started_at(&manifests, "t", "time", "2120-01-01T00:00:00Z")).await;
    assert!(message.contains("future"), "{message}");
    let message = refused(&started_at(&manifests, "t", "position", "FFFF/0")).await;
    assert!(message.contains("behind what the Sink has committed"), "{message}");
    scenario.carry(&manifests).await;
    assert_eq!(ids(&scenario, &topic).await, [1, 2, 3], "nothing was sent for it");
}

/// What is older than the length is let go, also behind a restart.
#[tokio::test]
async fn what_is_older_is_forgotten() {
    let (scenario, _, manifests) = scenario("history-forgets", TABLE).await;
    let manifests = retaining(&manifests, "4s");
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    for round in 0..2 {
        let end = scenario.database.log_end().await;
        await_condition("the log is let go", PATIENCE, async || {
            scenario.database.run("UPDATE t SET n = n + 1").await;
            (confirmed(&scenario).await >= end).then_some(())
        })
        .await;
        let retains = |sink: &SinkReport| sink.retained_bytes.is_some_and(|bytes| bytes > 0);
        afterbay.sink("still retains the last of it", "t", retains).await;
        if round == 0 {
            afterbay.kill_worker().await;
        }
    }
}
