//! What is known of the workers, for `afterbay status` and for who waits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{Problem, SinkReport, SinkState, WorkerReport};
use afterbay_crds::resolve::Worker;

use crate::tables::has_settled;

/// The reports of all workers of a run.
pub struct Reports(Mutex<Vec<Known>>);

struct Known {
    report: WorkerReport,
    /// What keeps each Sink's surroundings from being there, by who found it and the Sink's name.
    lacks: HashMap<(Finder, String), Problem>,
    /// What there is to know around the worker, by subject.
    warnings: Vec<(String, Problem)>,
    /// Tables that Sinks leave out, with these as subjects.
    left_out: Vec<(String, Problem)>,
    /// Where the source's log ended at first, if somebody waits for it.
    target: Option<u64>,
}

/// Who looks for what is missing around a worker. One that finds nothing more takes back only what it said itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finder {
    /// Who makes topics and publications.
    Provisioning,
    /// Who asks the source where its log ends.
    LogEnd,
    /// Who asks the source for its tables.
    Tables,
}

impl Reports {
    /// What can be said before a worker has answered.
    pub fn new(workers: &[Worker]) -> Self {
        let known = |worker: &Worker| {
            let sinks = worker.plan.sinks.iter().map(|sink| SinkReport {
                name: sink.name.clone(),
                table: sink.table_in_words(),
                topic: sink.topic_in_words(),
                state: SinkState::Created,
                begun: sink.begun,
                ..SinkReport::default()
            });
            let report =
                WorkerReport { worker: worker.name.to_string(), sinks: sinks.collect(), ..WorkerReport::default() };
            Known { report, lacks: HashMap::new(), warnings: Vec::new(), left_out: Vec::new(), target: None }
        };
        Self(Mutex::new(workers.iter().map(known).collect()))
    }

    /// A worker has answered.
    pub fn told(&self, index: usize, report: WorkerReport) {
        if let Some(known) = self.lock().get_mut(index) {
            known.report = report;
        }
    }

    /// A worker's Sinks have caught up when they have settled this position.
    pub fn aim(&self, index: usize, target: u64) {
        if let Some(known) = self.lock().get_mut(index) {
            known.target = Some(target);
        }
    }

