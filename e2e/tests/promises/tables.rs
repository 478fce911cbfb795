//! Tables that are more than plain ones: what the snapshot and the stream show of them is the same.

use afterbay_e2e::afterbay::Options;
use afterbay_e2e::{Format, Message, Scenario, Sink};
use serde_json::{Value, json};

use crate::envelopes::{ordinals, pairs};
use crate::telling::both_tell;

const PARTITIONED: &str = "
    CREATE TABLE t (id int, region int, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE t_north PARTITION OF t FOR VALUES IN (1);
    CREATE TABLE t_rest PARTITION OF t DEFAULT PARTITION BY RANGE (id);
    CREATE TABLE t_rest_low PARTITION OF t_rest FOR VALUES FROM (0) TO (100);
    CREATE TABLE t_rest_high PARTITION OF t_rest DEFAULT;
    INSERT INTO t VALUES (1, 1, 0), (2, 2, 0), (300, 2, 0);";

#[tokio::test]
async fn a_partitioned_table_is_one_table() {
    let scenario = Scenario::new("partitioned").await;
    scenario.database.run(PARTITIONED).await;
    let topic = scenario.topic("t");
    let sink = Sink::new("t", "public.t", &topic).key(&["id", "region"]);
    let afterbay = scenario.run(&scenario.manifests().with(sink));
    afterbay.caught_up(&scenario).await;
    for change in [
        "INSERT INTO t VALUES (4, 1, 4), (5, 2, 5), (600, 3, 6)",
        "UPDATE t SET n = 7 WHERE id = 600",
        // Into another partition: for Postgres that is a deletion and an insertion.
        "UPDATE t SET region = 2 WHERE id = 1",
        "DELETE FROM t WHERE id = 300",
    ] {
        scenario.database.run(change).await;
    }
    afterbay.caught_up(&scenario).await;
    let mut messages = scenario.messages(&topic, Format::Json).await;
    let key = |id: i64, region: i64| json!({"id": id, "region": region});
    let row = |id: i64, region: i64, n: i64| (key(id, region), json!({"id": id, "region": region, "n": n}));
    // Rows of a snapshot have no order among each other.
    messages[..3].sort_by_key(|message| message.key["id"].as_i64());
    let expected = [
        row(1, 1, 0),
        row(2, 2, 0),
        row(300, 2, 0),
        row(4, 1, 4),
        row(5, 2, 5),
        row(600, 3, 6),
        row(600, 3, 7),
        (key(1, 1), Value::Null),
        row(1, 2, 0),
        (key(300, 2), Value::Null),
    ];
    assert_eq!(pairs(&messages), expected);
}

#[tokio::test]
async fn a_generated_column_is_shown_by_neither_snapshot_nor_stream() {
    let scenario = Scenario::new("generated").await;
    let database = &scenario.database;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (n * 2) STORED, n int); \
             INSERT INTO t VALUES (1, DEFAULT, 1)",
        )
        .await;
    let (json, avro) = (scenario.topic("json"), scenario.topic("avro"));
    let sink = |name: &str, topic: &str| Sink::new(name, "public.t", topic).key(&["id"]);
    let manifests = scenario.manifests().with(sink("plain", &json)).with(sink("binary", &avro).format(Format::Avro));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run("UPDATE t SET n = 2; DELETE FROM t").await;
    afterbay.caught_up(&scenario).await;
    let key = json!({"id": 1});
    let expected =
        [(key.clone(), json!({"id": 1, "n": 1})), (key.clone(), json!({"id": 1, "n": 2})), (key, Value::Null)];
    assert_eq!(pairs(&scenario.messages(&json, Format::Json).await), expected);
    assert_eq!(pairs(&scenario.messages(&avro, Format::Avro).await), expected);
}

#[tokio::test]
async fn row_security_hides_no_row_unseen() {
    let scenario = Scenario::new("row-security").await;
    let (database, role) = (&scenario.database, &scenario.database.role);
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, -1); \
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; \
             CREATE POLICY positive ON t USING (n > 0)",
        )
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    let remedy = format!("ALTER ROLE \"{role}\" WITH BYPASSRLS");
    both_tell(&scenario, &manifests, "SourceNotPermitted", &["row security hides rows of table public.t", &remedy])
        .await;
    database.run_as_superuser(&remedy).await;
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 2, "all rows, or none");
}

/// `COPY` puts many rows into one record of the log, which so have one position in it.
#[tokio::test]
async fn rows_that_share_a_log_record_stand_once_wherever_the_worker_dies() {
    // More than two Kafka transactions take, so that these end in the middle of a log record.
    const ROWS: i64 = 120_000;
    for (point, nth) in [("staged", 61_234), ("progress-staged", 2), ("committed", 2)] {
        let scenario = Scenario::new(&format!("copy-{point}")).await;
        let database = &scenario.database;
        database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
        let topic = scenario.topic("t");
        let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
        scenario.carry(&manifests).await;
        database.run_as_superuser(&format!("COPY t FROM PROGRAM 'seq {ROWS}'")).await;
        let afterbay = scenario.run_with(&manifests, &Options::default().dies_at(&scenario, point, nth));
        afterbay.worker_has_died().await;
        afterbay.caught_up(&scenario).await;
        let messages = scenario.messages(&topic, Format::Json).await;
        let ids: Vec<_> = messages.iter().map(|message| message.integer("id")).collect();
        assert!(ids.iter().copied().eq(1..=ROWS), "{point}: {} messages, not each row once in order", ids.len());
        check_names(&messages);
    }
}

/// All are of one transaction, and counted through.
fn check_names(messages: &[Message]) {
    let commits = messages.iter().map(|message| message.position().split(':').next());
    assert!(commits.clone().eq(commits.map(|_| messages[0].position().split(':').next())), "one commit LSN");
    let expected = (0..messages.len()).map(|ordinal| ordinal.to_string());
    assert!(expected.eq(ordinals(messages).into_iter().map(str::to_owned)), "ordinals without a gap");
}
