//! From changes to messages: what each envelope shows of each kind of change.

use std::collections::BTreeMap;

use afterbay_e2e::database::lsn;
use afterbay_e2e::{Format, Message, Scenario, Sink};
use serde_json::{Value, json};

/// Keys and values, in the order of their partition.
pub fn pairs(messages: &[Message]) -> Vec<(Value, Value)> {
    messages.iter().map(|message| (message.key.clone(), message.value.clone())).collect()
}

/// What comes behind the commit LSN in the names of the changes.
pub fn ordinals(messages: &[Message]) -> Vec<&str> {
    messages.iter().filter_map(|message| message.position().split_once(':')).map(|(_, ordinal)| ordinal).collect()
}

/// Runs a Sink of table `t (id int PRIMARY KEY, n int)` that holds (1, 10), makes the changes, and gives the
/// messages that are not the snapshot's.
pub async fn stream(test: &str, sink: impl FnOnce(&str) -> Sink, changes: &[&str]) -> Vec<Message> {
    let scenario = Scenario::new(test).await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL").await;
    scenario.database.run("INSERT INTO t VALUES (1, 10)").await;
    let topic = scenario.topic("t");
    let afterbay = scenario.run(&scenario.manifests().with(sink(&topic)));
    afterbay.caught_up(&scenario).await;
    for change in changes {
        scenario.database.run(change).await;
    }
    afterbay.caught_up(&scenario).await;
    let mut messages = scenario.messages(&topic, Format::Json).await;
    let row = messages.remove(0);
    assert_eq!(ordinals(std::slice::from_ref(&row)), ["s0"], "the row of the snapshot comes first");
    messages
}

fn upsert(topic: &str) -> Sink {
    Sink::new("t", "public.t", topic).key(&["id"])
}

pub fn debezium(topic: &str) -> Sink {
    upsert(topic).debezium()
}

const EACH_KIND: [&str; 4] = [
    "INSERT INTO t VALUES (2, 20)",
    "UPDATE t SET n = 21 WHERE id = 2",
    "UPDATE t SET id = 3 WHERE id = 2",
    "DELETE FROM t WHERE id = 3",
];

#[tokio::test]
async fn upsert_shows_each_kind_of_change() {
    let messages = stream("upsert-kinds", upsert, &EACH_KIND).await;
    let expected = [
        (json!({"id": 2}), json!({"id": 2, "n": 20})),
        (json!({"id": 2}), json!({"id": 2, "n": 21})),
        (json!({"id": 2}), Value::Null),
        (json!({"id": 3}), json!({"id": 3, "n": 21})),
        (json!({"id": 3}), Value::Null),
    ];
    assert_eq!(pairs(&messages), expected);
    assert_eq!(ordinals(&messages), ["0", "0", "0.0", "0.1", "0"]);
}

#[tokio::test]
async fn debezium_shows_each_kind_of_change() {
    let messages = stream("debezium-kinds", debezium, &EACH_KIND).await;
    let (inserted, updated, moved) = (json!({"id": 2, "n": 20}), json!({"id": 2, "n": 21}), json!({"id": 3, "n": 21}));
    let expected = [
        (json!({"id": 2}), json!({"before": null, "after": inserted})),
        (json!({"id": 2}), json!({"before": inserted, "after": updated})),
        (json!({"id": 2}), json!({"before": updated, "after": null})),
        (json!({"id": 3}), json!({"before": null, "after": moved})),
        (json!({"id": 3}), json!({"before": moved, "after": null})),
    ];
    assert_eq!(pairs(&messages), expected);
}

#[tokio::test]
async fn the_snapshot_shows_rows_as_insertions() {
    for (envelope, expected) in
        [("upsert", json!({"id": 1, "n": null})), ("debezium", json!({"before": null, "after": {"id": 1, "n": null}}))]
    {
        let scenario = Scenario::new(&format!("snapshot-{envelope}")).await;
        scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t (id) VALUES (1)").await;
        scenario.database.run("ALTER TABLE t REPLICA IDENTITY FULL").await;
        let topic = scenario.topic("t");
        let manifests = scenario.manifests().with(upsert(&topic)).set("Sink/t", "spec.kafka.envelope", envelope);
        scenario.carry(&manifests).await;
        assert_eq!(pairs(&scenario.messages(&topic, Format::Json).await), [(json!({"id": 1}), expected)]);
    }
}

