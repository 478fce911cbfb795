//! What two resources must not share: a slot, a topic.
//!
//! Of two that want the same the later one is told of it. Of a resource of which not all is known that matters here, nothing is said.

use std::collections::{BTreeMap, BTreeSet};

use super::kafka::servers;
use crate::api::KafkaConnectionSpec;
use crate::manifest::{Kind, Located, ManifestError, Manifests};
use crate::names::{self, DEFAULT_POOL, ResourceName, WorkerName};
use crate::table_pattern::{TablePattern, TablePatterns};
use crate::topic_template;

/// Two SourceConnectors cannot read one slot, and neither can a pool of one of them.
pub(super) fn slots(manifests: &Manifests, errors: &mut Vec<ManifestError>) {
    const FIELDS: [&str; 5] = ["host", "port", "hosts", "database", "slot.name"];
    let mut slots = BTreeMap::new();
    for (name, source) in manifests.by_age(Kind::SourceConnector, &manifests.sources) {
        if !FIELDS.iter().all(|field| source.knows(&format!("spec.postgres.{field}"))) {
            continue;
        }
        let postgres = &source.spec.postgres;
        let of_source = names::slot(postgres.slot.name.as_deref(), name);
        let slots_of_pools = pools(manifests, name).into_iter().map(|pool| pool.slot(&of_source));
        let mut taken = None;
        for slot in slots_of_pools {
            for (host, port) in postgres.servers() {
                let other = slots.insert((host, port, &postgres.database, slot.clone()), name);
                taken = taken.or(other.filter(|other| *other != name).map(|other| (other, slot.clone())));
            }
        }
        if let Some((other, slot)) = taken {
            errors.push(source.place.error(
                "spec.postgres.slot.name",
                format!("SourceConnector {other} reads slot {slot} of this database too"),
                "give one of the two another slot, or put their Sinks on one SourceConnector",
            ));
        }
    }
}

/// The pools of a SourceConnector, the default one among them in any case.
pub(super) fn pools(manifests: &Manifests, source: &ResourceName) -> BTreeSet<WorkerName> {
    let known = manifests.sinks.iter().filter(|(name, sink)| {
        sink.knows("spec.source.name") && sink.knows("spec.pool") && name.sibling(&sink.spec.source.name) == *source
    });
    let pools = known.map(|(_, sink)| sink.spec.pool.as_str()).chain([DEFAULT_POOL]);
    pools.map(|pool| WorkerName { source: source.clone(), pool: pool.to_owned() }).collect()
}

/// Two Sinks do not fill one topic: rows of two tables with equal keys would take each other's place in it.
pub(super) fn topics(manifests: &Manifests, errors: &mut Vec<ManifestError>) {
    let mut topics: BTreeMap<(Cluster, &str), (&ResourceName, ResourceName)> = BTreeMap::new();
    for (name, sink) in manifests.by_age(Kind::Sink, &manifests.sinks) {
        let topic = sink.spec.kafka.topic.name.as_str();
        let is_known = sink.knows("spec.kafka.connection") && sink.knows("spec.kafka.topic.name");
        if !is_known || !names::is_topic(topic) || sink.spec.source.tables.is_some() {
            continue;
        }
        let connection = name.sibling(&sink.spec.kafka.connection);
        let clusters = clusters(&connection, manifests.kafka_connections.get(&connection));
        let taken = clusters.iter().find_map(|cluster| topics.get(&(cluster.clone(), topic)));
        if let Some((other, its_connection)) = taken {
            let at = manifests.sinks[*other].place.in_words();
            let cluster = if *its_connection == connection {
                connection.to_string()
            } else {
                format!("{its_connection}, which shares a server with {connection},")
            };
            let what = format!("Sink {other} ({at}) fills topic {topic} of {cluster} too");
            let remedy = "give each a topic of its own: in one, rows of two Sinks with equal keys would be mixed up";
            errors.push(sink.place.error("spec.kafka.topic.name", what, remedy));
        } else {
            topics.extend(clusters.into_iter().map(|cluster| ((cluster, topic), (name, connection.clone()))));
        }
    }
}

