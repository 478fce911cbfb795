//! What the Job of a retirement reads, made before anything else that a deletion changes: the credentials may go with it.

use std::collections::BTreeSet;
use std::path::Path;

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::names::{DEFAULT_POOL, ResourceName, WorkerName};
use afterbay_crds::resolve::deleted::RetiredSlots;
use afterbay_crds::resolve::{ResolveSettings, SecretFile, deleted};
use afterbay_crds::retirement::{RETIREMENT_VERSION, RetirementPlan};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use secrecy::ExposeSecret as _;

use super::{retained, slots};
use crate::cluster::context::{Context, Failure};
use crate::cluster::labels;
use crate::cluster::objects::retirement::Retired;
use crate::cluster::objects::{names, plan};
use crate::cluster::source::{current_workers, secret_files};
use crate::cluster::stores::{Key, name_of};

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
    /// It is not known what there is: none can be made before somebody has looked.
    Unclear,
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
    let manifests = slots::gather(context, source).await?;
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
    /// It has had workers, and nothing tells of their slots any more. With this its database can be asked for them.
    Unclear(Box<RetiredSlots>),
}

/// Makes those of a SourceConnector, if they are not there, or if others have, or need, by now what they did not.
pub async fn of_source(context: &Context, source: &SourceConnector, retired: &Retired<'_>) -> Result<Papers, Failure> {
    let name = retired.name.sibling(&retired.job_name());
    let Some(kept) = context.stores.config_maps.get(&name) else {
        let own = match find(context, source, retired.name, Path::new(plan::SECRETS_DIR)).await? {
            Found::Nothing => return Ok(Papers::Needless),
            Found::Impossible(why) => return Ok(Papers::Impossible(why)),
            Found::Unclear(_) => return Ok(Papers::Unclear),
            Found::Own(own) => own,
        };
        let plan = RetirementPlan { version: RETIREMENT_VERSION, sinks: Vec::new(), sources: vec![own.plan] };
        return write(context, retired, &plan, &own.secrets).await;
    };
    if let Some(why) = is_unclear(context) {
        return Ok(Papers::Impossible(why));
    }
    if context.stores.jobs.get(&name).is_none() {
        correct(context, source, retired, &kept).await?;
    }
    Ok(Papers::There)
}

/// Has papers say what is to be taken away as things are now: they may be of long before. How that is done stays as it was when there was
/// all that it takes.
async fn correct(
    context: &Context,
    source: &SourceConnector,
    retired: &Retired<'_>,
    kept: &ConfigMap,
) -> Result<(), Failure> {
    let Some(mut plan) = slots::plan_of(kept) else { return Ok(()) };
    let slots = slots::of(context, source, retired.name);
    let manifests = slots::gather_end(context, source).await?;
    let own = deleted::source(&manifests, &settings(context), retired.name, slots);
    let ([kept_source], Some(RetiredSlots { plan: own, .. })) = (&mut plan.sources[..], own) else { return Ok(()) };
    if kept_source.slots == own.slots && kept_source.publication == own.publication {
        return Ok(());
    }
    (kept_source.slots, kept_source.publication) = (own.slots, own.publication);
    if let Ok(papers) = retired.papers(&plan, &[]) {
        tracing::info!(source = %retired.name, "what goes with it has changed since it was deleted");
        context.delete::<ConfigMap>(kept).await?;
        context.create(false, &papers.plan).await?;
    }
    Ok(())
}

/// What there is of a SourceConnector, with its files below this directory.
pub async fn find(
    context: &Context,
    source: &SourceConnector,
    name: &ResourceName,
    secrets_dir: &Path,
) -> Result<Found, Failure> {
    let slots = slots::of(context, source, name);
    let is_known = !slots.is_empty();
    // Nobody has made a slot or a publication.
    if !is_known && !slots::may_be_forgotten(context, source) {
        return Ok(Found::Nothing);
    }
    if let Some(why) = is_unclear(context) {
        return Ok(Found::Impossible(why));
    }
    let manifests = slots::gather_end(context, source).await?;
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
    let papers = slots::papers_of(source, name);
    Ok(match complete(context, &mut own.secrets, &worker, hash, &papers).await? {
        Some(missing) => Found::Impossible(missing),
        None if is_known => Found::Own(Box::new(own)),
        None => Found::Unclear(Box::new(own)),
    })
}

/// Of slots those that no other SourceConnector has.
pub async fn not_inherited(
    context: &Context,
    source: &SourceConnector,
    name: &ResourceName,
    slots: BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    let manifests = slots::gather_end(context, source).await?;
    let own = deleted::slots(&manifests, &settings(context), name, slots, false);
    Ok(own.map(|own| own.plan.slots).unwrap_or_default())
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
    match complete(context, &mut files, worker, secrets_hash, &retired.job_name()).await? {
        Some(missing) => Ok(Papers::Impossible(missing)),
        None => write(context, retired, plan, &files).await,
    }
}

/// Gives files what the worker's own Secret has of them, or that of `papers`, where users' Secrets are not known any more; what is missing
/// still, in words.
async fn complete(
    context: &Context,
    files: &mut [SecretFile],
    worker: &WorkerName,
    secrets_hash: Option<String>,
    papers: &str,
) -> Result<Option<String>, Failure> {
    let current = secrets_hash.filter(|hash| !hash.is_empty()).map(|hash| names::secrets(worker, &hash));
    let secrets = [current, any_secret(context, worker), Some(papers.to_owned())];
    for secret in secrets.into_iter().flatten() {
        if !files.iter().any(is_empty) {
            break;
        }
        // The users' Secret has gone before: these have what it was given.
        let kept = secret_files(context, &worker.source.sibling(&secret), worker).await?;
        for file in files.iter_mut().filter(|file| is_empty(file)) {
            if let Some(kept) = kept.iter().find(|kept| kept.path.file_name() == file.path.file_name()) {
                file.contents = kept.contents.clone();
            }
        }
    }
    Ok(files.iter().find(|file| is_empty(file)).map(|missing| {
        let file = missing.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("the Secret of {file} is not there any more")
    }))
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

/// A Secret of a worker whose Deployment has gone: the youngest, as there may be some of before.
fn any_secret(context: &Context, worker: &WorkerName) -> Option<String> {
    let secrets = context.stores.secrets.shelf.by(&Key::Source(worker.source.clone()));
    let own = secrets.iter().filter(|secret| secret.labels().contains_key(labels::POOL));
    let youngest = own.max_by_key(|secret| secret.metadata.creation_timestamp.as_ref().map(|made| made.0))?;
    Some(youngest.name_any())
}

/// What papers are resolved with.
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
