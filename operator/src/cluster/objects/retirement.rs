//! The Job that takes away what goes with a deleted resource, and what it reads.

use std::collections::BTreeSet;

use afterbay_crds::names::ResourceName;
use afterbay_crds::resolve::SecretFile;
use afterbay_crds::retirement::RetirementPlan;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, ResourceRequirements, Secret};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::plan::{self, PLAN_DIR, PLAN_FILE};
use super::pod::{self, Mount, MountSource};
use super::{ObjectsError, names};
use crate::cluster::settings::WorkerSettings;

/// How long it may take, in seconds, however often it is tried.
pub const DEADLINE_SECONDS: i64 = 120;
/// How often a pod of it may fail. Kubernetes waits 10 s, 20 s, 40 s before the next.
const TRIES: i32 = 3;
/// After this time Kubernetes itself removes it, if its owner should not be there to do it.
const KEPT_SECONDS: i32 = 600;
/// The key of a list of topics in its ConfigMap.
pub const TOPICS_FILE: &str = "topics.json";
/// Where Kubernetes reads what a container says at its end.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// What is retired.
#[derive(Clone, Debug)]
pub struct Retired<'a> {
    /// Its kind.
    pub kind: &'static str,
    /// The label that names it.
    pub label: &'static str,
    /// The resource.
    pub name: &'a ResourceName,
    /// The resource, as owner of all that is made for its end.
    pub owner: &'a OwnerReference,
}

/// What the Job reads. It is made before anything else that the deletion changes: the credentials may go with it.
#[derive(Debug)]
pub struct Papers {
    /// What is to be taken away.
    pub plan: ConfigMap,
    /// With what.
    pub secrets: Option<Secret>,
}

impl Retired<'_> {
    /// The name of the Job, and of its ConfigMap and Secret.
    pub fn job_name(&self) -> String {
        names::retirement(self.kind, self.name, &self.owner.uid)
    }

    /// What the Job reads.
    pub fn papers(&self, plan: &RetirementPlan, files: &[SecretFile]) -> Result<Papers, ObjectsError> {
        let named = plan::named(plan, files);
        // Refused here, since the Job would not find them.
        plan::directory(&named)?;
        Ok(Papers {
            plan: plan::config_map(self.metadata(), PLAN_FILE, plan::text(plan)?),
            secrets: plan::secret(|| self.metadata(), &named),
        })
    }

    /// The topics that a Sink by patterns filled, which are read by the operator alone.
    pub fn topics(&self, topics: &BTreeSet<String>) -> Result<ConfigMap, ObjectsError> {
        let name = names::topics(self.name, &self.owner.uid);
        let metadata = ObjectMeta { name: Some(name), ..self.metadata() };
        Ok(plan::config_map(metadata, TOPICS_FILE, plan::text(topics)?))
    }

    /// The Job; `secrets_dir` is where its plan looks for files, if it does.
    pub fn job(&self, secrets_dir: Option<String>, image: &WorkerSettings) -> Job {
        let name = self.job_name();
        let mut mounts =
            vec![Mount { name: "plan", path: PLAN_DIR.to_owned(), source: MountSource::ConfigMap(name.clone()) }];
        mounts.extend(secrets_dir.map(|path| Mount { name: "secrets", path, source: MountSource::Secret(name) }));
        let arguments = ["--retire", &format!("{PLAN_DIR}/{PLAN_FILE}"), "--outcome", TERMINATION_LOG];
        let mut pod = pod::spec(image, names::RETIREMENT, arguments.map(str::to_owned).into(), &mounts);
        // What a pod has said at its end stays to be read, which it does not where a container is started again.
        pod.restart_policy = Some("Never".to_owned());
        for container in &mut pod.containers {
            container.resources = Some(resources());
        }
        let metadata = self.metadata();
        Job {
            spec: Some(JobSpec {
                active_deadline_seconds: Some(DEADLINE_SECONDS),
                backoff_limit: Some(TRIES),
                ttl_seconds_after_finished: Some(KEPT_SECONDS),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta { labels: metadata.labels.clone(), ..ObjectMeta::default() }),
                    spec: Some(pod),
                },
                ..JobSpec::default()
            }),
            metadata,
            ..Job::default()
        }
    }

    fn metadata(&self) -> ObjectMeta {
        let name = self.job_name();
        ObjectMeta {
            labels: Some(names::retirement_labels(self.label, self.name, &name)),
            name: Some(name),
            namespace: Some(self.name.namespace.clone()),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}

fn resources() -> ResourceRequirements {
    let memory = |of: &str| ("memory".to_owned(), Quantity(of.to_owned()));
    ResourceRequirements {
        requests: Some([("cpu".to_owned(), Quantity("50m".to_owned())), memory("32Mi")].into()),
        limits: Some([memory("128Mi")].into()),
        ..ResourceRequirements::default()
    }
}