/// Two Sinks that carry what patterns match cannot come to fill one topic. It is told of what is written, and not of the
/// tables that there are: which of two tables would have the topic is else a matter of which one was seen first.
///
/// Where one Sink leaves out what the other carries, that is good where equal topics mean equal tables.
pub(super) fn topics_of_tables(manifests: &Manifests, errors: &mut Vec<ManifestError>) {
    const FIELDS: [&str; 4] = ["source.name", "source.tables", "kafka.connection", "kafka.topic.name"];
    let mut before: Vec<OfTables> = Vec::new();
    for (name, sink) in manifests.by_age(Kind::Sink, &manifests.sinks) {
        let patterns = sink.spec.source.tables.as_deref().map(TablePatterns::parse);
        let (Some(Ok(patterns)), true) = (patterns, FIELDS.iter().all(|field| sink.knows(&format!("spec.{field}"))))
        else {
            continue;
        };
        let connection = name.sibling(&sink.spec.kafka.connection);
        let clusters = clusters(&connection, manifests.kafka_connections.get(&connection));
        let source = name.sibling(&sink.spec.source.name);
        let one = OfTables { name, source, template: &sink.spec.kafka.topic.name, patterns, clusters };
        if let Some(other) = before.iter().find(|other| one.can_meet(other)) {
            let at = manifests.sinks[other.name].place.in_words();
            let what = format!("Sink {} ({at}) can come to fill a topic of the same name", other.name);
            let remedy = "begin the names of the topics with another word in each, or leave out here, with patterns that begin with !, what the other one carries";
            errors.push(sink.place.error("spec.kafka.topic.name", what, remedy));
        }
        before.push(one);
    }
}

struct OfTables<'a> {
    name: &'a ResourceName,
    source: ResourceName,
    template: &'a str,
    patterns: TablePatterns,
    clusters: Vec<Cluster>,
}

impl OfTables<'_> {
    fn can_meet(&self, other: &Self) -> bool {
        if !self.clusters.iter().any(|cluster| other.clusters.contains(cluster)) {
            return false;
        }
        let of_one_source = self.source == other.source && self.template == other.template;
        let apart = |own: &TablePattern, its: &TablePattern| {
            of_one_source
                && own.in_one_schema_with(its)
                && (self.patterns.exclude_all_of(its) || other.patterns.exclude_all_of(own))
        };
        let pairs = self.patterns.included().iter();
        let mut pairs = pairs.flat_map(|own| other.patterns.included().iter().map(move |its| (own, its)));
        pairs.any(|(own, its)| {
            let topics = topic_template::topics(self.template, own);
            topics.meets(&topic_template::topics(other.template, its)) && !apart(own, its)
        })
    }
}

/// The topics that other Sinks, of one table each, fill on the cluster of this one, with their names.
pub(crate) fn topics_beside(manifests: &Manifests, name: &ResourceName) -> BTreeMap<String, ResourceName> {
    let clusters_of = |name: &ResourceName| {
        let connection = name.sibling(&manifests.sinks.get(name)?.spec.kafka.connection);
        Some(clusters(&connection, manifests.kafka_connections.get(&connection)))
    };
    let own = clusters_of(name).unwrap_or_default();
    let others = manifests.sinks.iter().filter(|(other, sink)| *other != name && sink.spec.source.tables.is_none());
    let beside = others.filter(|(other, _)| {
        clusters_of(other).is_some_and(|clusters| clusters.iter().any(|cluster| own.contains(cluster)))
    });
    beside.map(|(other, sink)| (sink.spec.kafka.topic.name.clone(), other.clone())).collect()
}

/// What tells one cluster from another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cluster {
    Connection(ResourceName),
    /// A server, and the namespace where its name means something only there.
    Server(Option<String>, String),
}

fn clusters(name: &ResourceName, connection: Option<&Located<KafkaConnectionSpec>>) -> Vec<Cluster> {
    let known = connection.filter(|connection| connection.knows("spec.bootstrapServers"));
    let servers = known.into_iter().flat_map(|connection| servers(&connection.spec.bootstrap_servers));
    let servers = servers.map(|server| {
        let server = server.to_lowercase();
        // In Kubernetes `kafka:9092` is another server in each namespace.
        let is_relative = !server.contains(['.', '[']) && !server.starts_with("localhost:");
        Cluster::Server(is_relative.then(|| name.namespace.clone()), server)
    });
    [Cluster::Connection(name.clone())].into_iter().chain(servers).collect()
}
