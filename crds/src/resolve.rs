//! From valid manifests to what is to be run: a plan per worker, the files of its secrets, and what must exist first.
//!
//! Pure: it says which files there are to be, and writes none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrecy::SecretSlice;

mod connections;
mod formats;
mod rights;

use crate::api::{Commit, DesiredState, SinkSpec, SourceConnectorSpec};
use crate::manifest::{Located, Manifests, Place};
use crate::names::{self, Naming, ResourceName};
use crate::plan::{
    CommitPlan, KafkaConnectionPlan, KafkaSinkPlan, PLAN_VERSION, Plan, PostgresPlan, SinkPlan, SnapshotPlan, TableName,
};
use crate::rights::Right;
use crate::{quantity, table_name};
use connections::Secrets;

/// What is decided outside of the manifests.
#[derive(Clone, Debug)]
pub struct ResolveSettings {
    /// The installation; letters and digits.
    pub instance: String,
    /// The directory of the files that hold secrets.
    pub secrets_dir: PathBuf,
    /// Where workers listen, e.g. `127.0.0.1:0`.
    pub listen: String,
    /// Sinks that are known to have committed before.
    pub begun: BTreeSet<ResourceName>,
}

/// One worker: a SourceConnector that has Sinks.
#[derive(Debug)]
pub struct Worker {
    /// The SourceConnector.
    pub name: ResourceName,
    /// Where its manifest stands.
    pub place: Place,
    /// What it runs from.
    pub plan: Plan,
    /// The files that the plan names, to be readable by nobody else (mode 0600).
    pub secrets: Vec<SecretFile>,
    /// What must exist before.
    pub provisioning: Provisioning,
    /// Its Sinks, in the plan's order.
    pub sinks: Vec<WorkerSink>,
}

/// Where a Sink of a worker comes from.
#[derive(Clone, Debug)]
pub struct WorkerSink {
    /// The Sink.
    pub name: ResourceName,
    /// Where its manifest stands.
    pub place: Place,
}

/// A file that holds a secret.
#[derive(Debug)]
pub struct SecretFile {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub contents: SecretSlice<u8>,
}

/// What must exist before a worker runs.
#[derive(Clone, Debug)]
pub struct Provisioning {
    /// Topics, by cluster.
    pub kafka: Vec<KafkaProvisioning>,
    /// The publication.
    pub publication: PublicationSpec,
}

/// Topics of a cluster.
#[derive(Clone, Debug)]
pub struct KafkaProvisioning {
    /// Where the manifest of the connection stands.
    pub place: Place,
    /// The cluster, entered as `adminAuthentication` says.
    pub connection: KafkaConnectionPlan,
    /// Whether those are the workers themselves.
    pub as_workers: bool,
    /// What the workers are to be given, where their rights are managed.
    pub grants: Option<Grants>,
    /// Topics.
    pub topics: Vec<TopicSpec>,
}

/// Rights that somebody is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Who, as the brokers name it: `User:afterbay`.
    pub principal: String,
    /// What.
    pub rights: BTreeSet<Right>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Partitions; none: the broker's default.
    pub partitions: Option<i32>,
    /// Replicas; none: the broker's default.
    pub replication_factor: Option<i16>,
    /// Settings.
    pub config: BTreeMap<String, String>,
    /// What it is for.
    pub kind: TopicKind,
    /// Which Sink (by its name) it is for; none for the progress topic.
    pub sink: Option<String>,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// Messages.
    Data,
    /// Progress records.
    Progress,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationSpec {
    /// Its name.
    pub name: String,
    /// Whether it is made and altered.
    pub managed: bool,
    /// The tables that it must hold.
    pub tables: Vec<TableName>,
}

/// The workers of manifests that [`crate::validate::validate`] has nothing against; of others, what can be resolved.
pub fn resolve(manifests: &Manifests, settings: &ResolveSettings) -> Vec<Worker> {
    let workers = manifests.sources.iter().filter_map(|(name, source)| worker(manifests, settings, name, source));
    workers.collect()
}

fn worker(
    manifests: &Manifests,
    settings: &ResolveSettings,
    name: &ResourceName,
    source: &Located<SourceConnectorSpec>,
) -> Option<Worker> {
    let mut secrets = Secrets::new(manifests, &settings.secrets_dir, name);
    let (mut sinks, mut plans) = (Vec::new(), Vec::new());
    let mut kafka = BTreeMap::new();
    for (sink, located) in &manifests.sinks {
        if name.sibling(&located.spec.source.name) != *name || sink.namespace != name.namespace {
            continue;
        }
        let Some(mut plan) = sink_plan(manifests, settings, &mut secrets, sink, &located.spec) else { continue };
        plan.paused |= source.spec.state == DesiredState::Paused;
        provision_topics(manifests, settings, &mut secrets, sink, &located.spec, &plan, &mut kafka);
        sinks.push(WorkerSink { name: sink.clone(), place: located.place.clone() });
        plans.push(plan);
    }
    if plans.is_empty() {
        return None;
    }
    let postgres = &source.spec.postgres;
    let publication = postgres.publication.name.clone().unwrap_or_else(|| names::of_source(&name.name));
    let tables: BTreeSet<TableName> = plans.iter().map(|plan| plan.table.clone()).collect();
    let plan = Plan {
        version: PLAN_VERSION,
        worker: name.to_string(),
        listen: settings.listen.clone(),
        listen_file: None,
        memory_bytes: quantity::bytes(&source.spec.worker.memory)?,
        source: PostgresPlan {
            name: name.to_string(),
            connection: secrets.postgres(name, postgres),
            publication: publication.clone(),
            slot: postgres.slot.name.clone().unwrap_or_else(|| names::of_source(&name.name)),
            on_slot_loss: postgres.slot.on_loss,
            failover_slot: postgres.slot.failover,
            snapshot: SnapshotPlan {
                mode: postgres.snapshot.mode,
                chunk_rows: u64::try_from(postgres.snapshot.chunk_rows).unwrap_or(1),
            },
        },
        sinks: plans,
    };
    Some(Worker {
        name: name.clone(),
        place: source.place.clone(),
        plan,
        secrets: secrets.files(),
        provisioning: Provisioning {
            kafka: kafka.into_values().collect(),
            publication: PublicationSpec {
                name: publication,
                managed: postgres.publication.managed,
                tables: tables.into_iter().collect(),
            },
        },
        sinks,
    })
}

