//! A table, its publication or the manifest change under a Sink: followed where that can be right, else told, and nothing
//! is sent that could be wrong.

use afterbay_e2e::{Format, Scenario, Sink};
use serde_json::{Value, json};

use crate::one_table::{TABLE, scenario, values};

async fn publication(scenario: &Scenario) -> String {
    scenario.database.text("SELECT pubname FROM pg_publication").await
}

#[tokio::test]
async fn a_table_that_leaves_the_publication_for_a_while_has_a_gap() {
    let (scenario, topic, manifests) = scenario("left", TABLE).await;
    scenario.carry(&manifests).await;
    let publication = publication(&scenario).await;
    scenario.database.run(&format!("ALTER PUBLICATION {publication} DROP TABLE t; INSERT INTO t VALUES (2, 2)")).await;
    let gap = format!("ALTER PUBLICATION {publication} ADD TABLE t; INSERT INTO t VALUES (3, 3)");
    scenario.database.run(&gap).await;
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "PublicationChanged").await;
    assert!(message.contains(&publication) && hint.contains("new name"), "{message} · {hint}");
    assert_eq!(values(&scenario.messages(&topic, Format::Json).await), [&json!({"id": 1, "n": 1})]);
}

#[tokio::test]
async fn a_table_that_leaves_the_publication_under_way_is_noticed() {
    let (scenario, _, manifests) = scenario("leaves", TABLE).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let publication = publication(&scenario).await;
    scenario.database.run(&format!("ALTER PUBLICATION {publication} DROP TABLE t; INSERT INTO t VALUES (2, 2)")).await;
    let (message, hint) = afterbay.stalled("t", "PublicationChanged").await;
    assert!(message.contains("public.t") && hint.contains("new name"), "{message} · {hint}");
}

