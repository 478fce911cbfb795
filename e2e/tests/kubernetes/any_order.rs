//! Resources come and go in any order: what is missing is waited for and named, what is deleted ends, and takes along what belongs
//! to it and nothing else.

use afterbay_e2e::kubernetes::{LONG, Operated, PATIENCE};
use afterbay_e2e::{Format, Manifests, Sink, broker};
use serde_json::json;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";

/// All resources of the test, in the order in which they can be taken away without waiting.
const ALL: [&str; 4] = ["Sink/t", "SourceConnector/shop", "KafkaConnection/events", "SchemaRegistryConnection/schemas"];

async fn begin(test: &str) -> (Operated, Manifests, String) {
    let operated = Operated::begin(test).await;
    let (manifests, topic) = with_sink(&operated).await;
    (operated, manifests, topic)
}

async fn with_sink(operated: &Operated) -> (Manifests, String) {
    operated.scenario.database.run(TABLE).await;
    let topic = operated.scenario.topic("t");
    let sink = Sink::new("t", "public.t", &topic).key(&["id"]).format(Format::Avro);
    (operated.scenario.manifests().with(sink), topic)
}

#[tokio::test]
async fn what_is_missing_is_named_and_waited_for() {
    let (operated, manifests, topic) = begin("reverse").await;
    let name = &operated.scenario.unique;
    let mut left = vec![
        ("Sink/t", format!("SourceConnector {name}/shop")),
        ("SourceConnector/shop", format!("KafkaConnection {name}/events")),
        ("KafkaConnection/events", format!("SchemaRegistryConnection {name}/schemas")),
        ("SchemaRegistryConnection/schemas", format!("Secret {name}/shop-db")),
        ("Secret/shop-db", String::new()),
    ];
    let parts: Vec<_> = left.iter().map(|(resource, _)| *resource).collect();
    for (part, missing) in left.drain(..) {
        // This one alone.
        let others = parts.iter().filter(|other| **other != part);
        let one = others.fold(manifests.clone(), |rest, other| rest.without(other));
        operated.apply(&one).await;
        if !missing.is_empty() {
            operated
                .namespace
                .seen("Sink/t", &format!("waits for {missing}"), PATIENCE, |sink| {
                    afterbay_e2e::kubernetes::condition(sink, "Ready").is_some_and(|ready| {
                        ready["reason"] == "Waiting"
                            && ready["message"].as_str().is_some_and(|message| message.contains(&missing))
                    })
                })
                .await;
        }
    }
    for resource in ALL {
        operated.ready(resource).await;
    }
    operated.caught_up("shop", 1).await;
    assert_eq!(operated.scenario.messages(&topic, Format::Avro).await.len(), 1);
}

