//! How far the Jobs are that drop slots, and when they are over though nobody says so. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::finalize;
use super::outcome::{self, Outcome};
use crate::cluster::objects::retirement::DEADLINE_SECONDS;

/// A pod that should have ended so long ago is on a node that does not answer. Nobody is in a hurry here, and a slot that it reads is not
/// dropped even then.
pub const GONE: Duration = Duration::from_mins(10);

/// How far a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is none.
    None,
    /// It is not through: nobody may begin to read the slot.
    Working,
    /// Nothing is left.
    Done,
    /// What stays, and why.
    Failed(Vec<String>),
}

/// Whether a pod is on a node that does not answer.
pub fn is_lost(pod: &Pod) -> bool {
    is_past(pod.metadata.deletion_timestamp.as_ref(), GONE)
}

/// Whether a moment, if there is one, is so long ago.
pub fn is_past(since: Option<&Time>, patience: Duration) -> bool {
    since.is_some_and(|since| finalize::left(since.0, Timestamp::now(), patience).is_none())
}

/// How long a Job, or a pod of it, may be there: Kubernetes ends it after its time, and it ends itself. Should neither be seen, as its node
/// or whoever looks after Jobs does not answer, it is over all the same.
fn limit() -> Duration {
    Duration::from_secs(DEADLINE_SECONDS.unsigned_abs()) + GONE
}

/// Whether a pod of a Job does not work any more.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed")
        || is_lost(pod)
        || is_past(pod.metadata.creation_timestamp.as_ref(), limit())
}

/// How far a Job with these pods is. One that is over may have a pod for another moment.
pub fn of_job(job: &Job, pods: &[Arc<Pod>]) -> Progress {
    let is_late = is_past(job.metadata.creation_timestamp.as_ref(), limit());
    let is_running = !is_late && pods.iter().any(|pod| outcome::is_of(job, pod) && !is_over(pod));
    match outcome::of(job, pods) {
        Outcome::Done if !is_running => Progress::Done,
        Outcome::Failed(left) if !is_running => Progress::Failed(left),
        Outcome::Working if is_late => Progress::Failed(outcome::late(job, pods)),
        _ => Progress::Working,
    }
}

/// Whether one of these Jobs, or of these pods, works that is none of a pool's `own`, or is not known to be there.
pub fn are_strays(jobs: &[Arc<Job>], pods: &[Arc<Pod>], own: &BTreeSet<String>) -> bool {
    let known = |name: &String| own.contains(name) && jobs.iter().any(|job| job.name_any() == *name);
    let is_stray = |pod: &Pod| outcome::job_of(pod).is_some_and(|job| !known(job)) && !is_over(pod);
    jobs.iter().any(|job| !own.contains(&job.name_any()) && of_job(job, pods) == Progress::Working)
        || pods.iter().any(|pod| is_stray(pod))
}

