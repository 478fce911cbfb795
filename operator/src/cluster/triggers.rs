//! Which resource concerns which others: what is to be looked at again when something changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use afterbay_crds::api::{KafkaConnection, SchemaRegistryConnection, Sink, SourceConnector};
use afterbay_crds::names::ResourceName;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt as _};

use super::board::Board;
use super::queue::Queue;
use super::stores::{Change, Key, Stores, name_of, references, worker_of};
use super::{labels, pods};

/// The reconcilers' queues.
pub struct Queues {
    /// KafkaConnections.
    pub connections: Arc<Queue>,
    /// SchemaRegistryConnections.
    pub registries: Arc<Queue>,
    /// SourceConnectors: all that their workers need.
    pub sources: Arc<Queue>,
    /// SourceConnectors: what is said of them.
    pub source_statuses: Arc<Queue>,
    /// Sinks.
    pub sinks: Arc<Queue>,
}

impl Default for Queues {
    fn default() -> Self {
        let queue = |ms| Arc::new(Queue::new(Duration::from_millis(ms)));
        Self {
            connections: queue(50),
            registries: queue(50),
            // A plan that is changed is a pod that is replaced: better once for all that is applied together.
            sources: queue(300),
            source_statuses: queue(50),
            sinks: queue(50),
        }
    }
}

/// Puts into the queues what a change concerns.
pub struct Triggers {
    queues: Arc<Queues>,
    board: Arc<Board>,
}

impl Triggers {
    /// Into these queues.
    pub fn new(queues: Arc<Queues>, board: Arc<Board>) -> Self {
        Self { queues, board }
    }

    /// A KafkaConnection has changed.
    pub fn connection(&self, stores: &Stores, change: &Change<KafkaConnection>) {
        let Some(connection) = what_matters(change, |resource| &resource.spec) else { return };
        forget_secrets(stores, change, |name, resource| references::secrets_of_connection(name, &resource.spec));
        let name = name_of(connection);
        self.queues.connections.add(&name);
        self.sources_of(stores.sinks.by(&Key::Connection(name)).iter().map(|sink| &**sink));
    }

    /// A SchemaRegistryConnection has changed.
    pub fn registry(&self, stores: &Stores, change: &Change<SchemaRegistryConnection>) {
        let Some(registry) = what_matters(change, |resource| &resource.spec) else { return };
        forget_secrets(stores, change, |name, resource| references::secrets_of_registry(name, &resource.spec));
        let name = name_of(registry);
        self.queues.registries.add(&name);
        self.sources_of(stores.sinks.by(&Key::Registry(name)).iter().map(|sink| &**sink));
    }

    /// A SourceConnector has changed.
    pub fn source(&self, stores: &Stores, change: &Change<SourceConnector>) {
        let Some(source) = what_matters(change, |resource| &resource.spec) else { return };
        forget_secrets(stores, change, |name, resource| references::secrets_of_source(name, &resource.spec));
        let name = name_of(source);
        self.queues.sources.add(&name);
        self.queues.source_statuses.add(&name);
        // Sinks wait for one that is to come, and neighbours may read its slot.
        for sink in stores.sinks.names_by(&Key::Source(name)) {
            self.queues.sinks.add(&sink);
        }
        for other in stores.sources.names_by(&Key::Database(source.spec.postgres.database.clone())) {
            self.queues.sources.add(&other);
        }
    }

    /// A Sink has changed.
    pub fn sink(&self, stores: &Stores, change: &Change<Sink>) {
        self.begun(change);
        let Some(sink) = what_matters(change, |resource| &resource.spec) else { return };
        let (is_new_to_others, old) = match change {
            Change::Applied { old, new } => (old.as_ref().is_none_or(|old| old.spec != new.spec), old.as_deref()),
            Change::Deleted(_) => (true, None),
        };
        for sink in old.into_iter().chain([sink]) {
            let name = name_of(sink);
            self.queues.sinks.add(&name);
            self.queues.sources.add(&name.sibling(&sink.spec.source.name));
            self.queues.source_statuses.add(&name.sibling(&sink.spec.source.name));
            if is_new_to_others {
                // They stay as long as somebody uses them.
                self.queues.connections.add(&name.sibling(&sink.spec.kafka.connection));
                for registry in references::registries_of_sink(&name, &sink.spec) {
                    self.queues.registries.add(&registry);
                }
                // Two Sinks cannot fill one topic; when one goes, or comes, it matters to the other.
                self.sources_of(stores.sinks.by(&Key::Topic(sink.spec.kafka.topic.name.clone())).iter().map(|s| &**s));
                self.sources_of(stores.sinks.by(&Key::Patterns).iter().map(|sink| &**sink));
            }
        }
    }

    /// A worker is to know which of its Sinks have committed before, when it is started again.
    fn begun(&self, change: &Change<Sink>) {
        let begun = |sink: &Sink| sink.status.as_ref().is_some_and(|status| status.begun);
        if let Change::Applied { old: Some(old), new } = change
            && begun(old) != begun(new)
        {
            self.queues.sources.add(&name_of(&**new).sibling(&new.spec.source.name));
            self.queues.source_statuses.add(&name_of(&**new).sibling(&new.spec.source.name));
        }
    }

