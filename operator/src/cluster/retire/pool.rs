//! The slot of a pool whose last Sink has gone, and with the last pool the managed publication: a Job drops them, as at the end of a
//! SourceConnector.
//!
//! What is left of such a pool is the list of its Sinks that have begun. The Job and what it reads are named for this life of it, and go
//! with it; it goes when they are through. So an operator that is killed at any moment finds out from the cluster how far it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use afterbay_crds::api::SourceConnector;
use afterbay_crds::names::{ResourceName, WorkerName};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;

use super::papers::{self, Papers};
pub use super::progress::Progress;
use super::progress::{GONE, are_strays, first, is_lost, is_past, of_job};
use super::{fresh, labels, owner};
use crate::cluster::context::{Context, Failure};
use crate::cluster::objects::names;
use crate::cluster::objects::retirement::Retired;
use crate::cluster::status::kept::Why;
use crate::cluster::stores::{Key, name_of, worker_of};

/// What a Job takes: the slot, or with the last pool the publication, too. Each has Jobs of its own, so that none takes more than is meant
/// when it is made.
const POOL: &str = "Pool";
const LAST_POOL: &str = "LastPool";

/// What there is of a pool that has, or has had, a worker.
#[derive(Clone, Debug)]
pub struct Left {
    /// The pool.
    pub worker: WorkerName,
    /// Its slot.
    pub slot: String,
    /// The list of its Sinks that have begun.
    pub begun: Arc<ConfigMap>,
}

/// What came of having a Job made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is there, or about to be.
    Going,
    /// The API server has it otherwise than the stores: it is to be looked at again.
    NotNow,
    /// The slot stays.
    Kept(Why),
}

/// The pools of a SourceConnector.
pub fn all(context: &Context, source: &ResourceName) -> Vec<Left> {
    let config_maps = context.stores.config_maps.by(&Key::Source(source.clone()));
    let left = config_maps.into_iter().filter_map(|begun| {
        let slot = begun.annotations().get(names::SLOT_ANNOTATION).filter(|slot| !slot.is_empty())?.clone();
        Some(Left { worker: worker_of(&*begun)?, slot, begun })
    });
    left.collect()
}

/// Whether a pod may still read the slot of a worker, or one may be made that will.
pub fn may_be_read(context: &Context, worker: &WorkerName) -> bool {
    let key = Key::Source(worker.source.clone());
    let deployments = context.stores.deployments.by(&key);
    let pods = context.stores.pods.by(&key);
    deployments.iter().any(|deployment| worker_of(&**deployment).as_ref() == Some(worker))
        || pods.iter().any(|pod| worker_of(&**pod).as_ref() == Some(worker) && !is_lost(pod))
}

/// Whether a Job of a SourceConnector, or a pod of one, works that is none of those of these pools: what it was made for has gone, or the
/// stores have not heard of it.
pub fn has_strays(context: &Context, source: &ResourceName, all: &[Left]) -> bool {
    let key = Key::Source(source.clone());
    let jobs = context.stores.jobs.by(&key);
    let own: BTreeSet<_> = all.iter().flat_map(Left::jobs).map(|job| job.name).collect();
    are_strays(&jobs, &context.stores.pods.by(&key), &own)
}

impl Left {
    /// The Jobs that there can be.
    fn jobs(&self) -> [ResourceName; 2] {
        let uid = self.begun.uid().unwrap_or_default();
        let source = &self.worker.source;
        [POOL, LAST_POOL].map(|kind| source.sibling(&names::retirement(kind, source, &uid)))
    }

    /// Whether this is one of its Jobs.
    pub fn has_job(&self, job: &ResourceName) -> bool {
        self.jobs().contains(job)
    }

    /// How far its Job is; `made` are those that the stores may not have heard of.
    pub fn progress(&self, context: &Context, made: &BTreeSet<ResourceName>) -> Progress {
        self.jobs().iter().map(|job| progress(context, made, job)).fold(Progress::None, first)
    }

    /// Whether the publication is being dropped: nobody may begin in any pool.
    pub fn takes_publication(&self, context: &Context, made: &BTreeSet<ResourceName>) -> bool {
        progress(context, made, &self.jobs()[1]) == Progress::Working
    }

    /// Has a Job drop the slot, and with the last pool the publication. `made` gets to know of it before anybody else.
    pub async fn begin(
        &self,
        context: &Context,
        source: &SourceConnector,
        is_last: bool,
        made: &mut BTreeSet<ResourceName>,
    ) -> Result<Begun, Failure> {
        let owner = owner(&*self.begun);
        let retired = self.retired(is_last, &owner);
        let begun = self.make(context, source, &retired, is_last, made).await;
        match begun {
            Err(failure) if failure.is_denial() => self.denied(context, &failure).await,
            begun => begun,
        }
    }

