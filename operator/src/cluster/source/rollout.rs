//! Objects of workers: applied where they differ, and removed when nothing needs them any more.

use std::collections::BTreeSet;

use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::plan::{Plan, SinkPlan};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Resource, ResourceExt as _};

use crate::cluster::context::{Context, Failure};
use crate::cluster::finalize::is_going;
use crate::cluster::objects::plan::PLAN_FILE;
use crate::cluster::objects::{WorkerObjects, names};
use crate::cluster::retire::rights;
use crate::cluster::stores::{Key, Shelf, name_of, worker_of};

/// Has the objects of a worker be as they are wanted: first what its pod reads, then the pod.
pub async fn apply(context: &Context, objects: &WorkerObjects) -> Result<(), Failure> {
    let stores = &context.stores;
    context.create(stores.config_maps.get(&name_of(&objects.plan)).is_some(), &objects.plan).await?;
    if let Some(secrets) = &objects.secrets {
        context.create(stores.secrets.has(&name_of(secrets)), secrets).await?;
    }
    context.apply(&stores.config_maps, &objects.begun).await?;
    context.apply(&stores.deployments, &objects.deployment).await?;
    context.apply(&stores.budgets, &objects.budget).await?;
    Ok(())
}

/// Removes plans and secrets of before, once the worker's pod has those that are wanted.
pub async fn remove_old(context: &Context, name: &WorkerName, objects: &WorkerObjects) -> Result<(), Failure> {
    let wanted = objects.deployment.annotations();
    let wanted = |annotation| stated(wanted.get(annotation));
    let view = context.board.worker(name);
    let runs = view.pod.as_ref().is_some_and(|pod| {
        // That it is ready would ask too much, as it is not while a Sink is stalled.
        pod.is_running
            && stated(pod.plan_hash.as_ref()) == wanted(crate::cluster::labels::PLAN_HASH)
            && stated(pod.secrets_hash.as_ref()) == wanted(crate::cluster::labels::SECRETS_HASH)
    });
    if !runs {
        return Ok(());
    }
    let kept: BTreeSet<_> = [Some(objects.plan.name_any()), Some(objects.begun.name_any())]
        .into_iter()
        .chain([objects.secrets.as_ref().map(kube::ResourceExt::name_any)])
        .flatten()
        .collect();
    for config_map in of_worker(&context.stores.config_maps, name) {
        if !kept.contains(&config_map.name_any()) {
            if let (Some(old), Some(wanted)) = (plan_of(&config_map), plan_of(&objects.plan)) {
                take_left(context, &old, &wanted).await?;
            }
            context.delete::<ConfigMap>(&*config_map).await?;
        }
    }
    for secret in of_worker(&context.stores.secrets.shelf, name) {
        if !kept.contains(&secret.name_any()) {
            context.delete::<Secret>(&*secret).await?;
        }
    }
    Ok(())
}

/// Takes the rights on topics that no plan names any more: those of the tables that have left a Sink by patterns. What goes with a Sink
/// that is deleted goes at its end.
async fn take_left(context: &Context, old: &Plan, wanted: &Plan) -> Result<(), Failure> {
    for old in old.sinks.iter().filter(|sink| sink.by_pattern) {
        let Some(new) = wanted.sinks.iter().find(|sink| sink.name == old.name) else { continue };
        let Some((namespace, name)) = new.name.split_once('/') else { continue };
        let (was, is) = (topics(old), topics(new));
        let left: BTreeSet<_> = was.difference(&is).cloned().collect();
        let sink = context.stores.sinks.get(&ResourceName::new(namespace, name)).filter(|_| !left.is_empty());
        let Some(sink) = sink.filter(|sink| !is_going(&**sink)) else { continue };
        for left in rights::take_left(context, &sink, &left, &is).await? {
            tracing::warn!(sink = new.name, "tables have left it, and {left}");
        }
    }
    Ok(())
}

fn topics(sink: &SinkPlan) -> BTreeSet<String> {
    sink.relations.iter().map(|relation| relation.topic.clone()).collect()
}

fn plan_of(config_map: &ConfigMap) -> Option<Plan> {
    serde_json::from_str(config_map.data.as_ref()?.get(PLAN_FILE)?).ok()
}

/// A hash, where there is one.
fn stated(hash: Option<&String>) -> Option<&String> {
    hash.filter(|hash| !hash.is_empty())
}

/// Removes a worker with nothing left to carry. What its SourceConnector is to be retired by stays: the list of its Sinks that have
/// begun, of none now, remembers which slot it had, and its Secret the credentials, which users may delete before.
pub async fn lay_down(context: &Context, name: &WorkerName) -> Result<(), Failure> {
    let stores = &context.stores;
    for deployment in of_worker(&stores.deployments, name) {
        context.delete::<Deployment>(&*deployment).await?;
    }
    for budget in of_worker(&stores.budgets, name) {
        context.delete::<PodDisruptionBudget>(&*budget).await?;
    }
    let remembers = names::begun(name);
    for config_map in of_worker(&stores.config_maps, name) {
        if config_map.name_any() != remembers {
            context.delete::<ConfigMap>(&*config_map).await?;
        }
    }
    context.board.remove_worker(name);
    Ok(())
}

/// Removes what is left of a worker whose slot is gone; the list that tells of it last, and with it what the Job that dropped the slot has
/// read.
pub async fn forget(context: &Context, name: &WorkerName, begun: &ConfigMap) -> Result<(), Failure> {
    forget_secrets(context, name).await?;
    context.delete::<ConfigMap>(begun).await
}

/// Removes the credentials of a worker that nothing needs any more, not even the end of its SourceConnector.
pub async fn forget_secrets(context: &Context, name: &WorkerName) -> Result<(), Failure> {
    for secret in of_worker(&context.stores.secrets.shelf, name) {
        context.delete::<Secret>(&*secret).await?;
    }
    Ok(())
}

/// What belongs to a worker.
fn of_worker<K: Resource>(shelf: &Shelf<K>, name: &WorkerName) -> Vec<std::sync::Arc<K>> {
    let mut own = shelf.by(&Key::Source(name.source.clone()));
    own.retain(|object| worker_of(&**object).as_ref() == Some(name));
    own
}
