//! The names of things, and those that Afterbay gives without being told.
//!
//! All of the latter start from the connection's `namePrefix`. The names of resources and namespaces are DNS labels
//! and hold no dot, so none of the templates is ambiguous.

use std::fmt;

/// A resource by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ResourceName {
    /// The resource of this name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Another resource in the same namespace.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        Self::new(self.namespace.clone(), name)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A worker: the Sinks of one SourceConnector and one pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerName {
    /// The SourceConnector.
    pub source: ResourceName,
    /// The pool.
    pub pool: String,
}

impl WorkerName {
    /// How the names of its files begin. Names of resources and pools hold no dot.
    pub fn file_stem(&self) -> String {
        let ResourceName { namespace, name } = &self.source;
        match self.own_pool() {
            None => format!("{namespace}.{name}"),
            Some(pool) => format!("{namespace}.{name}.{pool}"),
        }
    }

    /// The replication slot; `of_source` is that of the SourceConnector, which its default pool reads.
    pub fn slot(&self, of_source: &str) -> String {
        self.own_pool().map_or_else(|| of_source.to_owned(), |pool| format!("{of_source}_{pool}"))
    }

    fn own_pool(&self) -> Option<&str> {
        Some(self.pool.as_str()).filter(|pool| *pool != DEFAULT_POOL)
    }
}

impl fmt::Display for WorkerName {
    /// The SourceConnector's name; with another pool than the default one `<namespace>/<SourceConnector>/<pool>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.own_pool() {
            None => self.source.fmt(f),
            Some(pool) => write!(f, "{}/{pool}", self.source),
        }
    }
}

/// The pool of Sinks that name none.
pub const DEFAULT_POOL: &str = "default";

/// What the names of one connection have in common.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The connection's `namePrefix`.
    pub prefix: &'a str,
    /// The installation.
    pub instance: &'a str,
}

impl Naming<'_> {
    /// The progress topic of a connection.
    pub fn progress_topic(&self, connection: &ResourceName) -> String {
        let ResourceName { namespace, name } = connection;
        format!("{}{}-{namespace}.{name}", progress_topics(self.prefix), self.instance)
    }

    /// The transactional id of a Sink, and the consumer group under which it reads the progress topic. A prefix of the
    /// Sink's own goes in front: two Sinks with one prefix must not fence each other.
    pub fn of_sink(&self, own_prefix: Option<&str>, connection: &ResourceName, sink: &ResourceName) -> String {
        let (own, names) = (own_prefix.unwrap_or_default(), self.of_connection(connection));
        format!("{own}{names}{}.{}", sink.namespace, sink.name)
    }

    /// The key of a Sink's progress record.
    pub fn progress_key(&self, sink: &ResourceName) -> String {
        format!("{}-sink-{}-{}.{}", self.prefix, self.instance, sink.namespace, sink.name)
    }

    /// How the transactional ids, and the consumer groups, of all Sinks of a connection begin that have no prefix of their own.
    pub fn of_connection(&self, connection: &ResourceName) -> String {
        format!("{}-{}-{}.{}-", self.prefix, self.instance, connection.namespace, connection.name)
    }
}

/// How the names of all progress topics of this prefix begin.
pub fn progress_topics(prefix: &str) -> String {
    format!("_{prefix}-progress-")
}

/// Whether this can name an installation: letters and digits, so that the names made of it are never ambiguous.
pub fn is_instance(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Whether this is a DNS label, as names of resources and namespaces are.
pub fn is_dns_label(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= 63 && name.chars().all(fits) && !name.starts_with('-') && !name.ends_with('-')
}

/// How long a topic's name can be (Kafka's `Topic.MAX_NAME_LENGTH`).
pub const TOPIC_MAX: usize = 249;

/// Whether this can name a topic (Kafka's `Topic.validate`): up to 249 of letters, digits, `.`, `_`, `-`.
pub fn is_topic(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= TOPIC_MAX && name.chars().all(fits) && name != "." && name != ".."
}

/// How long a slot's name can be (Postgres' `NAMEDATALEN`, without the byte that ends it).
pub const SLOT_MAX: usize = 63;

/// Whether this can name a replication slot (Postgres' `ReplicationSlotValidateName`).
pub fn is_slot(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() <= SLOT_MAX && name.chars().all(fits)
}

/// Whether this topic is one of the brokers' own.
pub fn is_of_brokers(topic: &str) -> bool {
    matches!(topic, "__consumer_offsets" | "__transaction_state" | "__cluster_metadata")
}

/// Whether this can name a pool: what stands in the names of slots and of what runs in a cluster, so neither dashes nor
/// underscores, with which `a_b` could be slot `a` of pool `b` or slot `a_b`.
pub fn is_pool(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty() && name.len() <= 32 && name.chars().all(fits)
}

/// The slot that a SourceConnector's default pool reads: the one that it names, or one of its own name.
pub fn slot(named: Option<&str>, source: &ResourceName) -> String {
    named.map_or_else(|| of_source(&source.name), str::to_owned)
}

/// The publication or slot of a SourceConnector that names none.
pub fn of_source(source: &str) -> String {
    let name = format!("afterbay_{}", source.replace('-', "_"));
    name.chars().take(SLOT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_start_from_the_prefix() {
        let (connection, sink) = (ResourceName::new("shop", "events"), ResourceName::new("shop", "orders"));
        let naming = Naming { prefix: "afterbay", instance: "default" };
        assert_eq!(naming.progress_topic(&connection), "_afterbay-progress-default-shop.events");
        assert_eq!(naming.of_sink(None, &connection, &sink), "afterbay-default-shop.events-shop.orders");
        assert_eq!(naming.of_sink(Some("eu-"), &connection, &sink), "eu-afterbay-default-shop.events-shop.orders");
        assert_eq!(naming.of_connection(&connection), "afterbay-default-shop.events-");
        assert_eq!(naming.progress_key(&sink), "afterbay-sink-default-shop.orders");
        let naming = Naming { prefix: "materialize", instance: "eu" };
        assert_eq!(naming.progress_topic(&connection), "_materialize-progress-eu-shop.events");
        assert_eq!(naming.of_sink(None, &connection, &sink), "materialize-eu-shop.events-shop.orders");
    }

    #[test]
    fn a_worker_is_named_for_its_source_and_its_pool() {
        let worker = |pool: &str| WorkerName { source: ResourceName::new("eu", "shop"), pool: pool.to_owned() };
        let names = |worker: WorkerName| [worker.to_string(), worker.file_stem(), worker.slot("afterbay_shop")];
        assert_eq!(names(worker("default")), ["eu/shop", "eu.shop", "afterbay_shop"]);
        assert_eq!(names(worker("bulk")), ["eu/shop/bulk", "eu.shop.bulk", "afterbay_shop_bulk"]);
    }

    #[test]
    fn what_names_may_hold() {
        assert!(is_dns_label("shop-1") && !is_dns_label("Shop") && !is_dns_label("a.b") && !is_dns_label("-a"));
        assert!(is_topic("a.b_C-1") && !is_topic("a b") && !is_topic("..") && !is_topic(&"a".repeat(250)));
        assert!(is_slot("afterbay_shop") && !is_slot("afterbay-shop") && !is_slot(&"a".repeat(64)));
        assert!(is_pool("bulk2") && !is_pool("a-b") && !is_pool("a_b") && !is_pool("A") && !is_pool(&"a".repeat(33)));
        assert!(is_instance("eu1") && !is_instance("eu-1") && !is_instance(""));
        assert_eq!(of_source("my-shop"), "afterbay_my_shop");
        assert!(is_slot(&of_source(&"a-".repeat(40))));
    }
}
