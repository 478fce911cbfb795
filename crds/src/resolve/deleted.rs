//! What goes with a Sink or a SourceConnector that is being deleted where all resources can be looked at: what it takes to take it away, and
//! which rights nobody needs any more.

use std::collections::{BTreeMap, BTreeSet};

use super::connections::Secrets;
use super::retirement::not_inherited;
use super::{Grants, ResolveSettings, SecretFile, rights};
use crate::api::SinkSpec;
use crate::manifest::Manifests;
use crate::names::{self, DEFAULT_POOL, Naming, ResourceName, WorkerName};
use crate::plan::KafkaConnectionPlan;
use crate::retirement::{RetiredSink, RetiredSource};

/// How a Sink is taken away, with the files that this takes: they stand where those of its worker do, and have their names. None
/// where its connection is not there.
pub fn sink(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
) -> Option<(RetiredSink, Vec<SecretFile>)> {
    let spec = &manifests.sinks.get(name)?.spec;
    let connection_name = name.sibling(&spec.kafka.connection);
    let connection = &manifests.kafka_connections.get(&connection_name)?.spec;
    let worker = WorkerName { source: name.sibling(&spec.source.name), pool: spec.pool.clone() };
    let mut secrets = Secrets::new(manifests, &settings.secrets_dir, &worker);
    let naming = Naming { prefix: &connection.name_prefix, instance: &settings.instance };
    let id = |own: &Option<String>| naming.of_sink(own.as_deref(), &connection_name, name);
    let progress_topic = connection.progress_topic.name.clone();
    let retired = RetiredSink {
        name: name.to_string(),
        uid: format!("{}/{name}", settings.instance),
        connection: secrets.kafka(&connection_name, connection, connection.authentication.as_ref(), "worker"),
        progress_topic: progress_topic.unwrap_or_else(|| naming.progress_topic(&connection_name)),
        progress_key: naming.progress_key(name),
        progress_group_id: id(&spec.kafka.progress_group_id_prefix),
        transactional_id: id(&spec.kafka.transactional_id_prefix),
    };
    Some((retired, secrets.files()))
}

/// How slots, and perhaps the publication, of a SourceConnector are taken away.
#[derive(Debug)]
pub struct RetiredSlots {
    /// What is to be taken away.
    pub plan: RetiredSource,
    /// The files that this takes.
    pub secrets: Vec<SecretFile>,
    /// The slots that stay, as another SourceConnector has them, and which that is.
    pub inherited: BTreeMap<String, ResourceName>,
}

/// How a SourceConnector is taken away: its publication, where that is managed, and these slots beside its own, as far as no other
/// SourceConnector has them. None where it is not there.
pub fn source(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
    mut slots: BTreeSet<String>,
) -> Option<RetiredSlots> {
    let postgres = &manifests.sources.get(name)?.spec.postgres;
    slots.insert(names::slot(postgres.slot.name.as_deref(), name));
    self::slots(manifests, settings, name, slots, true)
}

/// How these slots of a SourceConnector that stays are taken away, with its managed publication or without, as far as no other
/// SourceConnector has them. None where it is not there.
pub fn slots(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
    slots: BTreeSet<String>,
    with_publication: bool,
) -> Option<RetiredSlots> {
    let postgres = &manifests.sources.get(name)?.spec.postgres;
    let worker = WorkerName { source: name.clone(), pool: DEFAULT_POOL.to_owned() };
    let mut secrets = Secrets::new(manifests, &settings.secrets_dir, &worker);
    let publication = postgres.publication.name.clone().unwrap_or_else(|| names::of_source(&name.name));
    let publication = (with_publication && postgres.publication.managed).then_some(publication);
    let own = not_inherited(manifests, Some(name), postgres, slots, publication);
    let connection = secrets.postgres(name, postgres);
    let plan = RetiredSource { name: name.to_string(), connection, slots: own.slots, publication: own.publication };
    Some(RetiredSlots { plan, secrets: secrets.files(), inherited: own.inherited })
}

/// Rights of a Sink on its cluster, and who may take them.
#[derive(Debug)]
pub struct SinkRights {
    /// The cluster, entered as `adminAuthentication` says.
    pub connection: KafkaConnectionPlan,
    /// Who has which.
    pub grants: Grants,
    /// The files that the connection names.
    pub secrets: Vec<SecretFile>,
}

/// The rights that a Sink's worker has for it, where they are managed; `topics` are those that it fills, beside the one that its
/// manifest names.
pub fn rights_of_sink(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
    topics: impl IntoIterator<Item = String>,
) -> Option<SinkRights> {
    let SinkSpec { kafka, source, pool, .. } = &manifests.sinks.get(name)?.spec;
    let connection_name = name.sibling(&kafka.connection);
    let spec = &manifests.kafka_connections.get(&connection_name)?.spec;
    let (retired, _) = sink(manifests, settings, name)?;
    let principal = retired.connection.principal().filter(|_| spec.acls.manage)?;
    let naming = Naming { prefix: &spec.name_prefix, instance: &settings.instance };
    let mut filled: BTreeSet<_> = topics.into_iter().collect();
    if source.tables.is_none() {
        filled.insert(kafka.topic.name.clone());
    }
    let named = rights::Named {
        progress_topic: &retired.progress_topic,
        transactional_id: &retired.transactional_id,
        progress_group_id: &retired.progress_group_id,
    };
    let rights = rights::of_names(&named, filled, &naming.of_connection(&connection_name));
    let worker = WorkerName { source: name.sibling(&source.name), pool: pool.clone() };
    let mut secrets = Secrets::new(manifests, &settings.secrets_dir, &worker);
    let admin = spec.admin_authentication.as_ref().or(spec.authentication.as_ref());
    let connection = secrets.kafka(&connection_name, spec, admin, "admin");
    Some(SinkRights {
        connection,
        grants: Grants { principal, rights: rights.into_iter().collect() },
        secrets: secrets.files(),
    })
}
