//! What came of a Job: as it says itself, or as its state shows. Pure.

use std::sync::Arc;

use afterbay_crds::report::Problem;
use afterbay_crds::retirement::Retirement;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// How far a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not through.
    Working,
    /// All is gone.
    Done,
    /// It was given up: what it said last, in its words.
    Failed(Vec<String>),
}

/// What came of a Job with these pods.
pub fn of(job: &Job, pods: &[Arc<Pod>]) -> Outcome {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ended = conditions.filter(|condition| condition.status == "True");
    for condition in ended {
        match condition.type_.as_str() {
            "Complete" => return Outcome::Done,
            "Failed" => {
                let said = said(job, pods);
                let why = condition.message.clone().unwrap_or_else(|| "its Job failed".to_owned());
                return Outcome::Failed(if said.is_empty() { vec![unsaid(&why)] } else { said });
            }
            _ => {}
        }
    }
    Outcome::Working
}

fn unsaid(why: &str) -> String {
    format!("the Job that was to take it away did not get to say why it could not: {}", why.trim_end_matches('.'))
}

/// What stays of a Job that nobody has ended.
pub fn late(job: &Job, pods: &[Arc<Pod>]) -> Vec<String> {
    let said = said(job, pods);
    if said.is_empty() { vec![unsaid("it did not end in time")] } else { said }
}

/// What the last of its pods that said anything has said of what stays.
pub fn said(job: &Job, pods: &[Arc<Pod>]) -> Vec<String> {
    let mut own: Vec<_> = pods.iter().filter(|pod| is_of(job, pod)).collect();
    own.sort_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|time| time.0));
    let said = own.iter().rev().find_map(|pod| {
        let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
        containers.iter().find_map(|container| {
            let message = container.state.as_ref()?.terminated.as_ref()?.message.as_deref()?;
            serde_json::from_str::<Retirement>(message).ok()
        })
    });
    said.into_iter().flat_map(|said| said.left).map(|left| in_words(&left.problem)).collect()
}

/// Whether a pod is one of a Job's.
pub fn is_of(job: &Job, pod: &Pod) -> bool {
    job_of(pod) == Some(&job.name_any())
}

/// The name of the Job whose pod this is.
pub fn job_of(pod: &Pod) -> Option<&String> {
    pod.labels().get("batch.kubernetes.io/job-name")
}

/// A problem in a sentence.
pub fn in_words(problem: &Problem) -> String {
    if problem.hint.is_empty() { problem.message.clone() } else { format!("{}; {}", problem.message, problem.hint) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(condition: Option<&str>) -> Job {
        let conditions = condition.map(|type_| json!([{"type": type_, "status": "True", "message": "deadline."}]));
        serde_json::from_value(json!({"metadata": {"name": "j"}, "status": {"conditions": conditions}})).unwrap()
    }

    fn pod(at: u32, message: Option<&str>) -> Arc<Pod> {
        let pod = json!({
            "metadata": {
                "labels": {"batch.kubernetes.io/job-name": "j"},
                "creationTimestamp": format!("2026-01-01T00:00:0{at}Z"),
            },
            "status": {"containerStatuses": [{
                "name": "retirement", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 1, "message": message}},
            }]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn left(message: &str) -> String {
        let problem = json!({"reason": "LeftBehind", "message": message, "hint": "do it by hand"});
        json!({"sinks": [], "sources": [], "left": [{"subject": "sink a/b", "problem": problem}]}).to_string()
    }

    #[test]
    fn a_job_says_itself_what_stays() {
        assert_eq!(of(&job(None), &[]), Outcome::Working);
        assert_eq!(of(&job(Some("Suspended")), &[]), Outcome::Working);
        assert_eq!(of(&job(Some("Complete")), &[pod(1, Some("{}"))]), Outcome::Done);
        let pods = [pod(2, Some(&left("second"))), pod(1, Some(&left("first"))), pod(3, None), pod(4, Some("killed"))];
        assert_eq!(of(&job(Some("Failed")), &pods), Outcome::Failed(vec!["second; do it by hand".to_owned()]));
    }

    #[test]
    fn what_it_did_not_say_is_told_of_its_state() {
        let Outcome::Failed(told) = of(&job(Some("Failed")), &[]) else { panic!() };
        assert!(told[0].ends_with("why it could not: deadline"), "{told:?}");
    }
}
