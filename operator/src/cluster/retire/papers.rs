//! What the Job of a retirement reads, made before anything else that a deletion changes: the credentials may go with it.

use std::collections::BTreeSet;
use std::path::Path;

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::manifest::Manifests;
use afterbay_crds::names::{DEFAULT_POOL, ResourceName, WorkerName};
use afterbay_crds::resolve::deleted::RetiredSlots;
use afterbay_crds::resolve::{ResolveSettings, SecretFile, deleted};
use afterbay_crds::retirement::{RETIREMENT_VERSION, RetirementPlan};
use kube::ResourceExt;
use secrecy::ExposeSecret as _;

use super::retained;
use crate::cluster::context::{Context, Failure};
use crate::cluster::labels;
use crate::cluster::objects::retirement::Retired;
use crate::cluster::objects::{names, plan};
use crate::cluster::source::{current_workers, secret_files};
use crate::cluster::stores::{Key, name_of, worker_of};

/// What there is for a Job to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Papers {
    /// They are there.
    There,
    /// Nothing has ever run, so there is nothing to take away.
    Needless,
    /// They cannot be made: why.
    Impossible(String),
    /// There is nothing that may be taken away: this SourceConnector has it.
    Inherited(ResourceName),
}

/// Makes those of a Sink, if they are not there.
pub async fn of_sink(context: &Context, sink: &Sink, retired: &Retired<'_>) -> Result<Papers, Failure> {
    if is_there(context, retired) {
        return Ok(Papers::There);
    }
    let name = retired.name;
    if !has_run(context, sink) {
        return Ok(Papers::Needless);
    }
    let worker = worker_of_sink(sink);
    let current = current_workers(&context.stores, &worker.source).into_iter().find(|current| current.name == worker);
    let manifests = context.gather_going(sink).await?;
    let Some((plan, files)) = deleted::sink(&manifests, &settings(context), name) else {
        let connection = name.sibling(&sink.spec.kafka.connection);
        return Ok(Papers::Impossible(format!("KafkaConnection {connection} is not there any more")));
    };
    let plan = RetirementPlan { version: RETIREMENT_VERSION, sinks: vec![plan], sources: Vec::new() };
    make(context, retired, &plan, files, &worker, current.map(|current| current.secrets_hash)).await
}

/// The worker of a Sink.
pub fn worker_of_sink(sink: &Sink) -> WorkerName {
    WorkerName { source: name_of(sink).sibling(&sink.spec.source.name), pool: sink.spec.pool.clone() }
}

/// Whether a Sink has, or may have, a progress record: it has begun, a worker carries it, or one of its name went without it.
pub fn has_run(context: &Context, sink: &Sink) -> bool {
    let (name, worker) = (name_of(sink), worker_of_sink(sink));
    let has_begun = sink.status.as_ref().is_some_and(|status| status.begun);
    let current = current_workers(&context.stores, &worker.source).into_iter().find(|current| current.name == worker);
    // The board knows of a plan before the stores have heard of it.
    let facts = context.board.worker(&worker).facts;
    has_begun
        || current.is_some_and(|current| current.has(&name))
        || facts.is_some_and(|facts| facts.plan_hash.is_some() && facts.sinks.contains(&name))
        // In a life before this one, of which a record waits.
        || retained::waits(context, &worker, &name)
}

/// Makes those of a pool without Sinks, if they are not there: they take its slot, and with the last pool the publication.
pub async fn of_pool(
    context: &Context,
    source: &SourceConnector,
    retired: &Retired<'_>,
    slot: &str,
    is_last: bool,
) -> Result<Papers, Failure> {
    if let Some(why) = is_unclear(context) {
        return Ok(Papers::Impossible(why));
    }
    let manifests = gather_source(context, source).await?;
    let slots = [slot.to_owned()].into();
    let Some(own) = deleted::slots(&manifests, &settings(context), retired.name, slots, is_last) else {
        return Ok(Papers::Impossible(format!("SourceConnector {} is not there any more", retired.name)));
    };
    if let Some(heir) = own.inherited.into_values().next() {
        return Ok(Papers::Inherited(heir));
    }
    if is_there(context, retired) {
        return Ok(Papers::There);
    }
    let plan = RetirementPlan { version: RETIREMENT_VERSION, sinks: Vec::new(), sources: vec![own.plan] };
    make(context, retired, &plan, own.secrets, &of_default_pool(retired.name), None).await
}

/// The worker for which the files of a SourceConnector are named.
pub fn of_default_pool(source: &ResourceName) -> WorkerName {
    WorkerName { source: source.clone(), pool: DEFAULT_POOL.to_owned() }
}

