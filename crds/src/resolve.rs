//! From valid manifests to what is to be run: a plan per worker, the files of its secrets, and what must exist first.
//!
//! Pure: it says which files there are to be, and writes none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrecy::SecretSlice;

mod by_pattern;
mod connections;
pub mod deleted;
mod formats;
pub mod handshake;
pub mod retirement;
mod rights;

use crate::api::{Commit, DesiredState, SinkSource, SinkSpec, SourceConnectorSpec};
use crate::manifest::{Located, Manifests, Place};
use crate::names::{self, Naming, ResourceName, WorkerName};
use crate::plan::{
    CommitPlan, KafkaConnectionPlan, KafkaSinkPlan, PLAN_VERSION, Plan, PostgresPlan, RelationPlan, SinkPlan,
    SnapshotPlan, StartAt, TableName,
};
use crate::rights::Right;
use crate::{quantity, table_name};
pub use by_pattern::ByPattern;
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

/// One worker: a SourceConnector and a pool that have Sinks.
#[derive(Debug)]
pub struct Worker {
    /// Which.
    pub name: WorkerName,
    /// Where the SourceConnector's manifest stands.
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
    /// What it does with the tables that its patterns match; its plan has no relations before they are known.
    pub by_pattern: Option<ByPattern>,
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
    // A worker has the Sinks of one pool; a SourceConnector without Sinks has none.
    let mut sinks = BTreeMap::<_, Vec<_>>::new();
    for (name, sink) in manifests.sinks.iter().filter(|(name, _)| !manifests.left_out.contains(*name)) {
        let source = name.sibling(&sink.spec.source.name);
        sinks.entry(WorkerName { source, pool: sink.spec.pool.clone() }).or_default().push((name, sink));
    }
    let workers = sinks.into_iter().filter_map(|(name, sinks)| {
        let source = manifests.sources.get(&name.source)?;
        worker(manifests, settings, name, source, &sinks)
    });
    workers.collect()
}

fn worker(
    manifests: &Manifests,
    settings: &ResolveSettings,
    worker: WorkerName,
    source: &Located<SourceConnectorSpec>,
    all: &[(&ResourceName, &Located<SinkSpec>)],
) -> Option<Worker> {
    let name = &worker.source;
    let mut secrets = Secrets::new(manifests, &settings.secrets_dir, &worker);
    let (mut sinks, mut plans) = (Vec::new(), Vec::new());
    let mut kafka = BTreeMap::new();
    for &(sink, located) in all {
        let Some(mut plan) = sink_plan(manifests, settings, &mut secrets, sink, &located.spec) else { continue };
        plan.paused |= source.spec.state == DesiredState::Paused;
        let by_pattern = if plan.by_pattern {
            let Some(relation) = plan.relations.pop() else { continue };
            let topic = data_topic(sink, &located.spec);
            let Some(by_pattern) = ByPattern::of(manifests, sink, &located.spec, relation, topic) else { continue };
            Some(by_pattern)
        } else {
            None
        };
        provision_topics(manifests, settings, &mut secrets, sink, &located.spec, &plan, &mut kafka);
        sinks.push(WorkerSink { name: sink.clone(), place: located.place.clone(), by_pattern });
        plans.push(plan);
    }
    if plans.is_empty() {
        return None;
    }
    let postgres = &source.spec.postgres;
    let publication = postgres.publication.name.clone().unwrap_or_else(|| names::of_source(&name.name));
    let tables = by_pattern::tables(&plans);
    let plan = Plan {
        version: PLAN_VERSION,
        worker: worker.to_string(),
        listen: settings.listen.clone(),
        listen_file: None,
        memory_bytes: quantity::bytes(&source.spec.worker.memory)?,
        source: PostgresPlan {
            name: name.to_string(),
            connection: secrets.postgres(name, postgres),
            publication: publication.clone(),
            slot: worker.slot(&names::slot(postgres.slot.name.as_deref(), name)),
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
        name: worker,
        place: source.place.clone(),
        plan,
        secrets: secrets.files(),
        provisioning: Provisioning {
            kafka: kafka.into_values().collect(),
            publication: PublicationSpec { name: publication, managed: postgres.publication.managed, tables },
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
        snapshot: spec.snapshot,
        by_pattern: spec.source.tables.is_some(),
        relations: vec![RelationPlan {
            table: match &spec.source.tables {
                // They are found later.
                Some(_) => TableName { schema: String::new(), name: String::new() },
                None => table_of(manifests, &spec.source)?,
            },
            query: spec.source.query.clone(),
            topic: spec.kafka.topic.name.clone(),
            key_columns: spec.key.as_ref().and_then(|key| key.columns.clone()).unwrap_or_default(),
            key_not_enforced: spec.key.as_ref().is_some_and(|key| key.not_enforced),
            envelope: spec.kafka.envelope,
            key_format,
            value_format,
            partition_by: spec.kafka.partition_by.clone(),
            headers: spec.kafka.headers.clone(),
        }],
        kafka: KafkaSinkPlan {
            connection: secrets.kafka(&connection_name, connection, connection.authentication.as_ref(), "worker"),
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
        on_truncate: spec.on_truncate,
        schema_changes: spec.schema_changes,
        retain_history_ms: match &spec.retain_history {
            Some(text) => Some(u64::try_from(quantity::duration(text)?.as_millis()).ok()?),
            None => None,
        },
        start_at: spec.source.start_at.as_ref().and_then(|at| match (&at.time, &at.position) {
            (Some(time), None) => Some(StartAt::Time(time.clone())),
            (None, Some(position)) => Some(StartAt::Position(position.clone())),
            _ => None,
        }),
    })
}

/// The table that is carried, or that the query reads.
fn table_of(manifests: &Manifests, source: &SinkSource) -> Option<TableName> {
    match &source.query {
        Some(sql) => manifests.queried.get(sql).cloned(),
        None => table_name::parse(source.table.as_deref()?).ok(),
    }
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
        grants.rights.extend(rights::of_sink(plan, &naming.of_connection(&connection_name)));
    }
    if !plan.by_pattern {
        provisioning.topics.push(data_topic(name, spec));
    }
}

fn data_topic(name: &ResourceName, spec: &SinkSpec) -> TopicSpec {
    let topic = &spec.kafka.topic;
    TopicSpec {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor.and_then(|n| i16::try_from(n).ok()),
        config: topic.config.clone(),
        kind: TopicKind::Data,
        sink: Some(name.to_string()),
    }
}

#[cfg(test)]
mod tests;
