//! Sinks from what the reference has views for: here the query stands in the Sink.

use afterbay_e2e::{Format, Scenario, Sink, http};
use serde_json::{Value, json};

fn queried(query: &str, topic: &str, key: &[&str]) -> Value {
    let mut sink: Value = Sink::new("t", "", topic).key(key).partitions(1).into();
    sink["spec"]["source"] = json!({"name": "shop", "query": query});
    sink
}

/// The changes of the view: a row that leaves it is a deletion, one that enters it an insertion.
#[tokio::test]
async fn a_view_over_one_table_is_a_query() {
    let scenario = Scenario::new("view").await;
    scenario
        .database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, name text, n int); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t VALUES (1, 'a', 1), (2, 'b', -1)",
        )
        .await;
    let topic = scenario.topic("t");
    let sink = queried("SELECT id, upper(name) AS name, n FROM t WHERE n > 0", &topic, &["id"]);
    let afterbay = scenario.run(&scenario.manifests().with(sink));
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET n = 2 WHERE id = 2; UPDATE t SET n = 0 WHERE id = 1").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let found: Vec<_> = messages.iter().map(|message| (&message.key["id"], &message.value)).collect();
    let (one, two) = (json!(1), json!(2));
    let (first, second) = (json!({"id": 1, "name": "A", "n": 1}), json!({"id": 2, "name": "B", "n": 2}));
    assert_eq!(found, [(&one, &first), (&two, &second), (&one, &Value::Null)]);
}

/// A view of the database itself leaves nothing in the log, and what looks at other rows is no part of Afterbay: both are told.
#[tokio::test]
async fn a_view_over_other_rows_is_none() {
    let scenario = Scenario::new("view-refused").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t").await;
    for (query, arguments, words) in [
        ("SELECT id, count(*) FROM t GROUP BY id", &[][..], "spec.source.query: GROUP BY is not supported"),
        ("SELECT id FROM v", &["--online"], "spec.source.query: TableUnfit: public.v is a view"),
    ] {
        let manifests = scenario.manifests().with(queried(query, &scenario.topic("t"), &["id"]));
        let told = scenario.validate(&manifests, arguments).await;
        assert!(!told.success() && told.log.concat().contains(words), "{query}: {told:?}");
    }
}

/// A column of a query is taken to be nullable unless it can be seen that it is not; the query can say so.
#[tokio::test]
async fn what_a_query_asserts_to_be_no_null_is_no_union() {
    let scenario = Scenario::new("view-null").await;
    scenario
        .database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1)",
        )
        .await;
    let topic = scenario.topic("t");
    let sink = queried("SELECT id, n + 1 AS a, coalesce(n + 1, 0) AS b FROM t", &topic, &["id"]);
    let avro = json!({"avro": {"registry": "schemas"}});
    scenario.carry(&scenario.manifests().with(sink).set("Sink/t", "spec.kafka.format", avro)).await;
    let url = format!("{}/subjects/{topic}-value/versions/latest", scenario.rig.registry());
    let (_, body) = http::request("GET", &url, "").await.expect("the registry answers");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let schema: Value = serde_json::from_str(answer["schema"].as_str().expect("a schema")).expect("JSON");
    let types: Vec<_> = schema["fields"].as_array().expect("fields").iter().map(|field| &field["type"]).collect();
    assert_eq!(types, [&json!("int"), &json!(["null", "int"]), &json!("int")]);
    let messages = scenario.messages(&topic, Format::Avro).await;
    assert_eq!(messages[0].value, json!({"id": 1, "a": null, "b": 0}));
}
