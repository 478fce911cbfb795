//! Nothing changes, so nothing is written: neither to the API server nor to the brokers, however often resources are looked at.

use std::time::{Duration, Instant};

use afterbay_e2e::kubernetes::{PATIENCE, Request};
use afterbay_e2e::{Format, Sink, await_condition, http};
use serde_json::json;

use crate::operated::{LONG, Operated};

/// Figures of a Sink may be written this often, if they change.
const FIGURES: Duration = Duration::from_secs(16);

/// What the operator has written so far. That it still leads is not about any resource.
fn writes(operated: &Operated) -> Vec<Request> {
    let is_about_a_resource = |request: &Request| request.writes() && request.resource != "leases";
    operated.requests().into_iter().filter(is_about_a_resource).collect()
}

/// The sum of a metric of the operator, over all labels or those that hold this.
async fn metric(operated: &Operated, name: &str, label: &str) -> Option<u64> {
    let pods = operated.namespace.pods("app.kubernetes.io/component=operator").await;
    let address = pods.first()?.status.as_ref()?.pod_ip.clone()?;
    let (_, text) = http::request("GET", &format!("http://{address}:8080/metrics"), "").await?;
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written() {
    // Others would make the database's log grow, which is a figure.
    let operated = Operated::alone("quiet").await;
    operated.scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let sink = Sink::new("t", "public.t", &operated.scenario.topic("t")).key(&["id"]).format(Format::Avro);
    operated.apply(&operated.scenario.manifests().with(sink)).await;
    let resources = ["Sink/t", "SourceConnector/shop", "KafkaConnection/events", "SchemaRegistryConnection/schemas"];
    for resource in resources {
        operated.ready(resource).await;
    }
    operated.caught_up("shop", 1).await;
    let mut since = (Instant::now(), writes(&operated).len());
    await_condition("the last figures are written", LONG, async || {
        let count = writes(&operated).len();
        if count != since.1 {
            since = (Instant::now(), count);
        }
        (since.0.elapsed() > FIGURES).then_some(())
    })
    .await;

    let before = writes(&operated).len();
    let given = metric(&operated, "afterbay_operator_broker_writes_total", "").await;
    let told = metric(&operated, "afterbay_operator_api_writes_total", "").await;
    for round in 0..5 {
        for resource in resources {
            let (kind, _) = resource.split_once('/').expect("a resource is Kind/name");
            let kind = format!("kind=\"{kind}\"");
            let seen = metric(&operated, "afterbay_operator_reconciles_total", &kind).await;
            let touched = json!({"metadata": {"labels": {"round": round.to_string()}}});
            operated.namespace.patch(resource, &touched).await;
            await_condition(&format!("{resource} is looked at"), PATIENCE, async || {
                let now = metric(&operated, "afterbay_operator_reconciles_total", &kind).await;
                (now.is_some() && now > seen).then_some(())
            })
            .await;
        }
    }
    let after = writes(&operated);
    assert_eq!(after[before..], [], "nothing has changed");
    assert_eq!(metric(&operated, "afterbay_operator_api_writes_total", "").await, told);
    assert_eq!(metric(&operated, "afterbay_operator_broker_writes_total", "").await, given);
    assert!(told.is_some_and(|told| told > 0), "it counts");
}
