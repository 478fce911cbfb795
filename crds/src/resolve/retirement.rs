//! Resources that have run and are not declared any more: what they leave behind, and how it is taken away.
//!
//! What is remembered of them holds no secret: those come from the manifests of the day, or what needs them stays behind.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::connections::Secrets;
use super::{ResolveSettings, SecretFile, Worker};
use crate::api::{PostgresSource, SinkSpec};
use crate::manifest::{Located, Manifests};
use crate::names::{self, DEFAULT_POOL, ResourceName, WorkerName};
use crate::plan::DeletionPolicy;
use crate::reason::Reason;
use crate::report::Problem;
use crate::retirement::{LeftBehind, RETIREMENT_VERSION, RetiredSink, RetiredSource, RetirementPlan};

/// What has run, by name (`<namespace>/<name>`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Known {
    /// Sinks.
    pub sinks: BTreeMap<String, KnownSink>,
    /// SourceConnectors.
    pub sources: BTreeMap<String, KnownSource>,
}

/// What is to be known of a Sink when it is not declared any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownSink {
    /// What goes with it.
    pub deletion_policy: DeletionPolicy,
    /// The KafkaConnection, `<namespace>/<name>`.
    pub connection: String,
    /// Identity of its life.
    pub uid: String,
    /// The topic of its progress record.
    pub progress_topic: String,
    /// The record's key.
    pub progress_key: String,
    /// The group under which the progress topic is read.
    pub progress_group_id: String,
    /// Its transactional id.
    pub transactional_id: String,
}

/// What is to be known of a SourceConnector when it is not declared any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownSource {
    /// What goes with it.
    pub deletion_policy: DeletionPolicy,
    /// The database, with references to Secrets.
    pub postgres: PostgresSource,
    /// All slots that it has had.
    pub slots: BTreeSet<String>,
    /// Its publication, if that was managed.
    pub publication: Option<String>,
}

/// How what is not declared any more is taken away.
#[derive(Debug)]
pub struct Retiring {
    /// What is to be taken away.
    pub plan: RetirementPlan,
    /// The files that the plan names.
    pub secrets: Vec<SecretFile>,
    /// What cannot be reached any more.
    pub left: Vec<LeftBehind>,
    /// What is to stay, by its policy: the subjects.
    pub retained: Known,
}

