//! What is known of the cluster, without asking it: the shared stores that watches keep, and what is gathered of them.

mod gather;
mod object;
pub mod references;
mod shelf;
mod vault;
pub mod watching;

use afterbay_crds::api::{KafkaConnection, SchemaRegistryConnection, Sink, SourceConnector};
use afterbay_crds::manifest::Kind;
use afterbay_crds::names::{ResourceName, WorkerName};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Resource, ResourceExt as _};

pub use gather::{Gathered, in_cluster};
pub use object::Object;
pub use shelf::{Change, Key, Shelf, name_of};
pub use vault::Vault;

use super::labels;

/// The stores of all kinds.
pub struct Stores {
    /// KafkaConnections.
    pub connections: Shelf<KafkaConnection>,
    /// SchemaRegistryConnections.
    pub registries: Shelf<SchemaRegistryConnection>,
    /// SourceConnectors.
    pub sources: Shelf<SourceConnector>,
    /// Sinks; found by their SourceConnector, their connection, their registries, their topic.
    pub sinks: Shelf<Sink>,
    /// Secrets: the users', and those of the workers.
    pub secrets: Vault,
    /// The operator's own, found by SourceConnector.
    pub config_maps: Shelf<ConfigMap>,
    /// The same.
    pub deployments: Shelf<Deployment>,
    /// The same.
    pub budgets: Shelf<PodDisruptionBudget>,
    /// The same, or by Sink.
    pub jobs: Shelf<Job>,
    /// The pods of workers and Jobs, of which only their status is kept.
    pub pods: Shelf<Pod>,
}

impl Stores {
    /// Empty stores of these namespaces; `None`: of all.
    pub fn new(scopes: &[Option<String>]) -> Self {
        Self {
            connections: Shelf::new(scopes, |connection| {
                secrets(references::secrets_of_connection(&name_of(connection), &connection.spec))
            }),
            registries: Shelf::new(scopes, |registry| {
                secrets(references::secrets_of_registry(&name_of(registry), &registry.spec))
            }),
            sources: Shelf::new(scopes, |source| {
                let mut keys = secrets(references::secrets_of_source(&name_of(source), &source.spec));
                keys.push(Key::Database(source.spec.postgres.database.clone()));
                keys
            }),
            sinks: Shelf::new(scopes, keys_of_sink),
            secrets: Vault::new(scopes),
            config_maps: Shelf::new(scopes, keys_of_owned),
            deployments: Shelf::new(scopes, keys_of_owned),
            budgets: Shelf::new(scopes, keys_of_owned),
            jobs: Shelf::new(scopes, keys_of_owned),
            pods: Shelf::new(scopes, keys_of_owned),
        }
    }

    /// Waits until all of them are filled.
    pub async fn filled(&self) {
        tokio::join!(
            self.connections.filled(),
            self.registries.filled(),
            self.sources.filled(),
            self.sinks.filled(),
            self.secrets.shelf.filled(),
            self.config_maps.filled(),
            self.deployments.filled(),
            self.budgets.filled(),
            self.jobs.filled(),
            self.pods.filled(),
        );
    }

    /// Whether all of them are filled.
    pub fn are_filled(&self) -> bool {
        self.connections.is_filled()
            && self.registries.is_filled()
            && self.sources.is_filled()
            && self.sinks.is_filled()
            && self.secrets.shelf.is_filled()
            && self.config_maps.is_filled()
            && self.deployments.is_filled()
            && self.budgets.is_filled()
            && self.jobs.is_filled()
            && self.pods.is_filled()
    }

    /// Whether any resource names this Secret.
    pub fn name_secret(&self, secret: &ResourceName) -> bool {
        let key = Key::Secret(secret.clone());
        self.connections.has(&key) || self.registries.has(&key) || self.sources.has(&key)
    }
}

fn keys_of_sink(sink: &Sink) -> Vec<Key> {
    let name = name_of(sink);
    let spec = &sink.spec;
    let mut keys = vec![
        Key::Source(name.sibling(&spec.source.name)),
        Key::Connection(name.sibling(&spec.kafka.connection)),
        match &spec.source.tables {
            Some(_) => Key::Patterns,
            None => Key::Topic(spec.kafka.topic.name.clone()),
        },
    ];
    keys.extend(references::registries_of_sink(&name, spec).into_iter().map(Key::Registry));
    keys
}

fn secrets(names: Vec<ResourceName>) -> Vec<Key> {
    names.into_iter().map(Key::Secret).collect()
}

/// What the operator has made says by its labels whose it is.
fn keys_of_owned<K: Resource>(object: &K) -> Vec<Key> {
    let labelled =
        |label, key: fn(ResourceName) -> Key| object.labels().get(label).map(|name| key(name_of(object).sibling(name)));
    [labelled(labels::SOURCE, Key::Source), labelled(labels::SINK, Key::Sink)].into_iter().flatten().collect()
}

/// The worker that an object belongs to, by its labels.
pub fn worker_of(object: &impl Resource) -> Option<WorkerName> {
    let source = name_of(object).sibling(object.labels().get(labels::SOURCE)?);
    Some(WorkerName { source, pool: object.labels().get(labels::POOL)?.clone() })
}

/// Of the Secrets that a connection or a registry names, those that are not there.
pub fn missing_secrets(stores: &Stores, kind: Kind, name: &ResourceName) -> Vec<ResourceName> {
    let named = match kind {
        Kind::KafkaConnection => {
            let found = stores.connections.get(name);
            found.map(|found| references::secrets_of_connection(name, &found.spec))
        }
        Kind::SchemaRegistryConnection => {
            let found = stores.registries.get(name);
            found.map(|found| references::secrets_of_registry(name, &found.spec))
        }
        Kind::SourceConnector => {
            let found = stores.sources.get(name);
            found.map(|found| references::secrets_of_source(name, &found.spec))
        }
        Kind::Sink | Kind::Secret => None,
    };
    named.unwrap_or_default().into_iter().filter(|secret| !stores.secrets.has(secret)).collect()
}
