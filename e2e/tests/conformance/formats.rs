//! "Formats".

use afterbay_e2e::{Scenario, Sink, reference};
use serde_json::{Value, json};

/// Key and value of each message, as these formats of the reference consumer show them.
pub async fn pairs(scenario: &Scenario, topic: &str, formats: (&str, &str)) -> Vec<(Value, Value)> {
    let lines =
        reference::consume(scenario.rig.broker(), topic, formats, &["--registry", scenario.rig.registry()]).await;
    let parse = |line: &String| serde_json::from_str::<Value>(line).expect("a line of JSON");
    let mut messages: Vec<Value> = lines.iter().map(parse).collect();
    messages.sort_by_key(|message| (message["partition"].as_i64(), message["offset"].as_i64()));
    messages.into_iter().map(|mut message| (message["key"].take(), message["value"].take())).collect()
}

/// Keys and values have each their own format, in any mix.
#[tokio::test]
async fn keys_and_values_have_independent_formats() {
    let scenario = Scenario::new("formats-mixed").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 2)").await;
    let avro = || json!({"avro": {"registry": "schemas"}});
    let row = || json!({"id": 1, "n": 2});
    let mixes = [
        ("a", json!({"key": {"text": {}}, "value": {"json": {}}}), ("text", "json"), json!("1"), row()),
        ("b", json!({"key": {"bytes": {}}, "value": avro()}), ("raw", "avro"), json!("AAAAAQ=="), row()),
        ("c", json!({"key": avro(), "value": {"json": {}}}), ("avro", "json"), json!({"id": 1}), row()),
        ("d", json!({"key": {"json": {}}, "value": avro()}), ("json", "avro"), json!({"id": 1}), row()),
    ];
    let mut manifests = scenario.manifests();
    for (name, format, ..) in &mixes {
        let resource = format!("Sink/{name}");
        manifests = manifests.with(Sink::new(name, "public.t", &scenario.topic(name)).key(&["id"])).set(
            &resource,
            "spec.kafka.format",
            format.clone(),
        );
    }
    scenario.carry(&manifests).await;
    for (name, _, formats, key, value) in mixes {
        assert_eq!(pairs(&scenario, &scenario.topic(name), formats).await, [(key, value)], "{name}");
    }
}

/// TEXT and BYTES hold the one column that there is; a deletion is a null all the same.
#[tokio::test]
async fn text_and_bytes_hold_a_single_column() {
    let scenario = Scenario::new("formats-single").await;
    scenario
        .database
        .run("CREATE TABLE t (d timestamp PRIMARY KEY); INSERT INTO t VALUES ('2000-01-01 00:00:01')")
        .await;
    let (text, bytes) = (scenario.topic("text"), scenario.topic("bytes"));
    let manifests = scenario
        .manifests()
        .with(Sink::new("text", "public.t", &text).key(&["d"]))
        .set("Sink/text", "spec.kafka.format", json!({"text": {}}))
        .with(Sink::new("bytes", "public.t", &bytes).key(&["d"]))
        .set("Sink/bytes", "spec.kafka.format", json!({"bytes": {}}));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("DELETE FROM t").await;
    afterbay.caught_up(&scenario).await;
    let moment = json!("2000-01-01 00:00:01");
    let expected = [(moment.clone(), moment.clone()), (moment, Value::Null)];
    assert_eq!(pairs(&scenario, &text, ("text", "text")).await, expected);
    // A million microseconds, eight bytes.
    let moment = json!("AAAAAAAPQkA=");
    let expected = [(moment.clone(), moment.clone()), (moment, Value::Null)];
    assert_eq!(pairs(&scenario, &bytes, ("raw", "raw")).await, expected);
}

/// They "cannot be used for keys or values with multiple columns", and "BYTES only works with scalar data types": told before
/// anything runs, and by the Sink before its first message.
#[tokio::test]
async fn text_and_bytes_refuse_more_than_a_scalar() {
    let scenario = Scenario::new("formats-refused").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE a (v int[] PRIMARY KEY); ALTER TABLE a REPLICA IDENTITY FULL").await;
    let cases = [
        ("t", "id", json!({"text": {}}), "the TEXT format holds a single column, and the value has 2"),
        (
            "t",
            "id",
            json!({"key": {"json": {}}, "value": {"bytes": {}}}),
            "the BYTES format holds a single column, and the value has 2",
        ),
        (
            "a",
            "v",
            json!({"bytes": {}}),
            "the BYTES format holds scalar types whose binary form is known, and column \"v\" is of another",
        ),
    ];
    for (number, (table, key, format, words)) in cases.into_iter().enumerate() {
        let name = format!("s{number}");
        let manifests = scenario
            .manifests()
            .with(Sink::new(&name, &format!("public.{table}"), &scenario.topic(&name)).key(&[key]))
            .set(&format!("Sink/{name}"), "spec.kafka.format", format);
        let finished = scenario.validate(&manifests, &["--online"]).await;
        assert!(!finished.success());
        let told = format!("{finished:?}");
        let words_of_output = words.replace('"', "\\\"");
        assert!(
            told.contains(words) || told.contains(&words_of_output) || told.contains("scalar types whose"),
            "{told}"
        );
        let afterbay = scenario.run(&manifests);
        let (message, _) = afterbay.stalled(&name, "FormatUnfit").await;
        assert!(message.ends_with(words), "{message}");
        afterbay.stop().await;
    }
}

/// A NULL is an empty payload, which is no tombstone.
#[tokio::test]
async fn a_null_is_an_empty_payload() {
    let scenario = Scenario::new("formats-null").await;
    scenario
        .database
        .run("CREATE TABLE t (v text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (NULL)")
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario
        .manifests()
        .with(Sink::new("t", "public.t", &topic).key(&["v"]))
        .set("Sink/t", "spec.key.notEnforced", true)
        .set("Sink/t", "spec.kafka.format", json!({"text": {}}));
    scenario.carry(&manifests).await;
    assert_eq!(pairs(&scenario, &topic, ("text", "text")).await, [(json!(""), json!(""))]);
}

/// `values: native`, an addition: what JSON has a form for is written in it.
#[tokio::test]
async fn json_has_native_values_where_it_is_asked_for() {
    let scenario = Scenario::new("formats-native").await;
    scenario.database.run_as_superuser("CREATE EXTENSION IF NOT EXISTS hstore").await;
    scenario
        .database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, f float8, nan float4, j jsonb, h hstore, b bytea, d numeric); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t VALUES (1, 1e-7, 'NaN', '{\"a\": [1, null]}', 'k=>v, n=>NULL', '\\x00ff10', 1.50)",
        )
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])).set(
        "Sink/t",
        "spec.kafka.format",
        json!({"json": {"values": "native"}}),
    );
    scenario.carry(&manifests).await;
    let value = json!({
        "id": 1, "f": 1e-7, "nan": "NaN", "j": {"a": [1, null]}, "h": {"k": "v", "n": null}, "b": "AP8Q", "d": "1.50",
    });
    assert_eq!(pairs(&scenario, &topic, ("json", "json")).await, [(json!({"id": 1}), value)]);
}
