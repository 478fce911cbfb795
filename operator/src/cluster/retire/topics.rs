//! The topics that a Sink by patterns filled: no manifest names them, and the plan that does goes with its place in it. They are kept from
//! when it is deleted until its rights on them are taken back.

use std::collections::BTreeSet;

use afterbay_crds::api::Sink;
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::plan::Plan;
use kube::ResourceExt as _;

use super::{labels, of_sink, papers, rights};
use crate::cluster::context::{Context, Failure};
use crate::cluster::objects::plan::PLAN_FILE;
use crate::cluster::objects::{names, retirement};
use crate::cluster::source::current_workers;
use crate::cluster::stores::{Key, name_of};

/// Keeps those of a Sink that is being deleted, where it has rights on them that are to be taken back.
pub async fn keep(context: &Context, sink: &Sink) -> Result<(), Failure> {
    if sink.spec.source.tables.is_none() || !rights::are_managed(context, sink) {
        return Ok(());
    }
    let end = of_sink(context, sink);
    if context.stores.config_maps.get(&kept_at(sink)).is_some() {
        return Ok(());
    }
    let topics = of_plans(context, &end.name, &end.worker);
    if topics.is_empty() {
        return Ok(());
    }
    // A list is never larger than the plan that it is of.
    let Ok(kept) = end.retired().topics(&topics) else { return Ok(()) };
    context.create(false, &kept).await.map(|_| ())
}

/// All that are known; none of a Sink of one table, whose manifest names its topic.
pub fn of(context: &Context, sink: &Sink) -> BTreeSet<String> {
    if sink.spec.source.tables.is_none() {
        return BTreeSet::new();
    }
    let mut topics = of_plans(context, &name_of(sink), &papers::worker_of_sink(sink));
    let kept = context.stores.config_maps.get(&kept_at(sink));
    let kept = kept
        .and_then(|kept| serde_json::from_str::<Vec<String>>(kept.data.as_ref()?.get(retirement::TOPICS_FILE)?).ok());
    topics.extend(kept.into_iter().flatten());
    topics
}

fn kept_at(sink: &Sink) -> ResourceName {
    let name = name_of(sink);
    name.sibling(&names::topics(&name, &sink.uid().unwrap_or_default()))
}

/// Those of the plan that its worker runs, and of plans that it has not got any more, as far as they are there.
fn of_plans(context: &Context, name: &ResourceName, worker: &WorkerName) -> BTreeSet<String> {
    let sink = name.to_string();
    let current = current_workers(&context.stores, &worker.source).into_iter().filter_map(|current| current.plan);
    let config_maps = context.stores.config_maps.by(&Key::Source(worker.source.clone()));
    let others = config_maps.iter().filter(|config_map| config_map.labels().contains_key(labels::POOL));
    let others = others.filter_map(|other| serde_json::from_str::<Plan>(other.data.as_ref()?.get(PLAN_FILE)?).ok());
    let of_sink = current.chain(others).flat_map(|plan| plan.sinks).filter(|plan| plan.name == sink);
    of_sink.flat_map(|plan| plan.relations).map(|relation| relation.topic).collect()
}
