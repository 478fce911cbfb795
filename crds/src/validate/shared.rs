//! What two resources must not share: a slot, a topic.
//!
//! Of a resource of which not all is known that matters here, nothing is said.

use std::collections::BTreeMap;

use super::kafka::servers;
use crate::api::{KafkaConnectionSpec, default_port};
use crate::manifest::{Located, ManifestError, Manifests};
use crate::names::{self, ResourceName};

/// Two SourceConnectors cannot read one slot.
pub(super) fn slots(manifests: &Manifests, errors: &mut Vec<ManifestError>) {
    const FIELDS: [&str; 5] = ["host", "port", "hosts", "database", "slot.name"];
    let mut slots = BTreeMap::new();
    for (name, source) in &manifests.sources {
        if !FIELDS.iter().all(|field| source.knows(&format!("spec.postgres.{field}"))) {
            continue;
        }
        let postgres = &source.spec.postgres;
        let slot = postgres.slot.name.clone().unwrap_or_else(|| names::of_source(&name.name));
        let one = postgres.host.iter().map(|host| (host, postgres.port.unwrap_or_else(default_port)));
        let servers = one.chain(postgres.hosts.iter().map(|host| (&host.host, host.port)));
        let mut taken = None;
        for (host, port) in servers {
            let other = slots.insert((host, port, &postgres.database, slot.clone()), name);
            taken = taken.or(other.filter(|other| *other != name));
        }
        if let Some(other) = taken {
            errors.push(source.place.error(
                "spec.postgres.slot.name",
                format!("SourceConnector {other} reads slot {slot} of this database too"),
                "give one of the two another slot, or put their Sinks on one SourceConnector",
            ));
        }
    }
}

/// Two Sinks do not fill one topic: rows of two tables with equal keys would take each other's place in it.
pub(super) fn topics(manifests: &Manifests, errors: &mut Vec<ManifestError>) {
    let mut topics: BTreeMap<(Cluster, &str), (&ResourceName, ResourceName)> = BTreeMap::new();
    for (name, sink) in &manifests.sinks {
        let topic = sink.spec.kafka.topic.name.as_str();
        let is_known = sink.knows("spec.kafka.connection") && sink.knows("spec.kafka.topic.name");
        if !is_known || !names::is_topic(topic) {
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
