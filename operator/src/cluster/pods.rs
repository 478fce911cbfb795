//! What a worker's pods say of themselves. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use afterbay_crds::names::WorkerName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt as _;

use super::labels;
use super::stores::worker_of;

/// A worker's pod, the one that is not going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: Option<IpAddr>,
    /// Whether its worker runs. By its probe it is not ready as long as a Sink of it is stalled, which is another thing.
    pub is_running: bool,
    /// The hash of the plan that it runs.
    pub plan_hash: Option<String>,
    /// The hash of the secrets that it was given.
    pub secrets_hash: Option<String>,
    /// Why it does not run.
    pub problem: Option<Problem>,
}

/// Why no pod of a worker can be made, in the words of the API server: a quota, a policy, a PriorityClass that is not there.
pub fn refusal(deployment: &Deployment) -> Option<Problem> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure =
        conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let says = failure.message.as_deref().or(failure.reason.as_deref()).unwrap_or_default();
    let hint = format!(
        "change spec.worker of the SourceConnector (resources, priorityClassName), or the quotas, limits and policies of the \
         namespace; kubectl describe deployment {} says more",
        deployment.name_any()
    );
    Some(Reason::WorkerNotStarted.problem(format!("no pod can be made for the worker: {says}"), hint))
}

/// The newest pod of a worker that is not going; of the pods of its SourceConnector, retirements among them.
pub fn of_worker(worker: &WorkerName, of_source: &[Arc<Pod>]) -> Option<PodFacts> {
    let own = of_source.iter().filter(|pod| {
        pod.metadata.deletion_timestamp.is_none()
            && !pod.labels().contains_key("batch.kubernetes.io/job-name")
            && worker_of(&***pod).as_ref() == Some(worker)
    });
    let newest = own.max_by_key(|pod| (pod.metadata.creation_timestamp.clone().map(|time| time.0), pod.name_any()))?;
    Some(facts(newest))
}

fn facts(pod: &Pod) -> PodFacts {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let runs = |state: &ContainerState| state.running.is_some();
    let annotation = |name| pod.annotations().get(name).cloned();
    PodFacts {
        name: pod.name_any(),
        address: status.and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
        is_running: !containers.is_empty()
            && containers.iter().all(|container| container.state.as_ref().is_some_and(runs)),
        plan_hash: annotation(labels::PLAN_HASH),
        secrets_hash: annotation(labels::SECRETS_HASH),
        problem: problem(pod),
    }
}

