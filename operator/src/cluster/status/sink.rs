//! The status of Sinks.

use std::time::Duration;

use afterbay_crds::api::{Carried, Sink, SinkStatus, SnapshotStatus};
use afterbay_crds::names::ResourceName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{Problem, SinkReport, SinkState};
use k8s_openapi::jiff::Timestamp;

use super::facet::{Facet, facet};
use super::{Verdict, conditions, invalid, steady};
use crate::cluster::board::{SinkView, WorkerView};
use crate::cluster::stores::name_of;
use crate::cluster::stores::references::registries_of_sink;

/// The conditions of a Sink, in the order in which things come about.
const FACETS: [(Facet, &str); 5] = [
    (Facet::Connection, "ConnectionReady"),
    (Facet::Topic, "TopicReady"),
    (Facet::Schema, "SchemaReady"),
    (Facet::Source, "SourceReady"),
    (Facet::Runtime, "RuntimeReady"),
];

/// The status of a Sink of which this is known.
pub fn sink(sink: &Sink, view: &SinkView, now: Timestamp) -> SinkStatus {
    let before = sink.status.clone().unwrap_or_default();
    let generation = sink.metadata.generation;
    let name = name_of(sink);
    let of_sink = OfSink { sink, name: &name, view, report: view.report(&name) };
    let blocking = of_sink.before_all();
    if blocking.is_none() && !view.worker.is_known() && !before.conditions.is_empty() {
        // The operator has begun anew, or its worker has, and it has not come to it yet.
        let begun = before.begun || of_sink.report.is_some_and(|report| report.begun);
        return SinkStatus { begun, ..before };
    }
    let verdicts: Vec<_> = FACETS.iter().map(|(facet, kind)| (*kind, of_sink.verdict(*facet))).collect();
    let ready = of_sink.carrying();
    let conditions = match blocking {
        // It says more than what follows from it.
        Some(verdict) => blocked(&before, generation, &verdicts, &verdict, now),
        None => conditions(&before.conditions, generation, &verdicts, &ready, now),
    };
    let topic = &sink.spec.kafka.topic.name;
    let base = SinkStatus {
        observed_generation: generation,
        destination: Some(format!("kafka/{}/{topic}", sink.spec.kafka.connection)),
        conditions,
        begun: before.begun || of_sink.report.is_some_and(|report| report.begun),
        ..SinkStatus::default()
    };
    let status = of_sink.figures(base, &before);
    SinkStatus {
        error: steady::problem(before.error.as_ref(), status.error),
        warnings: same(&before, status.warnings),
        ..status
    }
}

/// Warnings as they were told before, where they say the same.
fn same(before: &SinkStatus, warnings: Vec<Problem>) -> Vec<Problem> {
    let told = warnings.into_iter().filter_map(|now| {
        let before = before.warnings.iter().find(|before| before.reason == now.reason && before.hint == now.hint);
        steady::problem(before, Some(now))
    });
    told.collect()
}

/// `Ready` by a verdict that stands before all others.
fn blocked(
    before: &SinkStatus,
    generation: Option<i64>,
    verdicts: &[(&str, Verdict)],
    blocking: &Verdict,
    now: Timestamp,
) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let mut all = conditions(&before.conditions, generation, &[], blocking, now);
    let others = conditions(&before.conditions, generation, verdicts, &Verdict::good("", ""), now);
    let facets = others.into_iter().filter(|condition| FACETS.iter().any(|(_, kind)| *kind == condition.type_));
    all.splice(1..1, facets);
    all
}

struct OfSink<'a> {
    sink: &'a Sink,
    name: &'a ResourceName,
    view: &'a SinkView,
    report: Option<&'a SinkReport>,
}