#[tokio::test]
async fn changes_of_one_key_in_one_transaction_all_stand_in_order() {
    let transaction = "BEGIN; INSERT INTO t VALUES (5, 0); UPDATE t SET n = 1 WHERE id = 5; DELETE FROM t WHERE id = 5; \
                       INSERT INTO t VALUES (5, 2); UPDATE t SET n = n + 1 WHERE id = 5; COMMIT";
    let messages = stream("one-key", upsert, &[transaction]).await;
    let values: Vec<_> = messages.iter().map(|message| message.value.get("n").cloned()).collect();
    assert_eq!(values, [Some(json!(0)), Some(json!(1)), None, Some(json!(2)), Some(json!(3))]);
    assert_eq!(ordinals(&messages), ["0", "1", "2", "3", "4"]);
    let commits: Vec<_> = messages.iter().filter_map(|message| message.position().split_once(':')).collect();
    assert!(
        commits.iter().all(|(commit, _)| *commit == commits[0].0),
        "one transaction has one commit LSN: {commits:?}"
    );
}

#[tokio::test]
async fn what_is_rolled_back_is_not_shown() {
    let messages = stream(
        "rolled-back",
        upsert,
        &[
            "BEGIN; INSERT INTO t VALUES (6, 0); ROLLBACK",
            "BEGIN; INSERT INTO t VALUES (7, 0); SAVEPOINT a; UPDATE t SET n = 1 WHERE id = 7; ROLLBACK TO a; \
             SAVEPOINT b; UPDATE t SET n = 2 WHERE id = 7; SAVEPOINT c; INSERT INTO t VALUES (8, 0); ROLLBACK TO c; \
             RELEASE b; UPDATE t SET n = n + 1 WHERE id = 7; COMMIT",
            "DO $$ BEGIN INSERT INTO t VALUES (9, 0); RAISE EXCEPTION 'no'; EXCEPTION WHEN others THEN NULL; END $$",
        ],
    )
    .await;
    let expected: Vec<_> = [0, 2, 3].iter().map(|n| (json!({"id": 7}), json!({"id": 7, "n": n}))).collect();
    assert_eq!(pairs(&messages), expected);
}

#[tokio::test]
async fn a_transaction_without_changes_of_the_table_passes_by() {
    let messages = stream(
        "empty",
        upsert,
        &[
            "BEGIN; COMMIT",
            "BEGIN; SELECT txid_current(); COMMIT",
            "CREATE TABLE other (id int); INSERT INTO other VALUES (1)",
            "UPDATE t SET n = 1 WHERE id = 99",
            "INSERT INTO t VALUES (2, 2)",
        ],
    )
    .await;
    assert_eq!(pairs(&messages), [(json!({"id": 2}), json!({"id": 2, "n": 2}))]);
}

#[tokio::test]
async fn a_table_without_a_key_goes_out_as_debezium() {
    let scenario = Scenario::new("without-key").await;
    scenario.database.run("CREATE TABLE t (n int); ALTER TABLE t REPLICA IDENTITY FULL").await;
    scenario.database.run("INSERT INTO t VALUES (1), (1), (NULL)").await;
    let topic = scenario.topic("t");
    let sink = Sink::new("t", "public.t", &topic).debezium().partitions(3);
    let afterbay = scenario.run(&scenario.manifests().with(sink));
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET n = 2 WHERE n IS NULL").await;
    scenario.database.run("DELETE FROM t WHERE n = 1").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert!(messages.iter().all(|message| message.key.is_null() && message.partition == 0), "{messages:?}");
    let change = |before: Value, after: Value| json!({"before": before, "after": after});
    let (one, none, two) = (json!({"n": 1}), json!({"n": null}), json!({"n": 2}));
    let expected = [
        change(Value::Null, one.clone()),
        change(Value::Null, one.clone()),
        change(Value::Null, none.clone()),
        // Without a key nothing pairs the two halves of an update.
        change(none, Value::Null),
        change(Value::Null, two),
        change(one.clone(), Value::Null),
        change(one, Value::Null),
    ];
    let values: Vec<_> = messages.into_iter().map(|message| message.value).collect();
    assert_eq!(values, expected);
}

