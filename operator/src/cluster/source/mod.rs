//! The reconciler of SourceConnectors: all that their workers need, in the phases of `docs/design/0011-operator.md`. What it finds out goes
//! to the board; of what its workers do, it decides by what the cluster has and not by what it remembers.

mod carried;
mod handshake;
mod kept;
mod memory;
mod patterns;
mod provide;
mod rollout;
#[cfg(test)]
mod tests;
mod unread;
mod verdict;
mod worker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::manifest::{Kind, Manifests};
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::resolve::{ResolveSettings, SecretFile, Worker, resolve};
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use secrecy::SecretSlice;

pub use carried::{Current, plan as plan_of_hash, workers as current_workers};
pub use memory::Memories;

use super::board::{SinkFacts, SourceFacts};
use super::context::{Context, Failure};
use super::objects::{deployment, plan};
use super::queue::Next;
use super::stores::{Gathered, Key, name_of, worker_of};
use super::{finalize, labels, retire};
use crate::dereference;
use memory::Memory;
use retire::pool::{self, Progress};
use verdict::Verdict;

/// No SourceConnector is looked at more often than this by itself.
const SOONEST: Duration = Duration::from_secs(1);
/// How soon it is looked again whether a Job is through; that it is is told of before.
const LOOK: Duration = Duration::from_secs(5);

/// What is known of a SourceConnector in one look at it.
struct Look<'a> {
    context: &'a Context,
    name: &'a ResourceName,
    source: &'a SourceConnector,
    gathered: &'a Gathered,
    verdict: &'a Verdict,
    /// Its workers as they are.
    current: Vec<Current>,
    /// Its Sinks that have committed before.
    begun: BTreeSet<String>,
}

/// Has a SourceConnector's workers be as they are wanted.
pub async fn reconcile(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let sinks = context.stores.sinks.by(&Key::Source(name.clone()));
    let Some(source) = context.stores.sources.get(name) else {
        if context.stores.sources.is_unreadable(name) {
            // It is there; its workers go on as they are.
            return Ok(Next::Never);
        }
        forget(context, name);
        for sink in &sinks {
            wait_for_source(context, name, sink);
        }
        return Ok(Next::Never);
    };
    retire::recall(context, &source);
    // One that cannot be read may be one of its own.
    let is_unclear = context.stores.sinks.has_unreadable(&name.namespace) && !finalize::is_abandoned(&*source);
    if finalize::is_going(&*source) && sinks.is_empty() && !is_unclear {
        return end(context, name, &source).await;
    }
    context.hold(&*source, labels::SOURCE_FINALIZER).await?;
    // Nothing is carried that could go without being retired. All of its Sinks get a finalizer before anything else is done: the worker
    // is given them at once, and one whose finalizer somebody takes away keeps its place in the plan, and so its place in the log.
    let mut is_given = false;
    for sink in sinks.iter().filter(|sink| !finalize::is_going(&***sink)) {
        is_given |= context.hold(&**sink, labels::SINK_FINALIZER).await?;
    }
    if is_given {
        return Ok(Next::After(SOONEST));
    }
    if finalize::is_going(&*source) {
        // While its workers have what its end needs.
        prepare_end(context, &source).await?;
    }
    // Before anything that they need goes with their places in a plan.
    for sink in sinks.iter().filter(|sink| finalize::is_going(&***sink)) {
        match retire::prepare(context, sink).await {
            // Where nothing can be made any more, that is told at the Sink's end.
            Err(failure) if failure.is_namespace_ending() => {}
            prepared => prepared?,
        }
    }
    let mut gathered = context.gather(name).await?;
    let errors = dereference::judge(&mut gathered.manifests, &context.settings.instance);
    let verdict = verdict::sort(&gathered, name, &errors);
    gathered.manifests.left_out =
        verdict.sinks.iter().filter(|(_, findings)| !findings.is_fine()).map(|(sink, _)| sink.clone()).collect();
    let look = Look {
        context,
        name,
        source: &source,
        gathered: &gathered,
        verdict: &verdict,
        current: carried::workers(&context.stores, name),
        begun: begun(&sinks),
    };
    let memory = context.memories.of(name);
    let mut memory = memory.lock().await;
    for current in &look.current {
        retire::retained::vanished(context, &current.name, &current.sinks()).await?;
    }
    let held_up = look.held_up(&mut memory);
    look.tell_sinks(&held_up);
    let again = if verdict.source.is_fine() {
        look.workers(&mut memory, &held_up).await?
    } else {
        look.others(&BTreeSet::new()).await?;
        None
    };
    let (handshake, asked_again) = look.handshake(&mut memory).await?;
    let unread = look.unread(&mut memory).await?;
    let facts = SourceFacts {
        invalid: verdict.source.invalid.clone(),
        waiting_for: verdict.source.waiting_for.clone(),
        handshake,
        deletion: finalize::is_going(&*source).then(|| held_by(&sinks)),
        kept: unread.kept,
    };
    context.metrics.kept_slots(name, &facts.kept);
    context.board.set_source(name, Some(facts));
    // What ends by time alone, or concerns no Sink of its own that is known, nobody tells of.
    let waits = (!held_up.is_empty() || finalize::is_going(&*source) && sinks.is_empty()).then_some(LOOK);
    let again = [again, asked_again, unread.again, waits].into_iter().flatten().min();
    Ok(again.map_or(Next::Settled, |pause| Next::After(pause.max(SOONEST))))
}

