//! A table is truncated under a Sink that is to go on: nothing of what the log tells is lost or repeated.

use std::collections::BTreeMap;

use afterbay_e2e::afterbay::Options;
use afterbay_e2e::{Format, Scenario, Sink};
use serde_json::json;

use crate::one_table::{TABLE, scenario, values};

#[tokio::test]
async fn a_truncation_is_passed_and_told() {
    let (scenario, topic, manifests) = scenario("truncate-ignore", TABLE).await;
    let stalled = scenario.run(&manifests);
    stalled.caught_up(&scenario).await;
    let database = &scenario.database;
    database.run("INSERT INTO t VALUES (2, 2); TRUNCATE t; INSERT INTO t VALUES (1, 3)").await;
    let (_, hint) = stalled.stalled("t", "SourceTruncated").await;
    assert!(hint.contains("onTruncate: Ignore"), "{hint}");
    stalled.stop().await;
    let manifests = manifests.set("Sink/t", "spec.onTruncate", "Ignore");
    // It dies with the truncation staged, and with it committed.
    let afterbay = scenario.run_with(&manifests, &Options::default().dies_at(&scenario, "committed", 1));
    afterbay.worker_has_died().await;
    database.run("TRUNCATE t; INSERT INTO t VALUES (2, 4)").await;
    afterbay.caught_up(&scenario).await;
    let (message, _) = afterbay.warning("SourceTruncated").await;
    assert!(message.contains("public.t") && message.contains(&topic), "{message}");
    let sink = afterbay.sink("has told it", "t", |sink| sink.truncations > 0).await;
    assert!(sink.error.is_none(), "{sink:?}");
    let rows = [(1, 1), (2, 2), (1, 3), (2, 4)].map(|(id, n)| json!({"id": id, "n": n}));
    assert_eq!(values(&scenario.messages(&topic, Format::Json).await), rows.iter().collect::<Vec<_>>());
}

/// What is sent stays, what is not sent yet is gone, and what comes after stands once: by a chunk or by the stream.
#[tokio::test]
async fn a_truncation_beside_a_snapshot_in_chunks() {
    let scenario = Scenario::new("truncate-chunks").await;
    let database = &scenario.database;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 3000) i")
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": "Chunked", "chunkRows": 25}))
        .with(Sink::new("t", "public.t", &topic).key(&["id"]).partitions(1))
        .set("Sink/t", "spec.onTruncate", "Ignore")
        .set("Sink/t", "spec.kafka.commit", json!({"interval": "20ms"}));
    let afterbay = scenario.run(&manifests);
    let seen = afterbay.sink("is under way", "t", |sink| sink.messages_committed >= 200).await;
    assert!(seen.snapshot_rows < 2_500, "the snapshot was through already");
    database.run("BEGIN; TRUNCATE t; INSERT INTO t SELECT i, 1 FROM generate_series(101, 3100) i; COMMIT").await;
    afterbay.kill_worker().await;
    database.run("UPDATE t SET n = 2 WHERE id % 7 = 0").await;
    afterbay.caught_up(&scenario).await;
    let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for message in scenario.messages(&topic, Format::Json).await {
        found.entry(message.integer("id")).or_default().push(message.integer("n"));
    }
    let old: Vec<_> = found.iter().filter(|(_, values)| values[0] == 0).map(|(id, _)| *id).collect();
    assert!(old.len() >= 200 && old.iter().copied().eq(1..=old.len() as i64), "the rows that were sent: {old:?}");
    for id in 1..=3_100 {
        let values = found.remove(&id).unwrap_or_default();
        let new = values.strip_prefix(&[0]).unwrap_or(&values);
        let right: &[&[i64]] = match id {
            1..=100 => &[&[]],
            id if id % 7 == 0 => &[&[1, 2], &[2]],
            _ => &[&[1]],
        };
        assert!(right.contains(&new), "key {id}: {values:?}");
    }
    assert!(found.is_empty());
}
