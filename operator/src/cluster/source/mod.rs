//! The reconciler of SourceConnectors: all that their workers need, in the phases of `docs/design/0011-operator.md`. What it finds out goes
//! to the board; of what its workers do, it decides by what the cluster has and not by what it remembers.

mod carried;
mod patterns;
mod provide;
mod rollout;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::manifest::{Kind, Manifests};
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{ResolveSettings, SecretFile, Worker, handshake, resolve};
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use secrecy::SecretSlice;

pub use carried::{Current, plan as plan_of_hash, workers as current_workers};

use super::board::{SinkFacts, SourceFacts, WorkerFacts};
use super::context::{Context, Failure};
use super::objects::{self, ObjectsError, deployment, names, plan};
use super::queue::Next;
use super::scratch::Folder;
use super::stores::{Gathered, Key, name_of, worker_of};
use super::{finalize, labels, retire};
use crate::dereference;
use patterns::Looks;
use provide::{Handshake, Provided};
use verdict::Verdict;

/// No SourceConnector is looked at more often than this by itself.
const SOONEST: Duration = Duration::from_secs(1);

/// What is remembered of SourceConnectors between two looks: only to ask other systems less often.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<ResourceName, Arc<tokio::sync::Mutex<Memory>>>>);

#[derive(Default)]
struct Memory {
    workers: HashMap<WorkerName, WorkerMemory>,
    handshake: Option<Handshake>,
}

#[derive(Default)]
struct WorkerMemory {
    provided: Option<Provided>,
    looks: Looks,
}

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

impl Memories {
    fn of(&self, name: &ResourceName) -> Arc<tokio::sync::Mutex<Memory>> {
        Arc::clone(self.lock().entry(name.clone()).or_default())
    }

    fn forget(&self, name: &ResourceName) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceName, Arc<tokio::sync::Mutex<Memory>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    if finalize::is_going(&*source) && sinks.is_empty() {
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
    look.tell_sinks();
    let again = if verdict.source.is_fine() {
        look.workers(&mut memory).await?
    } else {
        look.others(&BTreeSet::new()).await?;
        None
    };
    let (handshake, asked_again) = look.handshake(&mut memory).await?;
    let facts = SourceFacts {
        invalid: verdict.source.invalid.clone(),
        waiting_for: verdict.source.waiting_for.clone(),
        handshake,
        deletion: finalize::is_going(&*source).then(|| held_by(&sinks)),
    };
    context.board.set_source(name, Some(facts));
    let again = [again, asked_again].into_iter().flatten().min();
    Ok(again.map_or(Next::Settled, |pause| Next::After(pause.max(SOONEST))))
}

/// The last of its Sinks has gone: its workers go, and then it.
async fn end(context: &Context, name: &ResourceName, source: &Arc<SourceConnector>) -> Result<Next, Failure> {
    prepare_end(context, source).await?;
    for worker in pools(context, name) {
        rollout::remove(context, &worker).await?;
    }
    let next = retire::source(context, source).await?;
    if next == Next::Never {
        forget(context, name);
    }
    Ok(next)
}

async fn prepare_end(context: &Context, source: &SourceConnector) -> Result<(), Failure> {
    match retire::prepare_source(context, source).await {
        // That is told at its end.
        Err(failure) if failure.is_namespace_ending() => Ok(()),
        prepared => prepared,
    }
}

fn forget(context: &Context, name: &ResourceName) {
    context.memories.forget(name);
    for worker in context.board.workers(name) {
        context.board.remove_worker(&worker);
    }
    context.board.set_source(name, None);
}

/// Why a SourceConnector that is deleted is still there.
fn held_by(sinks: &[Arc<Sink>]) -> String {
    let names: Vec<_> = sinks.iter().map(|sink| name_of(&**sink)).collect();
    format!("it goes once its Sinks have gone: {}", finalize::in_words("Sink", &names))
}

fn wait_for_source(context: &Context, source: &ResourceName, sink: &Sink) {
    if finalize::is_going(sink) {
        return;
    }
    let facts = SinkFacts {
        worker: None,
        invalid: Vec::new(),
        waiting_for: Some(format!("{} {source}", Kind::SourceConnector.as_str())),
        deletion: None,
    };
    context.board.set_sink(&name_of(sink), Some(facts));
}

impl Look<'_> {
    /// Says of each Sink what was found.
    fn tell_sinks(&self) {
        let of_source = self.verdict.source.waiting_for.as_ref();
        let of_source =
            of_source.map(|what| format!("{what}, which {} {} names", Kind::SourceConnector.as_str(), self.name));
        for (sink, findings) in &self.verdict.sinks {
            let Some(found) = self.gathered.manifests.sinks.get(sink) else { continue };
            let worker = WorkerName { source: self.name.clone(), pool: found.spec.pool.clone() };
            self.context.board.set_sink(
                sink,
                Some(SinkFacts {
                    worker: Some(worker),
                    invalid: findings.invalid.clone(),
                    // What the source waits for, none of its Sinks begins without.
                    waiting_for: findings.waiting_for.clone().or_else(|| of_source.clone()),
                    deletion: None,
                }),
            );
        }
    }