#[tokio::test]
async fn a_table_that_takes_the_name_of_another_is_noticed() {
    let (scenario, topic, manifests) = scenario("swapped", TABLE).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario
        .database
        .run("CREATE TABLE new (LIKE t INCLUDING ALL); ALTER TABLE t RENAME TO old; ALTER TABLE new RENAME TO t; INSERT INTO t VALUES (2, 2)")
        .await;
    let (message, hint) = afterbay.stalled("t", "SchemaChanged").await;
    assert!(message.contains("public.t") && hint.contains("new name"), "{message} · {hint}");
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

/// Without the look at the identity the old key would stay in the topic for ever, as its tombstone cannot be told.
#[tokio::test]
async fn an_identity_that_does_not_hold_the_key_any_more_stops_the_sink() {
    let table = "CREATE TABLE t (row int PRIMARY KEY, id int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_key; INSERT INTO t VALUES (1, 1), (2, 2)";
    let (scenario, topic, manifests) = scenario("identity", table).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET id = 3 WHERE id = 2").await;
    afterbay.caught_up(&scenario).await;
    scenario
        .database
        .run("ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET id = 4 WHERE id = 1; DELETE FROM t WHERE id = 3")
        .await;
    let (message, hint) = afterbay.stalled("t", "ReplicaIdentityInsufficient").await;
    assert!(message.contains("public.t") && hint.contains("REPLICA IDENTITY FULL"), "{message} · {hint}");
    let messages = scenario.messages(&topic, Format::Json).await;
    let keys: Vec<_> = messages.iter().map(|message| message.key["id"].as_i64()).collect();
    assert_eq!(keys, [Some(1), Some(2), Some(2), Some(3)], "a key is told as it is, or not at all");
}

/// What was written before a migration is decoded by the columns of then, though the catalogue knows those of now only.
#[tokio::test]
async fn columns_that_changed_while_the_worker_was_away_are_followed() {
    const TABLE: &str =
        "CREATE TABLE t (id int PRIMARY KEY, n int, gone date); INSERT INTO t VALUES (1, 1, '2026-01-01')";
    for (format, identity, more) in [
        (Format::Json, "ALTER TABLE t REPLICA IDENTITY FULL", ["text", "'three'", "'four'"]),
        (Format::Avro, "ALTER TABLE t REPLICA IDENTITY DEFAULT", ["int", "3", "4"]),
    ] {
        let [more, three, four] = more;
        let (scenario, topic, mut manifests) = scenario("migrated", &format!("{TABLE}; {identity}")).await;
        if format == Format::Avro {
            manifests = manifests.set("Sink/t", "spec.kafka.format", json!({"avro": {"registry": "schemas"}}));
        }
        scenario.carry(&manifests).await;
        for step in [
            "INSERT INTO t VALUES (2, 2, '2026-02-02')".to_owned(),
            format!("ALTER TABLE t ADD COLUMN more {more}; INSERT INTO t VALUES (3, 3, NULL, {three})"),
            format!(
                "ALTER TABLE t DROP COLUMN gone, ALTER COLUMN n TYPE bigint; INSERT INTO t VALUES (4, 44444444444, {four})"
            ),
            "UPDATE t SET n = 5 WHERE id = 2".to_owned(),
        ] {
            scenario.database.run(&step).await;
        }
        scenario.carry(&manifests).await;
        let messages = scenario.messages(&topic, format).await;
        let found: Vec<_> = messages
            .iter()
            .map(|message| {
                let field = |name: &str| message.value.get(name).is_some_and(|value| !value.is_null());
                (message.key["id"].as_i64(), message.value["n"].as_i64(), field("gone"), field("more"))
            })
            .collect();
        let expected = [
            (1, 1, true, false),
            (2, 2, true, false),
            (3, 3, false, true),
            (4, 44_444_444_444, false, true),
            (2, 5, false, false),
        ];
        assert_eq!(found, expected.map(|(id, n, gone, more)| (Some(id), Some(n), gone, more)));
    }
}

#[tokio::test]
async fn a_type_that_was_dropped_since_is_told() {
    let table = "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE t (id int PRIMARY KEY, m mood); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 'good')";
    let (scenario, topic, manifests) = scenario("type-gone", table).await;
    scenario.carry(&manifests).await;
    scenario.database.run("INSERT INTO t VALUES (2, 'good'); ALTER TABLE t DROP COLUMN m; DROP TYPE mood").await;
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "SchemaChanged").await;
    assert!(message.contains("public.t") && hint.contains("new name"), "{message} · {hint}");
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

#[tokio::test]
async fn a_sink_does_not_go_on_in_another_topic() {
    let (scenario, topic, manifests) = scenario("other-topic", TABLE).await;
    scenario.carry(&manifests).await;
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    let other = scenario.topic("other");
    let afterbay = scenario.run(&manifests.clone().set("Sink/t", "spec.kafka.topic.name", other.as_str()));
    let (message, hint) = afterbay.stalled("t", "TopicChanged").await;
    assert!(message.contains(&topic) && message.contains(&other), "{message}");
    assert!(hint.contains(&topic), "{hint}");
    assert!(scenario.messages(&other, Format::Json).await.is_empty());
    afterbay.stop().await;
    scenario.carry(&manifests).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert_eq!(values(&messages), [&json!({"id": 1, "n": 1}), &json!({"id": 2, "n": 2})]);
}

/// Postgres refuses updates of a published table without a replica identity: they are not to fail for a Sink that cannot
/// run anyway.
#[tokio::test]
async fn a_table_is_published_when_it_is_fit_and_not_before() {
    let scenario = Scenario::new("unfit").await;
    let database = &scenario.database;
    let topic = scenario.topic("t");
    let sink = |name: &str, table: &str, topic: &str| Sink::new(name, table, topic).debezium();
    let later = scenario.topic("later");
    let manifests =
        scenario.manifests().with(sink("t", "public.t", &topic)).with(sink("later", "public.later", &later));
    database.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await;
    let afterbay = scenario.run(&manifests);
    afterbay.stalled("t", "ReplicaIdentityInsufficient").await;
    afterbay.stalled("later", "TableNotFound").await;
    database.run("UPDATE t SET n = 2").await;
    database.run("ALTER TABLE t REPLICA IDENTITY FULL").await;
    database
        .run("CREATE TABLE later (n int); ALTER TABLE later REPLICA IDENTITY FULL; INSERT INTO later VALUES (1)")
        .await;
    afterbay.caught_up(&scenario).await;
    database.run("UPDATE t SET n = 3; UPDATE later SET n = 3").await;
    afterbay.caught_up(&scenario).await;
    for (topic, before) in [(&topic, 2), (&later, 1)] {
        let messages = scenario.messages(topic, Format::Json).await;
        let change = |before: Value, after: Value| json!({"before": before, "after": after});
        let (old, new) = (json!({"n": before}), json!({"n": 3}));
        let expected = [change(Value::Null, old.clone()), change(old, Value::Null), change(Value::Null, new)];
        assert_eq!(values(&messages), expected.iter().collect::<Vec<_>>());
    }
}
