//! Publications of whole schemas, which Postgres has from version 15 on.

use afterbay_e2e::{Format, Manifests, Scenario, Sink, broker};
use serde_json::{Value, json};

use crate::one_table::{TABLE, scenario, values};

/// A publication of all tables of the schema, which Afterbay does not manage.
async fn published_by_schema(scenario: &Scenario, manifests: Manifests) -> Manifests {
    let create = "CREATE PUBLICATION whole FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true)";
    scenario.database.run_as_superuser(create).await;
    manifests.set("SourceConnector/shop", "spec.postgres.publication", json!({"name": "whole", "managed": false}))
}

#[tokio::test]
async fn a_table_that_is_named_besides_its_schema_has_no_gap() {
    let (scenario, topic, manifests) = scenario("named-too", TABLE).await;
    let manifests = published_by_schema(&scenario, manifests).await;
    scenario.carry(&manifests).await;
    scenario.database.run_as_superuser("ALTER PUBLICATION whole ADD TABLE t").await;
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert_eq!(values(&messages), [&json!({"id": 1, "n": 1}), &json!({"id": 2, "n": 2})]);
}

/// The session of all begins where the last Sink stands; the table of another had the name there that it was made with.
#[tokio::test]
async fn a_table_may_have_had_another_name_before_its_sink_began() {
    let (scenario, topic, manifests) = scenario("named-later", TABLE).await;
    let manifests = published_by_schema(&scenario, manifests).await;
    scenario.carry(&manifests).await;
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "100").await;
    for step in [
        "INSERT INTO t VALUES (2, 2)",
        "CREATE TABLE made (LIKE t INCLUDING ALL)",
        "INSERT INTO made VALUES (3, 3)",
        "ALTER TABLE made RENAME TO u",
    ] {
        scenario.database.run(step).await;
    }
    let topic_u = scenario.topic("u");
    let manifests = manifests.with(Sink::new("u", "public.u", &topic_u).key(&["id"]));
    let afterbay = scenario.run(&manifests);
    afterbay.stalled("t", "MessageTooLarge").await;
    afterbay.sink_caught_up(&scenario, "u").await;
    afterbay.stop().await;
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "1000000").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    assert_eq!(afterbay.problems(), [] as [Value; 0]);
    assert_eq!(values(&scenario.messages(&topic_u, Format::Json).await), [&json!({"id": 3, "n": 3})]);
}
