//! `Manifests` out of the stores: what a reconciler judges and resolves, and what it is to be told from its neighbours by.

use std::collections::BTreeSet;

use afterbay_crds::api::{Sink, SourceConnector};
use afterbay_crds::manifest::{Kind, Located, Manifests, Place, Refused};
use afterbay_crds::names::{self, ResourceName};
use kube::{Resource, ResourceExt as _};

use super::{Key, Stores, name_of, references};
use crate::cluster::labels;

/// What concerns one SourceConnector.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The SourceConnector, its Sinks, what they refer to, with the Secrets of that; and neighbours: other Sinks that could
    /// fill a topic of these, other SourceConnectors that could read the slot, without their Secrets. What is wrong with a
    /// neighbour is said by who gathers for it.
    pub manifests: Manifests,
    /// The Sinks that are its own.
    pub sinks: BTreeSet<ResourceName>,
}

/// Where a resource stands that the API server holds.
pub fn in_cluster(kind: Kind, name: &ResourceName) -> Place {
    Place::in_cluster(kind.as_str(), name)
}

fn located<T: Clone>(kind: Kind, name: &ResourceName, spec: &T) -> Located<T> {
    Located { place: in_cluster(kind, name), spec: spec.clone(), refused: Refused::default() }
}

/// Of two that want the same the later one is refused.
fn since(manifests: &mut Manifests, kind: Kind, name: ResourceName, resource: &impl Resource) {
    let made = resource.meta().creation_timestamp.as_ref().map(|time| time.0.as_microsecond());
    manifests.since.extend(made.map(|made| ((kind, name), made)));
}

/// Whether a resource is to be carried: it is not being deleted, and cannot be without us.
fn is_held(resource: &impl Resource, finalizer: &str) -> bool {
    resource.meta().deletion_timestamp.is_none() && resource.finalizers().iter().any(|held| held == finalizer)
}

impl Stores {
    /// The Secrets that a SourceConnector, and all that its Sinks refer to, name.
    pub fn secrets_for_source(&self, source: &ResourceName) -> Vec<ResourceName> {
        let mut names = BTreeSet::new();
        if let Some(source) = self.sources.get(source) {
            names.extend(references::secrets_of_source(&name_of(&*source), &source.spec));
        }
        for sink in self.sinks.by(&Key::Source(source.clone())) {
            names.extend(self.secrets_of_sink(&sink));
        }
        names.into_iter().collect()
    }

    /// The Secrets that a Sink's connection and registries name.
    pub fn secrets_of_sink(&self, sink: &Sink) -> Vec<ResourceName> {
        let mut names = Vec::new();
        let sink_name = name_of(sink);
        let connection = sink_name.sibling(&sink.spec.kafka.connection);
        if let Some(found) = self.connections.get(&connection) {
            names.extend(references::secrets_of_connection(&connection, &found.spec));
        }
        for registry in references::registries_of_sink(&sink_name, &sink.spec) {
            if let Some(found) = self.registries.get(&registry) {
                names.extend(references::secrets_of_registry(&registry, &found.spec));
            }
        }
        names
    }

    /// What concerns a SourceConnector, of what is held; of Secrets, what has been loaded. Sinks that are being deleted are not
    /// among it, and neither are those that have no finalizer yet.
    pub fn gather(&self, source: &ResourceName) -> Gathered {
        let mut gathered = Gathered::default();
        let Some(own) = self.sources.get(source) else { return gathered };
        Self::put_source(&mut gathered.manifests, &own);
        for sink in self.sinks.by(&Key::Source(source.clone())) {
            if is_held(&*sink, labels::SINK_FINALIZER) {
                gathered.sinks.insert(name_of(&*sink));
                self.put_sink(&mut gathered.manifests, &sink);
            }
        }
        self.put_neighbours(&mut gathered, source, &own);
        for secret in self.secrets_for_source(source) {
            self.put_secret(&mut gathered.manifests, &secret);
        }
        gathered
    }

    /// One Sink, also one that is being deleted, with its connection and registries, and with their Secrets as they were last.
    pub fn gather_going(&self, sink: &Sink) -> Manifests {
        let mut manifests = Manifests::default();
        self.put_sink(&mut manifests, sink);
        for secret in self.secrets_of_sink(sink) {
            self.put_last_secret(&mut manifests, &secret);
        }
        manifests
    }

    /// A SourceConnector, also one that is being deleted, with its Secrets as they were last, and without these the others of its database with their Sinks:
    /// any of them may have its slot or its publication.
    pub fn gather_database(&self, source: &SourceConnector) -> Manifests {
        let mut manifests = Manifests::default();
        Self::put_source(&mut manifests, source);
        for other in self.sources.by(&Key::Database(source.spec.postgres.database.clone())) {
            Self::put_source(&mut manifests, &other);
            for sink in self.sinks.by(&Key::Source(name_of(&*other))) {
                self.put_sink(&mut manifests, &sink);
            }
        }
        for secret in references::secrets_of_source(&name_of(source), &source.spec) {
            self.put_last_secret(&mut manifests, &secret);
        }
        manifests
    }

