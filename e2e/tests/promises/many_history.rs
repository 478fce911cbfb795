//! History that a Sink by patterns retains: other Sinks begin within it, of each table from where it joined, and it is set back to a
//! place of it with all its tables, once.

use afterbay_crds::report::SinkReport;
use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Afterbay, Format, Manifests, Scenario, Sink, await_condition};
use serde_json::json;

use crate::patterns::{ids, joined, manifests};
use crate::retained_history::{TIME, confirmed, position, started_at};

async fn scenario(test: &str, tables: &[&str]) -> Scenario {
    let scenario = Scenario::new(test).await;
    for table in tables {
        make(&scenario, table).await;
    }
    scenario
}

/// A table with the row 1.
async fn make(scenario: &Scenario, table: &str) {
    let sql = format!("CREATE TABLE {table} (id int PRIMARY KEY, n int); INSERT INTO {table} VALUES (1, 0)");
    scenario.database.run(&sql).await;
}

async fn insert(scenario: &Scenario, table: &str, id: i64) {
    scenario.database.run(&format!("INSERT INTO {table} VALUES ({id}, 0)")).await;
}

fn retaining(scenario: &Scenario, length: &str) -> Manifests {
    manifests(scenario, &["public.*"]).set("Sink/all", "spec.retainHistory", length)
}

/// With a Sink of one of the tables, which begins there, and the name of its topic.
fn beginning(scenario: &Scenario, manifests: &Manifests, name: &str, table: &str, place: &str) -> Manifests {
    let sink = Sink::new(name, &format!("public.{table}"), &scenario.topic(name)).key(&["id"]).partitions(1);
    started_at(&manifests.clone().with(sink), name, "position", place)
}

/// Waits until a Sink is not started, for this. The one that retains may begin later.
async fn refused(afterbay: &Afterbay, sink: &str, what: &str) {
    let is = |report: &SinkReport| {
        let error = report.error.as_ref().filter(|error| error.reason == "StartAtRefused");
        error.is_some_and(|error| error.message.contains(what) && error.hint.contains("startAt"))
    };
    afterbay.sink(&format!("is refused: {what}"), sink, is).await;
}

#[tokio::test]
async fn a_sink_begins_within_what_many_tables_retain() {
    for (point, nth) in [("progress-staged", 1), ("committed", 2)] {
        let scenario = scenario("many-history", &["a", "b"]).await;
        let manifests = retaining(&scenario, "1h");
        scenario.carry(&manifests).await;
        insert(&scenario, "a", 2).await;
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        let before = position(&scenario.database).await;
        insert(&scenario, "a", 3).await;
        make(&scenario, "c").await;
        joined(&afterbay, "c").await;
        afterbay.caught_up(&scenario).await;
        let behind = position(&scenario.database).await;
        insert(&scenario, "c", 2).await;
        afterbay.caught_up(&scenario).await;
        // A restart forgets nothing, and not since when a table is there.
        afterbay.kill_worker().await;
        insert(&scenario, "a", 4).await;
        insert(&scenario, "c", 3).await;
        afterbay.caught_up(&scenario).await;
        afterbay.sink("retains", "all", |sink| sink.retained_bytes.is_some_and(|bytes| bytes > 0)).await;
        afterbay.stop().await;
        assert!(confirmed(&scenario).await <= lsn(&before));

        let afterbay = scenario.run(&beginning(&scenario, &manifests, "early", "c", &before));
        refused(&afterbay, "early", "of table public.c the log is retained from").await;
        afterbay.stop().await;
        let both = beginning(&scenario, &manifests, "of-a", "a", &before);
        let both = beginning(&scenario, &both, "of-c", "c", &behind);
        let afterbay = scenario.run_with(&both, &Options::default().dies_at(&scenario, point, nth));
        for sink in ["of-a", "of-c"] {
            afterbay.sink_caught_up(&scenario, sink).await;
        }
        await_condition("the worker comes by its fault point", PATIENCE, async || {
            scenario.database.run("UPDATE b SET n = n + 1").await;
            (!scenario.fuse().exists()).then_some(())
        })
        .await;
        insert(&scenario, "a", 5).await;
        insert(&scenario, "c", 4).await;
        afterbay.caught_up(&scenario).await;
        assert_eq!(
            ids(&scenario, "of-a").await,
            [3, 4, 5],
            "{point}: from there on, each once, and no row of a snapshot"
        );
        assert_eq!(ids(&scenario, "of-c").await, [2, 3, 4], "{point}");
        for (table, expected) in [("a", &[1, 2, 3, 4, 5][..]), ("c", &[1, 2, 3, 4])] {
            let mut found = ids(&scenario, table).await;
            found.sort_unstable();
            assert_eq!(found, expected, "{point}: {table} goes on as ever");
        }
    }
}

