//! Credentials that change: the worker follows without losing or repeating anything, and nobody else is touched.

use afterbay_e2e::kubernetes::{LONG, Operated};
use afterbay_e2e::{Format, History, Sink, await_condition, secure};
use serde_json::{Value, json};

/// The Secret of the broker's user.
const BROKER: &str = "broker-own";
/// That of the database's.
const DATABASE: &str = "shop-db";

/// A user's Secret, with this password.
fn secret(name: &str, password: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": password}})
        .to_string()
}

/// Waits until a SourceConnector has another worker than this; gives its uid.
async fn another_worker(operated: &Operated, source: &str, before: &str) -> String {
    await_condition(&format!("another pod of {source} has the new password"), LONG, async || {
        let now = operated.worker_uid(source).await;
        (now != before).then_some(now)
    })
    .await
}

#[tokio::test]
async fn a_new_password_is_followed_and_one_that_is_missing_is_told() {
    let operated = Operated::begin("rotation").await;
    let scenario = &operated.scenario;
    let user = scenario.unique.as_str();
    secure::set_password(scenario.rig, user, "first-of-the-passwords").await;
    let history = History::begin(&scenario.database, 50).await;
    scenario.database.run("CREATE TABLE calm (id int PRIMARY KEY)").await;
    let topic = scenario.topic("ledger");

    // One worker enters the secured broker as a user of the test's own, another the plain one.
    let secured = secure::with_administrator(secure::with_secrets(scenario.manifests(), scenario.rig), scenario.rig);
    let secured = secure::kafka(secured, scenario.rig, "scram-sha-512", user, BROKER)
        .set("KafkaConnection/events", "spec.acls", json!({"manage": true}))
        .with(Sink::new("ledger", "public.ledger", &topic).key(&["id"]));
    operated.namespace.kubectl.apply(&secret(BROKER, "first-of-the-passwords")).await;
    operated.apply(&secured).await;
    let other = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.slot.name", format!("{}_calm", scenario.slot()))
        .set("SourceConnector/shop", "metadata.name", "calm")
        .set("KafkaConnection/events", "metadata.name", "plain")
        .with(Sink::new("calm", "public.calm", &scenario.topic("calm")).key(&["id"]))
        .set("Sink/calm", "spec.source.name", "calm")
        .set("Sink/calm", "spec.kafka.connection", "plain");
    operated.apply(&other).await;
    operated.ready("Sink/ledger").await;
    operated.ready("Sink/calm").await;
    let (before, calm) = (operated.worker_uid("shop").await, operated.worker_uid("calm").await);

    let writer = history.writer().await;
    secure::set_password(scenario.rig, user, "second-of-the-passwords").await;
    operated.namespace.kubectl.apply(&secret(BROKER, "second-of-the-passwords")).await;
    let after = another_worker(&operated, "shop", &before).await;
    // It carries with the new password while changes go on.
    operated.ready("Sink/ledger").await;
    writer.stop().await;
    operated.caught_up("shop", 1).await;
    let messages = secure::messages(scenario.rig, &topic, Format::Json).await;
    history.check(&messages, true).await;
    assert_eq!(operated.worker_uid("calm").await, calm, "the other worker has no business with it");

    // Without the Secret the worker goes on with what it has, and the connection says what is missing.
    operated.namespace.delete(&format!("Secret/{BROKER}")).await;
    let message = operated.not_ready("KafkaConnection/events", "Waiting").await;
    assert!(message.contains(&format!("Secret {user}/{BROKER}")), "{message}");
    let message = operated.not_ready("Sink/ledger", "Waiting").await;
    assert!(message.contains(BROKER), "{message}");
    history.work(20).await;
    operated.caught_up("shop", 1).await;
    assert_eq!(operated.worker_uid("shop").await, after, "it goes on");
    operated.namespace.kubectl.apply(&secret(BROKER, "second-of-the-passwords")).await;
    operated.ready("KafkaConnection/events").await;
    operated.ready("Sink/ledger").await;
    assert_eq!(operated.worker_uid("shop").await, after, "nothing has changed for it");
    history.check(&secure::messages(scenario.rig, &topic, Format::Json).await, true).await;

    // The database's is that of both workers.
    let writer = history.writer().await;
    let new = format!("ALTER ROLE {} PASSWORD 'third-of-the-passwords'", scenario.database.role);
    scenario.database.run_as_superuser(&new).await;
    operated.namespace.kubectl.apply(&secret(DATABASE, "third-of-the-passwords")).await;
    another_worker(&operated, "shop", &after).await;
    another_worker(&operated, "calm", &calm).await;
    for resource in ["SourceConnector/shop", "SourceConnector/calm", "Sink/ledger", "Sink/calm"] {
        operated.ready(resource).await;
    }
    writer.stop().await;
    operated.caught_up("shop", 1).await;
    operated.caught_up("calm", 1).await;
    history.check(&secure::messages(scenario.rig, &topic, Format::Json).await, true).await;
    nothing_tells_it(&operated).await;
}

/// Passwords are in Secrets, and nowhere else.
async fn nothing_tells_it(operated: &Operated) {
    let mut told = operated.namespace.kubectl.run(&["get", "events", "-o", "json"]).await;
    for kind in ["Sink", "SourceConnector", "KafkaConnection", "Deployment", "Pod", "ConfigMap"] {
        let objects = operated.namespace.list(kind, "").await;
        told += &Value::Array(objects).to_string();
    }
    for pod in operated.namespace.pods("").await {
        let name = pod.metadata.name.expect("a pod has a name");
        told += &operated.namespace.log(&name).await;
    }
    for secret in ["of-the-passwords", operated.scenario.database.password.as_str()] {
        assert!(!told.contains(secret), "{secret} is told");
    }
}