/// What there is of a SourceConnector that is at its end, and with what it is taken away.
pub enum Found {
    /// Nothing: no worker of it has ever been made.
    Nothing,
    /// It is not known what may go, or with what: why.
    Impossible(String),
    /// This.
    Own(Box<RetiredSlots>),
}

/// Makes those of a SourceConnector, if they are not there.
pub async fn of_source(context: &Context, source: &SourceConnector, retired: &Retired<'_>) -> Result<Papers, Failure> {
    if is_there(context, retired) {
        return Ok(is_unclear(context).map_or(Papers::There, Papers::Impossible));
    }
    let own = match find(context, source, retired.name, Path::new(plan::SECRETS_DIR)).await? {
        Found::Nothing => return Ok(Papers::Needless),
        Found::Impossible(why) => return Ok(Papers::Impossible(why)),
        Found::Own(own) => own,
    };
    let plan = RetirementPlan { version: RETIREMENT_VERSION, sinks: Vec::new(), sources: vec![own.plan] };
    write(context, retired, &plan, &own.secrets).await
}

/// What there is of a SourceConnector, with its files below this directory.
pub async fn find(
    context: &Context,
    source: &SourceConnector,
    name: &ResourceName,
    secrets_dir: &Path,
) -> Result<Found, Failure> {
    let slots = slots(context, source, name);
    // Nobody has made a slot or a publication.
    if slots.is_empty() {
        return Ok(Found::Nothing);
    }
    if let Some(why) = is_unclear(context) {
        return Ok(Found::Impossible(why));
    }
    let manifests = gather_source(context, source).await?;
    let settings = ResolveSettings { secrets_dir: secrets_dir.to_owned(), ..settings(context) };
    let Some(mut own) = deleted::source(&manifests, &settings, name, slots) else { return Ok(Found::Nothing) };
    for (slot, heir) in &own.inherited {
        tracing::info!(slot, source = %name, "it stays, as SourceConnector {heir} has it");
    }
    let workers = current_workers(&context.stores, name);
    let hash = workers.first().map(|current| current.secrets_hash.clone());
    let worker = workers.into_iter().next().map(|current| current.name);
    // Its own files are the same in each of its workers' Secrets.
    let worker = worker.unwrap_or_else(|| of_default_pool(name));
    Ok(match complete(context, &mut own.secrets, &worker, hash).await? {
        Some(missing) => Found::Impossible(missing),
        None => Found::Own(Box::new(own)),
    })
}

/// Has the cluster's memory of a SourceConnector's slots outlive what tells of them.
pub fn recall(context: &Context, source: &SourceConnector) {
    context.recalled.learn(source, of_objects(context, source, &name_of(source)), of_status(source));
}

/// Any SourceConnector, wherever it is, may have the slot: while one cannot be read, none is dropped.
fn is_unclear(context: &Context) -> Option<String> {
    let unreadable = context.stores.sources.unreadable()?;
    Some(format!(
        "SourceConnector {unreadable} cannot be read, and may have it too; upgrade the operator, or correct that one"
    ))
}

async fn make(
    context: &Context,
    retired: &Retired<'_>,
    plan: &RetirementPlan,
    mut files: Vec<SecretFile>,
    worker: &WorkerName,
    secrets_hash: Option<String>,
) -> Result<Papers, Failure> {
    match complete(context, &mut files, worker, secrets_hash).await? {
        Some(missing) => Ok(Papers::Impossible(missing)),
        None => write(context, retired, plan, &files).await,
    }
}

/// Gives files what the worker's own Secret has of them, where users' Secrets are not known any more; what is missing still, in words.
async fn complete(
    context: &Context,
    files: &mut [SecretFile],
    worker: &WorkerName,
    secrets_hash: Option<String>,
) -> Result<Option<String>, Failure> {
    if files.iter().any(is_empty) {
        // The users' Secret has gone before: the worker's own has what it was given.
        let secret = secrets_hash.filter(|hash| !hash.is_empty()).map(|hash| names::secrets(worker, &hash));
        let secret = secret.or_else(|| any_secret(context, worker));
        let kept = match secret {
            Some(secret) => secret_files(context, &worker.source.sibling(&secret), worker).await?,
            None => Vec::new(),
        };
        for file in files.iter_mut().filter(|file| is_empty(file)) {
            if let Some(kept) = kept.iter().find(|kept| kept.path.file_name() == file.path.file_name()) {
                file.contents = kept.contents.clone();
            }
        }
        if let Some(missing) = files.iter().find(|file| is_empty(file)) {
            let file = missing.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Some(format!("the Secret of {file} is not there any more")));
        }
    }
    Ok(None)
}