    async fn make(
        &self,
        context: &Context,
        source: &SourceConnector,
        retired: &Retired<'_>,
        is_last: bool,
        made: &mut BTreeSet<ResourceName>,
    ) -> Result<Begun, Failure> {
        match papers::of_pool(context, source, retired, &self.slot, is_last).await? {
            Papers::There => {}
            Papers::Needless | Papers::Unclear => return Ok(Begun::NotNow),
            Papers::Impossible(why) => return self.kept(context, Why::NotDropped(why)).await,
            Papers::Inherited(heir) => return self.kept(context, Why::Inherited(heir)).await,
        }
        let Some(job) = self.job(context, retired) else { return Ok(Begun::Going) };
        if !fresh::is_spare(context, source, self, is_last).await? {
            return Ok(Begun::NotNow);
        }
        tracing::info!(slot = self.slot, worker = %self.worker, "no Sink needs it any more: it is dropped");
        create(context, &job, made).await?;
        Ok(Begun::Going)
    }

    /// Makes a Job once more of which it is not known whether it came about, if it is wanted still.
    pub async fn insist(
        &self,
        context: &Context,
        source: &SourceConnector,
        made: &mut BTreeSet<ResourceName>,
    ) -> Result<Begun, Failure> {
        let owner = owner(&*self.begun);
        for is_last in [false, true] {
            let retired = self.retired(is_last, &owner);
            let name = self.worker.source.sibling(&retired.job_name());
            if !made.contains(&name) {
                continue;
            }
            let job = self.job(context, &retired);
            if let Some(job) = job
                && fresh::is_spare(context, source, self, is_last).await?
            {
                match create(context, &job, made).await {
                    Err(failure) if failure.is_denial() => return self.denied(context, &failure).await,
                    // All goes with it.
                    Err(failure) if failure.is_namespace_ending() => {}
                    created => created?,
                }
            } else {
                let found = context.api::<Job>(&name.namespace).get_opt(&name.name).await;
                if found.map_err(|error| Failure::api(format!("read Job {name}"), error))?.is_none() {
                    made.remove(&name);
                }
            }
        }
        Ok(Begun::Going)
    }

    /// What was to be read before is not to be read later.
    async fn kept(&self, context: &Context, why: Why) -> Result<Begun, Failure> {
        self.remove_papers(context).await?;
        Ok(Begun::Kept(why))
    }

    /// The API server takes none of it now.
    async fn denied(&self, context: &Context, failure: &Failure) -> Result<Begun, Failure> {
        let papers = self.jobs().map(|name| context.stores.config_maps.get(&name));
        // Should that last, the next Job is to have the credentials of then.
        let is_old = |papers: &ConfigMap| is_past(papers.metadata.creation_timestamp.as_ref(), GONE);
        if papers.iter().flatten().any(|papers| is_old(papers)) {
            self.remove_papers(context).await?;
        }
        Ok(Begun::Kept(Why::NotDropped(failure.to_string())))
    }

    /// The Job; none before the stores have heard of what it is to read.
    fn job(&self, context: &Context, retired: &Retired<'_>) -> Option<Job> {
        let worker = papers::of_default_pool(&self.worker.source);
        let files = papers::files(context, retired, &worker)?;
        Some(retired.job(files.directory, &context.settings.worker))
    }

    /// Removes what a Job that failed has read, or one that is not wanted any more was to: the next one is to have the credentials of then.
    pub async fn remove_papers(&self, context: &Context) -> Result<(), Failure> {
        for name in self.jobs() {
            if let Some(plan) = context.stores.config_maps.get(&name) {
                context.delete::<ConfigMap>(&*plan).await?;
            }
            if let Some(secret) = context.stores.secrets.shelf.get(&name) {
                context.delete::<Secret>(&*secret).await?;
            }
        }
        Ok(())
    }

    fn retired<'a>(&'a self, is_last: bool, owner: &'a OwnerReference) -> Retired<'a> {
        let kind = if is_last { LAST_POOL } else { POOL };
        Retired { kind, label: labels::SOURCE, name: &self.worker.source, owner }
    }
}

async fn create(context: &Context, job: &Job, made: &mut BTreeSet<ResourceName>) -> Result<(), Failure> {
    made.insert(name_of(job));
    let created = context.create(false, job).await;
    // One that is refused is not there. Of one that nobody has answered for, that is not known.
    if created.as_ref().is_err_and(Failure::is_refusal) {
        made.remove(&name_of(job));
    }
    created.map(|_| ())
}

fn progress(context: &Context, made: &BTreeSet<ResourceName>, name: &ResourceName) -> Progress {
    let Some(job) = context.stores.jobs.get(name) else {
        return if made.contains(name) { Progress::Working } else { Progress::None };
    };
    let pods = context.stores.pods.by(&Key::Source(name.sibling(label_of(&job))));
    of_job(&job, &pods)
}

fn label_of(job: &Job) -> &str {
    job.labels().get(labels::SOURCE).map(String::as_str).unwrap_or_default()
}