#[tokio::test]
async fn a_transaction_over_many_tables_reaches_each_of_their_topics() {
    let scenario = Scenario::new("many-tables").await;
    let mut manifests = scenario.manifests();
    let mut topics = Vec::new();
    for name in ["a", "b", "c"] {
        scenario.database.run(&format!("CREATE TABLE {name} (id int PRIMARY KEY, n int)")).await;
        let topic = scenario.topic(name);
        manifests = manifests.with(Sink::new(name, &format!("public.{name}"), &topic).key(&["id"]));
        topics.push(topic);
    }
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario
        .database
        .run(
            "BEGIN; INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 2); INSERT INTO a VALUES (2, 3); \
              INSERT INTO c VALUES (1, 4); UPDATE a SET n = 5; DELETE FROM b; COMMIT",
        )
        .await;
    afterbay.caught_up(&scenario).await;
    let mut found = Vec::new();
    let mut commits = Vec::new();
    for topic in &topics {
        let messages = scenario.messages(topic, Format::Json).await;
        commits.extend(messages.iter().map(|message| message.position().split(':').next().map(str::to_owned)));
        found.push(pairs(&messages));
    }
    let row = |id: i64, n: i64| (json!({"id": id}), json!({"id": id, "n": n}));
    assert_eq!(found[0], [row(1, 1), row(2, 3), row(1, 5), row(2, 5)]);
    assert_eq!(found[1], [row(1, 2), (json!({"id": 1}), Value::Null)]);
    assert_eq!(found[2], [row(1, 4)]);
    assert!(commits.iter().all(|commit| *commit == commits[0]), "one transaction has one commit LSN: {commits:?}");
}

const QUOTED: &str = r#"
    CREATE SCHEMA "My Schema";
    CREATE TABLE "My Schema"."T.x" ("a b" int, "select" int, "größe" text, "q""uote" int, PRIMARY KEY ("select", "a b"));
    ALTER TABLE "My Schema"."T.x" REPLICA IDENTITY FULL;
    INSERT INTO "My Schema"."T.x" VALUES (1, 2, 'klein', 3);
"#;

#[tokio::test]
async fn names_that_need_quoting_are_as_good_as_others() {
    let scenario = Scenario::new("quoting").await;
    scenario.database.run(QUOTED).await;
    let (json, avro) = (scenario.topic("json"), scenario.topic("avro"));
    let sink = |name: &str, topic: &str| Sink::new(name, r#""My Schema"."T.x""#, topic).key(&["select", "a b"]);
    let manifests = scenario.manifests().with(sink("plain", &json)).with(sink("binary", &avro).format(Format::Avro));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run(r#"UPDATE "My Schema"."T.x" SET "größe" = 'groß'"#).await;
    afterbay.caught_up(&scenario).await;
    let row = |size: &str| json!({"a b": 1, "select": 2, "größe": size, "q\"uote": 3});
    let key = json!({"select": 2, "a b": 1});
    let messages = scenario.messages(&json, Format::Json).await;
    assert_eq!(pairs(&messages), [(key.clone(), row("klein")), (key, row("groß"))]);
    let names: Vec<_> = messages[0].key.as_object().expect("a key is an object").keys().collect();
    assert_eq!(names, ["select", "a b"], "the fields of a key stand in the order of key.columns");
    // Avro knows no such names: what is no letter, digit or underscore is an underscore.
    let row = |size: &str| json!({"a_b": 1, "select": 2, "gr__e": size, "q_uote": 3});
    let key = json!({"select": 2, "a_b": 1});
    assert_eq!(pairs(&scenario.messages(&avro, Format::Avro).await), [(key.clone(), row("klein")), (key, row("groß"))]);
}

#[tokio::test]
async fn without_a_snapshot_only_what_comes_after_the_start_is_shown() {
    let scenario = Scenario::new("no-snapshot").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)").await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(upsert(&topic).without_snapshot());
    scenario.carry(&manifests).await;
    // Nobody listens while this is written: it is after the start all the same.
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET n = 3 WHERE id = 1").await;
    afterbay.caught_up(&scenario).await;
    let expected = [(json!({"id": 2}), json!({"id": 2, "n": 2})), (json!({"id": 1}), json!({"id": 1, "n": 3}))];
    assert_eq!(pairs(&scenario.messages(&topic, Format::Json).await), expected);
}

#[tokio::test]
async fn headers_tell_when_and_where_a_change_was_committed() {
    let scenario = Scenario::new("headers").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)").await;
    let topic = scenario.topic("t");
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let begun = database.number(now).await;
    let afterbay = scenario.run(&scenario.manifests().with(upsert(&topic)));
    afterbay.caught_up(&scenario).await;
    let (from, at) = (database.log_end().await, database.number(now).await);
    database.run("INSERT INTO t VALUES (2, 2)").await;
    let (to, until) = (database.log_end().await, database.number(now).await);
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let time = |message: &Message| message.header("afterbay-timestamp").parse::<i64>().expect("milliseconds");
    assert!((begun..=at).contains(&time(&messages[0])), "a row of the snapshot bears the time of the snapshot");
    assert!((at - 1..=until).contains(&time(&messages[1])), "a change bears the time of its commit");
    let (commit, ordinal) = messages[1].position().split_once(':').expect("an LSN and an ordinal");
    assert!((from..to).contains(&lsn(commit)) && ordinal == "0", "{commit}:{ordinal}");
    assert_eq!(messages[1].headers.len(), 2, "{:?}", messages[1].headers);
}