    /// A KafkaConnection with its Secrets.
    pub fn gather_connection(&self, name: &ResourceName) -> Manifests {
        let mut manifests = Manifests::default();
        if let Some(found) = self.connections.get(name) {
            manifests.kafka_connections.insert(name.clone(), located(Kind::KafkaConnection, name, &found.spec));
            for secret in references::secrets_of_connection(name, &found.spec) {
                self.put_secret(&mut manifests, &secret);
            }
        }
        manifests
    }

    /// A SchemaRegistryConnection with its Secrets.
    pub fn gather_registry(&self, name: &ResourceName) -> Manifests {
        let mut manifests = Manifests::default();
        if let Some(found) = self.registries.get(name) {
            manifests.registries.insert(name.clone(), located(Kind::SchemaRegistryConnection, name, &found.spec));
            for secret in references::secrets_of_registry(name, &found.spec) {
                self.put_secret(&mut manifests, &secret);
            }
        }
        manifests
    }

    fn put_source(manifests: &mut Manifests, source: &SourceConnector) {
        let name = name_of(source);
        manifests.sources.insert(name.clone(), located(Kind::SourceConnector, &name, &source.spec));
        since(manifests, Kind::SourceConnector, name, source);
    }

    /// A Sink with its connection and its registries.
    fn put_sink(&self, manifests: &mut Manifests, sink: &Sink) {
        let name = name_of(sink);
        manifests.sinks.insert(name.clone(), located(Kind::Sink, &name, &sink.spec));
        since(manifests, Kind::Sink, name.clone(), sink);
        let connection = name.sibling(&sink.spec.kafka.connection);
        if !manifests.kafka_connections.contains_key(&connection)
            && let Some(found) = self.connections.get(&connection)
        {
            let place = located(Kind::KafkaConnection, &connection, &found.spec);
            manifests.kafka_connections.insert(connection, place);
        }
        for registry in references::registries_of_sink(&name, &sink.spec) {
            if !manifests.registries.contains_key(&registry)
                && let Some(found) = self.registries.get(&registry)
            {
                let place = located(Kind::SchemaRegistryConnection, &registry, &found.spec);
                manifests.registries.insert(registry, place);
            }
        }
    }

    /// Who could fill a topic of these Sinks, or read the slot.
    fn put_neighbours(&self, gathered: &mut Gathered, source: &ResourceName, own: &SourceConnector) {
        let mut neighbours = Vec::new();
        let by_pattern = gathered.manifests.sinks.values().any(|sink| sink.spec.source.tables.is_some());
        if by_pattern {
            // What matches comes to have any topic.
            neighbours = self.sinks.all();
        } else {
            for sink in gathered.manifests.sinks.values() {
                neighbours.extend(self.sinks.by(&Key::Topic(sink.spec.kafka.topic.name.clone())));
            }
        }
        for sink in neighbours {
            if !gathered.sinks.contains(&name_of(&*sink)) && is_held(&*sink, labels::SINK_FINALIZER) {
                self.put_sink(&mut gathered.manifests, &sink);
            }
        }
        for other in self.sources.by(&Key::Database(own.spec.postgres.database.clone())) {
            let name = name_of(&*other);
            // The slot of a pool is that of the SourceConnector with the pool behind it.
            let (own, its) = (slot(own), slot(&other));
            if name != *source && (own.starts_with(&its) || its.starts_with(&own)) {
                Self::put_source(&mut gathered.manifests, &other);
                for sink in self.sinks.by(&Key::Source(name)) {
                    self.put_sink(&mut gathered.manifests, &sink);
                }
            }
        }
    }

    /// For what is taken away at the end of a resource, which may come after the Secret's.
    fn put_last_secret(&self, manifests: &mut Manifests, name: &ResourceName) {
        if let Some(data) = self.secrets.last(name) {
            manifests.secrets.insert(name.clone(), located(Kind::Secret, name, &*data));
        }
    }

    fn put_secret(&self, manifests: &mut Manifests, name: &ResourceName) {
        if let Some(data) = self.secrets.get(name) {
            manifests.secrets.insert(name.clone(), located(Kind::Secret, name, &*data));
        }
    }
}

/// The slot of a SourceConnector; those of its pools begin with it.
fn slot(source: &SourceConnector) -> String {
    names::slot(source.spec.postgres.slot.name.as_deref(), &name_of(source))
}
