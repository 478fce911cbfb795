//! Sinks that went without their progress records: what a worker's slot is kept for when its last Sink has gone.
//!
//! It stands in annotations of the worker's list of Sinks that have begun, which outlives the worker, one for each Sink: `true` where a
//! record waits for the slot, `false` where one was given up. It is written before the Sink's finalizer goes, or its place in the plan.

use std::collections::BTreeMap;

use afterbay_crds::api::Sink;
use afterbay_crds::names::{ResourceName, WorkerName};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;

use super::{is_carried, papers};
use crate::cluster::context::{Context, Failure};
use crate::cluster::finalize::is_going;
use crate::cluster::objects::names;

/// Has a Sink that is deleted be remembered whose record stays, unless it is known to be.
pub async fn prepare(context: &Context, sink: &Sink, worker: &WorkerName, name: &ResourceName) -> Result<(), Failure> {
    if !waits(context, worker, name) {
        keep(context, sink, worker, name).await?;
    }
    Ok(())
}

/// Has a Sink be remembered that is about to go and whose record stays. Whether it is, or need not be: else its worker is just being made.
/// It is written whatever the stores know: they may not have heard that it was taken away, as for a Sink that was carried again.
pub async fn keep(context: &Context, sink: &Sink, worker: &WorkerName, name: &ResourceName) -> Result<bool, Failure> {
    if !papers::has_run(context, sink) || mark(context, worker, &[(name.name.clone(), Some("true"))]).await? {
        return Ok(true);
    }
    // A list that is nowhere, of a worker that nobody makes, keeps nothing.
    let facts = context.board.worker(worker).facts;
    Ok(!facts.is_some_and(|facts| facts.plan_hash.is_some() && facts.sinks.contains(name)))
}

/// Whether a record of a Sink of this name waits for a worker's slot.
pub fn waits(context: &Context, worker: &WorkerName, sink: &ResourceName) -> bool {
    let begun = context.stores.config_maps.get(&worker.source.sibling(&names::begun(worker)));
    begun.is_some_and(|begun| of(&begun).contains(&sink.name))
}

/// The record of a Sink that is about to go was deleted, or given up: no slot is kept for it.
pub async fn let_go(context: &Context, worker: &WorkerName, name: &ResourceName) -> Result<(), Failure> {
    let known = mark_of(context, worker, &name.name);
    // Else it would be taken for one that went without being retired.
    let wanted = is_carried(context, worker, name).then_some("false");
    if known.as_deref() != wanted {
        mark(context, worker, &[(name.name.clone(), wanted)]).await?;
    }
    Ok(())
}

/// Remembers the Sinks of a worker's plan that have gone without being retired, as somebody took their finalizers away.
pub async fn vanished(context: &Context, worker: &WorkerName, carried: &[ResourceName]) -> Result<(), Failure> {
    let sinks = &context.stores.sinks;
    let is_gone = |sink: &&ResourceName| {
        sinks.get(sink).is_none() && !sinks.is_unreadable(sink) && mark_of(context, worker, &sink.name).is_none()
    };
    let gone: Vec<_> = carried.iter().filter(is_gone).map(|sink| (sink.name.clone(), Some("true"))).collect();
    if !gone.is_empty() {
        mark(context, worker, &gone).await?;
    }
    Ok(())
}

/// Forgets what became of Sinks that are carried again.
pub async fn returned(context: &Context, worker: &WorkerName, carried: &[ResourceName]) -> Result<(), Failure> {
    let is_there = |sink: &ResourceName| context.stores.sinks.get(sink).is_some_and(|sink| !is_going(&*sink));
    let known = carried.iter().filter(|sink| is_there(sink) && mark_of(context, worker, &sink.name).is_some());
    let known: Vec<_> = known.map(|sink| (sink.name.clone(), None)).collect();
    if !known.is_empty() {
        mark(context, worker, &known).await?;
    }
    Ok(())
}

/// The Sinks whose records wait for a worker's slot.
pub fn of(begun: &ConfigMap) -> Vec<String> {
    let marks = begun.annotations().iter().filter(|(_, value)| *value == "true");
    marks.filter_map(|(annotation, _)| names::retained_sink(annotation)).map(str::to_owned).collect()
}

fn mark_of(context: &Context, worker: &WorkerName, sink: &str) -> Option<String> {
    let begun = context.stores.config_maps.get(&worker.source.sibling(&names::begun(worker)))?;
    begun.annotations().get(&names::retained(sink)).cloned()
}

async fn mark(context: &Context, worker: &WorkerName, marks: &[(String, Option<&str>)]) -> Result<bool, Failure> {
    let marks: BTreeMap<_, _> = marks.iter().map(|(sink, mark)| (names::retained(sink), *mark)).collect();
    context.annotate::<ConfigMap>(&worker.source.sibling(&names::begun(worker)), &marks).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_that_wait_are_told_from_those_that_were_given_up() {
        let annotations =
            json!({"afterbay.dev/slot": "s", "retained.afterbay.dev/b": "true", "retained.afterbay.dev/a": "false"});
        let begun = serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap();
        assert_eq!(of(&begun), ["b"]);
    }
}