#[tokio::test]
async fn with_another_prefix_the_names_are_another_systems() {
    let scenario = Scenario::new("prefix").await;
    let table = "CREATE TABLE t (id int PRIMARY KEY, age interval, labels jsonb); ALTER TABLE t REPLICA IDENTITY FULL; \
                 INSERT INTO t VALUES (1, '1 day', '{\"materialize-mine\": \"0\", \"afterbay-mine\": \"1\"}')";
    scenario.database.run(table).await;
    let topic = scenario.topic("t");
    let manifests = scenario
        .manifests()
        .with(upsert(&topic).format(Format::Avro))
        .set("Sink/t", "spec.kafka.headers", "labels")
        .set("KafkaConnection/events", "spec.namePrefix", "materialize");
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Avro).await;
    let names: Vec<_> = messages[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["materialize-timestamp", "materialize-position", "afterbay-mine"]);
    let progress = scenario.progress_topic().replace("afterbay", "materialize");
    let records = afterbay_e2e::reference::consume(scenario.rig.broker(), &progress, ("text", "json"), &[]).await;
    let key = scenario.progress_key("t").replace("afterbay", "materialize");
    assert!(records.iter().any(|record| record.contains(&key)), "no record under {key} in {records:?}");
    let subject = format!("{}/subjects/{topic}-value/versions/latest", scenario.rig.registry());
    let (_, schema) = afterbay_e2e::http::request("GET", &subject, "").await.expect("the registry answers");
    assert!(schema.contains("com.materialize.sink") && !schema.contains("afterbay"), "{schema}");
    let plan = afterbay_e2e::afterbay::plan_file(afterbay.workers()[0]).expect("a worker runs from a plan");
    let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(plan).unwrap()).unwrap();
    let names = progress.trim_start_matches("_materialize-progress-");
    let sink = key.trim_start_matches("materialize-sink-").split_once('-').map(|(_, sink)| sink).unwrap();
    for id in ["transactionalId", "progressGroupId"] {
        assert_eq!(plan["sinks"][0]["kafka"][id], format!("materialize-{names}-{sink}"));
    }
}

#[tokio::test]
async fn a_message_goes_to_the_partition_of_its_keys_hash() {
    const PARTITIONS: u64 = 7;
    let scenario = Scenario::new("partitions").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)").await;
    let (json, avro) = (scenario.topic("json"), scenario.topic("avro"));
    let sink = |name: &str, topic: &str| Sink::new(name, "public.t", topic).key(&["id"]).partitions(PARTITIONS as i32);
    let manifests = scenario.manifests().with(sink("plain", &json)).with(sink("binary", &avro).format(Format::Avro));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run("DELETE FROM t").await;
    afterbay.caught_up(&scenario).await;
    // What is hashed: the key as it is written; in Avro, an int is a zigzag varint, and the schema id is left out.
    let as_json = |id: i64| format!("{{\"id\":{id}}}").into_bytes();
    let as_avro = |id: i64| {
        let zigzag = id as u64 * 2;
        if zigzag < 128 { vec![zigzag as u8] } else { vec![zigzag as u8 | 128, (zigzag >> 7) as u8] }
    };
    check_partitions(&scenario.messages(&json, Format::Json).await, as_json, PARTITIONS);
    check_partitions(&scenario.messages(&avro, Format::Avro).await, as_avro, PARTITIONS);
}

