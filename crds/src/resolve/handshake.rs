//! Connections alone, as their clients want them: for who asks whether they answer.

use super::{ResolveSettings, SecretFile, Secrets};
use crate::manifest::Manifests;
use crate::names::{DEFAULT_POOL, ResourceName, WorkerName};
use crate::plan::{KafkaConnectionPlan, PostgresConnectionPlan, RegistryConnectionPlan};

/// A connection, and the files that it names, to be readable by nobody else (mode 0600).
#[derive(Debug)]
pub struct Handshake<T> {
    /// The connection.
    pub connection: T,
    /// The files.
    pub secrets: Vec<SecretFile>,
}

/// A Kafka cluster, entered as the workers are, and where that is somebody else as who administers it.
pub fn kafka(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
) -> Option<Handshake<Vec<KafkaConnectionPlan>>> {
    let spec = &manifests.kafka_connections.get(name)?.spec;
    let mut secrets = secrets(manifests, settings, name);
    let mut connection = vec![secrets.kafka(name, spec, spec.authentication.as_ref(), "worker")];
    if let Some(admin) = &spec.admin_authentication
        && Some(admin) != spec.authentication.as_ref()
    {
        connection.push(secrets.kafka(name, spec, Some(admin), "admin"));
    }
    Some(Handshake { connection, secrets: secrets.files() })
}

/// A schema registry.
pub fn registry(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
) -> Option<Handshake<RegistryConnectionPlan>> {
    let spec = &manifests.registries.get(name)?.spec;
    let mut secrets = secrets(manifests, settings, name);
    let connection = secrets.registry(name, spec);
    Some(Handshake { connection, secrets: secrets.files() })
}

/// The database of a SourceConnector.
pub fn postgres(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
) -> Option<Handshake<PostgresConnectionPlan>> {
    let spec = &manifests.sources.get(name)?.spec;
    let mut secrets = secrets(manifests, settings, name);
    let connection = secrets.postgres(name, &spec.postgres);
    Some(Handshake { connection, secrets: secrets.files() })
}

fn secrets<'a>(manifests: &'a Manifests, settings: &ResolveSettings, name: &ResourceName) -> Secrets<'a> {
    let alone = WorkerName { source: name.clone(), pool: DEFAULT_POOL.to_owned() };
    Secrets::new(manifests, &settings.secrets_dir, &alone)
}
