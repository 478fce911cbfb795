//! A worker that never starts, in the words of who was to start it: the kubelet, the API server, the scheduler.

use afterbay_e2e::Sink;
use afterbay_e2e::kubernetes::Operated;
use serde_json::json;

use super::is_told;

/// The Sink and its SourceConnector say it, and of the Sink it is what stops it.
async fn worker_is_told(operated: &Operated, words: &[&str]) {
    for resource in ["SourceConnector/shop", "Sink/t"] {
        is_told(operated, resource, "WorkerNotStarted", "Reconciling", words).await;
    }
    let sink = operated.namespace.get("Sink/t").await.expect("it is there");
    assert_eq!(sink["status"]["error"]["reason"], "WorkerNotStarted", "{sink}");
}

async fn all_is_well(operated: &Operated) {
    for resource in ["Sink/t", "SourceConnector/shop"] {
        operated.ready(resource).await;
    }
}

#[tokio::test]
async fn a_worker_that_never_starts_says_why() {
    let operated = Operated::begin("not-started").await;
    let scenario = &operated.scenario;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"]));

    let mut values = operated.values();
    values["workerImage"] = json!({"tag": "nowhere"});
    operated.release.install(&values).await;
    operated.apply(&manifests).await;
    let kubelet = ["does not start: ErrImageNeverPull", "afterbay:nowhere", "what to do: kubectl describe pod"];
    worker_is_told(&operated, &kubelet).await;
    operated.release.install(&operated.values()).await;
    all_is_well(&operated).await;

    let with =
        |field: &str, value| manifests.clone().set("SourceConnector/shop", &format!("spec.worker.{field}"), value);
    operated.apply(&with("priorityClassName", json!("nowhere"))).await;
    let api_server = ["no pod can be made", "no PriorityClass with name nowhere was found", "change spec.worker"];
    worker_is_told(&operated, &api_server).await;
    operated.apply(&manifests).await;
    all_is_well(&operated).await;

    operated.apply(&with("nodeSelector", json!({"no": "where"}))).await;
    let scheduler =
        ["has no place: 0/1 nodes are available", "didn't match Pod's node affinity/selector", "nodeSelector"];
    worker_is_told(&operated, &scheduler).await;
    operated.apply(&manifests).await;
    all_is_well(&operated).await;
}
