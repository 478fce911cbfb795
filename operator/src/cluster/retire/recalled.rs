//! What is known of SourceConnectors that the cluster does not tell, or not any more: their slots, as they were known last, and since when
//! they are at their end. With a namespace all goes that tells of them (the lists of who has begun, the
//! Deployments, the statuses) before the SourceConnectors are at their end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use afterbay_crds::api::SourceConnector;
use afterbay_crds::names::{ResourceName, WorkerName};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cluster::finalize::is_going;
use crate::cluster::stores::name_of;

/// What the cluster tells of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The pool.
    pub pool: String,
    /// Its slot.
    pub slot: String,
    /// What tells of it.
    pub by: Teller,
}

/// What tells of a pool's slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The list of its Sinks that have begun, with this `uid`.
    List(Option<String>),
    /// Its Deployment.
    Deployment,
    /// The status, which may be of before.
    Status,
}

/// Of all SourceConnectors.
#[derive(Default)]
pub struct Recalled(Mutex<HashMap<ResourceName, Known>>);

#[derive(Default)]
struct Known {
    /// Which of that name.
    uid: Option<String>,
    /// Of each pool the one that it had last: one that it had under another name may be somebody else's.
    slots: BTreeMap<String, String>,
    /// Of pools whose slots are gone what may tell of them for a while: watches lag behind.
    dropped: BTreeMap<String, Dropped>,
    /// Whether it was there before it was deleted, as far as this operator has seen.
    was_seen: bool,
    /// Since when nothing holds up its end.
    ending: Option<Timestamp>,
}

#[derive(Default)]
struct Dropped {
    slot: String,
    /// The list that told of it.
    list: Option<String>,
}

impl Known {
    /// Whether something tells of a slot that is gone.
    fn is_over(&self, told: &Told) -> bool {
        self.dropped.get(&told.pool).is_some_and(|dropped| match &told.by {
            Teller::List(uid) => *uid == dropped.list,
            Teller::Status => told.slot == dropped.slot,
            Teller::Deployment => false,
        })
    }
}