impl Known {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty() && self.sources.is_empty()
    }

    /// Remembers what these workers are about to run.
    pub fn learn(&mut self, manifests: &Manifests, workers: &[Worker]) {
        for worker in workers {
            if let Some(source) = manifests.sources.get(&worker.name.source) {
                let name = worker.name.source.to_string();
                let mut slots = self.sources.remove(&name).map(|known| known.slots).unwrap_or_default();
                slots.insert(worker.plan.source.slot.clone());
                let publication = &worker.provisioning.publication;
                let known = KnownSource {
                    deletion_policy: source.spec.deletion_policy,
                    postgres: source.spec.postgres.clone(),
                    slots,
                    publication: publication.managed.then(|| publication.name.clone()),
                };
                self.sources.insert(name, known);
            }
            for (sink, plan) in worker.sinks.iter().zip(&worker.plan.sinks) {
                let Some(located) = manifests.sinks.get(&sink.name) else { continue };
                let known = KnownSink {
                    deletion_policy: located.spec.deletion_policy,
                    connection: plan.kafka.connection.name.clone(),
                    uid: plan.uid.clone(),
                    progress_topic: plan.kafka.progress_topic.clone(),
                    progress_key: plan.kafka.progress_key.clone(),
                    progress_group_id: plan.kafka.progress_group_id.clone(),
                    transactional_id: plan.kafka.transactional_id.clone(),
                };
                self.sinks.insert(plan.name.clone(), known);
            }
        }
    }

    /// What of it is not declared.
    #[must_use]
    pub fn undeclared(&self, manifests: &Manifests) -> Self {
        let sinks: BTreeSet<_> = manifests.sinks.keys().map(ToString::to_string).collect();
        let sources: BTreeSet<_> = manifests.sources.keys().map(ToString::to_string).collect();
        let mut undeclared = self.clone();
        undeclared.sinks.retain(|name, _| !sinks.contains(name));
        undeclared.sources.retain(|name, _| !sources.contains(name));
        undeclared
    }

    /// What is said of resources that are not declared any more, where nobody has said that they are to go.
    pub fn warnings(&self) -> Vec<(String, Problem)> {
        let hint = "to delete it (or forget it, if its deletionPolicy is Retain), give --prune; to go on with it, declare it again (with state: paused it only keeps its place)";
        let sinks = self.sinks.iter().map(|(name, sink)| {
            let message = format!(
                "the Sink has run from this state directory and is not declared any more: its progress record stays in topic {}, \
                 and the log is not kept for it while others of its SourceConnector run",
                sink.progress_topic
            );
            (format!("sink {name}"), Reason::Undeclared.problem(message, hint))
        });
        let sources = self.sources.iter().map(|(name, source)| {
            let slots: Vec<_> = source.slots.iter().map(String::as_str).collect();
            let message = format!(
                "the SourceConnector has run from this state directory and is not declared any more: replication slot {} stays, \
                 and makes database {} keep its log",
                slots.join(", "),
                source.postgres.database
            );
            (format!("source {name}"), Reason::Undeclared.problem(message, hint))
        });
        sinks.chain(sources).collect()
    }

    /// How it is taken away, as far as its policies want that.
    pub fn retire(&self, manifests: &Manifests, settings: &ResolveSettings) -> Retiring {
        let mut retiring = Retiring {
            plan: RetirementPlan { version: RETIREMENT_VERSION, sinks: Vec::new(), sources: Vec::new() },
            secrets: Vec::new(),
            left: Vec::new(),
            retained: Self::default(),
        };
        // Files of their own, as names of connections are only unique in their namespace. No namespace has a dot in it.
        let secrets = |kind: &str, name: &str| {
            let folder = ResourceName::new(format!("retired.{kind}"), name.replace('/', "."));
            let folder = WorkerName { source: folder, pool: DEFAULT_POOL.to_owned() };
            Secrets::new(manifests, &settings.secrets_dir, &folder)
        };
        for (name, sink) in &self.sinks {
            if sink.deletion_policy == DeletionPolicy::Retain {
                retiring.retained.sinks.insert(name.clone(), sink.clone());
                continue;
            }
            match connection(manifests, &sink.connection) {
                Some((connection_name, spec)) => {
                    let mut secrets = secrets("sink", name);
                    retiring.plan.sinks.push(RetiredSink {
                        name: name.clone(),
                        uid: sink.uid.clone(),
                        connection: secrets.kafka(&connection_name, spec, spec.authentication.as_ref(), "worker"),
                        progress_topic: sink.progress_topic.clone(),
                        progress_key: sink.progress_key.clone(),
                        progress_group_id: sink.progress_group_id.clone(),
                        transactional_id: sink.transactional_id.clone(),
                    });
                    retiring.secrets.extend(secrets.files());
                }
                None => retiring.left.push(LeftBehind {
                    subject: format!("sink {name}"),
                    problem: Reason::LeftBehind.problem(
                        format!(
                            "the progress record under key {} in topic {} stays: KafkaConnection {} is not declared any more",
                            sink.progress_key, sink.progress_topic, sink.connection
                        ),
                        "declare the KafkaConnection once more and give --prune; else a Sink of the same name would go on there",
                    ),
                }),
            }
        }
        for (name, source) in &self.sources {
            if source.deletion_policy == DeletionPolicy::Retain {
                retiring.retained.sources.insert(name.clone(), source.clone());
                continue;
            }
            let mut secrets = secrets("source", name);
            self::source(manifests, &mut secrets, (name, source), &mut retiring);
            retiring.secrets.extend(secrets.files());
        }
        retiring
    }

    /// Forgets what is gone, or stays for good.
    pub fn forget(&mut self, sinks: impl IntoIterator<Item = String>, sources: impl IntoIterator<Item = String>) {
        for name in sinks {
            self.sinks.remove(&name);
        }
        for name in sources {
            self.sources.remove(&name);
        }
    }
}

