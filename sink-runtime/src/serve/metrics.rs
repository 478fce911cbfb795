//! The report as Prometheus metrics (OpenMetrics text).
//!
//! They are made from the report when asked for, so the hot path pays for none of them.

use std::sync::atomic::AtomicU64;

use afterbay_crds::report::{SinkReport, SinkState, WorkerReport};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Of what [`encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkLabels {
    worker: String,
    sink: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    worker: String,
    sink: String,
    state: String,
}

type Counted = Family<SinkLabels, Counter<u64, AtomicU64>>;
type Gauged = Family<SinkLabels, Gauge>;
/// Name, help, and where in the report the value stands.
type Series<V> = (&'static str, &'static str, fn(&SinkReport) -> V);

/// The metrics as text.
pub fn encode(report: &WorkerReport) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("afterbay");
    source(&mut registry, report);
    let counters: [Series<u64>; 6] = [
        ("messages_staged", "Messages handed to Kafka", |sink| sink.messages_staged),
        ("messages_committed", "Messages committed", |sink| sink.messages_committed),
        ("bytes_staged", "Bytes of keys and values handed to Kafka", |sink| sink.bytes_staged),
        ("bytes_committed", "Bytes of keys and values committed", |sink| sink.bytes_committed),
        ("snapshot_rows", "Rows of the snapshot handed to Kafka", |sink| sink.snapshot_rows),
        ("begun_anew", "Times that it took all rows again, as the slot was lost", |sink| sink.begun_anew),
    ];
    for (name, help, value) in counters {
        let family = Counted::default();
        for sink in &report.sinks {
            family.get_or_create(&labels(report, sink)).inc_by(value(sink));
        }
        registry.register(format!("sink_{name}"), help, family);
    }
    let gauges: [Series<Option<u64>>; 3] = [
        ("lag_bytes", "Bytes of the source's log behind its end", |sink| sink.lag_bytes),
        ("lag_milliseconds", "Time from commit in the source to commit in Kafka", |sink| sink.lag_ms),
        ("snapshot_rows_estimated", "Rows that the snapshot will bring", |sink| sink.snapshot_rows_estimated),
    ];
    for (name, help, value) in gauges {
        let family = Gauged::default();
        for sink in &report.sinks {
            if let Some(value) = value(sink) {
                family.get_or_create(&labels(report, sink)).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
        registry.register(format!("sink_{name}"), help, family);
    }
    states(&mut registry, report);
    let mut text = String::new();
    encode_text(&mut text, &registry)?;
    Ok(text)
}

fn source(registry: &mut Registry, report: &WorkerReport) {
    let connected: Gauge = Gauge::default();
    connected.set(i64::from(report.source.connected));
    registry.register("source_connected", "Whether a replication session stands", connected);
}

fn states(registry: &mut Registry, report: &WorkerReport) {
    const STATES: [SinkState; 6] = [
        SinkState::Created,
        SinkState::Starting,
        SinkState::Snapshotting,
        SinkState::Running,
        SinkState::Paused,
        SinkState::Stalled,
    ];
    let family = Family::<StateLabels, Gauge>::default();
    for sink in &report.sinks {
        for state in STATES {
            let labels =
                StateLabels { worker: report.worker.clone(), sink: sink.name.clone(), state: state.to_string() };
            family.get_or_create(&labels).set(i64::from(sink.state == state));
        }
    }
    registry.register("sink_state", "1 for the state that the Sink is in", family);
}

fn labels(report: &WorkerReport, sink: &SinkReport) -> SinkLabels {
    SinkLabels { worker: report.worker.clone(), sink: sink.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sink_has_its_series() {
        let sink = SinkReport {
            name: "default/orders".into(),
            messages_committed: 7,
            lag_bytes: Some(12),
            state: SinkState::Running,
            ..SinkReport::default()
        };
        let report = WorkerReport { worker: "default/shop".into(), sinks: vec![sink], ..WorkerReport::default() };
        let text = encode(&report).unwrap();
        for line in [
            r#"afterbay_sink_messages_committed_total{worker="default/shop",sink="default/orders"} 7"#,
            r#"afterbay_sink_lag_bytes{worker="default/shop",sink="default/orders"} 12"#,
            r#"afterbay_sink_state{worker="default/shop",sink="default/orders",state="running"} 1"#,
            r#"afterbay_sink_state{worker="default/shop",sink="default/orders",state="stalled"} 0"#,
            "afterbay_source_connected 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
