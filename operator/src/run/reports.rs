//! What is known of the workers, for `afterbay status` and for who waits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use afterbay_crds::report::{Problem, SinkReport, SinkState, WorkerReport};
use afterbay_crds::resolve::Worker;

/// The reports of all workers of a run.
pub struct Reports(Mutex<Vec<Known>>);

struct Known {
    report: WorkerReport,
    /// What keeps each Sink's surroundings from being there, by its name.
    lacks: HashMap<String, Problem>,
}

impl Reports {
    /// What can be said before a worker has answered.
    pub fn new(workers: &[Worker]) -> Self {
        let known = |worker: &Worker| {
            let sinks = worker.plan.sinks.iter().map(|sink| SinkReport {
                name: sink.name.clone(),
                table: sink.table.to_string(),
                topic: sink.kafka.topic.clone(),
                state: SinkState::Created,
                begun: sink.begun,
                ..SinkReport::default()
            });
            let report =
                WorkerReport { worker: worker.name.to_string(), sinks: sinks.collect(), ..WorkerReport::default() };
            Known { report, lacks: HashMap::new() }
        };
        Self(Mutex::new(workers.iter().map(known).collect()))
    }

    /// A worker has answered.
    pub fn told(&self, index: usize, report: WorkerReport) {
        if let Some(known) = self.lock().get_mut(index) {
            known.report = report;
        }
    }

    /// What is missing around a worker, by subject: a Sink's own, or that of all.
    pub fn lacks(&self, index: usize, problems: &[(String, Problem)]) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(index) else { return };
        known.lacks.clear();
        for sink in &known.report.sinks {
            let own = format!("sink {}", sink.name);
            let is_of = |subject: &str| subject == own || !subject.starts_with("sink ");
            if let Some((_, problem)) = problems.iter().find(|(subject, _)| is_of(subject)) {
                known.lacks.insert(sink.name.clone(), problem.clone());
            }
        }
    }

    /// All of them. Where a Sink itself tells of no error, what it lacks is one.
    pub fn all(&self) -> Vec<WorkerReport> {
        let with_lacks = |known: &Known| {
            let mut report = known.report.clone();
            for sink in &mut report.sinks {
                if sink.error.is_none() && sink.state != SinkState::Running {
                    sink.error = known.lacks.get(&sink.name).cloned();
                }
            }
            report
        };
        self.lock().iter().map(with_lacks).collect()
    }

    /// The Sinks that do not carry, or have something left to carry.
    pub fn behind(&self) -> Vec<SinkReport> {
        let is_behind = |sink: &SinkReport| sink.state != SinkState::Running || sink.lag_bytes != Some(0);
        self.all().into_iter().flat_map(|report| report.sinks).filter(is_behind).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sink_lacks_is_told_until_it_runs_or_tells_of_an_error_itself() {
        let sink = |name: &str, state| SinkReport { name: name.into(), state, ..SinkReport::default() };
        let worker =
            |state| WorkerReport { sinks: vec![sink("d/a", state), sink("d/b", state)], ..WorkerReport::default() };
        let reports = Reports(Mutex::new(vec![Known { report: worker(SinkState::Created), lacks: HashMap::new() }]));
        let problem = |reason: &str| Problem { reason: reason.into(), message: String::new(), hint: String::new() };
        let errors = || {
            let sinks = reports.all().into_iter().flat_map(|report| report.sinks);
            sinks.map(|sink| sink.error.map(|error| error.reason)).collect::<Vec<_>>()
        };
        reports.lacks(0, &[("sink d/b".into(), problem("Own")), ("source d".into(), problem("OfAll"))]);
        assert_eq!(errors(), [Some("OfAll".into()), Some("Own".into())]);
        reports.told(0, worker(SinkState::Running));
        assert_eq!(errors(), [None, None], "it runs, so it lacks nothing any more");
        assert_eq!(reports.behind().len(), 2, "how far they are is not known");
        let mut stalled = worker(SinkState::Stalled);
        stalled.sinks[0].error = Some(problem("Stalled"));
        reports.told(0, stalled);
        assert_eq!(errors(), [Some("Stalled".into()), Some("Own".into())]);
        reports.lacks(0, &[]);
        assert_eq!(errors(), [Some("Stalled".into()), None]);
    }
}
