//! Tables of which snapshot and stream could show different things.

use afterbay_e2e::{Format, Sink};
use serde_json::json;

use crate::one_table::{TABLE, scenario, values};

/// The root's replica identity does not reach its leaves: rows of one come with that leaf's.
#[tokio::test]
async fn case_10_the_replica_identity_of_a_leaf_is_weakened() {
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int) PARTITION BY LIST (id); \
                 CREATE TABLE t_one PARTITION OF t FOR VALUES IN (1); CREATE TABLE t_rest PARTITION OF t DEFAULT; \
                 INSERT INTO t VALUES (1, 1), (2, 2)";
    let (scenario, topic, manifests) = scenario("leaf", table).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("ALTER TABLE t_one REPLICA IDENTITY NOTHING").await;
    let (message, hint) = afterbay.stalled("t", "ReplicaIdentityInsufficient").await;
    assert!(message.contains("t_one") && hint.contains("t_one"), "{message} · {hint}");
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 2);
    scenario.database.run("ALTER TABLE t_one REPLICA IDENTITY DEFAULT; DELETE FROM t").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 4);
}

#[tokio::test]
async fn case_11_a_child_of_inheritance_is_another_table() {
    let table = format!("{TABLE}; CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (100, 100)");
    let (scenario, topic, manifests) = scenario("inheritance", &table).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("INSERT INTO child VALUES (101, 101); UPDATE t SET n = n + 1").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert_eq!(values(&messages), [&json!({"id": 1, "n": 1}), &json!({"id": 1, "n": 2})]);
}

/// What an older row holds is told, though the column could not hold it any more.
#[tokio::test]
async fn case_18_an_old_null_in_a_column_that_allows_none_by_now() {
    let (scenario, plain, manifests) = scenario("old-null", TABLE).await;
    let avro = scenario.topic("avro");
    let binary = Sink::new("binary", "public.t", &avro).key(&["id"]).format(Format::Avro);
    let manifests = manifests.with(binary);
    scenario.database.run("ALTER TABLE t ALTER COLUMN n SET NOT NULL").await;
    scenario.carry(&manifests).await;
    for change in [
        "ALTER TABLE t ALTER COLUMN n DROP NOT NULL; INSERT INTO t VALUES (2, NULL)",
        "UPDATE t SET n = 2 WHERE id = 2",
        "ALTER TABLE t ALTER COLUMN n SET NOT NULL; INSERT INTO t VALUES (3, 3)",
    ] {
        scenario.database.run(change).await;
    }
    scenario.carry(&manifests).await;
    for (topic, format) in [(plain, Format::Json), (avro, Format::Avro)] {
        let found = scenario.messages(&topic, format).await;
        let expected = [(1, json!(1)), (2, json!(null)), (2, json!(2)), (3, json!(3))];
        let expected = expected.map(|(id, n)| json!({"id": id, "n": n}));
        assert_eq!(values(&found), expected.iter().collect::<Vec<_>>());
    }
}