async fn write(
    context: &Context,
    retired: &Retired<'_>,
    plan: &RetirementPlan,
    files: &[SecretFile],
) -> Result<Papers, Failure> {
    let papers = match retired.papers(plan, files) {
        Ok(papers) => papers,
        Err(error) => return Ok(Papers::Impossible(error.to_string())),
    };
    // The Secret first: by the ConfigMap it is known that both are there.
    if let Some(secrets) = &papers.secrets {
        context.create(context.stores.secrets.has(&name_of(secrets)), secrets).await?;
    }
    context.create(false, &papers.plan).await?;
    Ok(Papers::There)
}

fn is_there(context: &Context, retired: &Retired<'_>) -> bool {
    let name = retired.name.sibling(&retired.job_name());
    context.stores.config_maps.get(&name).is_some()
}

/// Where the files of papers stand.
pub struct Files {
    /// Their directory; none where the papers name none.
    pub directory: Option<String>,
}

/// Where the files stand that papers name. None where the stores have not heard of the papers yet.
pub fn files(context: &Context, retired: &Retired<'_>, worker: &WorkerName) -> Option<Files> {
    let name = retired.name.sibling(&retired.job_name());
    let config_map = context.stores.config_maps.get(&name)?;
    let directory = Path::new(plan::SECRETS_DIR).join(worker.file_stem()).display().to_string();
    let plan = config_map.data.as_ref().and_then(|data| data.get(plan::PLAN_FILE));
    Some(Files { directory: plan.is_some_and(|plan| plan.contains(&directory)).then_some(directory) })
}

/// The slots of all workers that a SourceConnector has had, as far as the cluster remembers, or this operator.
fn slots(context: &Context, source: &SourceConnector, name: &ResourceName) -> BTreeSet<String> {
    let told = of_objects(context, source, name).into_iter().chain(of_status(source)).map(|(_, slot)| slot);
    told.chain(context.recalled.of(source)).filter(|slot| !slot.is_empty()).collect()
}

/// Pools and slots that the objects of workers tell of, as they are now. Those of one that had its name before may be there for a while.
fn of_objects(context: &Context, source: &SourceConnector, name: &ResourceName) -> Vec<(String, String)> {
    let key = Key::Source(name.clone());
    let uid = source.uid();
    let base = afterbay_crds::names::slot(source.spec.postgres.slot.name.as_deref(), name);
    let deployments = context.stores.deployments.by(&key);
    let workers = deployments.iter().filter(|object| is_owned(&***object, uid.as_deref()));
    let workers = workers.filter_map(|object| worker_of(&**object));
    let workers = workers.map(|worker| (worker.pool.clone(), worker.slot(&base)));
    let config_maps = context.stores.config_maps.by(&key);
    let kept = config_maps.iter().filter(|object| is_owned(&***object, uid.as_deref())).filter_map(|object| {
        let slot = object.annotations().get(names::SLOT_ANNOTATION)?;
        Some((object.labels().get(labels::POOL).cloned().unwrap_or_default(), slot.clone()))
    });
    workers.chain(kept).collect()
}

fn is_owned(object: &impl ResourceExt, owner: Option<&str>) -> bool {
    object.owner_references().iter().any(|reference| Some(reference.uid.as_str()) == owner)
}

/// Those of the status, which may be of before.
fn of_status(source: &SourceConnector) -> Vec<(String, String)> {
    let workers = source.status.iter().flat_map(|status| &status.workers);
    workers.map(|worker| (worker.pool.clone(), worker.slot.clone())).collect()
}

/// A Secret of a worker whose Deployment has gone.
fn any_secret(context: &Context, worker: &WorkerName) -> Option<String> {
    let secrets = context.stores.secrets.shelf.by(&Key::Source(worker.source.clone()));
    let own = secrets.iter().find(|secret| secret.labels().contains_key(labels::POOL))?;
    Some(own.name_any())
}

/// A SourceConnector with all others of its database, any of which may have its slot or publication.
async fn gather_source(context: &Context, source: &SourceConnector) -> Result<Manifests, Failure> {
    let name = name_of(source);
    context.stores.secrets.load(&context.client, &context.stores.secrets_for_source(&name)).await?;
    let mut manifests = context.stores.gather_database(source);
    for other in manifests.sources.keys().filter(|other| **other != name) {
        if let Some(found) = context.stores.sources.get(other) {
            manifests.slots.insert(other.clone(), slots(context, &found, other));
        }
    }
    Ok(manifests)
}

pub(super) fn settings(context: &Context) -> ResolveSettings {
    ResolveSettings {
        instance: context.settings.instance.clone(),
        secrets_dir: plan::SECRETS_DIR.into(),
        listen: String::new(),
        begun: BTreeSet::new(),
    }
}

/// A value of a Secret is never empty: validation refuses it.
fn is_empty(file: &SecretFile) -> bool {
    file.contents.expose_secret().iter().all(u8::is_ascii_whitespace)
}
