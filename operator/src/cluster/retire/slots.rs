//! Which slots a SourceConnector has, as far as anything tells of them, and who else may have them.

use std::collections::BTreeSet;

use afterbay_crds::api::{SourceConnector, WorkerStatus};
use afterbay_crds::manifest::{Kind, Manifests};
use afterbay_crds::names::ResourceName;
use afterbay_crds::plan::DeletionPolicy;
use afterbay_crds::retirement::RetirementPlan;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;

use super::recalled::{Teller, Told};
use crate::cluster::context::{Context, Failure};
use crate::cluster::finalize::is_going;
use crate::cluster::labels;
use crate::cluster::objects::{names, plan};
use crate::cluster::stores::{Key, Stores, name_of, worker_of};

/// Has the cluster's memory of a SourceConnector's slots outlive what tells of them.
pub fn recall(context: &Context, source: &SourceConnector) {
    let told = of_objects(context, source, &name_of(source)).into_iter().chain(of_status(source));
    context.recalled.learn(source, told.collect());
}

/// The slots of all workers that a SourceConnector has had, as far as the cluster remembers, or this operator.
pub fn of(context: &Context, source: &SourceConnector, name: &ResourceName) -> BTreeSet<String> {
    let told = of_objects(context, source, name).into_iter().chain(of_status(source));
    let told = told.filter(|told| !context.recalled.is_over(source, told)).map(|told| told.slot);
    told.chain(context.recalled.of(source))
        .chain(of_papers(context, source, name))
        .filter(|slot| !slot.is_empty())
        .collect()
}

/// Pools and slots that the objects of workers tell of, as they are now. Those of one that had its name before may be there for a while.
fn of_objects(context: &Context, source: &SourceConnector, name: &ResourceName) -> Vec<Told> {
    let key = Key::Source(name.clone());
    let uid = source.uid();
    let base = afterbay_crds::names::slot(source.spec.postgres.slot.name.as_deref(), name);
    let deployments = context.stores.deployments.by(&key);
    let workers = deployments.iter().filter(|object| is_owned(&***object, uid.as_deref()));
    let workers = workers.filter_map(|object| worker_of(&**object));
    let workers = workers.map(|worker| Told { slot: worker.slot(&base), pool: worker.pool, by: Teller::Deployment });
    let config_maps = context.stores.config_maps.by(&key);
    let kept = config_maps.iter().filter(|object| is_owned(&***object, uid.as_deref())).filter_map(|object| {
        let slot = object.annotations().get(names::SLOT_ANNOTATION)?.clone();
        let pool = object.labels().get(labels::POOL).cloned().unwrap_or_default();
        Some(Told { pool, slot, by: Teller::List(object.uid()) })
    });
    workers.chain(kept).collect()
}

fn is_owned(object: &impl kube::Resource, owner: Option<&str>) -> bool {
    object.owner_references().iter().any(|reference| Some(reference.uid.as_str()) == owner)
}

/// Those of the status, which may be of before.
fn of_status(source: &SourceConnector) -> Vec<Told> {
    let workers = source.status.iter().flat_map(|status| &status.workers);
    let told =
        |worker: &WorkerStatus| Told { pool: worker.pool.clone(), slot: worker.slot.clone(), by: Teller::Status };
    workers.map(told).collect()
}

/// Those that its papers name, made when more was known.
fn of_papers(context: &Context, source: &SourceConnector, name: &ResourceName) -> Vec<String> {
    let papers = context.stores.config_maps.get(&name.sibling(&papers_of(source, name)));
    let plan = papers.and_then(|papers| plan_of(&papers));
    plan.into_iter().flat_map(|plan| plan.sources).flat_map(|source| source.slots).collect()
}

/// What the papers of a SourceConnector are called.
pub fn papers_of(source: &SourceConnector, name: &ResourceName) -> String {
    names::retirement(Kind::SourceConnector.as_str(), name, &source.uid().unwrap_or_default())
}

/// What papers say; none where that cannot be read.
pub fn plan_of(papers: &ConfigMap) -> Option<RetirementPlan> {
    serde_json::from_str(papers.data.as_ref()?.get(plan::PLAN_FILE)?).ok()
}

