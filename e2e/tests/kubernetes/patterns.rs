//! Sinks that change while they run: tables come and go, pools have workers of their own, a Sink is paused.

use afterbay_e2e::kubernetes::{LONG, Operated};
use afterbay_e2e::{Format, Manifests, Sink, await_condition, broker};
use serde_json::json;

/// One Sink `all` of the tables whose names begin with `part_`, in a pool of its own, and `plain` of one table.
fn manifests(operated: &Operated) -> Manifests {
    let scenario = &operated.scenario;
    scenario
        .manifests()
        .with(Sink::new("plain", "public.plain", &scenario.topic("plain")).key(&["id"]))
        .with(Sink::new("all", "", &format!("{}.{{table}}", scenario.unique)))
        .set("Sink/all", "spec.source", json!({"name": "shop", "tables": ["public.part_*"]}))
        .set("Sink/all", "spec.key", json!({"primaryKey": true}))
        .set("Sink/all", "spec.pool", "bulk")
}

/// Waits until a table's topic holds these ids, in order.
async fn carried(operated: &Operated, table: &str, ids: &[i64]) {
    let topic = operated.scenario.topic(table);
    await_condition(&format!("{table} holds {ids:?}"), LONG, async || {
        if !broker::has_topic(operated.scenario.rig, &topic) {
            return None;
        }
        let messages = operated.scenario.messages(&topic, Format::Json).await;
        let found: Vec<_> = messages.iter().map(|message| message.integer("id")).collect();
        (found == ids).then_some(())
    })
    .await;
}

/// The topics of what a Sink carries, as its status counts them.
async fn carries_tables(operated: &Operated, tables: u64) {
    let counts = |sink: &serde_json::Value| sink["status"]["tables"]["carried"] == tables;
    operated.namespace.seen("Sink/all", &format!("carries {tables} tables"), LONG, counts).await;
}

#[tokio::test]
async fn tables_join_and_leave_in_a_pool_and_a_sink_is_paused() {
    let operated = Operated::begin("patterns").await;
    let database = &operated.scenario.database;
    for table in ["plain", "part_a", "part_b"] {
        database.run(&format!("CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1)")).await;
    }
    let manifests = manifests(&operated);
    operated.apply(&manifests).await;
    operated.ready("Sink/all").await;
    operated.ready("Sink/plain").await;
    for table in ["plain", "part_a", "part_b"] {
        carried(&operated, table, &[1]).await;
    }
    let deployments = operated.namespace.list("Deployment", "afterbay.dev/source=shop").await;
    let mut pools: Vec<_> =
        deployments.iter().map(|each| each["metadata"]["labels"]["afterbay.dev/pool"].clone()).collect();
    pools.sort_by_key(ToString::to_string);
    assert_eq!(pools, ["bulk", "default"]);
    let of_default = "afterbay.dev/pool=default,app.kubernetes.io/component=worker";
    let untouched = operated.namespace.ready_pod(of_default).await.metadata.uid;

    // One that is made later joins, with the rows that it has.
    database.run("CREATE TABLE part_c (id int PRIMARY KEY); INSERT INTO part_c VALUES (7)").await;
    carried(&operated, "part_c", &[7]).await;
    database.run("INSERT INTO part_c VALUES (8); DROP TABLE part_b; INSERT INTO part_a VALUES (2)").await;
    carried(&operated, "part_c", &[7, 8]).await;
    carried(&operated, "part_a", &[1, 2]).await;
    carries_tables(&operated, 2).await;
    assert_eq!(
        operated.namespace.ready_pod(of_default).await.metadata.uid,
        untouched,
        "the other pool's worker runs on"
    );

    operated.apply(&manifests.clone().set("Sink/all", "spec.state", "paused")).await;
    let paused = |sink: &serde_json::Value| sink["status"]["state"] == "paused";
    operated.namespace.seen("Sink/all", "is paused", LONG, paused).await;
    operated.ready("Sink/all").await;
    database.run("INSERT INTO part_a VALUES (3); INSERT INTO plain VALUES (2)").await;
    carried(&operated, "plain", &[1, 2]).await;
    carried(&operated, "part_a", &[1, 2]).await;

    operated.apply(&manifests).await;
    carried(&operated, "part_a", &[1, 2, 3]).await;
    operated.ready("Sink/all").await;
}
