//! Nothing changes, so nothing is written: neither to the API server nor to the brokers, however often resources are looked at.

use afterbay_e2e::kubernetes::{LONG, OPERATOR, Operated};
use afterbay_e2e::{Format, Sink, await_condition, http};
use k8s_openapi::api::core::v1::Pod;

/// What it has made at brokers and in databases.
const BROKER: &str = "afterbay_operator_broker_writes_total";

/// What is looked at, and how often at least: a Sink's worker is asked again and again.
const KINDS: [(&str, u64); 4] =
    [("Sink", 2), ("SourceConnector", 1), ("KafkaConnection", 1), ("SchemaRegistryConnection", 1)];

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
    // The log can grow by itself meanwhile, by a checkpoint for instance; that is a figure, and the round does not count.
    for _ in 0..4 {
        let end = settled(&operated).await;
        let before = operated.writes().len();
        begins_anew(&operated).await;
        let after = operated.writes();
        let written =
            [metric(&operated, "afterbay_operator_api_writes_total", "").await, metric(&operated, BROKER, "").await];
        if figures(&operated).await == Some(end) {
            assert_eq!(after[before..], [], "nothing has changed");
            assert_eq!(written, [Some(0), Some(0)], "nothing has changed");
            return;
        }
    }
    panic!("the log never stood still");
}

/// The end of the log, and what of it is acknowledged, as the worker has it now.
async fn figures(operated: &Operated) -> Option<(String, String)> {
    let source = operated.report("shop").await?.source;
    source.log_end.zip(source.acknowledged)
}

/// Waits until the last is written that the beginning leads to, and all figures as they are.
async fn settled(operated: &Operated) -> (String, String) {
    await_condition("the last figures are written", LONG, async || {
        let now = figures(operated).await?;
        let source = operated.namespace.get("SourceConnector/shop").await?;
        let worker = &source["status"]["workers"][0];
        let sink = operated.namespace.get("Sink/t").await?;
        let begun = operated.namespace.get("ConfigMap/afterbay-shop-default-begun").await?;
        let is_written = begun["data"].to_string().contains("/t")
            && worker["logEnd"] == now.0.as_str()
            && worker["acknowledged"] == now.1.as_str()
            && sink["status"]["lagBytes"] == 0
            && sink["status"]["lag"].is_string()
            && sink["status"]["messages"]["committed"] == 1;
        is_written.then_some(now)
    })
    .await
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
            let looked = metric(operated, "afterbay_operator_reconciles_total", &label).await;
            all = all && looked.is_some_and(|looked| looked >= times);
        }
        all.then_some(())
    })
    .await;
}

fn is_one_of(names: &[String], pod: &Pod) -> bool {
    pod.metadata.name.as_ref().is_some_and(|name| names.contains(name))
}