impl Recalled {
    /// What the cluster tells of its pools.
    pub fn learn(&self, source: &SourceConnector, told: Vec<Told>) {
        self.change(source, |known| {
            known.was_seen |= !is_going(source);
            let (before, now): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| told.by == Teller::Status);
            for told in now {
                if !known.is_over(&told) {
                    // Another life of the pool.
                    known.dropped.remove(&told.pool);
                    known.slots.insert(told.pool, told.slot);
                }
            }
            for told in before {
                if !known.is_over(&told) {
                    known.slots.entry(told.pool).or_insert(told.slot);
                }
            }
        });
    }

    /// Whether this tells of a slot that is gone.
    pub fn is_over(&self, source: &SourceConnector, told: &Told) -> bool {
        let all = self.lock();
        let known = all.get(&name_of(source)).filter(|known| known.uid == source.uid());
        known.is_some_and(|known| known.is_over(told))
    }

    /// Whether it was there before it was deleted, so that what is not known of it there is not.
    pub fn was_seen(&self, source: &SourceConnector) -> bool {
        self.change(source, |known| known.was_seen)
    }

    /// Since when it is at its end: now, when this is asked for the first time.
    pub fn ending(&self, source: &SourceConnector) -> Timestamp {
        self.change(source, |known| *known.ending.get_or_insert_with(Timestamp::now))
    }

    fn change<T>(&self, source: &SourceConnector, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.lock();
        let known = all.entry(name_of(source)).or_default();
        if known.uid != source.uid() {
            *known = Known { uid: source.uid(), ..Known::default() };
        }
        change(known)
    }

    /// All that it is known to have had, and that have not been dropped.
    pub fn of(&self, source: &SourceConnector) -> Vec<String> {
        let all = self.lock();
        let known = all.get(&name_of(source)).filter(|known| known.uid == source.uid());
        known.map(|known| known.slots.values().cloned().collect()).unwrap_or_default()
    }

    /// The slot of a pool is gone; `list` is the `uid` of the list that told of it, and may be seen for a while.
    pub fn dropped(&self, worker: &WorkerName, slot: &str, list: Option<String>) {
        if let Some(known) = self.lock().get_mut(&worker.source) {
            known.slots.retain(|_, known| known != slot);
            known.dropped.insert(worker.pool.clone(), Dropped { slot: slot.to_owned(), list });
        }
    }

    /// It is not there any more.
    pub fn forget(&self, source: &ResourceName) {
        self.lock().remove(source);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceName, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    fn source(uid: &str) -> SourceConnector {
        serde_json::from_value(json!({
            "apiVersion": "afterbay.dev/v1alpha1", "kind": "SourceConnector",
            "metadata": {"name": "shop", "namespace": "eu", "uid": uid},
            "spec": {"postgres": {"host": "db", "database": "shop", "authentication": {"username": "u"}}},
        }))
        .unwrap()
    }

    fn told(by: &Teller, of: &[(&str, &str)]) -> Vec<Told> {
        let told =
            |(pool, slot): &(&str, &str)| Told { pool: (*pool).to_owned(), slot: (*slot).to_owned(), by: by.clone() };
        of.iter().map(told).collect()
    }

    fn list(uid: &str) -> Teller {
        Teller::List(Some(uid.to_owned()))
    }

    fn worker(pool: &str) -> WorkerName {
        WorkerName { source: ResourceName::new("eu", "shop"), pool: pool.to_owned() }
    }

    #[test]
    fn an_end_begins_once_in_a_life() {
        let recalled = Recalled::default();
        let shop = source("a");
        let since = recalled.ending(&shop);
        recalled.learn(&shop, told(&Teller::Deployment, &[("default", "one")]));
        assert_eq!(recalled.ending(&shop), since);
    }

    #[test]
    fn slots_are_known_until_they_are_dropped_or_it_is_another_source() {
        let recalled = Recalled::default();
        let shop = source("a");
        assert_eq!(recalled.of(&shop), Vec::<String>::new());
        recalled.learn(&shop, told(&list("1"), &[("bulk", "two"), ("default", "one")]));
        recalled.learn(&shop, Vec::new());
        assert_eq!(recalled.of(&shop), ["two", "one"], "what the cluster has forgotten is known");
        recalled.dropped(&worker("default"), "one", None);
        assert_eq!(recalled.of(&shop), ["two"]);
        let other = source("b");
        assert_eq!(recalled.of(&other), Vec::<String>::new(), "one of its name is another one");
        recalled.learn(&other, told(&list("2"), &[("default", "three")]));
        assert_eq!(recalled.of(&other), ["three"]);
        recalled.forget(&name_of(&other));
        assert_eq!(recalled.of(&other), Vec::<String>::new());
    }

    #[test]
    fn a_slot_that_is_gone_is_not_learnt_again_of_what_is_of_before() {
        let recalled = Recalled::default();
        let shop = source("a");
        let old = || [told(&list("1"), &[("bulk", "two")]), told(&Teller::Status, &[("bulk", "two")])].concat();
        recalled.learn(&shop, old());
        recalled.dropped(&worker("bulk"), "two", Some("1".to_owned()));
        recalled.learn(&shop, old());
        assert_eq!(recalled.of(&shop), Vec::<String>::new(), "list and status are of before");
        assert!(old().iter().all(|told| recalled.is_over(&shop, told)));
        recalled.learn(&shop, told(&list("2"), &[("bulk", "two")]));
        assert_eq!(recalled.of(&shop), ["two"], "another life of the pool");
        recalled.dropped(&worker("bulk"), "two", Some("2".to_owned()));
        recalled.learn(&shop, told(&Teller::Deployment, &[("bulk", "two")]));
        assert_eq!(recalled.of(&shop), ["two"], "somebody is about to read it");
        assert!(!recalled.is_over(&shop, &old()[1]), "which the status may tell of as well");
    }

    #[test]
    fn a_pool_with_another_slot_has_nothing_to_do_with_the_one_before() {
        let recalled = Recalled::default();
        let shop = source("a");
        let of_status = || told(&Teller::Status, &[("default", "somebody's")]);
        recalled.learn(&shop, of_status());
        recalled.learn(&shop, [of_status(), told(&Teller::Deployment, &[("default", "own")])].concat());
        recalled.learn(&shop, of_status());
        assert_eq!(recalled.of(&shop), ["own"]);
    }

    #[test]
    fn of_one_that_was_deleted_before_it_was_seen_not_all_is_known() {
        let recalled = Recalled::default();
        let mut shop = source("a");
        recalled.learn(&shop, Vec::new());
        assert!(recalled.was_seen(&shop));
        shop.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
        recalled.learn(&shop, Vec::new());
        assert!(recalled.was_seen(&shop), "it was before");
        let anew = Recalled::default();
        anew.learn(&shop, Vec::new());
        assert!(!anew.was_seen(&shop));
    }
}
