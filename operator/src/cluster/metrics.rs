//! What the operator counts, for Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use afterbay_crds::names::ResourceName;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::status::kept::KeptSlot;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
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
    left_behind: Family<OfKind, Counter>,
    kept_slots: Family<OfSource, Gauge>,
    kept_bytes: Family<OfSource, Gauge>,
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
        let left_behind = Family::<OfKind, Counter>::default();
        let (kept_slots, kept_bytes) = (Family::default(), Family::default());
        registry.register("left_behind", "Deleted resources of which something stays behind", left_behind.clone());
        registry.register("kept_slots", "Slots of a SourceConnector that no Sink reads", kept_slots.clone());
        registry.register("kept_slots_bytes", "What the database keeps of its log for them", kept_bytes.clone());
        // The first of them is an increase, too.
        for kind in ["Sink", "SourceConnector"] {
            drop(left_behind.get_or_create(&OfKind { kind: kind.to_owned() }));
        }
        Self {
            registry,
            reconciles,
            seconds,
            api_writes,
            broker_writes,
            leader,
            resources,
            left_behind,
            kept_slots,
            kept_bytes,
        }
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

    /// A resource of this kind is deleted, and something of it stays behind.
    pub fn left_behind(&self, kind: &str) {
        self.left_behind.get_or_create(&OfKind { kind: kind.to_owned() }).inc();
    }

    /// What is kept of slots of a SourceConnector that no Sink reads.
    pub fn kept_slots(&self, source: &ResourceName, kept: &[KeptSlot]) {
        let label = OfSource { source: source.to_string() };
        let bytes: u64 = kept.iter().filter_map(|slot| slot.held_bytes).sum();
        self.kept_slots.get_or_create(&label).set(i64::try_from(kept.len()).unwrap_or(i64::MAX));
        self.kept_bytes.get_or_create(&label).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A SourceConnector is not there any more.
    pub fn forget_source(&self, source: &ResourceName) {
        let label = OfSource { source: source.to_string() };
        self.kept_slots.remove(&label);
        self.kept_bytes.remove(&label);
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
