//! What goes with Sinks and SourceConnectors that are deleted: progress records, rights, slots, publications. A Job takes it away; here it
//! is made, waited for, and told of. It always ends: after [`finalize::PATIENCE`] for each of its two steps, or at once where that is asked for.

mod direct;
mod fresh;
mod outcome;
mod papers;
pub mod pool;
mod progress;
mod recalled;
pub mod retained;
pub mod rights;
mod slots;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::plan::DeletionPolicy;
use afterbay_crds::reason::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt as _};

use super::board::{SinkFacts, SourceFacts};
use super::context::{Context, Failure};
use super::objects::retirement::{DEADLINE_SECONDS, Retired};
use super::queue::Next;
use super::source::{owner, plan_of_hash};
use super::stores::{Key, Object, name_of, worker_of};
use super::{finalize, labels};
use direct::Tried;
use outcome::Outcome;
use papers::Papers;
pub use recalled::Recalled;
pub use rights::Returned;
pub use slots::recall;

/// How soon it is looked again whether a worker has let go of a Sink, or a Job is through; what changes is told of before.
const LOOK: Duration = Duration::from_secs(5);
/// How soon it is looked again at what is being made just now.
const SOON: Duration = Duration::from_secs(1);
/// A pod that should have ended this long ago is on a node that does not answer. The Job fences it.
const GONE: Duration = Duration::from_mins(1);

/// A resource that is deleted, and what is known of its end.
struct End<'a, K> {
    context: &'a Context,
    resource: &'a K,
    name: ResourceName,
    owner: OwnerReference,
    kind: &'static str,
    label: &'static str,
    finalizer: &'static str,
    policy: DeletionPolicy,
    /// Since when it could end: from then on patience is counted.
    since: Option<Timestamp>,
    /// What may stay behind, in words.
    what: String,
    /// Whose files the Job's plan names.
    worker: WorkerName,
}

/// How far a Job is to be waited for.
enum Step {
    Wait(Duration),
    /// It is over; what stays behind.
    Over(Vec<String>),
    /// There can be no Job: why.
    NoJob(String),
}

/// Makes what the retirement of a Sink needs, before its worker changes.
pub async fn prepare(context: &Context, sink: &Sink) -> Result<(), Failure> {
    topics::keep(context, sink).await?;
    let end = of_sink(context, sink);
    if end.wants_a_job() {
        papers::of_sink(context, sink, &end.retired()).await?;
    } else if end.policy == DeletionPolicy::Retain {
        retained::prepare(context, sink, &end.worker, &end.name).await?;
    }
    Ok(())
}

/// Makes what the retirement of a SourceConnector needs, before its workers go.
pub async fn prepare_source(context: &Context, source: &SourceConnector) -> Result<(), Failure> {
    let end = of_source(context, source);
    if end.wants_a_job() {
        papers::of_source(context, source, &end.retired()).await?;
    }
    Ok(())
}

/// Takes away what goes with a Sink that is being deleted; at the end its finalizer.
pub async fn sink(context: &Context, sink: &Arc<Sink>) -> Result<Next, Failure> {
    if !finalize::has(&**sink, labels::SINK_FINALIZER) {
        return Ok(Next::Never);
    }
    let end = of_sink(context, sink);
    let papers = if end.wants_a_job() { Some(papers::of_sink(context, sink, &end.retired()).await) } else { None };
    let step = match end.given_up(papers) {
        Ok(Some(step)) => step,
        Ok(None)
            if let Some(left) =
                is_carried(context, &end.worker, &end.name).then(|| end.left_of(finalize::PATIENCE)).flatten() =>
        {
            Step::Wait(left.min(LOOK))
        }
        Ok(None) => end.job().await?,
        Err(failure) => return Err(failure),
    };
    let mut left = match step {
        Step::NoJob(why) => vec![end.may_stay(&why)],
        Step::Wait(pause) => {
            context.board.set_sink(&end.name, Some(SinkFacts { deletion: Some(end.waits()), ..SinkFacts::default() }));
            return Ok(Next::After(pause));
        }
        Step::Over(left) => left,
    };
    let is_remembered = match end.policy {
        DeletionPolicy::Retain => retained::keep(context, sink, &end.worker, &end.name).await,
        DeletionPolicy::Delete => retained::let_go(context, &end.worker, &end.name).await.map(|()| true),
    };
    match is_remembered {
        Ok(true) => {}
        Ok(false) => return Ok(Next::After(SOON)),
        // What is remembered goes with the namespace.
        Err(failure) if failure.is_namespace_ending() => {}
        Err(failure) => return Err(failure),
    }
    left.extend(rights::take_back(context, sink).await?);
    end.release(left).await
}

