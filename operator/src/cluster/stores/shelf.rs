//! What is known of one kind of resource, as its watches tell it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use afterbay_crds::names::ResourceName;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use tokio::sync::watch;

/// What resources are found by, beside their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// They belong to this SourceConnector.
    Source(ResourceName),
    /// They belong to this Sink.
    Sink(ResourceName),
    /// They use this KafkaConnection.
    Connection(ResourceName),
    /// They use this SchemaRegistryConnection.
    Registry(ResourceName),
    /// They name this Secret.
    Secret(ResourceName),
    /// They fill a topic of this name, on whatever cluster.
    Topic(String),
    /// They carry what patterns match.
    Patterns,
    /// They read a database of this name, on whatever server.
    Database(String),
}

/// What became of a resource.
#[derive(Debug)]
pub enum Change<K> {
    /// It is there, as it is now; and as it was before, if it was.
    Applied {
        /// As it was.
        old: Option<Arc<K>>,
        /// As it is.
        new: Arc<K>,
    },
    /// It is gone.
    Deleted(Arc<K>),
}

/// All resources of a kind.
pub struct Shelf<K> {
    inner: RwLock<Inner<K>>,
    keys: fn(&K) -> Vec<Key>,
    filled: watch::Sender<bool>,
}

struct Inner<K> {
    items: HashMap<ResourceName, Arc<K>>,
    index: HashMap<Key, BTreeSet<ResourceName>>,
    /// What a listing that is not through yet has brought, by the namespace that it is of; all of them: none.
    listing: HashMap<Option<String>, HashSet<ResourceName>>,
    /// The namespaces that have not been listed yet.
    awaited: HashSet<Option<String>>,
    /// What is there and cannot be read.
    unreadable: HashSet<ResourceName>,
}

impl<K> Inner<K> {
    fn put(&mut self, keys: fn(&K) -> Vec<Key>, name: &ResourceName, new: &Arc<K>) -> Option<Arc<K>> {
        let old = self.items.insert(name.clone(), Arc::clone(new));
        if let Some(old) = &old {
            self.forget(keys(old), name);
        }
        for key in keys(new) {
            self.index.entry(key).or_default().insert(name.clone());
        }
        old
    }

    fn remove(&mut self, keys: fn(&K) -> Vec<Key>, name: &ResourceName) -> Option<Arc<K>> {
        let old = self.items.remove(name)?;
        self.forget(keys(&old), name);
        Some(old)
    }

    fn forget(&mut self, keys: Vec<Key>, name: &ResourceName) {
        for key in keys {
            if let Some(names) = self.index.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }
}

impl<K: Resource> Shelf<K> {
    /// An empty one, filled once all of these namespaces (`None`: all that there are) have been listed.
    pub fn new(scopes: &[Option<String>], keys: fn(&K) -> Vec<Key>) -> Self {
        let inner = Inner {
            items: HashMap::new(),
            index: HashMap::new(),
            listing: HashMap::new(),
            awaited: scopes.iter().cloned().collect(),
            unreadable: HashSet::new(),
        };
        Self { inner: RwLock::new(inner), keys, filled: watch::Sender::new(scopes.is_empty()) }
    }

    /// The resource of this name.
    pub fn get(&self, name: &ResourceName) -> Option<Arc<K>> {
        self.read().items.get(name).cloned()
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().items.values().cloned().collect()
    }

    /// Those that are found by this key, in the order of their names.
    pub fn by(&self, key: &Key) -> Vec<Arc<K>> {
        let inner = self.read();
        let names = inner.index.get(key).into_iter().flatten();
        names.filter_map(|name| inner.items.get(name).cloned()).collect()
    }

    /// The names of those that are found by this key, in order.
    pub fn names_by(&self, key: &Key) -> Vec<ResourceName> {
        self.read().index.get(key).into_iter().flatten().cloned().collect()
    }

    /// Whether any is found by this key.
    pub fn has(&self, key: &Key) -> bool {
        self.read().index.contains_key(key)
    }

