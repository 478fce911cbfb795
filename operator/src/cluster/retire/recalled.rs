//! What is known of SourceConnectors that the cluster does not tell, or not any more: their slots, as they were known last, and since when
//! they are at their end. With a namespace all goes that tells of them (the lists of who has begun, the
//! Deployments, the statuses) before the SourceConnectors are at their end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use afterbay_crds::api::SourceConnector;
use afterbay_crds::names::ResourceName;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cluster::stores::name_of;

/// Of all SourceConnectors.
#[derive(Default)]
pub struct Recalled(Mutex<HashMap<ResourceName, Known>>);

#[derive(Default)]
struct Known {
    /// Which of that name.
    uid: Option<String>,
    /// Of each pool the one that it had last: one that it had under another name may be somebody else's.
    slots: BTreeMap<String, String>,
    /// Since when nothing holds up its end.
    ending: Option<Timestamp>,
}

impl Recalled {
    /// The slots of its pools, as they are now, and as they were told of last.
    pub fn learn(&self, source: &SourceConnector, now: Vec<(String, String)>, before: Vec<(String, String)>) {
        self.change(source, |known| {
            known.slots.extend(now);
            for (pool, slot) in before {
                known.slots.entry(pool).or_insert(slot);
            }
        });
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

    /// A slot of it is gone.
    pub fn dropped(&self, source: &ResourceName, slot: &str) {
        if let Some(known) = self.lock().get_mut(source) {
            known.slots.retain(|_, known| known != slot);
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

    fn slots(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(pool, slot)| ((*pool).to_owned(), (*slot).to_owned())).collect()
    }

    #[test]
    fn an_end_begins_once_in_a_life() {
        let recalled = Recalled::default();
        let shop = source("a");
        let since = recalled.ending(&shop);
        recalled.learn(&shop, slots(&[("default", "one")]), Vec::new());
        assert_eq!(recalled.ending(&shop), since);
    }

    #[test]
    fn slots_are_known_until_they_are_dropped_or_it_is_another_source() {
        let recalled = Recalled::default();
        let shop = source("a");
        assert_eq!(recalled.of(&shop), Vec::<String>::new());
        recalled.learn(&shop, slots(&[("bulk", "two"), ("default", "one")]), Vec::new());
        recalled.learn(&shop, Vec::new(), Vec::new());
        assert_eq!(recalled.of(&shop), ["two", "one"], "what the cluster has forgotten is known");
        recalled.dropped(&name_of(&shop), "one");
        assert_eq!(recalled.of(&shop), ["two"]);
        let other = source("b");
        assert_eq!(recalled.of(&other), Vec::<String>::new(), "one of its name is another one");
        recalled.learn(&other, slots(&[("default", "three")]), Vec::new());
        assert_eq!(recalled.of(&other), ["three"]);
        recalled.forget(&name_of(&other));
        assert_eq!(recalled.of(&other), Vec::<String>::new());
    }

    #[test]
    fn a_pool_with_another_slot_has_nothing_to_do_with_the_one_before() {
        let recalled = Recalled::default();
        let shop = source("a");
        recalled.learn(&shop, Vec::new(), slots(&[("default", "somebody's")]));
        recalled.learn(&shop, slots(&[("default", "own")]), slots(&[("default", "somebody's")]));
        recalled.learn(&shop, Vec::new(), slots(&[("default", "somebody's")]));
        assert_eq!(recalled.of(&shop), ["own"]);
    }
}
