//! Nothing changes, so nothing is written: neither to the API server nor to the brokers, however often resources are looked at.

use std::time::{Duration, Instant};

use afterbay_e2e::kubernetes::Request;
use afterbay_e2e::{Format, Sink, await_condition, http};
use k8s_openapi::api::core::v1::Pod;

use crate::operated::{LONG, Operated};

/// Figures of a Sink may be written this often, if they change.
const FIGURES: Duration = Duration::from_secs(16);

/// Its pod.
const OPERATOR: &str = "app.kubernetes.io/component=operator";

/// What is looked at, and how often at least: a Sink's worker is asked again and again.
const KINDS: [(&str, u64); 4] =
    [("Sink", 2), ("SourceConnector", 1), ("KafkaConnection", 1), ("SchemaRegistryConnection", 1)];

/// What the operator has written so far. That it still leads is not about any resource.
fn writes(operated: &Operated) -> Vec<Request> {
    let is_about_a_resource = |request: &Request| request.writes() && request.resource != "leases";
    operated.requests().into_iter().filter(is_about_a_resource).collect()
}

/// The sum of a metric of the operator, over all labels or those that hold this.
async fn metric(operated: &Operated, name: &str, label: &str) -> Option<u64> {
    let pods = operated.namespace.pods(OPERATOR).await;
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

    // One that begins anew looks at everything, and finds it as it should be.
    for round in 0..2 {
        let before = writes(&operated).len();
        let old = operated.namespace.pods(OPERATOR).await;
        let old: Vec<_> = old.into_iter().filter_map(|pod| pod.metadata.name).collect();
        for pod in &old {
            operated.namespace.force_delete(pod).await;
        }
        await_condition("the next operator looks at everything", LONG, async || {
            let looked = async |kind: &str, times: u64| {
                let label = format!("kind=\"{kind}\"");
                metric(&operated, "afterbay_operator_reconciles_total", &label).await.is_some_and(|it| it >= times)
            };
            let mut all = !operated.namespace.pods(OPERATOR).await.iter().any(|pod| is_one_of(&old, pod));
            for (kind, times) in KINDS {
                all = all && looked(kind, times).await;
            }
            all.then_some(())
        })
        .await;
        operated.caught_up("shop", 1).await;
        assert_eq!(writes(&operated)[before..], [], "nothing has changed, round {round}");
        for name in ["afterbay_operator_api_writes_total", "afterbay_operator_broker_writes_total"] {
            assert_eq!(metric(&operated, name, "").await, Some(0), "{name}, round {round}");
        }
    }
}

fn is_one_of(names: &[String], pod: &Pod) -> bool {
    pod.metadata.name.as_ref().is_some_and(|name| names.contains(name))
}
