//! Whether a pool's slot is to be dropped still, as the API server has it: what the stores know may be of a moment ago, and a Job cannot be
//! called back.

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::plan::DeletionPolicy;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::core::DeserializeGuard;

use super::finalize::is_going;
use super::pool::Left;
use super::retained;
use crate::cluster::context::{Context, Failure};
use crate::cluster::objects::names;
use crate::cluster::stores::name_of;

/// What the API server has.
#[derive(Debug, Default)]
struct Seen {
    /// The list of the Sinks of the pool that have begun.
    begun: Option<ConfigMap>,
    /// The SourceConnector.
    source: Option<DeserializeGuard<SourceConnector>>,
    /// All Sinks of its namespace.
    sinks: Vec<DeserializeGuard<Sink>>,
}

/// Asks it. With the last pool (`is_last`) the publication goes, which Sinks of any pool need.
pub async fn is_spare(
    context: &Context,
    source: &SourceConnector,
    left: &Left,
    is_last: bool,
) -> Result<bool, Failure> {
    let (name, begun) = (name_of(source), name_of(&*left.begun));
    let failed = |what: String| move |error| Failure::api(format!("read {what}"), error);
    // The Sinks last: of all this they change most often.
    let list = context.api::<ConfigMap>(&begun.namespace).get_opt(&begun.name).await;
    let found = context.api::<DeserializeGuard<SourceConnector>>(&name.namespace).get_opt(&name.name).await;
    let sinks = context.api::<DeserializeGuard<Sink>>(&name.namespace).list(&ListParams::default()).await;
    let seen = Seen {
        begun: list.map_err(failed(format!("ConfigMap {begun}")))?,
        source: found.map_err(failed(format!("SourceConnector {name}")))?,
        sinks: sinks.map_err(failed(format!("the Sinks of namespace {}", name.namespace)))?.items,
    };
    Ok(seen.is_spare(source, left, is_last))
}

impl Seen {
    fn is_spare(&self, source: &SourceConnector, left: &Left, is_last: bool) -> bool {
        let Some(begun) = &self.begun else { return false };
        let is_begun = begun.uid() == left.begun.uid()
            && !is_going(begun)
            && begun.annotations().get(names::SLOT_ANNOTATION) == Some(&left.slot)
            && retained::of(begun).is_empty();
        let Some(DeserializeGuard(Ok(found))) = &self.source else { return false };
        let is_source = found.uid() == source.uid()
            && !is_going(found)
            && found.spec.deletion_policy == DeletionPolicy::Delete
            && found.spec.postgres == source.spec.postgres;
        // One that cannot be read may be of this pool.
        let may_need = |sink: &DeserializeGuard<Sink>| {
            sink.0.as_ref().map_or(true, |sink| {
                sink.spec.source.name == left.worker.source.name && (is_last || sink.spec.pool == left.worker.pool)
            })
        };
        is_begun && is_source && !self.sinks.iter().any(may_need)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use afterbay_crds::names::{ResourceName, WorkerName};
    use serde_json::{Value, json};

    use super::*;

    fn begun(uid: &str, annotations: Value) -> ConfigMap {
        let mut annotations = annotations;
        annotations[names::SLOT_ANNOTATION] = json!("afterbay_shop_bulk");
        serde_json::from_value(
            json!({"metadata": {"name": "b", "namespace": "eu", "uid": uid, "annotations": annotations}}),
        )
        .unwrap()
    }

    fn source(uid: &str, policy: &str, host: &str, deleted: Option<&str>) -> Value {
        let postgres = json!({"host": host, "database": "shop", "authentication": {"username": "u"}});
        json!({
            "apiVersion": "afterbay.dev/v1alpha1", "kind": "SourceConnector",
            "metadata": {"name": "shop", "namespace": "eu", "uid": uid, "deletionTimestamp": deleted},
            "spec": {"postgres": postgres, "deletionPolicy": policy},
        })
    }

    fn sink(source: &str, pool: &str) -> Value {
        let kafka = json!({"connection": "k", "topic": {"name": "a"}, "envelope": "debezium", "format": {"json": {}}});
        json!({
            "apiVersion": "afterbay.dev/v1alpha1", "kind": "Sink", "metadata": {"name": "a", "namespace": "eu"},
            "spec": {"source": {"name": source, "table": "public.a"}, "pool": pool, "kafka": kafka},
        })
    }

    fn guard<K: kube::Resource + serde::de::DeserializeOwned>(value: Value) -> DeserializeGuard<K> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_has_changed_meanwhile_keeps_the_slot() {
        let left = Left {
            worker: WorkerName { source: ResourceName::new("eu", "shop"), pool: "bulk".to_owned() },
            slot: "afterbay_shop_bulk".to_owned(),
            begun: Arc::new(begun("b1", json!({}))),
        };
        let known: SourceConnector = serde_json::from_value(source("s1", "Delete", "db", None)).unwrap();
        let as_known = || source("s1", "Delete", "db", None);
        let check = |begun: Option<ConfigMap>, source: Value, sinks: Vec<Value>, expected: [bool; 2], why: &str| {
            let sinks = sinks.into_iter().map(guard).collect();
            let seen = Seen { begun, source: Some(guard(source)), sinks };
            assert_eq!([false, true].map(|is_last| seen.is_spare(&known, &left, is_last)), expected, "{why}");
        };
        let same = || Some(begun("b1", json!({"retained.afterbay.dev/a": "false"})));
        check(same(), as_known(), vec![sink("other", "bulk")], [true, true], "nothing has changed");
        check(same(), as_known(), vec![sink("shop", "default")], [true, false], "a Sink of another pool");
        check(same(), as_known(), vec![sink("shop", "bulk")], [false, false], "a Sink of this pool");
        let unreadable = json!({"metadata": {"name": "a", "namespace": "eu"}, "spec": {"new": 1}});
        check(same(), as_known(), vec![unreadable.clone()], [false, false], "a Sink that cannot be read");
        check(same(), unreadable, vec![], [false, false], "a SourceConnector that cannot be read");
        let waits = begun("b1", json!({"retained.afterbay.dev/a": "true"}));
        check(Some(waits), as_known(), vec![], [false, false], "a record waits");
        check(Some(begun("b2", json!({}))), as_known(), vec![], [false, false], "another life of the pool");
        check(None, as_known(), vec![], [false, false], "nothing is left of the pool");
        check(same(), source("s2", "Delete", "db", None), vec![], [false, false], "another SourceConnector");
        check(same(), source("s1", "Retain", "db", None), vec![], [false, false], "its policy");
        check(same(), source("s1", "Delete", "db-2", None), vec![], [false, false], "another database");
        let going = source("s1", "Delete", "db", Some("2026-01-01T00:00:00Z"));
        check(same(), going, vec![], [false, false], "a SourceConnector that is deleted");
    }
}
