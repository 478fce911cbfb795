//! History that a Sink by patterns retains: Sinks of one table begin within it, of each table from where it joined.

use afterbay_crds::report::SinkReport;
use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Afterbay, Manifests, Scenario, Sink, await_condition};

use crate::patterns::{ids, joined, manifests};
use crate::retained_history::{confirmed, position, started_at};

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