fn check_partitions(messages: &[Message], bytes: impl Fn(i64) -> Vec<u8>, partitions: u64) {
    assert_eq!(messages.len(), 200, "each row comes and goes");
    let mut used = BTreeMap::<i32, u32>::new();
    for message in messages {
        let id = message.key["id"].as_i64().expect("a number");
        assert_eq!(message.partition, (seahash(&bytes(id)) % partitions) as i32, "key {id}");
        *used.entry(message.partition).or_default() += 1;
    }
    assert_eq!(used.len() as u64, partitions, "{used:?}");
}

/// SeaHash as its author describes it, for one lane after the other.
fn seahash(bytes: &[u8]) -> u64 {
    let diffuse = |mut x: u64| {
        x = x.wrapping_mul(0x6eed_0e9d_a4d9_4a4f);
        x ^= (x >> 32) >> (x >> 60);
        x.wrapping_mul(0x6eed_0e9d_a4d9_4a4f)
    };
    let mut lanes = [0x16f1_1fe8_9b0d_677c_u64, 0xb480_a793_d8e6_c86c, 0x6fe2_e5aa_f078_ebc9, 0x14f9_94a4_c525_9381];
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = diffuse(lanes[0] ^ u64::from_le_bytes(word));
        lanes = [lanes[1], lanes[2], lanes[3], mixed];
    }
    diffuse(lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3] ^ bytes.len() as u64)
}

#[test]
fn the_tests_own_seahash_is_seahash() {
    // The vector that stands in the description.
    assert_eq!(seahash(b"to be or not to be"), 1_988_685_042_348_123_509);
}

#[tokio::test]
async fn each_codec_can_be_read() {
    let scenario = Scenario::new("codecs").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 500)").await;
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let topics: Vec<_> = codecs.iter().map(|codec| scenario.topic(codec)).collect();
    let mut manifests = scenario.manifests();
    for (codec, topic) in codecs.iter().zip(&topics) {
        manifests = manifests.with(Sink::new(codec, "public.t", topic).key(&["id"]).compression(codec));
    }
    scenario.carry(&manifests).await;
    let mut all = Vec::new();
    for topic in &topics {
        all.push(pairs(&scenario.messages(topic, Format::Json).await));
    }
    assert_eq!(all[0].len(), 500);
    for (codec, messages) in codecs.iter().zip(&all) {
        assert_eq!(*messages, all[0], "{codec}");
    }
}

#[tokio::test]
async fn avro_bears_the_envelopes_too() {
    let scenario = Scenario::new("avro-envelopes").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL").await;
    let (upserted, changed) = (scenario.topic("upsert"), scenario.topic("debezium"));
    let manifests = scenario
        .manifests()
        .with(Sink::new("u", "public.t", &upserted).key(&["id"]).format(Format::Avro))
        .with(Sink::new("d", "public.t", &changed).key(&["id"]).debezium().format(Format::Avro));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run("INSERT INTO t VALUES (1, 1); UPDATE t SET n = NULL; DELETE FROM t").await;
    afterbay.caught_up(&scenario).await;
    let key = json!({"id": 1});
    let (one, none) = (json!({"id": 1, "n": 1}), json!({"id": 1, "n": null}));
    let rows = [(key.clone(), one.clone()), (key.clone(), none.clone()), (key.clone(), Value::Null)];
    assert_eq!(pairs(&scenario.messages(&upserted, Format::Avro).await), rows);
    let changes = [
        (key.clone(), json!({"before": null, "after": one})),
        (key.clone(), json!({"before": one, "after": none})),
        (key, json!({"before": none, "after": null})),
    ];
    assert_eq!(pairs(&scenario.messages(&changed, Format::Avro).await), changes);
}
