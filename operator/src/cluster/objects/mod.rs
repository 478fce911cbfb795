//! The objects of workers and of retirements, as they are wanted. Pure: nothing here looks at a cluster.

pub mod budget;
pub mod deployment;
pub mod names;
pub mod plan;
pub mod pod;
pub mod retirement;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use afterbay_crds::api::Worker as WorkerSpec;
use afterbay_crds::resolve::Worker;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::settings::WorkerSettings;

/// Why something cannot be made an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// It does not go into a ConfigMap.
    #[error("the plan is of {bytes} bytes, and a ConfigMap takes {most}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it can be.
        most: usize,
    },
    /// The files of secrets stand in several directories.
    #[error("the files of secrets stand in several directories")]
    Scattered,
    /// It cannot be written as JSON.
    #[error("the plan cannot be written")]
    Unwritable(#[from] serde_json::Error),
}

/// All objects of a worker.
#[derive(Debug)]
pub struct WorkerObjects {
    /// Its plan.
    pub plan: ConfigMap,
    /// The files that the plan names.
    pub secrets: Option<Secret>,
    /// Which of its Sinks have committed before.
    pub begun: ConfigMap,
    /// Its pod.
    pub deployment: Deployment,
    /// What is asked before its pod is taken away.
    pub budget: PodDisruptionBudget,
    /// The hash of the plan, as the pods' annotation has it.
    pub plan_hash: String,
}

/// The objects of a worker whose SourceConnector says this of its workers; `begun` are the Sinks (of whichever worker) that have committed before.
pub fn of_worker(
    worker: &Worker,
    spec: &WorkerSpec,
    begun: &BTreeSet<String>,
    owner: &OwnerReference,
    image: &WorkerSettings,
) -> Result<WorkerObjects, ObjectsError> {
    let documents = plan::documents(&worker.name, &worker.plan, &worker.secrets, owner)?;
    let own = worker.plan.sinks.iter().map(|sink| &sink.name).filter(|name| begun.contains(*name)).cloned().collect();
    Ok(WorkerObjects {
        begun: plan::begun(&worker.name, &worker.plan.source.slot, &own, owner)?,
        deployment: deployment::deployment(worker, spec, &documents, owner, image),
        budget: budget::budget(&worker.name, owner),
        plan: documents.plan,
        secrets: documents.secrets,
        plan_hash: documents.plan_hash,
    })
}