/// What is older than the length is let go, also behind a restart, and where no table is carried.
#[tokio::test]
async fn what_is_older_is_forgotten() {
    for tables in [&["a", "b"][..], &[]] {
        let scenario = scenario("many-history-forgets", tables).await;
        scenario.database.run("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.t (n int)").await;
        let afterbay = scenario.run(&retaining(&scenario, "4s"));
        afterbay.caught_up(&scenario).await;
        for round in 0..2 {
            let end = scenario.database.log_end().await;
            let table = tables.first().unwrap_or(&"elsewhere.t");
            await_condition("the log is let go", PATIENCE, async || {
                scenario
                    .database
                    .run(&format!("INSERT INTO elsewhere.t VALUES (1); UPDATE {table} SET n = n + 1"))
                    .await;
                (confirmed(&scenario).await >= end).then_some(())
            })
            .await;
            if !tables.is_empty() {
                let retains = |sink: &SinkReport| sink.retained_bytes.is_some_and(|bytes| bytes > 0);
                afterbay.sink("still retains the last of it", "all", retains).await;
            }
            if round == 0 {
                afterbay.kill_worker().await;
            }
        }
    }
}

fn back(manifests: &Manifests, kind: &str, place: &str) -> Manifests {
    started_at(manifests, "all", kind, place)
}

async fn sorted(scenario: &Scenario, table: &str) -> Vec<i64> {
    let mut ids = ids(scenario, table).await;
    ids.sort_unstable();
    ids
}

/// Killed before anything of the replay is committed, and behind its first commit: it is done once. A table that joined behind the
/// place comes again from where it joined, also where its first rows were changes.
#[tokio::test]
async fn all_tables_are_set_back_once() {
    for snapshot in [true, false] {
        let scenario = scenario("many-back", &["a", "b"]).await;
        let database = &scenario.database;
        let manifests = retaining(&scenario, "1h").set("Sink/all", "spec.snapshot", snapshot);
        scenario.carry(&manifests).await;
        insert(&scenario, "a", 2).await;
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        let place = position(database).await;
        let transaction = "BEGIN; INSERT INTO a VALUES (3, 0); INSERT INTO b VALUES (3, 0); COMMIT";
        database.run(transaction).await;
        // What it does before it joins, under another name for a while, is no matter of the replay.
        database.run("CREATE TABLE c_old (id int PRIMARY KEY, n int); INSERT INTO c_old VALUES (1, 0)").await;
        joined(&afterbay, "c_old").await;
        insert(&scenario, "c_old", 9).await;
        afterbay.caught_up(&scenario).await;
        database.run("ALTER TABLE c_old RENAME TO c").await;
        joined(&afterbay, "c").await;
        afterbay.caught_up(&scenario).await;
        insert(&scenario, "c", 2).await;
        insert(&scenario, "b", 4).await;
        afterbay.caught_up(&scenario).await;
        afterbay.stop().await;
        let (first, last): (&[i64], &[i64]) = if snapshot { (&[1], &[9]) } else { (&[], &[]) };
        assert_eq!(sorted(&scenario, "c").await, [first, &[2], last].concat());

        let back = back(&manifests, "position", &place);
        for point in ["progress-staged", "committed"] {
            let afterbay = scenario.run_with(&back, &Options::default().dies_at(&scenario, point, 1));
            insert(&scenario, "a", if point == "committed" { 6 } else { 5 }).await;
            afterbay.worker_has_died().await;
            afterbay.caught_up(&scenario).await;
            afterbay.stop().await;
        }
        assert_eq!(sorted(&scenario, "a").await, [first, &[2, 3, 3, 5, 6]].concat(), "{snapshot}");
        assert_eq!(sorted(&scenario, "b").await, [first, &[3, 3, 4, 4]].concat(), "{snapshot}");
        assert_eq!(sorted(&scenario, "c").await, [first, &[2, 2], last].concat(), "{snapshot}: and its rows not again");
        // Without the field it stays where it is, and with it once more as well.
        scenario.carry(&manifests).await;
        scenario.carry(&back).await;
        assert_eq!(sorted(&scenario, "b").await, [first, &[3, 3, 4, 4]].concat(), "{snapshot}");
    }
}