    /// What is missing around a worker, by subject: a Sink's own, or that of all.
    pub fn lacks(&self, index: usize, finder: Finder, problems: &[(String, Problem)]) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(index) else { return };
        known.lacks.retain(|(by, _), _| *by != finder);
        for sink in &known.report.sinks {
            if let Some((_, problem)) = problems.iter().find(|(subject, _)| is_of(subject, sink)) {
                known.lacks.insert((finder, sink.name.clone()), problem.clone());
            }
        }
    }

    /// What there is to know around a worker, by subject.
    pub fn warns(&self, index: usize, warnings: &[(String, Problem)]) {
        if let Some(known) = self.lock().get_mut(index) {
            known.warnings = warnings.to_vec();
        }
    }

    /// What Sinks leave out, by subject.
    pub fn leaves_out(&self, index: usize, left_out: Vec<(String, Problem)>) {
        if let Some(known) = self.lock().get_mut(index) {
            known.left_out = left_out;
        }
    }

    /// Where the log of a worker's source ended when it was last heard of.
    pub fn log_end(&self, index: usize) -> Option<u64> {
        let end = self.lock().get(index)?.report.source.log_end.as_deref()?.parse::<Lsn>().ok()?;
        Some(end.0)
    }

    /// Whether all Sinks by patterns of a worker have committed what commits before this place.
    pub fn has_settled(&self, index: usize, target: u64) -> bool {
        let all = self.lock();
        let Some(known) = all.get(index) else { return true };
        known.report.sinks.iter().filter(|sink| sink.tables.is_some()).all(|sink| has_settled(sink, target))
    }

    /// All of them. Where a Sink itself tells of no error, what it lacks is one.
    pub fn all(&self) -> Vec<WorkerReport> {
        self.lock().iter().map(Known::with_lacks).collect()
    }

    /// The Sinks that have not caught up.
    pub fn behind(&self) -> Vec<SinkReport> {
        let behind = |known: &Known| {
            let sinks = known.with_lacks().sinks.into_iter();
            let target = known.target;
            sinks.filter(move |sink| !target.is_some_and(|target| has_settled(sink, target))).collect::<Vec<_>>()
        };
        self.lock().iter().flat_map(behind).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is said of this subject is the Sink's business: its own, or that of all.
fn is_of(subject: &str, sink: &SinkReport) -> bool {
    subject.strip_prefix("sink ").is_none_or(|name| name == sink.name)
}

impl Known {
    fn with_lacks(&self) -> WorkerReport {
        let mut report = self.report.clone();
        for sink in &mut report.sinks {
            let of_sink = self.warnings.iter().chain(&self.left_out).filter(|(subject, _)| is_of(subject, sink));
            let warnings: Vec<_> = of_sink.map(|(_, problem)| problem.clone()).collect();
            sink.warnings.extend(warnings);
            // That there is no topic says less than why it is not made.
            let says_more = |problem: &Problem| problem.reason == Reason::TopicNotFound.as_str();
            if sink.state != SinkState::Running && sink.error.as_ref().is_none_or(says_more) {
                let by = |finder| self.lacks.get(&(finder, sink.name.clone()));
                let lack =
                    by(Finder::Provisioning).or_else(|| by(Finder::LogEnd)).or_else(|| by(Finder::Tables)).cloned();
                sink.error = lack.or(sink.error.take());
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Reports {
        let sink = |name: &str| SinkReport { name: name.into(), state: SinkState::Created, ..SinkReport::default() };
        let report = WorkerReport { sinks: vec![sink("default/a"), sink("default/b")], ..WorkerReport::default() };
        Reports(Mutex::new(vec![Known {
            report,
            lacks: HashMap::new(),
            warnings: Vec::new(),
            left_out: Vec::new(),
            target: None,
        }]))
    }

    fn reasons(reports: &Reports) -> Vec<Option<String>> {
        let sinks = reports.all().into_iter().flat_map(|report| report.sinks);
        sinks.map(|sink| sink.error.map(|problem| problem.reason)).collect()
    }

    #[test]
    fn a_sink_tells_what_it_lacks_until_that_is_there() {
        let reports = reports();
        let topic = ("sink default/b".to_owned(), Reason::TopicNotFound.problem("no topic", "make it"));
        let source = ("source default/shop".to_owned(), Reason::SourceUnreachable.problem("refused", "start it"));
        reports.lacks(0, Finder::LogEnd, &[source]);
        reports.lacks(0, Finder::Provisioning, &[topic]);
        let (topic, source) = (Some("TopicNotFound".to_owned()), Some("SourceUnreachable".to_owned()));
        assert_eq!(reasons(&reports), [source, topic.clone()]);
        reports.lacks(0, Finder::LogEnd, &[]);
        assert_eq!(reasons(&reports), [None, topic]);
        let stalled = |error: Problem| {
            let mut report = reports.all().remove(0);
            report.sinks[1] = SinkReport { state: SinkState::Stalled, error: Some(error), ..report.sinks[1].clone() };
            reports.told(0, report);
        };
        let refused = Reason::TopicCreationRefused.problem("one broker, three replicas", "correct it");
        reports.lacks(0, Finder::Provisioning, &[("sink default/b".to_owned(), refused)]);
        stalled(Reason::TopicNotFound.problem("no topic", "make it"));
        assert_eq!(reasons(&reports), [None, Some("TopicCreationRefused".to_owned())], "why there is no topic");
        stalled(Reason::TableNotFound.problem("no table", "make it"));
        assert_eq!(reasons(&reports), [None, Some("TableNotFound".to_owned())]);
    }

    #[test]
    fn what_there_is_to_know_stands_at_the_sinks_that_it_is_about() {
        let reports = reports();
        let (weak, differs) = (Reason::ProgressTopicWeak.problem("", ""), Reason::TopicDiffers.problem("", ""));
        let warnings = [("connection default/events".to_owned(), weak), ("sink default/b".to_owned(), differs)];
        reports.warns(0, &warnings);
        let told: Vec<Vec<_>> = reports.all()[0]
            .sinks
            .iter()
            .map(|sink| sink.warnings.iter().map(|problem| problem.reason.clone()).collect())
            .collect();
        assert_eq!(told, [vec!["ProgressTopicWeak"], vec!["ProgressTopicWeak", "TopicDiffers"]]);
        reports.warns(0, &[]);
        assert!(reports.all()[0].sinks.iter().all(|sink| sink.warnings.is_empty()));
    }

    #[test]
    fn only_who_has_settled_the_target_has_caught_up() {
        let reports = reports();
        assert_eq!(reports.behind().len(), 2);
        reports.aim(0, 0x10);
        let mut report = reports.all().remove(0);
        for (sink, settled) in report.sinks.iter_mut().zip(["0/10", "0/F"]) {
            sink.state = SinkState::Running;
            sink.settled = Some(settled.to_owned());
        }
        reports.told(0, report);
        let behind = reports.behind();
        assert_eq!(behind.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["default/b"]);
    }
}
