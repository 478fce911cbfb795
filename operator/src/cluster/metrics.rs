//! What the operator counts, for Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a tenth of a millisecond, in steps of four, to some 26 s.
const BUCKETS: [f64; 10] = [0.0001, 0.0004, 0.0016, 0.0064, 0.0256, 0.1024, 0.4096, 1.6384, 6.5536, 26.2144];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    kind: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReady {
    kind: String,
    ready: &'static str,
}

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<OfResult, Counter>,
    seconds: Family<OfKind, Histogram, fn() -> Histogram>,
    api_writes: Family<OfKind, Counter>,
    broker_writes: Family<OfKind, Counter>,
    leader: Gauge,
    resources: Family<OfReady, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("afterbay_operator");
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::new_with_constructor(histogram);
        let (reconciles, api_writes, broker_writes) = (Family::default(), Family::default(), Family::default());
        let (leader, resources) = (Gauge::default(), Family::default());
        registry.register("reconciles", "Times that a resource was looked at", reconciles.clone());
        registry.register("reconcile_seconds", "How long that took", seconds.clone());
        registry.register("api_writes", "Requests to the API server that write", api_writes.clone());
        registry.register("broker_writes", "What was made or given at brokers", broker_writes.clone());
        registry.register("leader", "Whether this operator leads", leader.clone());
        registry.register("resources", "Resources, by whether they are ready", resources.clone());
        Self { registry, reconciles, seconds, api_writes, broker_writes, leader, resources }
    }
}

impl Metrics {
    /// A resource of this kind was looked at.
    pub fn reconciled(&self, kind: &str, is_well: bool, took: Duration) {
        let result = if is_well { "ok" } else { "error" };
        self.reconciles.get_or_create(&OfResult { kind: kind.to_owned(), result }).inc();
        self.seconds.get_or_create(&OfKind { kind: kind.to_owned() }).observe(took.as_secs_f64());
    }

    /// A request that writes goes to the API server.
    pub fn api_write(&self, kind: &str) {
        self.api_writes.get_or_create(&OfKind { kind: kind.to_owned() }).inc();
    }

    /// Something was made at a broker: a `topic`, an `acl`.
    pub fn broker_write(&self, kind: &str) {
        self.broker_writes.get_or_create(&OfKind { kind: kind.to_owned() }).inc();
    }

    /// Whether this operator leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How many resources of a kind are ready, and how many are not.
    pub fn resources(&self, kind: &str, ready: usize, others: usize) {
        for (ready, count) in [("true", ready), ("false", others)] {
            let label = OfReady { kind: kind.to_owned(), ready };
            self.resources.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// All of them, in the text form of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            // A comment; a string takes everything.
            let _ = writeln!(text, "# {error}");
        }
        text
    }
}
