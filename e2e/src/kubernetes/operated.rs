//! An operator of a test's own, installed by Helm in the test's namespace, which is all that it watches: a test may do to it what
//! it likes, and what it asks of the API server is one test's.

use std::time::Duration;

use afterbay_crds::report::{SinkState, WorkerReport};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Namespace, PATIENCE, Release, Request, condition, definitions, image_values, requests};
use crate::database::lsn;
use crate::{Manifests, Message, Scenario, await_condition, http, reference};

/// How long it may take from manifests to messages, with a pod in between, where other tests do the same.
pub const LONG: Duration = PATIENCE.saturating_mul(2);

/// The release; all of it has this name.
const RELEASE: &str = "afterbay";

/// What its pods are found by.
pub const OPERATOR: &str = "app.kubernetes.io/component=operator";

/// A scenario, its namespace, and an operator in it.
pub struct Operated {
    /// Goes first: what runs in it uses the rest.
    pub namespace: Namespace,
    /// The operator.
    pub release: Release,
    /// What there is beside the cluster.
    pub scenario: Scenario,
}

impl Operated {
    /// With the chart's defaults.
    pub async fn begin(test: &str) -> Self {
        let scenario = Scenario::new(test).await;
        let namespace = Namespace::of(&scenario).await;
        Self::of(scenario, namespace).await
    }

    /// While no other test runs.
    pub async fn alone(test: &str) -> Self {
        let scenario = Scenario::new(test).await;
        let namespace = Namespace::alone(&scenario).await;
        Self::of(scenario, namespace).await
    }

    async fn of(scenario: Scenario, namespace: Namespace) -> Self {
        definitions().await;
        let release = Release::new(RELEASE, &namespace.name);
        let operated = Self { namespace, release, scenario };
        operated.release.install(&operated.values()).await;
        operated
    }

    /// What it is installed with.
    pub fn values(&self) -> Value {
        let mut values = image_values("dev");
        values["watchNamespaces"] = json!([self.namespace.name]);
        values["crds"] = json!({"enabled": false});
        values
    }

    /// Applies manifests.
    pub async fn apply(&self, manifests: &Manifests) {
        self.namespace.apply(manifests).await;
    }

    /// Waits until a resource is ready.
    pub async fn ready(&self, resource: &str) {
        self.namespace.condition(resource, "Ready", "True", LONG).await;
    }

    /// Waits until a resource is not ready for this reason; gives the message.
    pub async fn not_ready(&self, resource: &str, reason: &str) -> String {
        let is = |object: &Value| {
            condition(object, "Ready").is_some_and(|ready| {
                ready["status"] == "False"
                    && ready["reason"] == reason
                    && ready["observedGeneration"] == object["metadata"]["generation"]
            })
        };
        let object = self.namespace.seen(resource, &format!("is not ready: {reason}"), LONG, is).await;
        let ready = condition(&object, "Ready").expect("it has just been seen");
        ready["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The worker's pod of a SourceConnector, once it is ready.
    pub async fn worker(&self, source: &str) -> Pod {
        self.namespace.ready_pod(&labels(source)).await
    }

    /// The uid of the worker's pod of a SourceConnector.
    pub async fn worker_uid(&self, source: &str) -> String {
        self.worker(source).await.metadata.uid.expect("a pod has a uid")
    }

    /// What the worker of a SourceConnector says of itself, if it answers.
    pub async fn report(&self, source: &str) -> Option<WorkerReport> {
        let pods = self.namespace.pods(&labels(source)).await;
        let address = pods.first()?.status.as_ref()?.pod_ip.clone()?;
        let (status, body) = http::request("GET", &format!("http://{address}:8080/status"), "").await?;
        (status == 200).then(|| serde_json::from_str(&body).expect("the status is a worker's report"))
    }

    /// Waits until so many Sinks of a SourceConnector have committed all that the database held when this was called.
    pub async fn caught_up(&self, source: &str, sinks: usize) {
        let end = self.scenario.database.log_end().await;
        await_condition(&format!("{sinks} Sinks of {source} catch up"), LONG, async || {
            let report = self.report(source).await?;
            let settled = report.sinks.iter().filter(|sink| {
                sink.state == SinkState::Running && sink.settled.as_deref().is_some_and(|settled| lsn(settled) >= end)
            });
            (report.sinks.len() == sinks && settled.count() == sinks).then_some(())
        })
        .await;
    }

    /// All that the operator has asked of the API server so far.
    pub fn requests(&self) -> Vec<Request> {
        requests(&format!("system:serviceaccount:{}:{RELEASE}", self.namespace.name))
    }

    /// What it has written of resources so far: that it still leads is about none.
    pub fn writes(&self) -> Vec<Request> {
        let is_about_a_resource = |request: &Request| request.writes() && request.resource != "leases";
        self.requests().into_iter().filter(is_about_a_resource).collect()
    }

    /// Waits until the API server is ready, which has been away.
    pub async fn api_server_is_back(&self) {
        await_condition("the API server is ready", LONG, async || {
            self.namespace.kubectl.try_run(&["get", "--raw", "/readyz"], "").await.ok()
        })
        .await;
    }

    /// Waits for an event of a resource, with this reason; gives what it says.
    pub async fn event(&self, resource: &str, reason: &str) -> String {
        let (kind, name) = resource.split_once('/').expect("a resource is Kind/name");
        await_condition(&format!("an event {reason} of {resource}"), PATIENCE, async || {
            let events = self.namespace.list("Event", "").await;
            let mut own = events.iter().filter(|event| {
                let about = &event["involvedObject"];
                about["kind"] == kind && about["name"] == name && event["reason"] == reason
            });
            own.next().map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// How many replication slots of the database there are, those of chunks under way apart, and publications.
    pub async fn held(&self) -> (i64, i64) {
        let database = &self.scenario.database;
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND NOT temporary";
        (database.number(slots).await, database.number("SELECT count(*) FROM pg_publication").await)
    }

    /// Whether there is a progress record of a Sink on the plain broker.
    pub async fn has_progress(&self, sink: &str) -> bool {
        let (broker, topic) = (self.scenario.rig.broker(), self.scenario.progress_topic());
        let lines = reference::consume(broker, &topic, ("text", "text"), &[]).await;
        let mut records = lines.iter().map(|line| serde_json::from_str::<Message>(line).expect("a message"));
        let key = self.scenario.progress_key(sink);
        records.rfind(|record| record.key == key).is_some_and(|record| !record.value.is_null())
    }
}

/// What a worker's pods are found by.
pub fn labels(source: &str) -> String {
    format!("afterbay.dev/source={source},app.kubernetes.io/component=worker")
}
