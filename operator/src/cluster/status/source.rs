//! The status of SourceConnectors.

use afterbay_crds::api::{SourceConnector, SourceConnectorStatus, WorkerStatus};
use afterbay_crds::report::{Problem, SinkReport, SinkState};
use k8s_openapi::jiff::Timestamp;

use super::facet::is_of_whole_source;
use super::sink::runtime;
use super::{Verdict, conditions, invalid, kept, warning, worst};
use crate::cluster::board::{SourceView, WorkerView};
use crate::cluster::finalize::is_going;

/// True while a slot is kept though no Sink reads it; says nothing against `Ready`.
pub const SLOT_KEPT: &str = "SlotKept";

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
    // A worker that has been given no plan has no Sink that it could carry, which is their trouble; unless the database is why.
    let (running, others): (Vec<&WorkerView>, Vec<&WorkerView>) = workers.iter().partition(|worker| has_plan(worker));
    let refused = others.iter().filter_map(|worker| problem_of(worker).map(Verdict::of));
    let reached = of_all(running.iter().map(|worker| reached(worker)).chain(refused));
    let reached = reached.unwrap_or_else(|| match &facts.handshake {
        Some(Ok(())) => Verdict::good("Connected", "the database answers"),
        Some(Err(problem)) => Verdict::of(problem),
        None => Verdict::coming("Starting", "the database is being asked"),
    });
    let runs = of_all(running.iter().map(|worker| runtime(worker)));
    let runs = runs.unwrap_or_else(|| Verdict::good("NoSinks", "no Sink needs a worker"));
    let verdicts = [("SourceReady", reached), ("RuntimeReady", runs)];
    let ready = match running.len() {
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
    let mut conditions = match blocking {
        // It says more than what follows from it.
        Some(verdict) => conditions(&before.conditions, generation, &[], &verdict, now),
        None => conditions(&before.conditions, generation, &verdicts, &ready, now),
    };
    let kept = kept::problem(&facts.kept, &source.spec.postgres.database);
    conditions.extend(kept.map(|kept| warning(SLOT_KEPT, &kept, &before.conditions, generation, now)));
    SourceConnectorStatus {
        observed_generation: generation,
        conditions,
        begun,
        sinks: count,
        workers: workers_of(source, &before.workers, &workers),
    }
}

/// What is said of the workers. Of a SourceConnector at its end those stay that there were: an operator that begins anew may find nothing
/// else that tells of their slots.
fn workers_of(source: &SourceConnector, before: &[WorkerStatus], workers: &[&WorkerView]) -> Vec<WorkerStatus> {
    let mut told: Vec<_> = workers.iter().filter_map(|worker| status_of(worker)).collect();
    if is_going(source) {
        let gone = before.iter().filter(|before| workers.iter().all(|worker| pool_of(worker) != Some(&before.pool)));
        let gone: Vec<_> = gone.map(|gone| WorkerStatus { connected: false, ..gone.clone() }).collect();
        told.extend(gone);
        told.sort_by(|one, other| one.pool.cmp(&other.pool));
    }
    told
}

fn pool_of(worker: &WorkerView) -> Option<&String> {
    worker.facts.as_ref().map(|facts| &facts.name.pool)
}

/// What is to be said of several: what is worst, or of all that is good the first.
fn of_all(verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    let all: Vec<_> = verdicts.collect();
    worst(all.iter()).or(all.first()).cloned()
}

fn has_plan(worker: &WorkerView) -> bool {
    worker.facts.as_ref().is_some_and(|facts| facts.plan_hash.is_some())
}

/// What stands against the source, as who provides for the worker has found it.
fn problem_of(worker: &WorkerView) -> Option<&Problem> {
    let facts = worker.facts.as_ref()?;
    let subject = format!("source {}", facts.name);
    facts.problems.iter().find(|(about, _)| *about == subject).map(|(_, problem)| problem)
}

/// Whether a worker reads the source, or need not.
fn reached(worker: &WorkerView) -> Verdict {
    if let Some(report) = &worker.report {
        if report.source.connected {
            return Verdict::good("Connected", "the source is read");
        }
        let others: Vec<_> = report.sinks.iter().filter(|sink| sink.state != SinkState::Paused).collect();
        if !report.sinks.is_empty() && others.iter().all(|sink| stopped_by(sink).is_some()) {
            // Nobody reads it, as all stand still, which is told of them; and so is what the last session ended with. What they say of the
            // source as a whole is its own trouble.
            let mut problems = others.iter().filter_map(|sink| stopped_by(sink));
            return match problems.find(|problem| is_of_whole_source(&problem.reason)) {
                Some(problem) => Verdict::of(problem),
                None if others.is_empty() => Verdict::good("Paused", "all Sinks are paused, so nobody reads it"),
                None => Verdict::good("Idle", "no Sink can be carried, so nobody reads it; its Sinks say why"),
            };
        }
        if let Some(problem) = &report.source.error {
            return Verdict::of(problem);
        }
    }
    problem_of(worker).map_or_else(|| Verdict::coming("Starting", "the source is not read yet"), Verdict::of)
}

/// What keeps a Sink from being carried, also while it tries again.
fn stopped_by(sink: &SinkReport) -> Option<&Problem> {
    let stands = matches!(sink.state, SinkState::Stalled | SinkState::Starting | SinkState::Created);
    sink.error.as_ref().filter(|_| stands)
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