/// What keeps it from running, in the kubelet's and the scheduler's words.
fn problem(pod: &Pod) -> Option<Problem> {
    let name = pod.name_any();
    let status = pod.status.as_ref()?;
    let says = |message: &Option<String>| message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    for container in status.container_statuses.iter().flatten() {
        let ContainerState { waiting, terminated, .. } = container.state.clone().unwrap_or_default();
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        // Of a program that ends again and again its last end says more than that it waits to be started.
        let ended = terminated.as_ref().or(last.filter(|_| waiting.is_some()));
        if let Some(ended) = ended {
            let why = ended.reason.as_deref().unwrap_or("Error");
            let message = format!(
                "the worker's pod {name} ended: {why}, exit status {}{}",
                ended.exit_code,
                says(&ended.message)
            );
            let hint = if why == "OOMKilled" {
                "it is started again; give it more memory in spec.worker.resources of the SourceConnector".to_owned()
            } else {
                format!("it is started again; kubectl logs --previous {name} says more")
            };
            return Some(Reason::WorkerExited.problem(message, hint));
        }
        if let Some(waiting) = waiting {
            let why = waiting.reason.as_deref().unwrap_or_default();
            if !matches!(why, "ContainerCreating" | "PodInitializing" | "") {
                let message = format!("the worker's pod {name} does not start: {why}{}", says(&waiting.message));
                let hint = format!("kubectl describe pod {name} says more");
                return Some(Reason::WorkerNotStarted.problem(message, hint));
            }
        }
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = format!("the worker's pod {name} has no place{}", says(&unscheduled.message));
    let hint = "make room on a node, or change spec.worker of the SourceConnector (resources, nodeSelector, tolerations, affinity)";
    Some(Reason::WorkerNotStarted.problem(message, hint))
}

#[cfg(test)]
mod tests {
    use afterbay_crds::names::ResourceName;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, created: &str, status: &Value) -> Arc<Pod> {
        let pod = json!({
            "metadata": {
                "name": name,
                "namespace": "default",
                "creationTimestamp": created,
                "labels": {labels::SOURCE: "shop", labels::POOL: "default"},
                "annotations": {labels::PLAN_HASH: "abc"},
            },
            "status": status,
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn seen(pods: &[Arc<Pod>]) -> Option<PodFacts> {
        let worker = WorkerName { source: ResourceName::new("default", "shop"), pool: "default".to_owned() };
        of_worker(&worker, pods)
    }

    /// The reason and the first words of the message.
    fn check(status: &Value, expected: Option<(&str, &str)>) {
        let problem = seen(&[pod("p", "2026-01-01T00:00:00Z", status)]).unwrap().problem;
        let problem = problem.map(|problem| (problem.reason, problem.message));
        assert_eq!(problem.is_some(), expected.is_some(), "{status}");
        if let (Some((reason, message)), Some((expected, words))) = (problem, expected) {
            assert!(reason == expected && message.starts_with(words), "{message}");
        }
    }

    #[test]
    fn why_a_pod_does_not_run_is_told_in_the_words_of_the_node() {
        let container = |state: Value, last: Value| json!({"containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last}]});
        let nothing = json!({});
        check(&container(json!({"running": {}}), nothing.clone()), None);
        check(&container(json!({"waiting": {"reason": "ContainerCreating"}}), nothing.clone()), None);
        let pulling = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
        let words = "the worker's pod p does not start: ErrImagePull: not found";
        check(&container(pulling, nothing.clone()), Some(("WorkerNotStarted", words)));
        let killed = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
        let words = "the worker's pod p ended: OOMKilled, exit status 137";
        check(
            &container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), killed.clone()),
            Some(("WorkerExited", words)),
        );
        check(&container(json!({"running": {}}), killed), None);
        let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]});
        check(&unscheduled, Some(("WorkerNotStarted", "the worker's pod p has no place: 0/1 nodes")));
    }

    #[test]
    fn why_no_pod_is_made_is_told_in_the_words_of_the_api_server() {
        let said = |conditions: Value| {
            let deployment =
                json!({"metadata": {"name": "afterbay-shop-default"}, "status": {"conditions": conditions}});
            refusal(&serde_json::from_value(deployment).unwrap())
        };
        assert_eq!(said(json!([])), None);
        let failure = |status: &str| json!({"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": "exceeded quota: small"});
        let available = json!({"type": "Available", "status": "True"});
        assert_eq!(said(json!([available, failure("False")])), None);
        let told = said(json!([available, failure("True")])).unwrap();
        assert_eq!(
            (told.reason.as_str(), told.message.as_str()),
            ("WorkerNotStarted", "no pod can be made for the worker: exceeded quota: small")
        );
        assert!(told.hint.ends_with("kubectl describe deployment afterbay-shop-default says more"), "{}", told.hint);
    }

    #[test]
    fn the_newest_pod_that_is_not_going_counts() {
        let status = json!({"podIP": "10.0.0.1"});
        let mut going = (*pod("c", "2026-01-03T00:00:00Z", &status)).clone();
        going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
        let mut of_job = (*pod("j", "2026-01-04T00:00:00Z", &status)).clone();
        of_job.labels_mut().insert("batch.kubernetes.io/job-name".to_owned(), "j".to_owned());
        let (old, new) = (pod("a", "2026-01-01T00:00:00Z", &status), pod("b", "2026-01-02T00:00:00Z", &status));
        let facts = seen(&[old, new, Arc::new(going), Arc::new(of_job)]).unwrap();
        assert_eq!((facts.name.as_str(), facts.plan_hash.as_deref(), facts.is_running), ("b", Some("abc"), false));
        assert_eq!(facts.address, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(seen(&[]), None);
    }
}