/// The last of its Sinks has gone: its workers go, and then it.
async fn end(context: &Context, name: &ResourceName, source: &Arc<SourceConnector>) -> Result<Next, Failure> {
    prepare_end(context, source).await?;
    for worker in pools(context, name) {
        // Its Secret stays: what is taken away without a Job may need the credentials, which users may have deleted.
        rollout::lay_down(context, &worker).await?;
    }
    if is_dropping(context, name, source).await {
        let deletion = Some("the slots of its pools are being dropped".to_owned());
        context.board.set_source(name, Some(SourceFacts { deletion, ..SourceFacts::default() }));
        return Ok(Next::After(LOOK));
    }
    let next = retire::source(context, source).await?;
    if next == Next::Never {
        forget(context, name);
        // They go with their owner, unless somebody has asked that what is owned stays.
        for worker in pools(context, name) {
            rollout::forget_secrets(context, &worker).await?;
        }
    }
    Ok(next)
}

/// Whether a Job may still drop a slot, which is not to be that of another SourceConnector of the same name.
async fn is_dropping(context: &Context, name: &ResourceName, source: &SourceConnector) -> bool {
    let memory = context.memories.of(name);
    let memory = memory.lock().await;
    let works = |left: &pool::Left| left.progress(context, &memory.jobs) == Progress::Working;
    !finalize::is_abandoned(source)
        && finalize::has_time(source, finalize::PATIENCE)
        && pool::all(context, name).iter().any(works)
}

async fn prepare_end(context: &Context, source: &SourceConnector) -> Result<(), Failure> {
    match retire::prepare_source(context, source).await {
        // That is told at its end, for which it is tried once more.
        Err(failure) if failure.is_namespace_ending() || failure.is_denial() => Ok(()),
        prepared => prepared,
    }
}

fn forget(context: &Context, name: &ResourceName) {
    context.memories.forget(name);
    context.recalled.forget(name);
    context.metrics.forget_source(name);
    for worker in context.board.workers(name) {
        context.board.remove_worker(&worker);
    }
    context.board.set_source(name, None);
}

/// Why a SourceConnector that is deleted is still there.
fn held_by(sinks: &[Arc<Sink>]) -> String {
    let names: Vec<_> = sinks.iter().map(|sink| name_of(&**sink)).collect();
    if names.is_empty() {
        return "it goes once all Sinks of its namespace can be read: one that cannot may be its own".to_owned();
    }
    format!("it goes once its Sinks have gone: {}", finalize::in_words("Sink", &names))
}

fn wait_for_source(context: &Context, source: &ResourceName, sink: &Sink) {
    if finalize::is_going(sink) {
        return;
    }
    let facts =
        SinkFacts { waiting_for: Some(format!("{} {source}", Kind::SourceConnector.as_str())), ..SinkFacts::default() };
    context.board.set_sink(&name_of(sink), Some(facts));
}

