//! A Sink that has begun goes on with another manifest: every change stands once, in the old form up to a place and in the
//! new one from there on, whatever dies meanwhile.

use std::collections::BTreeSet;

use afterbay_e2e::database::{Session, lsn};
use afterbay_e2e::reference::consume;
use afterbay_e2e::{Afterbay, Scenario, Sink};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, part int NOT NULL, h jsonb NOT NULL DEFAULT '{\"a\": \"b\"}'); \
                     ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t (id, part) SELECT i, i % 3 FROM generate_series(1, 20) i";
/// Rows of the table; those that are inserted later, each in a transaction of its own: while the first form is carried, while
/// nobody carries, and while the second one is; and all of them.
const ROWS: usize = 20;
const THIRD: usize = 200;
const ALL: usize = ROWS + 3 * THIRD;

/// A message as the wire has it.
struct Raw {
    partition: i64,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<String>,
    /// Place in the log: LSN, whether it is a change, ordinal.
    place: (u64, bool, String),
}

impl Raw {
    /// The id of the schema in a value that is framed as Avro is.
    fn schema(&self) -> Option<&[u8]> {
        (self.value.first() == Some(&0)).then(|| &self.value[1..5])
    }

    fn part(&self) -> i64 {
        let value: Value = serde_json::from_slice(&self.value).expect("the value is JSON");
        value["part"].as_i64().expect("a part")
    }
}

/// By their places in the log.
async fn raw(scenario: &Scenario, topic: &str) -> Vec<Raw> {
    let lines = consume(scenario.rig.broker(), topic, ("raw", "raw"), &[]).await;
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64");
    let parse = |line: &String| {
        let message: Value = serde_json::from_str(line).expect("a line is JSON");
        let headers = message["headers"].as_array().cloned().unwrap_or_default();
        let named = headers.iter().find(|header| header[0] == "afterbay-position").expect("a position");
        let (commit, ordinal) = named[1].as_str().and_then(|name| name.split_once(':')).expect("a position");
        Raw {
            partition: message["partition"].as_i64().expect("a partition"),
            key: bytes(&message["key"]),
            value: bytes(&message["value"]),
            headers: headers.iter().map(|header| header[0].as_str().unwrap_or_default().to_owned()).collect(),
            place: (lsn(commit), !ordinal.starts_with('s'), format!("{ordinal:0>9}")),
        }
    };
    let mut messages: Vec<_> = lines.iter().map(parse).collect();
    messages.sort_by(|one, other| one.place.cmp(&other.place));
    messages
}

async fn load(session: Session, ids: std::ops::RangeInclusive<usize>) -> Session {
    for id in ids {
        session.run(&format!("INSERT INTO t (id, part) VALUES ({id}, {id} % 3)")).await;
    }
    session
}

/// Waits until so many messages more are on their way.
async fn carries(afterbay: &Afterbay, messages: u64) {
    afterbay.sink("carries", "t", |sink| sink.messages_staged >= messages).await;
}

/// Runs a Sink with the old value of the field, and with the new one from somewhere on, under load and killed in each; gives
/// the messages, and how many of them are of the old form.
async fn cut_over(name: &str, path: &str, old: Value, new: Value, is_new: impl Fn(&Raw) -> bool) {
    let scenario = Scenario::new(&format!("cut-{name}")).await;
    scenario.database.run(TABLE).await;
    let topic = scenario.topic("t");
    let sink = Sink::new("t", "public.t", &topic).key(&["id"]).partitions(3);
    let old = scenario.manifests().with(sink).set("Sink/t", path, old);
    let new = old.clone().set("Sink/t", path, new);
    let session = scenario.database.session().await;
    let first = scenario.run(&old);
    first.caught_up(&scenario).await;
    let load = tokio::spawn(load(session, ROWS + 1..=ROWS + THIRD));
    carries(&first, ROWS as u64 + 20).await;
    first.kill_worker().await;
    let session = load.await.expect("the load does not panic");
    first.kill().await;
    let session = self::load(session, ROWS + THIRD + 1..=ROWS + 2 * THIRD).await;
    let second = scenario.run(&new);
    let load = tokio::spawn(self::load(session, ROWS + 2 * THIRD + 1..=ALL));
    carries(&second, 20).await;
    second.kill_worker().await;
    load.await.expect("the load does not panic");
    second.caught_up(&scenario).await;
    let messages = raw(&scenario, &topic).await;
    let places: BTreeSet<_> = messages.iter().map(|message| &message.place).collect();
    assert_eq!((messages.len(), places.len()), (ALL, ALL), "{name}: every change stands once");
    let changed = messages.iter().position(&is_new).unwrap_or(ALL);
    assert!(
        messages[changed..].iter().all(&is_new),
        "{name}: one that is of the old form stands behind one of the new"
    );
    assert!((ROWS..ALL).contains(&changed), "{name}: {changed} messages are of the old form");
}