    /// A Secret has changed.
    pub fn secret(&self, stores: &Stores, change: &Change<PartialObjectMeta<Secret>>) {
        let secret = match change {
            Change::Applied { new, .. } => new,
            Change::Deleted(gone) => gone,
        };
        // One of a worker's own.
        if let Some(source) = secret.labels().get(labels::SOURCE) {
            if let Change::Deleted(_) = change {
                self.queues.sources.add(&name_of(&**secret).sibling(source));
            }
            return;
        }
        let name = name_of(&**secret);
        let key = Key::Secret(name.clone());
        if matches!(change, Change::Deleted(_)) && !stores.name_secret(&name) {
            stores.secrets.forget(&name);
        }
        for connection in stores.connections.names_by(&key) {
            self.queues.connections.add(&connection);
            self.sources_of(stores.sinks.by(&Key::Connection(connection)).iter().map(|sink| &**sink));
        }
        for registry in stores.registries.names_by(&key) {
            self.queues.registries.add(&registry);
            self.sources_of(stores.sinks.by(&Key::Registry(registry)).iter().map(|sink| &**sink));
        }
        for source in stores.sources.names_by(&key) {
            self.queues.sources.add(&source);
        }
    }

    /// Something that the operator has made has changed, for whatever reason.
    pub fn owned<K: Resource>(&self, _: &Stores, change: &Change<K>) {
        let object = match change {
            Change::Applied { new, .. } => new,
            Change::Deleted(gone) => gone,
        };
        let owner = |label| object.labels().get(label).map(|owner| name_of(&**object).sibling(owner));
        match owner(labels::SINK) {
            Some(sink) => self.queues.sinks.add(&sink),
            None => owner(labels::SOURCE).into_iter().for_each(|source| self.queues.sources.add(&source)),
        }
    }

    /// A worker's Deployment has changed, maybe in what it says of itself.
    pub fn deployment(&self, stores: &Stores, change: &Change<Deployment>) {
        let (deployment, refusal) = match change {
            Change::Applied { new, .. } => (new, pods::refusal(new)),
            Change::Deleted(gone) => (gone, None),
        };
        if let Some(worker) = worker_of(&**deployment) {
            self.board.see_refusal(&worker, refusal);
        }
        self.owned(stores, change);
    }

    /// A pod has changed: the worker's, or that of a Job.
    pub fn pod(&self, stores: &Stores, change: &Change<Pod>) {
        let pod = match change {
            Change::Applied { new, .. } => new,
            Change::Deleted(gone) => gone,
        };
        match worker_of(&**pod).filter(|_| !pod.labels().contains_key(labels::SINK)) {
            Some(worker) => {
                self.board.see_pods(&worker, &stores.pods.by(&Key::Source(worker.source.clone())));
                if let Change::Deleted(_) = change {
                    // Nobody reads its slot any more, if it was the last.
                    self.queues.sources.add(&worker.source);
                }
            }
            None => self.owned(stores, change),
        }
    }

    fn sources_of<'a>(&self, sinks: impl Iterator<Item = &'a Sink>) {
        let sources: BTreeSet<_> = sinks.map(|sink| name_of(sink).sibling(&sink.spec.source.name)).collect();
        for source in &sources {
            self.queues.sources.add(source);
        }
    }
}

/// Of Secrets that were named, and are no more.
fn forget_secrets<K: Resource>(
    stores: &Stores,
    change: &Change<K>,
    named: impl Fn(&ResourceName, &K) -> Vec<ResourceName>,
) {
    let old = match change {
        Change::Applied { old, .. } => old.as_ref(),
        Change::Deleted(gone) => Some(gone),
    };
    for secret in old.map(|old| named(&name_of(&**old), old)).unwrap_or_default() {
        if !stores.name_secret(&secret) {
            stores.secrets.forget(&secret);
        }
    }
}

/// The resource, if anything but its status has changed.
fn what_matters<K: Resource, S: PartialEq>(change: &Change<K>, spec: fn(&K) -> &S) -> Option<&K> {
    match change {
        Change::Applied { old: Some(old), new } => {
            let (was, is) = (old.meta(), new.meta());
            let differs = was.uid != is.uid
                || was.deletion_timestamp != is.deletion_timestamp
                || was.finalizers != is.finalizers
                || was.annotations != is.annotations
                || spec(old) != spec(new);
            differs.then_some(&**new)
        }
        Change::Applied { old: None, new } => Some(new),
        Change::Deleted(gone) => Some(gone),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_worker_s_pod_concerns_its_source_also_where_nothing_is_known_of_it() {
        let queues = Arc::new(Queues::default());
        let triggers = Triggers::new(Arc::clone(&queues), Arc::new(Board::new(Arc::clone(&queues))));
        let labels = json!({labels::SOURCE: "shop", labels::POOL: "bulk"});
        let pod = json!({"metadata": {"name": "p", "namespace": "eu", "labels": labels}});
        let pod: Arc<Pod> = Arc::new(serde_json::from_value(pod).unwrap());
        triggers.pod(&Stores::new(&[]), &Change::Deleted(pod));
        assert_eq!(queues.sources.asked(true), [ResourceName::new("eu", "shop")]);
    }
}
