//! "Avro", and "Avro schema documentation".

use afterbay_crds::report::SinkReport;
use afterbay_e2e::{Scenario, Sink, http};
use serde_json::{Value, json};

/// The newest schema of a subject, as the registry has it.
async fn schema(scenario: &Scenario, subject: &str) -> Value {
    let url = format!("{}/subjects/{subject}/versions/latest", scenario.rig.registry());
    let (status, body) = http::request("GET", &url, "").await.expect("the registry answers");
    assert_eq!(status, 200, "{subject}: {body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    serde_json::from_str(answer["schema"].as_str().expect("a schema")).expect("a schema in JSON")
}

/// The reference's example, with its two schemas.
#[tokio::test]
async fn the_documentation_example() {
    let scenario = Scenario::new("avro-docs").await;
    scenario
        .database
        .run(
            "CREATE TABLE t (key int NOT NULL, value text NOT NULL); COMMENT ON TABLE t IS 'SQL comment on t'; \
             COMMENT ON COLUMN t.value IS 'SQL comment on t.value'; ALTER TABLE t REPLICA IDENTITY FULL; \
             CREATE UNIQUE INDEX ON t (key); INSERT INTO t VALUES (1, 'one')",
        )
        .await;
    let topic = scenario.topic("doc-commont-example");
    let top = "Top-level comment for container record in both key and value schemas";
    let manifests = scenario.manifests().with(Sink::new("docs", "public.t", &topic).key(&["key"])).set(
        "Sink/docs",
        "spec.kafka.format",
        json!({"avro": {"registry": "schemas", "docs": [
            {"type": "public.t", "text": top},
            {"column": "public.t.key", "for": "key", "text": "Comment on column only in key schema"},
            {"column": "public.t.key", "for": "value", "text": "Comment on column only in value schema"},
        ]}}),
    );
    scenario.carry(&manifests).await;
    let field = |name: &str, of: &str, doc: &str| json!({"name": name, "type": of, "doc": doc});
    let record = |name: &str, fields: Vec<Value>| json!({"type": "record", "name": name, "doc": top, "fields": fields});
    let key = record("row", vec![field("key", "int", "Comment on column only in key schema")]);
    assert_eq!(schema(&scenario, &format!("{topic}-key")).await, key);
    let fields = vec![
        field("key", "int", "Comment on column only in value schema"),
        field("value", "string", "SQL comment on t.value"),
    ];
    assert_eq!(schema(&scenario, &format!("{topic}-value")).await, record("envelope", fields));
}

/// Fullnames, null defaults, comments on a composite type and its attributes.
#[tokio::test]
async fn fullnames_null_defaults_and_composite_types() {
    let scenario = Scenario::new("avro-names").await;
    scenario
        .database
        .run(
            "CREATE TYPE point3 AS (x int, y int[]); COMMENT ON TYPE point3 IS 'a point'; \
             COMMENT ON COLUMN point3.y IS 'its heights'; \
             CREATE TABLE t (id int PRIMARY KEY, p point3); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t VALUES (1, '(7,\"{8,NULL}\")'), (2, NULL)",
        )
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])).set(
        "Sink/t",
        "spec.kafka.format",
        json!({"avro": {
            "registry": "schemas", "keyFullname": "com.example.Key", "valueFullname": "com.example.Point", "nullDefaults": true,
        }}),
    );
    scenario.carry(&manifests).await;
    // The registry tells fullnames as name and namespace.
    let fields = json!([{"name": "id", "type": "int"}]);
    let key = json!({"type": "record", "name": "Key", "namespace": "com.example", "fields": fields});
    assert_eq!(schema(&scenario, &format!("{topic}-key")).await, key);
    let items = json!({"type": "array", "items": ["null", "int"]});
    let point = json!({"type": "record", "name": "record0", "namespace": "com.afterbay.sink", "doc": "a point", "fields": [
        {"name": "x", "type": ["null", "int"], "default": null},
        {"name": "y", "type": ["null", items], "default": null, "doc": "its heights"},
    ]});
    let value = json!({"type": "record", "name": "Point", "namespace": "com.example", "fields": [
        {"name": "id", "type": "int"},
        {"name": "p", "type": ["null", point], "default": null},
    ]});
    assert_eq!(schema(&scenario, &format!("{topic}-value")).await, value);
    let found = super::formats::pairs(&scenario, &topic, ("avro", "avro")).await;
    let expected = [
        (json!({"id": 1}), json!({"id": 1, "p": {"x": 7, "y": [8, null]}})),
        (json!({"id": 2}), json!({"id": 2, "p": null})),
    ];
    assert_eq!(found, expected);
}

/// A level is set where the subject has none, before its schema; another one is left and told.
#[tokio::test]
async fn compatibility_levels() {
    let scenario = Scenario::new("avro-levels").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let topic = scenario.topic("t");
    let level = async |subject: String| {
        let url = format!("{}/config/{subject}", scenario.rig.registry());
        let (_, body) = http::request("GET", &url, "").await.expect("the registry answers");
        serde_json::from_str::<Value>(&body).expect("JSON")["compatibilityLevel"].clone()
    };
    let url = format!("{}/config/{topic}-key", scenario.rig.registry());
    http::request("PUT", &url, r#"{"compatibility": "FULL"}"#).await.expect("the registry answers");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])).set(
        "Sink/t",
        "spec.kafka.format",
        json!({"avro": {
            "registry": "schemas", "keyCompatibilityLevel": "NONE", "valueCompatibilityLevel": "BACKWARD_TRANSITIVE",
        }}),
    );
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    assert_eq!(level(format!("{topic}-key")).await, "FULL", "it is left");
    assert_eq!(level(format!("{topic}-value")).await, "BACKWARD_TRANSITIVE");
    let words = format!("subject \"{topic}-key\" has the compatibility level FULL and not NONE");
    let is_told =
        |sink: &SinkReport| sink.warnings.iter().any(|it| it.reason == "CompatibilityDiffers" && it.message == words);
    afterbay.sink("the difference is told", "t", is_told).await;
}

/// What `docs` name must be there.
#[tokio::test]
async fn a_text_about_nothing_is_told() {
    let scenario = Scenario::new("avro-nothing").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let docs = json!([{"column": "public.t.ide", "text": "misspelt"}]);
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"])).set(
        "Sink/t",
        "spec.kafka.format",
        json!({"avro": {"registry": "schemas", "docs": docs}}),
    );
    let afterbay = scenario.run(&manifests);
    let (message, _) = afterbay.stalled("t", "FormatUnfit").await;
    assert!(message.contains("column public.t.ide, which the table is not made of"), "{message}");
}