/// Takes away what goes with a SourceConnector that is being deleted, has no Sinks any more, and no workers; at the end its finalizer.
pub async fn source(context: &Context, source: &Arc<SourceConnector>) -> Result<Next, Failure> {
    if !finalize::has(&**source, labels::SOURCE_FINALIZER) {
        return Ok(Next::Never);
    }
    // It may have been deleted long before the last of its Sinks.
    let end = End { since: Some(context.recalled.ending(source)), ..of_source(context, source) };
    let papers = if end.wants_a_job() { Some(papers::of_source(context, source, &end.retired()).await) } else { None };
    let step = match end.given_up(papers) {
        Ok(Some(step)) => step,
        // A slot that is read cannot be dropped.
        Ok(None)
            if let Some(left) = has_pods(context, &end.name).then(|| end.left_of(finalize::PATIENCE)).flatten() =>
        {
            Step::Wait(left.min(LOOK))
        }
        Ok(None) => end.job().await?,
        Err(failure) => return Err(failure),
    };
    let (left, pause) = match step {
        Step::Wait(pause) => (None, pause),
        Step::Over(left) => (Some(left), LOOK),
        Step::NoJob(_) => (end.without_job(has_pods(context, &end.name)).await?, LOOK),
    };
    let Some(left) = left else {
        let facts = SourceFacts { deletion: Some(end.waits()), ..SourceFacts::default() };
        context.board.set_source(&end.name, Some(facts));
        return Ok(Next::After(pause));
    };
    end.release(left).await
}

fn deleted(resource: &impl Resource) -> Option<Timestamp> {
    resource.meta().deletion_timestamp.as_ref().map(|since| since.0)
}

fn of_sink<'a>(context: &'a Context, sink: &'a Sink) -> End<'a, Sink> {
    let name = name_of(sink);
    End {
        context,
        resource: sink,
        owner: owner(sink),
        kind: "Sink",
        label: labels::SINK,
        finalizer: labels::SINK_FINALIZER,
        policy: sink.spec.deletion_policy,
        since: deleted(sink),
        what: format!("its progress record in KafkaConnection {}", name.sibling(&sink.spec.kafka.connection)),
        worker: papers::worker_of_sink(sink),
        name,
    }
}

fn of_source<'a>(context: &'a Context, source: &'a SourceConnector) -> End<'a, SourceConnector> {
    let name = name_of(source);
    let slot = afterbay_crds::names::slot(source.spec.postgres.slot.name.as_deref(), &name);
    End {
        context,
        resource: source,
        owner: owner(source),
        kind: "SourceConnector",
        label: labels::SOURCE,
        finalizer: labels::SOURCE_FINALIZER,
        policy: source.spec.deletion_policy,
        since: deleted(source),
        what: format!(
            "replication slot {slot} (and those of its pools), which makes database {} keep its log, and its publication",
            source.spec.postgres.database
        ),
        worker: papers::of_default_pool(&name),
        name,
    }
}