#[tokio::test]
async fn a_time_sets_all_tables_back_and_what_was_before_is_left_out() {
    let scenario = scenario("many-back-time", &["a", "b"]).await;
    let manifests = retaining(&scenario, "1h");
    scenario.carry(&manifests).await;
    insert(&scenario, "a", 2).await;
    insert(&scenario, "b", 2).await;
    let time = scenario.database.text(TIME).await;
    insert(&scenario, "a", 3).await;
    insert(&scenario, "b", 3).await;
    scenario.carry(&manifests).await;
    let back = back(&manifests, "time", &time);
    let afterbay = scenario.run(&back);
    afterbay.caught_up(&scenario).await;
    // A table joins beside.
    make(&scenario, "c").await;
    joined(&afterbay, "c").await;
    afterbay.caught_up(&scenario).await;
    afterbay.kill_worker().await;
    insert(&scenario, "c", 2).await;
    afterbay.caught_up(&scenario).await;
    for (table, expected) in [("a", &[1, 2, 3, 3][..]), ("b", &[1, 2, 3, 3]), ("c", &[1, 2])] {
        assert_eq!(sorted(&scenario, table).await, expected, "{table}");
    }
}

#[tokio::test]
async fn a_sink_of_many_tables_begins_at_a_place_that_all_of_them_have() {
    let scenario = scenario("many-begins", &["a", "b"]).await;
    let retaining = retaining(&scenario, "1h");
    scenario.carry(&retaining).await;
    insert(&scenario, "a", 2).await;
    let afterbay = scenario.run(&retaining);
    afterbay.caught_up(&scenario).await;
    let place = position(&scenario.database).await;
    insert(&scenario, "a", 3).await;
    insert(&scenario, "b", 3).await;
    make(&scenario, "c").await;
    joined(&afterbay, "c").await;
    afterbay.caught_up(&scenario).await;
    afterbay.stop().await;
    let with = |patterns: &[&str]| {
        let topic = format!("more.{}.{{table}}", scenario.unique);
        retaining
            .clone()
            .with(Sink::new("more", "", &topic))
            .set(
                "Sink/more",
                "spec.source",
                json!({"name": "shop", "tables": patterns, "startAt": {"position": place}}),
            )
            .set("Sink/more", "spec.key", json!({"primaryKey": true}))
    };
    let afterbay = scenario.run(&with(&["public.*"]));
    refused(&afterbay, "more", "of table public.c the log is retained from").await;
    afterbay.stop().await;
    // Without it the Sink begins, killed around its first record; then the table joins.
    let without = with(&["public.*", "!public.c"]);
    let afterbay = scenario.run_with(&without, &Options::default().dies_at(&scenario, "progress-staged", 1));
    insert(&scenario, "a", 4).await;
    afterbay.worker_has_died().await;
    afterbay.caught_up(&scenario).await;
    afterbay.stop().await;
    let all = with(&["public.*"]);
    let afterbay = scenario.run(&all);
    afterbay.caught_up(&scenario).await;
    insert(&scenario, "c", 2).await;
    afterbay.caught_up(&scenario).await;
    for (table, expected) in [("a", &[3, 4][..]), ("b", &[3]), ("c", &[1, 2])] {
        let topic = format!("more.{}.{table}", scenario.unique);
        let messages = scenario.messages(&topic, Format::Json).await;
        let mut found: Vec<_> = messages.iter().map(|message| message.integer("id")).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{table}");
    }
}

#[tokio::test]
async fn a_place_that_many_tables_do_not_have_is_refused() {
    let scenario = scenario("many-refused", &["a"]).await;
    let without = manifests(&scenario, &["public.*"]);
    let before = position(&scenario.database).await;
    scenario.carry(&without).await;
    let refused = async |manifests: &Manifests| {
        let afterbay = scenario.run(manifests);
        let (message, hint) = afterbay.stalled("all", "StartAtRefused").await;
        assert!(hint.contains("startAt"), "{hint}");
        afterbay.stop().await;
        message
    };
    let message = refused(&back(&without, "position", &before)).await;
    assert!(message.contains("retains no history"), "{message}");
    let manifests = retaining(&scenario, "1h");
    scenario.carry(&manifests).await;
    insert(&scenario, "a", 2).await;
    scenario.carry(&manifests).await;
    for (kind, place, what) in [
        ("position", before.as_str(), "retained from"),
        ("position", "FFFF/0", "behind what the Sink has committed"),
        ("time", "2020-01-01T00:00:00Z", "retained from"),
        ("time", "2120-01-01T00:00:00Z", "future"),
    ] {
        let message = refused(&back(&manifests, kind, place)).await;
        assert!(message.contains(what), "{place}: {message}");
    }
    scenario.carry(&manifests).await;
    assert_eq!(sorted(&scenario, "a").await, [1, 2], "nothing was sent for it");
}
