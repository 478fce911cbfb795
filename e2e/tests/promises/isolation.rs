//! Sinks of one source share a worker, not their troubles.

use afterbay_e2e::{Format, History, Manifests, Scenario, Sink, broker, http};
use serde_json::json;

use crate::telling::check;

/// Two Sinks of the history's table.
fn manifests(scenario: &Scenario, well: &str, ailing: &str) -> Manifests {
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]);
    scenario.manifests().with(sink("well", well)).with(sink("ailing", ailing))
}

#[tokio::test]
async fn a_topic_that_takes_no_messages_stops_its_own_sink_only() {
    let scenario = Scenario::new("too-large").await;
    let history = History::begin(&scenario.database, 20).await;
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    // A transaction marker is smaller than that, a batch with a message is not.
    broker::create_topic(scenario.rig, &ailing, 1, &[("max.message.bytes", "100")]).await;
    let afterbay = scenario.run(&manifests(&scenario, &well, &ailing));
    let (message, _) = afterbay.stalled("ailing", "MessageTooLarge").await;
    assert!(message.contains(&ailing), "{message}");
    // Its snapshot is of the start: what is written before it would not stand in the topic change by change.
    afterbay.sink_caught_up(&scenario, "well").await;
    for _ in 0..5 {
        history.work(20).await;
        afterbay.sink_caught_up(&scenario, "well").await;
    }
    broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "1000000").await;
    afterbay.caught_up(&scenario).await;
    history.work(20).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&well, Format::Json).await, false).await;
    history.check(&scenario.messages(&ailing, Format::Json).await, true).await;
}

#[tokio::test]
async fn a_sink_that_fails_in_the_stream_catches_up_by_itself() {
    let scenario = Scenario::new("catch-up").await;
    let history = History::begin(&scenario.database, 20).await;
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    let afterbay = scenario.run(&manifests(&scenario, &well, &ailing));
    afterbay.caught_up(&scenario).await;
    for _ in 0..2 {
        broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "100").await;
        history.work(50).await;
        afterbay.stalled("ailing", "MessageTooLarge").await;
        for _ in 0..5 {
            history.work(20).await;
            afterbay.sink_caught_up(&scenario, "well").await;
        }
        broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "1000000").await;
        // It catches up while the others go on.
        let writer = history.writer().await;
        afterbay.sink("runs again", "ailing", |sink| sink.error.is_none()).await;
        writer.stop().await;
        afterbay.caught_up(&scenario).await;
    }
    history.check(&scenario.messages(&well, Format::Json).await, false).await;
    history.check(&scenario.messages(&ailing, Format::Json).await, false).await;
}

#[tokio::test]
async fn a_schema_that_the_registry_refuses_stops_its_own_sink_only() {
    let scenario = Scenario::new("refused").await;
    let history = History::begin(&scenario.database, 20).await;
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    let registry = scenario.rig.registry();
    let schema = json!({"type": "record", "name": "envelope", "fields": [{"name": "other", "type": "string"}]});
    let subject = format!("{registry}/subjects/{ailing}-value/versions");
    let body = json!({"schema": schema.to_string()}).to_string();
    let (status, answer) = http::request("POST", &subject, &body).await.expect("the registry answers");
    assert_eq!(status, 200, "{answer}");
    let config = format!("{registry}/config/{ailing}-value");
    let (status, answer) =
        http::request("PUT", &config, r#"{"compatibility":"FULL"}"#).await.expect("the registry answers");
    assert_eq!(status, 200, "{answer}");
    let manifests = manifests(&scenario, &well, &ailing).set(
        "Sink/ailing",
        "spec.kafka.format",
        json!({"avro": {"registry": "schemas"}}),
    );
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("ailing", "SchemaRefused").await;
    check(&message, &[&format!("{ailing}-value")]);
    check(&hint, &["relax the compatibility level"]);
    afterbay.sink_caught_up(&scenario, "well").await;
    history.work(50).await;
    afterbay.sink_caught_up(&scenario, "well").await;
    let (status, answer) =
        http::request("PUT", &config, r#"{"compatibility":"NONE"}"#).await.expect("the registry answers");
    assert_eq!(status, 200, "{answer}");
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&well, Format::Json).await, false).await;
    history.check(&scenario.messages(&ailing, Format::Avro).await, true).await;
}