    /// Has the workers be as they are wanted; when to look again, if not only when something changes.
    async fn workers(&self, memory: &mut Memory) -> Result<Option<Duration>, Failure> {
        let manifests = &self.gathered.manifests;
        let pods = self.resolve(manifests, plan::SECRETS_DIR.into());
        let scratch = self.context.scratch.folder()?;
        let own = self.resolve(manifests, scratch.path().to_owned());
        let mut again = None;
        let mut seen = BTreeSet::new();
        for (worker, own) in pods.into_iter().zip(own) {
            seen.insert(worker.name.clone());
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

    /// A worker goes on as it was, but for Sinks that are gone.
    async fn as_it_was(&self, current: &Current) -> Result<(), Failure> {
        let held = current.plan.as_ref().map(|plan| self.held(plan)).unwrap_or_default();
        let slot = current.plan.as_ref().map(|plan| plan.source.slot.clone()).unwrap_or_default();
        let facts = Self::facts(&current.name, Some(current), &slot);
        let Some(mut worker) = current.plan.clone().map(|plan| carried::worker(&current.name, plan)) else {
            self.context.board.set_worker(facts);
            return Ok(());
        };
        let before = worker.plan.sinks.len();
        carried::leave_out(&mut worker, |sink| !held.contains(sink));
        if worker.plan.sinks.len() == before {
            self.context.board.set_worker(facts);
            return Ok(());
        }
        if worker.plan.sinks.is_empty() {
            return rollout::lay_down(self.context, &current.name).await;
        }
        if !current.secrets_hash.is_empty() {
            let secret = self.name.sibling(&names::secrets(&current.name, &current.secrets_hash));
            worker.secrets = secret_files(self.context, &secret, &current.name).await?;
        }
        self.roll_out(worker, facts).await
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

    /// One worker: its tables, what it needs, its objects.
    async fn worker(
        &self,
        memory: &mut WorkerMemory,
        mut worker: Worker,
        mut own: Worker,
        scratch: &Folder,
    ) -> Result<Option<Duration>, Failure> {
        let context = self.context;
        scratch.keep(&own.secrets)?;
        let name = worker.name.clone();
        let current = self.current.iter().find(|current| current.name == name);
        let current_plan = current.and_then(|current| self.with_begun(current));
        let report = context.board.worker(&name).report;
        let mut facts = Self::facts(&name, current, &worker.plan.source.slot);
        let looked =
            patterns::carry(&mut memory.looks, &mut worker, &mut own, current_plan.as_ref(), report.as_deref()).await;
        let look = match (looked, &current_plan) {
            (Ok(look), _) => look,
            (Err(problem), Some(plan)) => {
                patterns::carry_on(&mut worker, &mut own, plan);
                facts.problems.push((format!("source {name}"), problem));
                patterns::Look { again: Some(patterns::INTERVAL), ..patterns::Look::default() }
            }
            // Without the tables there is no plan.
            (Err(problem), None) => {
                facts.problems.push((format!("source {name}"), problem));
                context.board.set_worker(facts);
                return Ok(Some(patterns::INTERVAL));
            }
        };
        let (outcome, writes) = provide::provide(&mut memory.provided, &worker, &own).await;
        for (kind, count) in writes {
            (0..count).for_each(|_| context.metrics.broker_write(kind));
        }
        facts.is_provided = true;
        facts.problems.extend(outcome.problems.iter().cloned());
        facts.warnings = outcome.warnings.iter().cloned().chain(look.warnings).collect();
        let connections: BTreeMap<_, _> =
            worker.plan.sinks.iter().map(|sink| (sink.name.clone(), sink.kafka.connection.name.clone())).collect();
        let forbidden = |sink: &str| {
            let connection = connections.get(sink).map(String::as_str).unwrap_or_default();
            outcome.forbidden.contains(&format!("sink {sink}"))
                || outcome.forbidden.contains(&format!("connection {connection}"))
        };
        carried::leave_out(&mut worker, forbidden);
        if let (Some(current), Some(plan)) = (current, &current.and_then(|current| current.plan.clone())) {
            self.keep(&mut worker, current, plan).await?;
        }
        if worker.plan.sinks.is_empty() {
            context.board.set_worker(facts);
        } else {
            self.roll_out(worker, facts).await?;
        }
        let due = provide::due_in(memory.provided.as_ref());
        Ok([look.again, due].into_iter().flatten().min())
    }

    /// Has Sinks go on as they were that are carried, are still there, and have no place in the new plan.
    async fn keep(
        &self,
        worker: &mut Worker,
        current: &Current,
        plan: &afterbay_crds::plan::Plan,
    ) -> Result<(), Failure> {
        let held = self.held(plan);
        let before = worker.plan.sinks.len();
        carried::keep(worker, plan, &held);
        if worker.plan.sinks.len() == before || current.secrets_hash.is_empty() {
            return Ok(());
        }
        // With the credentials that they have.
        let secret = names::secrets(&current.name, &current.secrets_hash);
        for file in secret_files(self.context, &self.name.sibling(&secret), &current.name).await? {
            if !worker.secrets.iter().any(|known| known.path == file.path) {
                worker.secrets.push(file);
            }
        }
        Ok(())
    }

    async fn roll_out(&self, worker: Worker, mut facts: WorkerFacts) -> Result<(), Failure> {
        let owner = owner(self.source);
        facts.sinks = worker.sinks.iter().map(|sink| sink.name.clone()).collect();
        let objects = match objects::of_worker(
            &worker,
            &self.source.spec.worker,
            &self.begun,
            &owner,
            &self.context.settings.worker,
        ) {
            Ok(objects) => objects,
            Err(error) => {
                facts.problems.push((format!("source {}", worker.name), not_made(&worker.name, &error)));
                self.context.board.set_worker(facts);
                return Ok(());
            }
        };
        facts.plan_hash = Some(objects.plan_hash.clone());
        self.context.board.set_worker(facts);
        rollout::apply(self.context, &objects).await?;
        rollout::remove_old(self.context, &worker.name, &objects).await
    }

    fn facts(name: &WorkerName, current: Option<&Current>, slot: &str) -> WorkerFacts {
        let sinks = current.and_then(|current| current.plan.as_ref()).into_iter().flat_map(|plan| &plan.sinks);
        let sinks = sinks.filter_map(|sink| sink.name.split_once('/'));
        WorkerFacts {
            name: name.clone(),
            deployment: names::deployment(name),
            slot: slot.to_owned(),
            plan_hash: current.map(|current| current.plan_hash.clone()),
            sinks: sinks.map(|(namespace, name)| ResourceName::new(namespace, name)).collect(),
            is_provided: false,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether a Sink is there that cannot be read: it is carried on as it was.
    fn is_unreadable(&self, sink: &str) -> bool {
        let name = sink.split_once('/').map(|(namespace, name)| ResourceName::new(namespace, name));
        name.is_some_and(|name| self.context.stores.sinks.is_unreadable(&name))
    }

    /// The Sinks that are there: its own, and those of a plan that cannot be read.
    fn held(&self, plan: &afterbay_crds::plan::Plan) -> BTreeSet<String> {
        let unreadable = plan.sinks.iter().filter(|sink| self.is_unreadable(&sink.name));
        let own = self.gathered.sinks.iter().map(ToString::to_string);
        own.chain(unreadable.map(|sink| sink.name.clone())).collect()
    }

    /// The plan that a worker runs, with what is known of its Sinks since.
    fn with_begun(&self, current: &Current) -> Option<afterbay_crds::plan::Plan> {
        let mut plan = current.plan.clone()?;
        for sink in &mut plan.sinks {
            sink.begun = self.begun.contains(&sink.name);
        }
        Some(plan)
    }

    /// What the database says, where no worker asks it; and when to ask again.
    async fn handshake(&self, memory: &mut Memory) -> Result<(Option<Result<(), Problem>>, Option<Duration>), Failure> {
        let has_worker = !self.current.is_empty() || !memory.workers.is_empty();
        if has_worker || !self.verdict.source.is_fine() {
            memory.handshake = None;
            return Ok((None, None));
        }
        let manifests = &self.gathered.manifests;
        let scratch = self.context.scratch.folder()?;
        let alike = handshake::postgres(manifests, &self.settings(plan::SECRETS_DIR.into()), self.name);
        let found = handshake::postgres(manifests, &self.settings(scratch.path().to_owned()), self.name);
        let (Some(alike), Some(found)) = (alike, found) else { return Ok((None, None)) };
        scratch.keep(&found.secrets)?;
        let handshake = provide::ask(&mut memory.handshake, &alike, &found.connection).await;
        Ok((Some(handshake.answer.clone()), Some(handshake.due_in())))
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

fn not_made(worker: &WorkerName, error: &ObjectsError) -> Problem {
    let hint = match error {
        ObjectsError::TooLarge { .. } => {
            "spread its Sinks over several pools (spec.pool), or carry fewer tables; what runs goes on as it is"
        }
        _ => "please report it; what runs goes on as it is",
    };
    Reason::PlanInvalid.problem(format!("worker {worker} cannot be given its plan: {error}"), hint)
}