/// Everything that belonged to the resources has gone, and the topic stays with so many messages.
async fn all_has_gone(operated: &Operated, topic: &str, messages: usize) {
    for resource in ALL {
        operated.namespace.gone(resource, LONG).await;
    }
    assert_eq!(operated.held().await, (0, 0), "slot and publication go");
    assert!(!operated.has_progress("t").await, "the record goes");
    assert_eq!(operated.scenario.messages(topic, Format::Avro).await.len(), messages, "the topic stays");
    // Owned objects follow their owner.
    for (kind, labels) in
        [("Deployment", "app.kubernetes.io/managed-by=afterbay"), ("ConfigMap", "afterbay.dev/source")]
    {
        afterbay_e2e::await_condition(&format!("each {kind} goes"), PATIENCE, async || {
            operated.namespace.list(kind, labels).await.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn it_is_deleted_in_any_order_and_starts_afresh() {
    let (operated, manifests, topic) = begin("deleted").await;
    let kubectl = &operated.namespace.kubectl;
    for round in 1..=4_usize {
        operated.apply(&manifests).await;
        operated.ready("Sink/t").await;
        operated.caught_up("shop", 1).await;
        assert_eq!(operated.scenario.messages(&topic, Format::Avro).await.len(), round, "its rows are taken once more");
        assert_eq!(operated.held().await, (1, 1));
        assert!(operated.has_progress("t").await);
        match round {
            // All at once, and the credentials with it.
            1 => drop(kubectl.run(&[&["delete", "--wait=false", "Secret/shop-db"], &ALL[..]].concat()).await),
            // What others need first: they wait for those.
            2 => {
                for resource in ["Secret/shop-db"].into_iter().chain(ALL.into_iter().rev()) {
                    operated.namespace.delete(resource).await;
                }
            }
            // As Argo CD prunes: what is owned ends before its owner, while that still has something to end.
            3 => {
                let arguments = ["delete", "--cascade=foreground", "--wait=false", "Secret/shop-db"];
                drop(kubectl.run(&[&arguments[..], &ALL[..]].concat()).await);
            }
            // As one would, and kubectl waits.
            _ => {
                for resource in ALL {
                    kubectl.run(&["delete", resource, "--timeout=360s"]).await;
                }
            }
        }
        all_has_gone(&operated, &topic, round).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_used_says_by_whom_it_is_held() {
    let (operated, manifests, _) = begin("held").await;
    operated.apply(&manifests).await;
    operated.ready("Sink/t").await;
    // One that has the publication as well, and never ends by itself.
    let publication = operated.scenario.database.text("SELECT pubname FROM pg_publication").await;
    let heir = Manifests::default()
        .with(operated.scenario.source("heir", &format!("{}_heir", operated.scenario.slot())))
        .set("SourceConnector/heir", "spec.postgres.publication", json!({"name": publication}))
        .set("SourceConnector/heir", "metadata.finalizers", json!(["test.afterbay.dev/held"]));
    operated.apply(&heir).await;
    operated.ready("SourceConnector/heir").await;
    operated.namespace.delete("KafkaConnection/events").await;
    operated.namespace.delete("SourceConnector/shop").await;
    for resource in ["KafkaConnection/events", "SourceConnector/shop"] {
        let message = operated.not_ready(resource, "Deleting").await;
        assert!(message.contains(&format!("Sink {}/t", operated.scenario.unique)), "{resource}: {message}");
    }
    // Meanwhile it is carried on.
    operated.scenario.database.run("INSERT INTO t VALUES (2)").await;
    operated.caught_up("shop", 1).await;
    // Who is at its end as well inherits nothing, though it has done so when the other one was deleted.
    operated.namespace.delete("SourceConnector/heir").await;
    operated.namespace.delete("Sink/t").await;
    for resource in ["KafkaConnection/events", "SourceConnector/shop"] {
        operated.namespace.gone(resource, LONG).await;
    }
    assert_eq!(operated.held().await, (0, 0), "nobody needs it any more");
    operated.namespace.patch("SourceConnector/heir", &json!({"metadata": {"finalizers": null}})).await;
    operated.namespace.gone("SourceConnector/heir", PATIENCE).await;
}

/// Where the brokers do not answer, a deletion ends all the same, once somebody asks to give up what cannot be taken away.
#[tokio::test]
async fn with_the_broker_gone_a_deletion_can_be_given_up_and_tells_what_stays() {
    let operated = Operated::alone("broker-gone").await;
    let (manifests, topic) = with_sink(&operated).await;
    operated.apply(&manifests).await;
    operated.ready("Sink/t").await;
    let rig = operated.scenario.rig;
    rig.run(&["kill", "broker"]);
    let away = Away(rig);
    operated.namespace.delete("Sink/t").await;
    let message = operated.not_ready("Sink/t", "Deleting").await;
    assert!(message.contains("afterbay.dev/abandon"), "{message}");
    let abandon = json!({"metadata": {"annotations": {"afterbay.dev/abandon": "true"}}});
    operated.namespace.patch("Sink/t", &abandon).await;
    operated.namespace.gone("Sink/t", PATIENCE).await;
    let told = operated.event("Sink/t", "LeftBehind").await;
    assert!(told.contains("its progress record in KafkaConnection"), "{told}");
    // The rest needs no broker.
    for resource in &ALL[1..] {
        operated.namespace.delete(resource).await;
        operated.namespace.gone(resource, LONG).await;
    }
    assert_eq!(operated.held().await, (0, 0));
    drop(away);
    assert!(broker::has_topic(rig, &topic));
    assert!(operated.has_progress("t").await, "as was told");
}

/// A broker that is away; it is back before another test begins.
struct Away(&'static afterbay_e2e::Rig);

impl Drop for Away {
    fn drop(&mut self) {
        self.0.run(&["start", "broker"]);
    }
}