impl Look<'_> {
    /// Says of each Sink what was found; `held_up` are the workers that are not to begin now.
    fn tell_sinks(&self, held_up: &BTreeSet<WorkerName>) {
        let of_source = self.verdict.source.waiting_for.as_ref();
        let of_source =
            of_source.map(|what| format!("{what}, which {} {} names", Kind::SourceConnector.as_str(), self.name));
        for (sink, findings) in &self.verdict.sinks {
            let Some(found) = self.gathered.manifests.sinks.get(sink) else { continue };
            let worker = WorkerName { source: self.name.clone(), pool: found.spec.pool.clone() };
            let held_up = held_up.contains(&worker).then(|| {
                "it begins once the replication slot is gone that its pool had before: a Job drops it".to_owned()
            });
            self.context.board.set_sink(
                sink,
                Some(SinkFacts {
                    worker: Some(worker),
                    invalid: findings.invalid.clone(),
                    // What the source waits for, none of its Sinks begins without.
                    waiting_for: findings.waiting_for.clone().or_else(|| of_source.clone()),
                    held_up,
                    deletion: None,
                }),
            );
        }
    }

    /// Has the workers be as they are wanted; when to look again, if not only when something changes.
    async fn workers(&self, memory: &mut Memory, held_up: &BTreeSet<WorkerName>) -> Result<Option<Duration>, Failure> {
        let manifests = &self.gathered.manifests;
        let pods = self.resolve(manifests, plan::SECRETS_DIR.into());
        let scratch = self.context.scratch.folder()?;
        let own = self.resolve(manifests, scratch.path().to_owned());
        let mut again = None;
        let mut seen = BTreeSet::new();
        for (worker, own) in pods.into_iter().zip(own) {
            seen.insert(worker.name.clone());
            if held_up.contains(&worker.name) {
                continue;
            }
            let memory = memory.workers.entry(worker.name.clone()).or_default();
            again = [again, self.worker(memory, worker, own, &scratch).await?].into_iter().flatten().min();
        }
        self.others(&seen).await?;
        memory.workers.retain(|name, _| seen.contains(name));
        Ok(again)
    }

    /// Workers that cannot be resolved now (all but these) go on as they were, but for Sinks that are gone; those without Sinks go.
    async fn others(&self, resolved: &BTreeSet<WorkerName>) -> Result<(), Failure> {
        for name in pools(self.context, self.name) {
            if resolved.contains(&name) {
                continue;
            }
            let in_pool = |sink: &ResourceName| {
                self.gathered.manifests.sinks.get(sink).is_some_and(|found| found.spec.pool == name.pool)
            };
            match self.current.iter().find(|current| current.name == name) {
                Some(current) if current.plan.is_some() => self.as_it_was(current).await?,
                _ if self.gathered.sinks.iter().any(in_pool) => {}
                _ => rollout::lay_down(self.context, &name).await?,
            }
        }
        Ok(())
    }

    fn resolve(&self, manifests: &Manifests, secrets_dir: PathBuf) -> Vec<Worker> {
        let mut workers = resolve(manifests, &self.settings(secrets_dir));
        workers.retain(|worker| worker.name.source == *self.name);
        workers
    }

    fn settings(&self, secrets_dir: PathBuf) -> ResolveSettings {
        ResolveSettings {
            instance: self.context.settings.instance.clone(),
            secrets_dir,
            listen: deployment::LISTEN.to_owned(),
            // It stands beside the plan: a Sink that begins is no reason for another pod.
            begun: BTreeSet::new(),
        }
    }
}

/// The workers of a SourceConnector of which the cluster has anything.
fn pools(context: &Context, source: &ResourceName) -> BTreeSet<WorkerName> {
    let key = Key::Source(source.clone());
    let stores = &context.stores;
    let mut names = BTreeSet::new();
    names.extend(stores.deployments.by(&key).iter().filter_map(|object| worker_of(&**object)));
    names.extend(stores.config_maps.by(&key).iter().filter_map(|object| worker_of(&**object)));
    names.extend(stores.secrets.shelf.by(&key).iter().filter_map(|object| worker_of(&**object)));
    names.extend(context.board.workers(source));
    names
}

/// The files of a worker's Secret, where its pods have them; none where it is gone.
pub async fn secret_files(
    context: &Context,
    secret: &ResourceName,
    worker: &WorkerName,
) -> Result<Vec<SecretFile>, Failure> {
    let found = context.api::<Secret>(&secret.namespace).get_opt(&secret.name).await;
    let found = found.map_err(|error| Failure::api(format!("read Secret {secret}"), error))?;
    let directory = std::path::Path::new(plan::SECRETS_DIR).join(worker.file_stem());
    let data = found.and_then(|secret| secret.data).unwrap_or_default();
    let file = |(key, value): (String, k8s_openapi::ByteString)| SecretFile {
        path: directory.join(key),
        contents: SecretSlice::from(value.0),
    };
    Ok(data.into_iter().map(file).collect())
}

/// The Sinks that have committed before, as their statuses remember.
fn begun(sinks: &[Arc<Sink>]) -> BTreeSet<String> {
    let begun = sinks.iter().filter(|sink| sink.status.as_ref().is_some_and(|status| status.begun));
    begun.map(|sink| name_of(&**sink).to_string()).collect()
}

/// A resource as the owner of what is made for it. It does not hold up who deletes it in the foreground: what is made for its end
/// comes after that has begun.
pub fn owner<K: Resource<DynamicType = ()>>(
    resource: &K,
) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
    let mut owner = resource.controller_owner_ref(&()).unwrap_or_default();
    owner.block_owner_deletion = None;
    owner
}