/// Whether a SourceConnector of which nothing tells may have slots all the same: it has carried, and was deleted before this operator saw
/// it. What has been seen before is remembered.
pub fn may_be_forgotten(context: &Context, source: &SourceConnector) -> bool {
    source.status.as_ref().is_some_and(|status| status.begun) && !context.recalled.was_seen(source)
}

/// A SourceConnector with all others of its database, any of which may have its slot or publication.
pub async fn gather(context: &Context, source: &SourceConnector) -> Result<Manifests, Failure> {
    let name = name_of(source);
    context.stores.secrets.load(&context.client, &context.stores.secrets_for_source(&name)).await?;
    let mut manifests = context.stores.gather_database(source);
    for other in manifests.sources.keys().filter(|other| **other != name) {
        if let Some(found) = context.stores.sources.get(other) {
            manifests.slots.insert(other.clone(), of(context, &found, other));
        }
    }
    Ok(manifests)
}

/// As [`gather`], for the end of a SourceConnector: without those that are at their end as well. Each takes what it shares with them, as
/// else it would stay; to take it twice does no harm.
pub async fn gather_end(context: &Context, source: &SourceConnector) -> Result<Manifests, Failure> {
    let mut manifests = gather(context, source).await?;
    let stores = &context.stores;
    let own = name_of(source);
    let at_its_end = |name: &ResourceName| stores.sources.get(name).is_some_and(|other| needs_nothing(stores, &other));
    manifests.sources.retain(|name, _| *name == own || !at_its_end(name));
    Ok(manifests)
}

/// Whether a SourceConnector needs nothing any more that it has: it is deleted with all that, and has no Sinks which hold it.
fn needs_nothing(stores: &Stores, source: &SourceConnector) -> bool {
    let name = name_of(source);
    is_going(source)
        && source.spec.deletion_policy == DeletionPolicy::Delete
        && !stores.sinks.has_unreadable(&name.namespace)
        && !stores.sinks.has(&Key::Source(name))
}

#[cfg(test)]
mod tests {
    use afterbay_crds::api::Sink;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    fn source(change: impl FnOnce(&mut Value)) -> SourceConnector {
        let mut source = json!({
            "apiVersion": "afterbay.dev/v1alpha1", "kind": "SourceConnector",
            "metadata": {"name": "shop", "namespace": "eu", "uid": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"postgres": {"host": "db", "database": "shop", "authentication": {"username": "u"}}},
        });
        change(&mut source);
        serde_json::from_value(source).unwrap()
    }

    fn sink(namespace: &str, source: &str) -> Sink {
        let kafka = json!({"connection": "k", "topic": {"name": "a"}, "envelope": "debezium", "format": {"json": {}}});
        serde_json::from_value(json!({
            "apiVersion": "afterbay.dev/v1alpha1", "kind": "Sink", "metadata": {"name": "a", "namespace": namespace},
            "spec": {"source": {"name": source, "table": "public.a"}, "kafka": kafka},
        }))
        .unwrap()
    }

    #[test]
    fn who_is_deleted_needs_what_it_has_as_long_as_it_has_sinks_or_keeps_it() {
        let check = |source: &SourceConnector, sinks: Vec<Sink>, expected: bool| {
            let stores = Stores::new(&[None]);
            for sink in sinks {
                stores.sinks.take_in(&None, Event::Apply(sink));
            }
            assert_eq!(needs_nothing(&stores, source), expected, "{source:?}");
        };
        check(&source(|_| ()), vec![], true);
        check(&source(|_| ()), vec![sink("us", "shop"), sink("eu", "other")], true);
        check(&source(|_| ()), vec![sink("eu", "shop")], false);
        check(&source(|source| source["spec"]["deletionPolicy"] = json!("Retain")), vec![], false);
        check(&source(|source| source["metadata"]["deletionTimestamp"] = Value::Null), vec![], false);
        let stores = Stores::new(&[None]);
        stores.sinks.take_in_unreadable(&None, ResourceName::new("eu", "a"));
        assert!(!needs_nothing(&stores, &source(|_| ())), "a Sink that cannot be read may be its own");
    }
}