impl<K: Object + Resource<DynamicType = ()>> End<'_, K> {
    fn retired(&self) -> Retired<'_> {
        Retired { kind: self.kind, label: self.label, name: &self.name, owner: &self.owner }
    }

    fn wants_a_job(&self) -> bool {
        self.policy == DeletionPolicy::Delete && !finalize::is_abandoned(self.resource)
    }

    /// Where no Job can be, or need be, waited for.
    fn given_up(&self, papers: Option<Result<Papers, Failure>>) -> Result<Option<Step>, Failure> {
        if self.policy == DeletionPolicy::Retain {
            return Ok(Some(Step::Over(Vec::new())));
        }
        if finalize::is_abandoned(self.resource) {
            return Ok(Some(self.over(&format!("annotation {} asks to give it up", labels::ABANDON))));
        }
        match papers {
            Some(Ok(Papers::There)) | None => Ok(None),
            // What another one has need not go.
            Some(Ok(Papers::Needless | Papers::Inherited(_))) => Ok(Some(Step::Over(Vec::new()))),
            Some(Ok(Papers::Impossible(why))) => Ok(Some(self.over(&why))),
            Some(Ok(Papers::Unclear)) => Ok(Some(Step::NoJob("nothing tells any more what it has".to_owned()))),
            Some(Err(failure)) => self.refused(failure).map(Some),
        }
    }

    /// Has the Job do its work.
    async fn job(&self) -> Result<Step, Failure> {
        let retired = self.retired();
        let own = self.name.sibling(&retired.job_name());
        let Some(job) = self.context.stores.jobs.get(&own) else {
            if self.left_of(finalize::PATIENCE * 2).is_none() {
                return Ok(self.over("there was no time left for its Job"));
            }
            // A Job that is made before it is known what its plan names would not find its files.
            let Some(files) = papers::files(self.context, &retired, &self.worker) else {
                return Ok(Step::Wait(SOON));
            };
            let job = retired.job(files.directory, &self.context.settings.worker);
            return match self.context.create(false, &job).await {
                Ok(_) => Ok(Step::Wait(LOOK)),
                Err(failure) => self.refused(failure),
            };
        };
        let key =
            if self.label == labels::SINK { Key::Sink(self.name.clone()) } else { Key::Source(self.name.clone()) };
        let pods = self.context.stores.pods.by(&key);
        match outcome::of(&job, &pods) {
            Outcome::Done => Ok(Step::Over(Vec::new())),
            Outcome::Failed(left) => Ok(Step::Over(left)),
            Outcome::Working => {
                // Kubernetes ends it after its time. Should nobody do that, it is over all the same.
                let since = job.metadata.creation_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
                let patience = Duration::from_secs(DEADLINE_SECONDS.unsigned_abs()) + LOOK * 2;
                if let Some(left) = finalize::left(since, Timestamp::now(), patience) {
                    return Ok(Step::Wait(left.min(LOOK * 2)));
                }
                let said = outcome::said(&job, &pods);
                Ok(if said.is_empty() { self.over("its Job did not end in time") } else { Step::Over(said) })
            }
        }
    }

    /// The API server takes no Job, or not what it reads: for good where the namespace is ending, else it is asked again for a while.
    fn refused(&self, failure: Failure) -> Result<Step, Failure> {
        if failure.is_namespace_ending() {
            return Ok(Step::NoJob("its namespace is ending, and takes no Job".to_owned()));
        }
        if !failure.is_denial() {
            return Err(failure);
        }
        tracing::warn!(resource = %format!("{} {}", self.kind, self.name), "it is to be retired: {failure}");
        let left = self.left_of(finalize::PATIENCE);
        Ok(left.map_or_else(|| Step::NoJob(failure.to_string()), |left| Step::Wait(left.min(LOOK))))
    }

    /// How much is left of so long a time since it could end.
    fn left_of(&self, patience: Duration) -> Option<Duration> {
        finalize::left(self.since?, Timestamp::now(), patience)
    }

    /// What is going on.
    fn waits(&self) -> String {
        format!("{} is taken away first; annotation {}: \"true\" gives it up", self.what, labels::ABANDON)
    }

    fn over(&self, why: &str) -> Step {
        Step::Over(vec![self.may_stay(why)])
    }

    fn may_stay(&self, why: &str) -> String {
        format!("{} may stay behind: {why}", self.what)
    }

    /// Tells what stays, and lets go.
    async fn release(&self, left: Vec<String>) -> Result<Next, Failure> {
        if !left.is_empty() {
            // In one: what is alike but for its words is told once.
            let (events, reason) = (&self.context.events, Reason::LeftBehind.as_str());
            events.last_warning(self.resource, reason, "Retire", &left.join("; ")).await;
        }
        let is_released = self.context.release(self.resource, self.finalizer).await?;
        if is_released && !left.is_empty() {
            self.context.metrics.left_behind(self.kind);
        }
        Ok(Next::Never)
    }
}

impl End<'_, SourceConnector> {
    /// Drops what a Job would; what stays, once that is known. It is tried for as long as a Job would; `is_read`: a pod may still read a
    /// slot, which cannot be dropped then.
    async fn without_job(&self, is_read: bool) -> Result<Option<Vec<String>>, Failure> {
        let has_time = self.left_of(finalize::PATIENCE * 2).is_some();
        if is_read && has_time {
            return Ok(None);
        }
        let tried = match direct::take(self.context, self.resource).await {
            Err(failure) if !has_time => return Ok(Some(vec![self.may_stay(&failure.to_string())])),
            tried => tried?,
        };
        Ok(match tried {
            Tried::Done => Some(Vec::new()),
            Tried::NotNow(_) if has_time => None,
            Tried::NotNow(what) => Some(vec![what]),
            Tried::Never(why) => Some(vec![self.may_stay(&why)]),
        })
    }
}

/// Whether a pod of a worker may still carry a Sink.
fn is_carried(context: &Context, worker: &WorkerName, sink: &ResourceName) -> bool {
    let name = sink.to_string();
    let deployments = context.stores.deployments.by(&Key::Source(worker.source.clone()));
    let of_deployments = deployments.iter().filter(|deployment| worker_of(&***deployment).as_ref() == Some(worker));
    let pods = context.stores.pods.by(&Key::Source(worker.source.clone()));
    let of_pods = pods.iter().filter(|pod| worker_of(&***pod).as_ref() == Some(worker) && !is_lost(&***pod));
    let hashes = of_deployments.filter_map(|it| hash(&**it)).chain(of_pods.filter_map(|it| hash(&**it)));
    let has = |hash: String| {
        plan_of_hash(&context.stores, worker, &hash).is_some_and(|plan| plan.sinks.iter().any(|sink| sink.name == name))
    };
    hashes.into_iter().any(has)
}

/// Whether a SourceConnector's workers have pods.
fn has_pods(context: &Context, source: &ResourceName) -> bool {
    let pods = context.stores.pods.by(&Key::Source(source.clone()));
    pods.iter().any(|pod| worker_of(&**pod).is_some() && !is_lost(&**pod))
}

fn hash(object: &impl Resource) -> Option<String> {
    object.annotations().get(labels::PLAN_HASH).cloned()
}

fn is_lost(pod: &impl Resource) -> bool {
    pod.meta()
        .deletion_timestamp
        .as_ref()
        .is_some_and(|since| finalize::left(since.0, Timestamp::now(), GONE).is_none())
}