fn sink_plan(
    manifests: &Manifests,
    settings: &ResolveSettings,
    secrets: &mut Secrets<'_>,
    name: &ResourceName,
    spec: &SinkSpec,
) -> Option<SinkPlan> {
    let connection_name = name.sibling(&spec.kafka.connection);
    let connection = &manifests.kafka_connections.get(&connection_name)?.spec;
    let naming = Naming { prefix: &connection.name_prefix, instance: &settings.instance };
    let has_key = spec.key.is_some();
    let (key_format, value_format) = formats::plans(manifests, secrets, name, &spec.kafka.format, has_key)?;
    let id = |own: &Option<String>| naming.of_sink(own.as_deref(), &connection_name, name);
    Some(SinkPlan {
        name: name.to_string(),
        // Without an API server that gives each life of a Sink an identity of its own, its name is its identity: what is
        // run again with the same names goes on where it was.
        uid: format!("{}/{name}", settings.instance),
        paused: spec.state == DesiredState::Paused,
        begun: settings.begun.contains(name),
        table: table_name::parse(&spec.source.table).ok()?,
        snapshot: spec.snapshot,
        key_columns: spec.key.as_ref().map(|key| key.columns.clone()).unwrap_or_default(),
        key_not_enforced: spec.key.as_ref().is_some_and(|key| key.not_enforced),
        envelope: spec.kafka.envelope,
        key_format,
        value_format,
        partition_by: spec.kafka.partition_by.clone(),
        headers: spec.kafka.headers.clone(),
        kafka: KafkaSinkPlan {
            connection: secrets.kafka(&connection_name, connection, connection.authentication.as_ref(), "worker"),
            topic: spec.kafka.topic.name.clone(),
            progress_topic: connection
                .progress_topic
                .name
                .clone()
                .unwrap_or_else(|| naming.progress_topic(&connection_name)),
            progress_key: naming.progress_key(name),
            transactional_id: id(&spec.kafka.transactional_id_prefix),
            progress_group_id: id(&spec.kafka.progress_group_id_prefix),
            name_prefix: connection.name_prefix.clone(),
            compression: spec.kafka.compression,
            commit: commit_plan(&spec.kafka.commit)?,
        },
    })
}

fn commit_plan(commit: &Commit) -> Option<CommitPlan> {
    let ms = |text| u64::try_from(quantity::duration(text)?.as_millis()).ok();
    Some(CommitPlan {
        interval_ms: ms(&commit.interval)?,
        bytes: quantity::bytes(&commit.bytes)?,
        records: u64::try_from(commit.records).ok()?,
        timeout_ms: ms(&commit.timeout)?,
    })
}

fn provision_topics(
    manifests: &Manifests,
    settings: &ResolveSettings,
    secrets: &mut Secrets<'_>,
    name: &ResourceName,
    spec: &SinkSpec,
    plan: &SinkPlan,
    kafka: &mut BTreeMap<ResourceName, KafkaProvisioning>,
) {
    let connection_name = name.sibling(&spec.kafka.connection);
    let Some(located) = manifests.kafka_connections.get(&connection_name) else { return };
    let connection = &located.spec;
    let provisioning = kafka.entry(connection_name.clone()).or_insert_with(|| {
        let admin = connection.admin_authentication.as_ref().or(connection.authentication.as_ref());
        KafkaProvisioning {
            place: located.place.clone(),
            connection: secrets.kafka(&connection_name, connection, admin, "admin"),
            as_workers: connection.admin_authentication.is_none(),
            grants: rights::to_be_given(connection, plan),
            topics: vec![TopicSpec {
                name: plan.kafka.progress_topic.clone(),
                partitions: Some(1),
                replication_factor: connection.progress_topic.replication_factor.and_then(|n| i16::try_from(n).ok()),
                config: [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("retention.bytes", "-1")]
                    .map(|(setting, value)| (setting.to_owned(), value.to_owned()))
                    .into(),
                kind: TopicKind::Progress,
                sink: None,
            }],
        }
    });
    if let Some(grants) = &mut provisioning.grants {
        let naming = Naming { prefix: &connection.name_prefix, instance: &settings.instance };
        grants.rights.extend(rights::of_sink(&plan.kafka, &naming.of_connection(&connection_name)));
    }
    let topic = &spec.kafka.topic;
    provisioning.topics.push(TopicSpec {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor.and_then(|n| i16::try_from(n).ok()),
        config: topic.config.clone(),
        kind: TopicKind::Data,
        sink: Some(name.to_string()),
    });
}

#[cfg(test)]
mod tests;
