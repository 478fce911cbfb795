//! Rights on the broker, where the operator manages them: exactly those of the documentation's table, repaired where they were taken,
//! and taken back with the last Sink that needs them.

use afterbay_clients::kafka::acls::{AclOperation, AclResource};
use afterbay_e2e::kubernetes::{LONG, OPERATOR, Operated, PATIENCE};
use afterbay_e2e::secure::{self, Rights};
use afterbay_e2e::{Format, Manifests, Sink, await_condition};
use serde_json::json;

/// That of the user.
pub const PASSWORD: &str = "a-password";

/// What a worker's principal, the user of [`managed`], has for Sinks with these topics.
pub fn table(operated: &Operated, topics: &[&str]) -> Vec<String> {
    let scenario = &operated.scenario;
    let (progress, prefix) = (scenario.progress_topic(), format!("afterbay-default-{}.events-", scenario.unique));
    let mut rights = vec![
        "DESCRIBE_CONFIGS BROKER LITERAL kafka-cluster".to_owned(),
        format!("READ GROUP PREFIXED {prefix}"),
        format!("READ TOPIC LITERAL {progress}"),
        format!("WRITE TOPIC LITERAL {progress}"),
        format!("WRITE TRANSACTIONAL_ID PREFIXED {prefix}"),
    ];
    rights.extend(topics.iter().map(|topic| format!("WRITE TOPIC LITERAL {}", scenario.topic(topic))));
    rights.sort();
    rights
}

/// A connection as a user of the test's own, whose rights are managed; the user has a password already.
pub fn managed(operated: &Operated) -> Manifests {
    let scenario = &operated.scenario;
    let manifests = secure::with_administrator(secure::with_secrets(scenario.manifests(), scenario.rig), scenario.rig);
    secure::kafka(manifests, scenario.rig, "scram-sha-512", &scenario.unique, "own")
        .with_secret("own", &[("password", PASSWORD)])
        .set("KafkaConnection/events", "spec.acls", json!({"manage": true}))
}

/// Waits until a topic holds so many messages.
async fn carried(operated: &Operated, topic: &str, count: usize) {
    let (rig, topic) = (operated.scenario.rig, operated.scenario.topic(topic));
    await_condition(&format!("{topic} has {count} messages"), LONG, async || {
        (secure::messages(rig, &topic, Format::Json).await.len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn those_on_topics_of_patterns_go_with_their_sink() {
    let operated = Operated::begin("rights-patterns").await;
    let scenario = &operated.scenario;
    let principal = format!("User:{}", scenario.unique);
    let rights = async || secure::rights(scenario.rig, &principal).await;
    for table in ["plain", "part_a", "part_b"] {
        scenario.database.run(&format!("CREATE TABLE {table} (id int PRIMARY KEY)")).await;
    }
    secure::set_password(scenario.rig, &scenario.unique, PASSWORD).await;
    let manifests = managed(&operated)
        .with(Sink::new("plain", "public.plain", &scenario.topic("plain")).key(&["id"]))
        .with(Sink::new("all", "", &format!("{}.{{table}}", scenario.unique)))
        .set("Sink/all", "spec.source", json!({"name": "shop", "tables": ["public.part_*"]}))
        .set("Sink/all", "spec.key", json!({"primaryKey": true}));
    operated.apply(&manifests).await;
    operated.ready("Sink/plain").await;
    operated.ready("Sink/all").await;
    assert_eq!(rights().await, table(&operated, &["plain", "part_a", "part_b"]));
    scenario.database.run("DROP TABLE part_b").await;
    await_condition("the right on a table's topic goes with the table", LONG, async || {
        (rights().await == table(&operated, &["plain", "part_a"])).then_some(())
    })
    .await;
    operated.namespace.delete("Sink/all").await;
    operated.namespace.gone("Sink/all", LONG).await;
    assert_eq!(rights().await, table(&operated, &["plain"]));
}

#[tokio::test]
async fn they_are_those_of_the_table_and_go_with_the_last_who_needs_them() {
    let operated = Operated::begin("rights").await;
    let scenario = &operated.scenario;
    let user = scenario.unique.as_str();
    let principal = format!("User:{user}");
    let rights = async || secure::rights(scenario.rig, &principal).await;
    scenario.database.run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)").await;
    secure::set_password(scenario.rig, user, PASSWORD).await;
    let sink = |name: &str, topic: &str| {
        Sink::new(name, &format!("public.{}", &topic[..1]), &scenario.topic(topic)).key(&["id"])
    };
    operated.apply(&managed(&operated).with(sink("a", "a")).with(sink("b", "b"))).await;
    operated.ready("Sink/a").await;
    operated.ready("Sink/b").await;
    assert_eq!(rights().await, table(&operated, &["a", "b"]));

    // A second Sink for a topic that has one is refused; what goes with its end is not what the first one needs.
    operated.apply(&Manifests::default().with(sink("late", "a"))).await;
    let message = operated.not_ready("Sink/late", "ManifestInvalid").await;
    assert!(message.contains(&format!("fills topic {}", scenario.topic("a"))), "{message}");
    operated.namespace.delete("Sink/late").await;
    operated.namespace.gone("Sink/late", LONG).await;
    assert_eq!(rights().await, table(&operated, &["a", "b"]));
    scenario.database.run("INSERT INTO a VALUES (1)").await;
    carried(&operated, "a", 1).await;

    // A right that somebody takes by hand is given again, once a worker has found out.
    let own = Rights::of(scenario, user);
    own.disallow(&[AclOperation::Write], AclResource::Topic(scenario.topic("b"))).await;
    assert_eq!(rights().await, table(&operated, &["a"]));
    scenario.database.run("INSERT INTO b VALUES (1)").await;
    await_condition("the right is given again", LONG, async || {
        (rights().await == table(&operated, &["a", "b"])).then_some(())
    })
    .await;
    carried(&operated, "b", 1).await;
    operated.ready("Sink/b").await;

    // One that no worker needs before it begins again: whoever looks at everything gives it again.
    let prefix = format!("afterbay-default-{user}.events-");
    own.disallow(&[AclOperation::Read], AclResource::GroupPrefix(prefix)).await;
    assert_eq!(rights().await.len(), table(&operated, &["a", "b"]).len() - 1);
    let operator = operated.namespace.ready_pod(OPERATOR).await.metadata.name.expect("a pod has a name");
    operated.namespace.force_delete(&operator).await;
    await_condition("the right is given again, though nobody misses it", LONG, async || {
        (rights().await == table(&operated, &["a", "b"])).then_some(())
    })
    .await;

    // Of two Sinks one goes, and what it alone needed.
    operated.namespace.delete("Sink/b").await;
    operated.namespace.gone("Sink/b", LONG).await;
    assert_eq!(rights().await, table(&operated, &["a"]));
    scenario.database.run("INSERT INTO a VALUES (2)").await;
    carried(&operated, "a", 2).await;
    operated.namespace.delete("Sink/a").await;
    operated.namespace.gone("Sink/a", PATIENCE + LONG).await;
    assert_eq!(rights().await, [""; 0], "nobody needs anything any more");
}
