//! What a worker says of itself over HTTP: `/livez`, `/readyz`, `/metrics`, `/status`.

pub mod http;
pub mod metrics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use afterbay_crds::report::{SinkState, WorkerReport};

use crate::sink::status::SinkStatus;
use crate::source::status::SourceStatus;

/// The state of a worker, as its parts write it.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    worker: String,
    source: SourceStatus,
    sinks: Vec<SinkStatus>,
    broken: Arc<AtomicBool>,
}

impl WorkerStatus {
    /// Of a worker with these parts.
    pub fn new(worker: String, source: SourceStatus, sinks: Vec<SinkStatus>) -> Self {
        Self { worker, source, sinks, broken: Arc::default() }
    }

    /// A part has ended that should not: only a new process mends that.
    pub fn broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether all parts run.
    pub fn is_alive(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// Whether every Sink has found its place, or has said what stands against it.
    pub fn is_ready(&self) -> bool {
        self.sinks.iter().all(|sink| !matches!(sink.state(), SinkState::Created | SinkState::Starting))
    }

    /// As `/status` says it.
    pub fn report(&self) -> WorkerReport {
        let log_end = self.source.log_end();
        WorkerReport {
            worker: self.worker.clone(),
            source: self.source.report(),
            sinks: self.sinks.iter().map(|sink| sink.report(log_end)).collect(),
        }
    }
}
