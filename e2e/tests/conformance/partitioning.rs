//! "Partitioning".

use std::collections::BTreeMap;

use afterbay_e2e::{Format, Scenario, Sink};

/// Kafka's murmur2 of these words, as its own producers have it.
const MURMUR2: [(&str, i32); 5] = [
    ("apple", 95_915_317),
    ("banana", 885_931_309),
    ("grape", 593_835_141),
    ("orange", 2_041_258_504),
    ("zucchini", 521_813_396),
];
const PARTITIONS: i32 = 7;

/// "`partition_id = hash % partition_count`"; null, an error and a negative hash are partition 0; a deletion goes where its row
/// was.
#[tokio::test]
async fn an_expression_chooses_the_partition() {
    let scenario = Scenario::new("partition-by").await;
    let words: Vec<_> = MURMUR2.iter().enumerate().map(|(id, (word, _))| format!("({id}, '{word}', 1)")).collect();
    scenario
        .database
        .run(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, word text, d int); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t VALUES {}, (10, NULL, 1), (11, 'apple', 0), (12, 'apple', -1)",
            words.join(", ")
        ))
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario
        .manifests()
        .with(Sink::new("t", "public.t", &topic).key(&["id"]).partitions(PARTITIONS))
        .set("Sink/t", "spec.kafka.partitionBy", "kafka_murmur2(word) / d");
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET d = d WHERE id < 3; DELETE FROM t").await;
    afterbay.caught_up(&scenario).await;
    let mut found: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
    for message in scenario.messages(&topic, Format::Json).await {
        found.entry(message.key["id"].as_i64().unwrap()).or_default().push(message.partition);
    }
    for (id, (word, hash)) in MURMUR2.iter().enumerate() {
        let messages = if id < 3 { 3 } else { 2 };
        assert_eq!(found[&(id as i64)], vec![hash % PARTITIONS; messages], "{word}");
    }
    for id in [10, 11, 12] {
        assert_eq!(found[&id], [0, 0], "{id}");
    }
}

/// The debezium envelope allows columns of the key only, and the type must be a number: told beforehand, and by the Sink.
#[tokio::test]
async fn an_expression_that_does_not_fit_is_refused() {
    let scenario = Scenario::new("partition-by-refused").await;
    scenario.database.run("CREATE TABLE t (a int PRIMARY KEY, b int); ALTER TABLE t REPLICA IDENTITY FULL").await;
    for (name, sink, expression, words) in [
        (
            "d",
            Sink::new("d", "public.t", "").debezium(),
            "a + b",
            "PARTITION BY expression cannot refer to non-key column \"b\"",
        ),
        ("u", Sink::new("u", "public.t", ""), "a::text", "but it is of type text"),
        ("n", Sink::new("n", "public.t", ""), "seahash(c::text)", "\"c\""),
    ] {
        let manifests = scenario
            .manifests()
            .with(sink.key(&["a"]))
            .set(&format!("Sink/{name}"), "spec.kafka.topic.name", scenario.topic(name))
            .set(&format!("Sink/{name}"), "spec.kafka.partitionBy", expression);
        let finished = scenario.validate(&manifests, &["--online"]).await;
        assert!(
            !finished.success() && finished.log.concat().contains("spec.kafka.partitionBy: ExpressionInvalid"),
            "{finished:?}"
        );
        let afterbay = scenario.run(&manifests);
        let (message, _) = afterbay.stalled(name, "ExpressionInvalid").await;
        assert!(message.contains(words), "{message}");
        afterbay.stop().await;
    }
}

/// A deletion is sent by its old row, which the log must hold.
#[tokio::test]
async fn the_columns_of_the_expression_must_be_in_the_replica_identity() {
    let scenario = Scenario::new("partition-by-identity").await;
    scenario.database.run("CREATE TABLE t (a int PRIMARY KEY, b int)").await;
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["a"])).set(
        "Sink/t",
        "spec.kafka.partitionBy",
        "b",
    );
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "ReplicaIdentityInsufficient").await;
    assert!(message.contains("old value of partitionBy column \"b\""), "{message}");
    assert!(hint.contains("ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL;"), "{hint}");
}

/// Rows of chunks and changes of the stream come by turns, and each goes where its own value says.
#[tokio::test]
async fn chunks_and_changes_by_turns() {
    let scenario = Scenario::new("partition-by-turns").await;
    let database = &scenario.database;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t SELECT i, i FROM generate_series(1, 3000) i",
        )
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.snapshot.chunkRows", 50)
        .with(Sink::new("t", "public.t", &topic).key(&["id"]).partitions(PARTITIONS))
        .set("Sink/t", "spec.kafka.partitionBy", "n");
    let afterbay = scenario.run(&manifests);
    afterbay.sink("the first rows are carried", "t", |sink| sink.snapshot_rows > 0).await;
    for round in 1..=20 {
        database.run(&format!("UPDATE t SET n = n + 1 WHERE id % 20 = {}", round % 20)).await;
    }
    afterbay.caught_up(&scenario).await;
    database
        .run("ALTER TABLE t ADD COLUMN more int; UPDATE t SET n = n + 1, more = 1; DELETE FROM t WHERE id % 2 = 0")
        .await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert!(messages.len() >= 3_000 + 3_000 + 1_500, "{}", messages.len());
    let mut gone = 0;
    for message in &messages {
        if message.value.is_null() {
            // All rows were changed twice before: by a round, and at the end.
            let id = message.key["id"].as_i64().unwrap();
            assert_eq!(i64::from(message.partition), (id + 2) % i64::from(PARTITIONS), "the tombstone of {id}");
            gone += 1;
        } else {
            assert_eq!(i64::from(message.partition), message.integer("n") % i64::from(PARTITIONS), "{message:?}");
        }
    }
    assert_eq!(gone, 1_500);
}
