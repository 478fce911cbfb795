//! The debezium envelope, where one change is not just one row: transactions, and keys that change.

use afterbay_e2e::{Format, Scenario};
use serde_json::{Value, json};

use crate::envelopes::{debezium, ordinals, pairs, stream};

/// A message of row (`id`, `n`) before and after.
fn change(id: i64, before: Option<i64>, after: Option<i64>) -> (Value, Value) {
    let row = |n: Option<i64>| n.map(|n| json!({"id": id, "n": n}));
    (json!({"id": id}), json!({"before": row(before), "after": row(after)}))
}

#[tokio::test]
async fn changes_of_one_key_in_one_transaction_all_stand_in_order() {
    let transaction = "BEGIN; INSERT INTO t VALUES (5, 0); UPDATE t SET n = 1 WHERE id = 5; DELETE FROM t WHERE id = 5; \
                       INSERT INTO t VALUES (5, 2); UPDATE t SET n = n + 1 WHERE id = 5; COMMIT";
    let messages = stream("debezium-one-key", debezium, &[transaction]).await;
    let expected = [
        change(5, None, Some(0)),
        change(5, Some(0), Some(1)),
        change(5, Some(1), None),
        change(5, None, Some(2)),
        change(5, Some(2), Some(3)),
    ];
    assert_eq!(pairs(&messages), expected);
    assert_eq!(ordinals(&messages), ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_shown() {
    let messages = stream(
        "debezium-rolled-back",
        debezium,
        &[
            "BEGIN; UPDATE t SET n = 99; ROLLBACK",
            "BEGIN; UPDATE t SET n = 11; SAVEPOINT a; UPDATE t SET n = 12; ROLLBACK TO a; UPDATE t SET n = 13; COMMIT",
            "DO $$ BEGIN DELETE FROM t; RAISE EXCEPTION 'no'; EXCEPTION WHEN others THEN NULL; END $$",
        ],
    )
    .await;
    assert_eq!(pairs(&messages), [change(1, Some(10), Some(11)), change(1, Some(11), Some(13))]);
}

#[tokio::test]
async fn a_transaction_without_changes_of_the_table_passes_by() {
    let messages = stream(
        "debezium-empty",
        debezium,
        &[
            "BEGIN; COMMIT",
            "BEGIN; SELECT txid_current(); COMMIT",
            "CREATE TABLE other (id int); INSERT INTO other VALUES (1)",
            "UPDATE t SET n = 1 WHERE id = 99",
            "UPDATE t SET n = n WHERE id = 1",
        ],
    )
    .await;
    // What writes the same values again is a change all the same.
    assert_eq!(pairs(&messages), [change(1, Some(10), Some(10))]);
}

#[tokio::test]
async fn a_key_that_changes_is_a_deletion_and_an_insertion_in_avro_too() {
    let scenario = Scenario::new("debezium-avro-key").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL").await;
    database.run("INSERT INTO t VALUES (1, 10)").await;
    let topic = scenario.topic("t");
    let afterbay = scenario.run(&scenario.manifests().with(debezium(&topic).format(Format::Avro)));
    afterbay.caught_up(&scenario).await;
    database.run("BEGIN; UPDATE t SET id = 2, n = 20; UPDATE t SET id = 3; COMMIT").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Avro).await;
    let expected = [
        change(1, None, Some(10)),
        change(1, Some(10), None),
        change(2, None, Some(20)),
        change(2, Some(20), None),
        change(3, None, Some(20)),
    ];
    assert_eq!(pairs(&messages), expected);
    assert_eq!(ordinals(&messages), ["s0", "0.0", "0.1", "1.0", "1.1"]);
}