impl OfSink<'_> {
    /// What keeps it from being carried as it is written, whatever the rest says.
    fn before_all(&self) -> Option<Verdict> {
        let facts = self.view.facts.as_ref();
        if let Some(words) = facts.and_then(|facts| facts.deletion.as_ref()) {
            return Some(Verdict::coming("Deleting", words));
        }
        let facts = facts?;
        if !facts.invalid.is_empty() {
            return Some(Verdict::of(&invalid(&facts.invalid)));
        }
        if let Some(what) = &facts.waiting_for {
            return Some(Verdict::coming("Waiting", format!("waits for {what}, which is not there")));
        }
        facts.held_up.as_ref().map(|words| Verdict::coming("Waiting", words))
    }

    fn verdict(&self, of: Facet) -> Verdict {
        if let Some(problem) = self.problem(of) {
            return Verdict::of(problem);
        }
        let worker = &self.view.worker;
        let is_provided = worker.facts.as_ref().is_some_and(|facts| facts.is_provided);
        let is_connected = worker.report.as_ref().is_some_and(|report| report.source.connected);
        match of {
            Facet::Connection => match &self.view.connection {
                Some(Ok(())) => Verdict::good("Connected", "the brokers answer"),
                _ if self.carries() => Verdict::good("Connected", "the brokers answer"),
                Some(Err(problem)) => Verdict::of(problem),
                None => Verdict::coming("Starting", "the brokers are being asked"),
            },
            Facet::Topic if is_provided || self.carries() => Verdict::good("Provided", "topics and rights are there"),
            Facet::Topic => Verdict::coming("Starting", "topics and rights are being looked at"),
            Facet::Schema if registries_of_sink(self.name, &self.sink.spec).is_empty() => {
                Verdict::good("NoRegistry", "its format needs no registry")
            }
            Facet::Schema => match &self.view.registry {
                Some(Ok(())) => Verdict::good("Connected", "the registry answers"),
                _ if self.carries() => Verdict::good("Connected", "the registry takes the schemas"),
                Some(Err(problem)) => Verdict::of(problem),
                None => Verdict::coming("Starting", "the registry is being asked"),
            },
            Facet::Source if is_connected || self.is_paused() => Verdict::good("Connected", "the source is read"),
            Facet::Source => Verdict::coming("Starting", "the source is not read yet"),
            Facet::Runtime | Facet::Carrying => runtime(worker),
        }
    }

    /// What stands against an aspect: as its worker has it, or as who provides for it.
    fn problem(&self, of: Facet) -> Option<&Problem> {
        let stops =
            self.report.filter(|report| report.state == SinkState::Stalled || report.state == SinkState::Starting);
        let own = stops.and_then(|report| report.error.as_ref()).filter(|problem| facet(&problem.reason) == of);
        let worker = &self.view.worker;
        let provided = self.provided(true).find(|problem| facet(&problem.reason) == of);
        let session = worker.report.as_ref().filter(|report| !report.source.connected && !self.is_paused());
        let session = session.and_then(|report| report.source.error.as_ref()).filter(|_| of == Facet::Source);
        let pod = not_running(worker).filter(|_| of == Facet::Runtime);
        // That there is no topic says less than why it is not made.
        own.filter(|own| own.reason != "TopicNotFound").or(provided).or(own).or(session).or(pod)
    }

    /// What could not be provided for it, and stops it; or what stops nothing. Who carries lacks nothing, unless it goes on as it was, as
    /// what it is to be now has no place in a plan. And where nobody looks at rights, none is needed.
    fn provided(&self, stops: bool) -> impl Iterator<Item = &Problem> {
        let facts = self.view.worker.facts.as_deref();
        let problems = facts.into_iter().flat_map(|facts| facts.problems.iter().map(move |found| (facts, found)));
        let own = problems.filter(|(_, (about, _))| self.is_about(about));
        let wanted = own.filter(move |(facts, (about, problem))| {
            let is_needed = !self.carries() && problem.reason != Reason::KafkaAuthorizerMissing.as_str();
            (is_needed || facts.held_back.contains(about)) == stops
        });
        wanted.map(|(_, (_, problem))| problem)
    }

    /// Whether what is told of this subject is told of it, of its connection or of its source.
    fn is_about(&self, subject: &str) -> bool {
        let source = self.view.worker.facts.as_ref().map(|facts| format!("source {}", facts.name));
        subject == format!("sink {}", self.name)
            || subject == format!("connection {}", self.name.sibling(&self.sink.spec.kafka.connection))
            || source.is_some_and(|source| subject == source)
    }

    /// What it does itself, once all around it is well.
    fn carrying(&self) -> Verdict {
        let Some(report) = self.report else {
            return Verdict::coming("Starting", "its worker has not said anything of it yet");
        };
        let (table, topic) = (&report.table, &report.topic);
        match report.state {
            SinkState::Running => Verdict::good("Running", format!("changes of {table} are carried into {topic}")),
            SinkState::Snapshotting => {
                Verdict::good("Snapshotting", format!("the rows of {table} are carried into {topic}"))
            }
            SinkState::Paused => Verdict::good("Paused", "it is paused, and keeps its place"),
            SinkState::Created | SinkState::Starting => match &report.error {
                Some(problem) => Verdict::of(problem),
                None => Verdict::coming("Starting", "it is starting"),
            },
            SinkState::Stalled => match &report.error {
                Some(problem) => Verdict::of(problem),
                None => Verdict::coming("Stalled", "it stands still"),
            },
        }
    }

    fn carries(&self) -> bool {
        self.report.is_some_and(|report| matches!(report.state, SinkState::Running | SinkState::Snapshotting))
    }

    fn is_paused(&self) -> bool {
        self.report.is_some_and(|report| report.state == SinkState::Paused)
    }

    /// What it does, in a word, where its worker does not say.
    fn state(&self, status: &SinkStatus) -> SinkState {
        let stalled = status.conditions.iter().any(|condition| condition.type_ == super::STALLED);
        let waits = self.before_all().is_some();
        match self.report {
            Some(report) => report.state,
            None if stalled => SinkState::Stalled,
            None if waits || self.view.worker.pod.is_none() => SinkState::Created,
            None => SinkState::Starting,
        }
    }

    fn figures(&self, base: SinkStatus, before: &SinkStatus) -> SinkStatus {
        let state = Some(self.state(&base));
        let facts = self.view.worker.facts.as_ref();
        let around = facts.into_iter().flat_map(|facts| &facts.warnings).filter(|(about, _)| self.is_about(about));
        let around: Vec<_> = around.map(|(_, problem)| problem).chain(self.provided(false)).cloned().collect();
        let Some(report) = self.report else {
            // What is committed stays so.
            return SinkStatus {
                state,
                position: before.position.clone(),
                snapshot: before.snapshot.clone(),
                warnings: around,
                error: self.first_problem().cloned(),
                ..base
            };
        };
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let carried = |staged, committed| Some(Carried { staged: count(staged), committed: count(committed) });
        let lag_bytes = report.lag_bytes.filter(|_| self.carries());
        let lag_ms = report.lag_ms.filter(|_| self.carries());
        SinkStatus {
            state,
            lag: lag(lag_ms, lag_bytes),
            position: report.position.clone().or_else(|| before.position.clone()),
            lag_bytes: lag_bytes.map(count),
            lag_seconds: lag_ms.map(|ms| ms as f64 / 1000.0),
            snapshot: Some(SnapshotStatus {
                rows: count(report.snapshot_rows),
                rows_estimated: report.snapshot_rows_estimated.map(count),
            })
            .filter(|snapshot| snapshot.rows > 0 || snapshot.rows_estimated.is_some()),
            messages: carried(report.messages_staged, report.messages_committed),
            bytes: carried(report.bytes_staged, report.bytes_committed),
            retained_bytes: report.retained_bytes.map(count),
            keys_repeated: some(report.keys_repeated).map(count),
            truncations: some(report.truncations).map(count),
            error: report.error.clone().or_else(|| self.first_problem().cloned()),
            warnings: report.warnings.iter().cloned().chain(around).collect(),
            tables: report.tables.clone(),
            ..base
        }
    }

    fn first_problem(&self) -> Option<&Problem> {
        FACETS.iter().find_map(|(facet, _)| self.problem(*facet))
    }
}