    /// Whether a resource of this name is there and cannot be read, as of another version's schema. What is known of it, if
    /// anything, is how it was; that nothing is known does not say that it is gone.
    pub fn is_unreadable(&self, name: &ResourceName) -> bool {
        self.read().unreadable.contains(name)
    }

    /// Whether there is any in a namespace that cannot be read.
    pub fn has_unreadable(&self, namespace: &str) -> bool {
        self.read().unreadable.iter().any(|name| name.namespace == namespace)
    }

    /// The first of those anywhere that cannot be read.
    pub fn unreadable(&self) -> Option<ResourceName> {
        self.read().unreadable.iter().min().cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all has been listed once.
    pub fn is_filled(&self) -> bool {
        *self.filled.borrow()
    }

    /// Waits until all has been listed once.
    pub async fn filled(&self) {
        // Who fills it lives as long as it does.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// Takes in what a watch of this namespace (`None`: of all) tells; what has changed by it.
    pub fn take_in(&self, scope: &Option<String>, event: Event<K>) -> Vec<Change<K>> {
        let inner = &mut *self.write();
        match event {
            Event::Apply(new) => self.applied(inner, new).into_iter().collect(),
            Event::Delete(gone) => inner.remove(self.keys, &name_of(&gone)).map(Change::Deleted).into_iter().collect(),
            Event::Init => {
                inner.listing.insert(scope.clone(), HashSet::new());
                Vec::new()
            }
            Event::InitApply(new) => {
                inner.listing.entry(scope.clone()).or_default().insert(name_of(&new));
                self.applied(inner, new).into_iter().collect()
            }
            Event::InitDone => {
                let listed = inner.listing.remove(scope).unwrap_or_default();
                inner.unreadable.retain(|name| {
                    scope.as_ref().is_some_and(|namespace| name.namespace != *namespace) || listed.contains(name)
                });
                let is_gone = |name: &&ResourceName| {
                    scope.as_ref().is_none_or(|namespace| name.namespace == *namespace) && !listed.contains(*name)
                };
                let gone: Vec<_> = inner.items.keys().filter(is_gone).cloned().collect();
                let gone = gone.iter().filter_map(|name| inner.remove(self.keys, name)).map(Change::Deleted).collect();
                inner.awaited.remove(scope);
                if inner.awaited.is_empty() {
                    self.filled.send_replace(true);
                }
                gone
            }
        }
    }

    /// Takes in that a watch of this namespace tells of a resource that cannot be read.
    pub fn take_in_unreadable(&self, scope: &Option<String>, name: ResourceName) {
        let inner = &mut *self.write();
        if let Some(listed) = inner.listing.get_mut(scope) {
            listed.insert(name.clone());
        }
        inner.unreadable.insert(name);
    }

    /// Takes in that a resource is gone that could not be read; what has changed by it.
    pub fn take_out_unreadable(&self, name: &ResourceName) -> Option<Change<K>> {
        let inner = &mut *self.write();
        inner.unreadable.remove(name);
        inner.remove(self.keys, name).map(Change::Deleted)
    }

    fn applied(&self, inner: &mut Inner<K>, new: K) -> Option<Change<K>> {
        let name = name_of(&new);
        inner.unreadable.remove(&name);
        // Told again, as after a watch that broke.
        if inner.items.get(&name).is_some_and(|old| {
            old.meta().resource_version.is_some() && old.meta().resource_version == new.meta().resource_version
        }) {
            return None;
        }
        let new = Arc::new(new);
        let old = inner.put(self.keys, &name, &new);
        Some(Change::Applied { old, new })
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<K>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a resource that lives in a namespace.
pub fn name_of(resource: &impl Resource) -> ResourceName {
    ResourceName::new(resource.namespace().unwrap_or_default(), resource.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(namespace: &str, name: &str, version: &str, topic: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object.metadata.labels = Some([("topic".to_owned(), topic.to_owned())].into());
        object
    }

    fn shelf(scopes: &[Option<String>]) -> Shelf<ConfigMap> {
        Shelf::new(scopes, |object| object.labels().get("topic").cloned().map(Key::Topic).into_iter().collect())
    }

    /// What changes by these events, in words.
    fn check(shelf: &Shelf<ConfigMap>, scope: Option<&str>, events: Vec<Event<ConfigMap>>, expected: &[&str]) {
        let scope = scope.map(str::to_owned);
        let changes = events.into_iter().flat_map(|event| shelf.take_in(&scope, event));
        let words = changes.map(|change| match change {
            Change::Applied { old: None, new } => format!("+{}", name_of(&*new)),
            Change::Applied { old: Some(_), new } => format!("~{}", name_of(&*new)),
            Change::Deleted(gone) => format!("-{}", name_of(&*gone)),
        });
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }

    fn by(shelf: &Shelf<ConfigMap>, topic: &str) -> Vec<String> {
        shelf.names_by(&Key::Topic(topic.to_owned())).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_gone_while_a_watch_was_broken_is_found_out_by_the_next_listing() {
        let shelf = shelf(&[None]);
        let (a, b) = (object("x", "a", "1", "t"), object("x", "b", "1", "t"));
        let listing = vec![Event::Init, Event::InitApply(a.clone()), Event::InitApply(b.clone())];
        check(&shelf, None, listing, &["+x/a", "+x/b"]);
        assert!(!shelf.is_filled());
        check(&shelf, None, vec![Event::InitDone], &[]);
        assert!(shelf.is_filled());
        // What is told again as it is changes nothing.
        check(&shelf, None, vec![Event::Init, Event::InitApply(b), Event::InitDone], &["-x/a"]);
        assert_eq!((shelf.len(), by(&shelf, "t")), (1, vec!["x/b".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_not_gone() {
        let shelf = shelf(&[None]);
        let name = ResourceName::new("x", "a");
        let done = |object| vec![Event::Init, Event::InitApply(object), Event::InitDone];
        check(&shelf, None, done(object("x", "a", "1", "t")), &["+x/a"]);
        check(&shelf, None, vec![Event::Init], &[]);
        shelf.take_in_unreadable(&None, name.clone());
        check(&shelf, None, vec![Event::InitDone], &[]);
        assert!(shelf.is_unreadable(&name) && shelf.get(&name).is_some());
        assert_eq!(shelf.unreadable(), Some(name.clone()));
        check(&shelf, None, vec![Event::Apply(object("x", "a", "2", "t"))], &["~x/a"]);
        assert!(!shelf.is_unreadable(&name));
        shelf.take_in_unreadable(&None, name.clone());
        check(&shelf, None, vec![Event::Init, Event::InitDone], &["-x/a"]);
        assert!(!shelf.is_unreadable(&name));
        shelf.take_in_unreadable(&None, name.clone());
        assert!(shelf.take_out_unreadable(&name).is_none() && !shelf.is_unreadable(&name));
    }

    #[test]
    fn each_namespace_is_listed_alone() {
        let scopes = [Some("x".to_owned()), Some("y".to_owned())];
        let shelf = shelf(&scopes);
        let done = |object| vec![Event::Init, Event::InitApply(object), Event::InitDone];
        check(&shelf, Some("x"), done(object("x", "a", "1", "t")), &["+x/a"]);
        assert!(!shelf.is_filled());
        check(&shelf, Some("y"), done(object("y", "a", "1", "t")), &["+y/a"]);
        assert!(shelf.is_filled());
        check(&shelf, Some("x"), vec![Event::Init, Event::InitDone], &["-x/a"]);
        assert_eq!(shelf.len(), 1);
    }

    #[test]
    fn keys_follow_their_resources() {
        let shelf = shelf(&[None]);
        check(&shelf, None, vec![Event::Apply(object("x", "a", "1", "old"))], &["+x/a"]);
        check(&shelf, None, vec![Event::Apply(object("x", "a", "2", "new"))], &["~x/a"]);
        assert_eq!((by(&shelf, "old").len(), by(&shelf, "new").len()), (0, 1));
        check(&shelf, None, vec![Event::Delete(object("x", "a", "3", "new"))], &["-x/a"]);
        assert!(!shelf.has(&Key::Topic("new".to_owned())) && shelf.is_empty());
    }
}