#[tokio::test]
async fn another_format() {
    let (json, avro) = (json!({"json": {}}), json!({"avro": {"registry": "schemas"}}));
    cut_over("format", "spec.kafka.format", json, avro, |message| message.schema().is_some()).await;
}

#[tokio::test]
async fn other_names_in_avro() {
    let avro = |suffix: &str| {
        json!({"avro": {
            "registry": "schemas", "keyFullname": format!("shop.Key{suffix}"), "valueFullname": format!("shop.Row{suffix}"),
            "keyCompatibilityLevel": "NONE", "valueCompatibilityLevel": "NONE",
        }})
    };
    let first = std::sync::Mutex::new(None);
    let is_new = |message: &Raw| {
        let schema = message.schema().map(<[u8]>::to_vec);
        *first.lock().unwrap().get_or_insert_with(|| schema.clone()) != schema
    };
    cut_over("names", "spec.kafka.format", avro("A"), avro("B"), is_new).await;
}

#[tokio::test]
async fn another_envelope() {
    let is_new = |message: &Raw| message.value.starts_with(b"{\"before\"");
    cut_over("envelope", "spec.kafka.envelope", json!("upsert"), json!("debezium"), is_new).await;
}

#[tokio::test]
async fn another_key() {
    let is_new = |message: &Raw| message.key.starts_with(b"{\"part\"");
    cut_over("key", "spec.key.columns", json!(["id"]), json!(["part", "id"]), is_new).await;
}

#[tokio::test]
async fn another_choice_of_partitions() {
    let is_new = |message: &Raw| message.part() == 2 && message.partition == 2;
    let scenario = Scenario::new("cut-partition").await;
    scenario.database.run(TABLE).await;
    let topic = scenario.topic("t");
    let sink = Sink::new("t", "public.t", &topic).key(&["id"]).partitions(3);
    let old = scenario.manifests().with(sink).set("Sink/t", "spec.kafka.partitionBy", "0");
    let new = old.clone().set("Sink/t", "spec.kafka.partitionBy", "part");
    let first = scenario.run(&old);
    first.caught_up(&scenario).await;
    first.kill().await;
    scenario.database.run("INSERT INTO t (id, part) SELECT i, 2 FROM generate_series(21, 60) i").await;
    let second = scenario.run(&new);
    carries(&second, 20).await;
    second.kill_worker().await;
    second.caught_up(&scenario).await;
    let messages = raw(&scenario, &topic).await;
    assert_eq!(messages.len(), 60);
    assert!(messages[..ROWS].iter().all(|message| message.partition == 0));
    assert!(messages[ROWS..].iter().all(is_new));
}

#[tokio::test]
async fn headers_that_come() {
    let is_new = |message: &Raw| message.headers.iter().any(|header| header == "a");
    cut_over("headers", "spec.kafka.headers", Value::Null, json!("h"), is_new).await;
}

/// What shows in no message: each change stands once all the same.
#[tokio::test]
async fn compression_commit_and_snapshot() {
    for (name, path, old, new) in [
        ("compression", "spec.kafka.compression", json!("none"), json!("zstd")),
        ("commit", "spec.kafka.commit", json!({}), json!({"interval": "20ms", "records": 7})),
        ("snapshot", "spec.snapshot", json!(true), json!(false)),
    ] {
        let count = std::cell::Cell::new(0);
        // Whatever stands behind the rows of the start counts as new: there is no form to be told by.
        let is_new = |message: &Raw| {
            count.set(count.get() + 1);
            message.place.1
        };
        cut_over(name, path, old, new, is_new).await;
        assert!(count.get() >= ALL);
    }
}