/// A count, where there is anything to count.
fn some(count: u64) -> Option<u64> {
    Some(count).filter(|count| *count > 0)
}

/// What keeps a worker's pod from running, or from being made at all.
fn not_running(worker: &WorkerView) -> Option<&Problem> {
    match &worker.pod {
        Some(pod) => pod.problem.as_ref().filter(|_| !pod.is_running),
        None => worker.refusal.as_ref(),
    }
}

/// Whether a worker's pod runs the plan that it is to run.
pub(super) fn runtime(worker: &WorkerView) -> Verdict {
    let wanted = worker.facts.as_ref().and_then(|facts| facts.plan_hash.as_ref());
    if let Some(problem) = not_running(worker) {
        return Verdict::of(problem);
    }
    let Some(pod) = &worker.pod else { return Verdict::coming("Starting", "the worker has no pod yet") };
    if wanted.is_none() {
        return Verdict::coming("Starting", "the worker has no plan yet");
    }
    if pod.plan_hash.as_ref() != wanted {
        return Verdict::coming("Starting", "the worker is replaced, as its plan has changed");
    }
    if !pod.is_running {
        return Verdict::coming("Starting", format!("the worker's pod {} is starting", pod.name));
    }
    Verdict::good("Running", format!("the worker's pod {} runs the current plan", pod.name))
}

/// `0.2s`, `3m`, with how much of the log where that is something.
fn lag(ms: Option<u64>, bytes: Option<u64>) -> Option<String> {
    // Who has carried nothing since its worker began, and has nothing to carry, is not behind.
    let ms = ms.or((bytes == Some(0)).then_some(0));
    let time = ms.map(|ms| time_in_words(Duration::from_millis(ms)));
    let size = bytes.filter(|bytes| *bytes >= 1024).map(size_in_words);
    match (time, size) {
        (Some(time), Some(size)) => Some(format!("{time}, {size}")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

fn time_in_words(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

pub(super) fn size_in_words(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let unit = UNITS.iter().find(|(_, size)| bytes >= *size);
    unit.map_or_else(|| format!("{bytes} B"), |(unit, size)| format!("{}{unit}", bytes / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_short_words() {
        for (ms, bytes, expected) in [
            (Some(230), Some(10), Some("0.2s")),
            (Some(12_000), None, Some("12s")),
            (Some(200_000), Some(5 << 20), Some("3m, 5Mi")),
            (Some(8_000_000), Some(3000), Some("2h, 2Ki")),
            (None, Some(3 << 30), Some("3Gi")),
            (None, Some(0), Some("0.0s")),
            (None, None, None),
        ] {
            assert_eq!(lag(ms, bytes).as_deref(), expected);
        }
    }
}