/// Of two Jobs the one that matters more.
pub fn first(one: Progress, other: Progress) -> Progress {
    let rank = |progress: &Progress| match progress {
        Progress::Working => 0,
        Progress::Done => 1,
        Progress::Failed(_) => 2,
        Progress::None => 3,
    };
    if rank(&other) < rank(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str) -> Arc<Pod> {
        let labels = json!({"batch.kubernetes.io/job-name": "j"});
        Arc::new(serde_json::from_value(json!({"metadata": {"labels": labels}, "status": {"phase": phase}})).unwrap())
    }

    fn job(condition: &str) -> Job {
        let conditions = json!([{"type": condition, "status": "True", "message": "deadline."}]);
        serde_json::from_value(json!({"metadata": {"name": "j"}, "status": {"conditions": conditions}})).unwrap()
    }

    #[test]
    fn a_job_is_over_when_none_of_its_pods_runs_any_more() {
        let check = |job: &Job, pods: &[&str], expected: &str| {
            let pods: Vec<_> = pods.iter().map(|phase| pod(phase)).collect();
            let found = match of_job(job, &pods) {
                Progress::None => "none",
                Progress::Working => "working",
                Progress::Done => "done",
                Progress::Failed(_) => "failed",
            };
            assert_eq!(found, expected, "{pods:?}");
        };
        check(&Job { metadata: job("").metadata, ..Job::default() }, &[], "working");
        check(&job("Complete"), &["Succeeded"], "done");
        check(&job("Complete"), &["Failed", "Running"], "working");
        check(&job("Failed"), &["Failed"], "failed");
        check(&job("Failed"), &["Failed", "Pending"], "working");
    }

    fn ago(minutes: i64) -> String {
        Timestamp::from_second(Timestamp::now().as_second() - minutes * 60).unwrap().to_string()
    }

    fn with(mut object: serde_json::Value, what: &str, minutes: i64) -> serde_json::Value {
        object["metadata"][what] = json!(ago(minutes));
        object
    }

    #[test]
    fn what_is_on_a_node_that_does_not_answer_is_over_in_time() {
        let running =
            || json!({"metadata": {"labels": {"batch.kubernetes.io/job-name": "j"}}, "status": {"phase": "Running"}});
        let read = |pod| vec![Arc::new(serde_json::from_value::<Pod>(pod).unwrap())];
        let failed = |progress| matches!(progress, Progress::Failed(_));
        let deleted = |minutes| read(with(running(), "deletionTimestamp", minutes));
        assert_eq!(of_job(&job("Complete"), &deleted(9)), Progress::Working);
        assert_eq!(of_job(&job("Complete"), &deleted(11)), Progress::Done);
        assert!(failed(of_job(&job("Failed"), &deleted(11))));
        // Nobody ends the Job.
        let since = |minutes| -> Job {
            serde_json::from_value(with(json!({"metadata": {"name": "j"}}), "creationTimestamp", minutes)).unwrap()
        };
        assert_eq!(of_job(&since(11), &read(running())), Progress::Working);
        let Progress::Failed(told) = of_job(&since(13), &read(running())) else { panic!("it is late") };
        assert!(told[0].contains("did not end in time"), "{told:?}");
    }

    #[test]
    fn a_job_that_nobody_knows_of_is_seen_by_its_pods() {
        let own = BTreeSet::from(["j".to_owned()]);
        let works = Arc::new(Job { metadata: job("").metadata, ..Job::default() });
        let none = BTreeSet::new();
        assert!(!are_strays(&[], &[], &own));
        assert!(are_strays(&[], &[pod("Running")], &own), "the stores have not heard of it");
        assert!(!are_strays(std::slice::from_ref(&works), &[pod("Running")], &own), "that is the pool's own");
        assert!(are_strays(&[works], &[], &none), "its pool has gone");
        assert!(!are_strays(&[Arc::new(job("Complete"))], &[pod("Succeeded")], &none), "it is over");
        let old =
            json!({"metadata": {"labels": {"batch.kubernetes.io/job-name": "j"}}, "status": {"phase": "Running"}});
        let old = serde_json::from_value(with(old, "creationTimestamp", 13)).unwrap();
        assert!(!are_strays(&[], &[Arc::new(old)], &none), "nobody has heard of it for long");
        let worker = serde_json::from_value(json!({"status": {"phase": "Running"}})).unwrap();
        assert!(!are_strays(&[], &[Arc::new(worker)], &none), "a worker's");
    }

    #[test]
    fn a_job_that_works_counts_before_one_that_is_over() {
        let (done, failed) = (Progress::Done, Progress::Failed(Vec::new()));
        assert_eq!(first(Progress::None, done.clone()), done);
        assert_eq!(first(failed.clone(), done.clone()), done);
        assert_eq!(first(done, Progress::Working), Progress::Working);
        assert_eq!(first(failed.clone(), Progress::None), failed);
    }
}
