//! Nothing changes, so nothing is written: neither to the API server nor to the brokers, however often resources are looked at,
//! whose rights are managed and whose tables match patterns.

use afterbay_e2e::kubernetes::{LONG, OPERATOR, Operated};
use afterbay_e2e::{Format, Sink, await_condition, secure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::rights::{PASSWORD, managed, table};

/// What it has made at brokers and in databases.
const BROKER: &str = "afterbay_operator_broker_writes_total";

/// What is looked at, and how often at least: a Sink's worker is asked again and again, and so is the database of a
/// SourceConnector for tables that match.
const KINDS: [(&str, u64); 4] =
    [("Sink", 4), ("SourceConnector", 3), ("KafkaConnection", 1), ("SchemaRegistryConnection", 1)];

/// The Sinks in the order of their names, and how many messages each commits.
const SINKS: [(&str, u64); 2] = [("all", 2), ("t", 1)];

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written() {
    // Others would make the database's log grow, which is a figure.
    let operated = Operated::alone("quiet").await;
    let scenario = &operated.scenario;
    for table in ["t", "part_a", "part_b"] {
        let made = format!("CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1)");
        scenario.database.run(&made).await;
    }
    secure::set_password(scenario.rig, &scenario.unique, PASSWORD).await;
    let manifests = managed(&operated)
        .with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"]).format(Format::Avro))
        .with(Sink::new("all", "", &format!("{}.{{table}}", scenario.unique)))
        .set("Sink/all", "spec.source", json!({"name": "shop", "tables": ["public.part_*"]}))
        .set("Sink/all", "spec.key", json!({"primaryKey": true}));
    operated.apply(&manifests).await;
    for (sink, _) in SINKS {
        operated.ready(&format!("Sink/{sink}")).await;
    }
    for resource in ["SourceConnector/shop", "KafkaConnection/events", "SchemaRegistryConnection/schemas"] {
        operated.ready(resource).await;
    }
    operated.caught_up("shop", SINKS.len()).await;
    let rights = table(&operated, &["part_a", "part_b", "t"]);
    // The log can grow by itself meanwhile, by a checkpoint for instance; that is a figure, and the round does not count.
    for _ in 0..8 {
        let begun = operated.writes().len();
        let end = settled(&operated).await;
        let (before, asked) = (operated.writes().len(), secure::changes(scenario.rig));
        if before != begun {
            // What was written last may not have been seen by who wrote it.
            continue;
        }
        assert!(asked.iter().any(|request| request.contains(&operated.scenario.topic("part_a"))), "it has made topics");
        begins_anew(&operated).await;
        let after = operated.writes();
        let api = operated.namespace.metric(OPERATOR, "afterbay_operator_api_writes_total", "").await;
        let broker = operated.namespace.metric(OPERATOR, BROKER, "").await;
        if figures(&operated).await == Some(end) {
            assert_eq!(after[before..], [], "nothing has changed");
            assert_eq!([api, broker], [Some(0), Some(0)], "nothing has changed");
            assert_eq!(secure::changes(scenario.rig)[asked.len()..], [""; 0], "nor has the broker been asked to");
            assert_eq!(secure::rights(scenario.rig, &format!("User:{}", scenario.unique)).await, rights);
            return;
        }
    }
    panic!("the log never stood still");
}

/// What moves while nothing changes, as the worker has it now: by the log that others fill, a server's own checkpoints among it.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    log_end: String,
    acknowledged: String,
    /// What the Sinks have committed, in the order of their names.
    positions: Vec<Option<String>>,
}

async fn figures(operated: &Operated) -> Option<Figures> {
    let mut report = operated.report("shop").await?;
    report.sinks.sort_by(|one, other| one.name.cmp(&other.name));
    let positions = report.sinks.into_iter().map(|sink| sink.position).collect();
    Some(Figures { log_end: report.source.log_end?, acknowledged: report.source.acknowledged?, positions })
}

/// Waits until the last is written that the beginning leads to, and all figures as they are.
async fn settled(operated: &Operated) -> Figures {
    await_condition("the last figures are written", LONG, async || {
        let now = figures(operated).await?;
        let source = operated.namespace.get("SourceConnector/shop").await?;
        let worker = &source["status"]["workers"][0];
        let begun = operated.namespace.get("ConfigMap/afterbay-shop-default-begun").await?["data"].to_string();
        let mut is_written = worker["logEnd"] == *now.log_end && worker["acknowledged"] == *now.acknowledged;
        for ((name, messages), position) in SINKS.into_iter().zip(&now.positions) {
            let status = &operated.namespace.get(&format!("Sink/{name}")).await?["status"];
            is_written &= status["position"] == json!(position);
            is_written &= begun.contains(&format!("/{name}")) && is_at_rest(status, messages);
        }
        is_written.then_some(now)
    })
    .await
}

/// Whether a Sink's figures are those of its end.
fn is_at_rest(status: &Value, messages: u64) -> bool {
    status["lagBytes"] == 0
        && status["lag"].is_string()
        && status["messages"]["committed"] == messages
        && status["tables"]["inSnapshot"].as_u64().unwrap_or_default() == 0
}

/// An operator that begins anew looks at everything.
async fn begins_anew(operated: &Operated) {
    let old = operated.namespace.pods(OPERATOR).await;
    let old: Vec<_> = old.into_iter().filter_map(|pod| pod.metadata.name).collect();
    for pod in &old {
        operated.namespace.force_delete(pod).await;
    }
    await_condition("the next operator looks at everything", LONG, async || {
        let mut all = !operated.namespace.pods(OPERATOR).await.iter().any(|pod| is_one_of(&old, pod));
        for (kind, times) in KINDS {
            let label = format!("kind=\"{kind}\"");
            let looked = operated.namespace.metric(OPERATOR, "afterbay_operator_reconciles_total", &label).await;
            all = all && looked.is_some_and(|looked| looked >= times);
        }
        all.then_some(())
    })
    .await;
}

fn is_one_of(names: &[String], pod: &Pod) -> bool {
    pod.metadata.name.as_ref().is_some_and(|name| names.contains(name))
}
