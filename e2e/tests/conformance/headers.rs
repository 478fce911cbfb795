//! "Headers".

use afterbay_e2e::{Scenario, Sink, reference};
use serde_json::{Value, json};

/// The headers of each message besides the two of Afterbay, as they are.
async fn headers(scenario: &Scenario, topic: &str) -> Vec<Vec<(String, Option<String>)>> {
    let lines = reference::consume(scenario.rig.broker(), topic, ("json", "json"), &[]).await;
    let of = |line: &String| {
        let message: Value = serde_json::from_str(line).expect("a line of JSON");
        let all = message["headers"].as_array().expect("a list").clone();
        let own = all.iter().filter(|pair| pair[0].as_str().is_some_and(|name| name.starts_with("afterbay-"))).count();
        assert_eq!(own, 2, "{line}");
        let pair = |pair: Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().map(str::to_owned));
        let others = all.into_iter().map(pair).filter(|(name, _)| !name.starts_with("afterbay-"));
        others.collect::<Vec<_>>()
    };
    lines.iter().map(of).collect()
}

fn pair(name: &str, value: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), value.map(str::to_owned))
}

/// A map is headers: a null map none, a null value a null one; reserved keys are ignored; the column stays in the value; a
/// deletion has those of the row that goes.
#[tokio::test]
async fn a_column_of_headers() {
    for (kind, first) in [
        ("hstore", "'a=>1, n=>NULL, \"afterbay-timestamp\"=>0'"),
        ("jsonb", "'{\"a\": \"1\", \"n\": null, \"afterbay-timestamp\": \"0\"}'"),
    ] {
        let scenario = Scenario::new(&format!("headers-{kind}")).await;
        scenario.database.run_as_superuser("CREATE EXTENSION IF NOT EXISTS hstore").await;
        let sql = format!(
            "CREATE TABLE t (id int PRIMARY KEY, h {kind}); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t VALUES (1, {first}), (2, NULL)"
        );
        scenario.database.run(&sql).await;
        let topic = scenario.topic("t");
        let sink = Sink::new("t", "public.t", &topic).key(&["id"]).partitions(1);
        let manifests = scenario.manifests().with(sink).set("Sink/t", "spec.kafka.headers", "h");
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        scenario.database.run("DELETE FROM t WHERE id = 1").await;
        afterbay.caught_up(&scenario).await;
        let of_first = vec![pair("a", Some("1")), pair("n", None)];
        assert_eq!(headers(&scenario, &topic).await, [of_first.clone(), vec![], of_first], "{kind}");
        let values = super::formats::pairs(&scenario, &topic, ("json", "json")).await;
        assert!(values[0].1["h"].is_string(), "{kind}: it stays in the value");
    }
}

#[tokio::test]
async fn a_column_that_is_no_map_is_refused() {
    let scenario = Scenario::new("headers-refused").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, h text)").await;
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"])).set(
        "Sink/t",
        "spec.kafka.headers",
        "h",
    );
    let afterbay = scenario.run(&manifests);
    let (message, _) = afterbay.stalled("t", "TableUnfit").await;
    assert!(
        message.contains("headers column \"h\" of table public.t is not a map of text to text or bytea"),
        "{message}"
    );
}

#[tokio::test]
async fn a_value_that_is_no_object_of_strings_stalls() {
    let scenario = Scenario::new("headers-stall").await;
    scenario
        .database
        .run("CREATE TABLE t (id int PRIMARY KEY, h jsonb); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, '{\"a\": 1}')")
        .await;
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"])).set(
        "Sink/t",
        "spec.kafka.headers",
        json!("h"),
    );
    let afterbay = scenario.run(&manifests);
    let (message, _) = afterbay.stalled("t", "ValueNotEncodable").await;
    assert!(
        message.contains("column h: a jsonb object with a value that is no string cannot be written as headers"),
        "{message}"
    );
}