fn source(
    manifests: &Manifests,
    secrets: &mut Secrets<'_>,
    (name, source): (&String, &KnownSource),
    retiring: &mut Retiring,
) {
    let slots: Vec<_> = source.slots.iter().cloned().collect();
    let mut leave = |message: String, hint: &str| {
        let problem = Reason::LeftBehind.problem(message, hint);
        retiring.left.push(LeftBehind { subject: format!("source {name}"), problem });
    };
    let Some((space, own)) = name.split_once('/') else { return };
    let resource = ResourceName::new(space, own);
    let missing = references(&source.postgres).find(|(secret, key)| {
        let found = manifests.secrets.get(&resource.sibling(secret));
        found.is_none_or(|found| !found.spec.contains_key(*key))
    });
    if let Some((secret, key)) = missing {
        return leave(
            format!(
                "replication slot {} of database {} stays: key {key} of Secret {secret} is not declared any more",
                slots.join(", "),
                source.postgres.database
            ),
            "a slot keeps the log: declare the Secret once more and give --prune, or run SELECT pg_drop_replication_slot(…)",
        );
    }
    let own = not_inherited(manifests, None, &source.postgres, slots, source.publication.clone());
    retiring.plan.sources.push(RetiredSource {
        name: name.clone(),
        connection: secrets.postgres(&resource, &source.postgres),
        slots: own.slots,
        publication: own.publication,
    });
}

/// What a SourceConnector has had, told from what another one has taken over.
pub(super) struct NotInherited {
    /// The slots that no other one has.
    pub slots: Vec<String>,
    /// The publication, unless another one has it.
    pub publication: Option<String>,
    /// The slots that another one has, and which that is.
    pub inherited: BTreeMap<String, ResourceName>,
}

/// Those of the slots, and the publication, that no other SourceConnector than `own` has taken over, also one that has no Sinks now.
pub(super) fn not_inherited(
    manifests: &Manifests,
    own: Option<&ResourceName>,
    postgres: &PostgresSource,
    slots: impl IntoIterator<Item = String>,
    publication: Option<String>,
) -> NotInherited {
    let others = manifests.sources.iter().filter(|(name, _)| own != Some(*name));
    let heirs: Vec<_> = others.filter(|(_, heir)| are_one_database(&heir.spec.postgres, postgres)).collect();
    let published = |publication: &String| {
        heirs.iter().any(|(name, heir)| {
            let own = heir.spec.postgres.publication.name.clone();
            own.unwrap_or_else(|| names::of_source(&name.name)) == *publication
        })
    };
    let publication = publication.filter(|name| !published(name));
    let mut told = NotInherited { slots: Vec::new(), publication, inherited: BTreeMap::new() };
    for slot in slots {
        let heir = heirs.iter().find(|(name, heir)| has_slot(manifests, name, &heir.spec.postgres, &slot));
        match heir {
            Some((heir, _)) => drop(told.inherited.insert(slot, (*heir).clone())),
            None => told.slots.push(slot),
        }
    }
    told
}

/// Whether a slot is a SourceConnector's: that of its default pool, or of a pool that it is known to have or to have had. That its name
/// begins like one of its own says nothing: `afterbay_shop_bulk` may be that of SourceConnector `shop-bulk` as well.
fn has_slot(manifests: &Manifests, source: &ResourceName, postgres: &PostgresSource, slot: &str) -> bool {
    let base = names::slot(postgres.slot.name.as_deref(), source);
    let is_of_sink = |(sink, found): (&ResourceName, &Located<SinkSpec>)| {
        let worker = WorkerName { source: sink.sibling(&found.spec.source.name), pool: found.spec.pool.clone() };
        worker.source == *source && worker.slot(&base) == slot
    };
    slot == base
        || manifests.sinks.iter().any(is_of_sink)
        || manifests.slots.get(source).is_some_and(|known| known.contains(slot))
}

fn connection<'m>(manifests: &'m Manifests, name: &str) -> Option<(ResourceName, &'m crate::api::KafkaConnectionSpec)> {
    let (space, own) = name.split_once('/')?;
    let name = ResourceName::new(space, own);
    let found = manifests.kafka_connections.get(&name)?;
    Some((name, &found.spec))
}

/// Whether these lead to the same database, as far as addresses tell.
fn are_one_database(one: &PostgresSource, other: &PostgresSource) -> bool {
    one.database == other.database && one.servers().any(|server| other.servers().any(|same| same == server))
}

/// Names of Secrets, and the keys that are needed of them.
fn references(postgres: &PostgresSource) -> impl Iterator<Item = (&str, &str)> {
    let password = postgres.authentication.password_secret.iter();
    let password = password.map(|reference| (reference.secret_name.as_str(), reference.password.as_str()));
    let certificates = postgres.tls.iter().flat_map(|tls| &tls.trusted_certificates);
    password.chain(certificates.map(|reference| (reference.secret_name.as_str(), reference.certificate.as_str())))
}
