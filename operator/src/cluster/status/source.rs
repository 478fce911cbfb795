//! The status of SourceConnectors.

use afterbay_crds::api::{SourceConnector, SourceConnectorStatus, WorkerStatus};
use afterbay_crds::report::SinkState;
use k8s_openapi::jiff::Timestamp;

use super::sink::runtime;
use super::{Verdict, conditions, invalid};
use crate::cluster::board::{SourceView, WorkerView};
use crate::cluster::stores::name_of;

/// The Sinks of a SourceConnector.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItsSinks {
    /// How many there are.
    pub count: usize,
    /// Whether any of them has ever committed.
    pub begun: bool,
}

/// The status of a SourceConnector of which this is known.
pub fn source(source: &SourceConnector, view: &SourceView, sinks: ItsSinks, now: Timestamp) -> SourceConnectorStatus {
    let before = source.status.clone().unwrap_or_default();
    let generation = source.metadata.generation;
    let begun = before.begun || sinks.begun;
    let count = i32::try_from(sinks.count).unwrap_or(i32::MAX);
    let Some(facts) = &view.facts else {
        if !before.conditions.is_empty() {
            // The operator has begun anew, and has not come to it yet.
            return SourceConnectorStatus { begun, ..before };
        }
        let verdict = Verdict::coming("Starting", "it has not been looked at yet");
        let conditions = conditions(&before.conditions, generation, &[], &verdict, now);
        return SourceConnectorStatus { observed_generation: generation, conditions, begun, sinks: count, ..before };
    };
    let workers: Vec<_> = view.workers.iter().filter(|worker| worker.facts.is_some()).collect();
    let is_fine = facts.invalid.is_empty() && facts.waiting_for.is_none() && facts.deletion.is_none();
    if is_fine && !workers.iter().all(|worker| worker.is_known()) && !before.conditions.is_empty() {
        // The same of one of its workers.
        return SourceConnectorStatus { begun: before.begun || sinks.begun, ..before };
    }
    let reached = workers.iter().map(|worker| reached(worker, &format!("source {}", name_of(source))));
    let reached = first(reached).unwrap_or_else(|| match &facts.handshake {
        Some(Ok(())) => Verdict::good("Connected", "the database answers"),
        Some(Err(problem)) => Verdict::of(problem),
        None => Verdict::coming("Starting", "the database is being asked"),
    });
    let runs = first(workers.iter().map(|worker| runtime(worker)));
    let runs = runs.unwrap_or_else(|| Verdict::good("NoSinks", "no Sink needs a worker"));
    let verdicts = [("SourceReady", reached), ("RuntimeReady", runs)];
    let ready = match workers.len() {
        0 => Verdict::good("Connected", "the database answers, and no Sink needs a worker"),
        1 => Verdict::good("Running", "its worker runs"),
        count => Verdict::good("Running", format!("its {count} workers run")),
    };
    let blocking = if let Some(words) = &facts.deletion {
        Some(Verdict::coming("Deleting", words))
    } else if !facts.invalid.is_empty() {
        Some(Verdict::of(&invalid(&facts.invalid)))
    } else {
        let waiting = |what| Verdict::coming("Waiting", format!("waits for {what}, which is not there"));
        facts.waiting_for.as_ref().map(waiting)
    };
    let conditions = match blocking {
        // It says more than what follows from it.
        Some(verdict) => conditions(&before.conditions, generation, &[], &verdict, now),
        None => conditions(&before.conditions, generation, &verdicts, &ready, now),
    };
    SourceConnectorStatus {
        observed_generation: generation,
        conditions,
        begun,
        sinks: count,
        workers: workers.iter().filter_map(|worker| status_of(worker)).collect(),
    }
}

/// The first that is not good, or else the first.
fn first(mut verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    let first = verdicts.next()?;
    if !first.is_good() {
        return Some(first);
    }
    verdicts.find(|verdict| !verdict.is_good()).or(Some(first))
}

/// Whether a worker reads the source.
fn reached(worker: &WorkerView, subject: &str) -> Verdict {
    let facts = worker.facts.as_ref();
    if let Some(report) = &worker.report {
        let is_idle = !report.sinks.is_empty() && report.sinks.iter().all(|sink| sink.state == SinkState::Paused);
        if report.source.connected || is_idle {
            return Verdict::good("Connected", "the source is read");
        }
        if let Some(problem) = &report.source.error {
            return Verdict::of(problem);
        }
    }
    let problem = facts.and_then(|facts| facts.problems.iter().find(|(about, _)| about == subject));
    match problem {
        Some((_, problem)) => Verdict::of(problem),
        None => Verdict::coming("Starting", "the source is not read yet"),
    }
}

fn status_of(worker: &WorkerView) -> Option<WorkerStatus> {
    let facts = worker.facts.as_ref()?;
    let source = worker.report.as_ref().map(|report| &report.source);
    Some(WorkerStatus {
        pool: facts.name.pool.clone(),
        deployment: facts.deployment.clone(),
        slot: facts.slot.clone(),
        connected: source.is_some_and(|source| source.connected),
        log_end: source.and_then(|source| source.log_end.clone()),
        acknowledged: source.and_then(|source| source.acknowledged.clone()),
    })
}
