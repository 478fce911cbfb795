//! Rights, topics and publication of a worker: provided when anything of it changes, again while something is missing, and now and
//! then to repair what has drifted.

use std::collections::BTreeMap;
use std::time::Duration;

use afterbay_crds::report::WorkerReport;
use afterbay_crds::resolve::Worker;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use crate::cluster::board::lacks_a_right;
use crate::cluster::objects::names;
use crate::provision::{self, Outcome};

/// After this time all is looked at again.
const REPAIR: Duration = Duration::from_mins(5);
/// A worker that lacks a right is provided for no more often than this.
const URGED: Duration = Duration::from_mins(1);
/// The pauses between tries while something is missing.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(2);

/// What was provided, and when to look at it again.
#[derive(Debug)]
pub struct Provided {
    /// What is to be provided, in one word.
    key: String,
    at: Instant,
    due: Instant,
    failures: u32,
    outcome: Outcome,
}

impl Provided {
    /// When it is to be looked at again; `is_urged` where its worker says that it lacks what it was given.
    fn due(&self, is_urged: bool) -> Instant {
        if is_urged { self.due.min(self.at + URGED) } else { self.due }
    }
}

/// Provides what a worker needs, unless that was done for the very same a short time ago. `worker` is as its pods
/// see it, `own` as this program does, whose files have been written: they stand elsewhere each time.
pub async fn provide<'p>(
    last: &'p mut Option<Provided>,
    worker: &Worker,
    own: &Worker,
    is_urged: bool,
) -> (&'p Outcome, BTreeMap<&'static str, u64>) {
    let key = key(worker);
    let now = Instant::now();
    let known = last.take().filter(|provided| provided.key == key);
    let (provided, writes) = match known {
        Some(provided) if now < provided.due(is_urged) => (provided, BTreeMap::new()),
        known => {
            let mut outcome = provision::worker(own, None).await;
            let writes = std::mem::take(&mut outcome.writes);
            let failures = if outcome.is_done() { 0 } else { known.map_or(0, |known| known.failures) + 1 };
            let at = Instant::now();
            (Provided { key, at, due: at + pause(failures), failures, outcome }, writes)
        }
    };
    (&last.insert(provided).outcome, writes)
}

/// When what was provided is to be looked at again.
pub fn due_in(last: Option<&Provided>, is_urged: bool) -> Option<Duration> {
    last.map(|provided| provided.due(is_urged).saturating_duration_since(Instant::now()))
}

/// Whether a worker says that it lacks a right which it is to be given here: somebody has taken it away.
pub fn is_urged(worker: &Worker, report: Option<&WorkerReport>) -> bool {
    let are_managed = worker.provisioning.kafka.iter().any(|cluster| cluster.grants.is_some());
    are_managed && report.is_some_and(|report| report.sinks.iter().any(lacks_a_right))
}

pub fn pause(failures: u32) -> Duration {
    match failures {
        0 => REPAIR,
        failures => FIRST.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST),
    }
}

/// The same for the same, whoever asks: what is wanted, of whom, and with which credentials.
fn key(worker: &Worker) -> String {
    let wanted = format!("{:?} {:?} {:?}", worker.provisioning, worker.plan.source, worker.plan.sinks);
    let secrets = worker.secrets.iter().map(|secret| secret.contents.expose_secret());
    names::hash([wanted.as_bytes()].into_iter().chain(secrets))
}

#[cfg(test)]
mod tests {
    use super::super::tests::resolved;
    use super::*;

    #[test]
    fn pauses_grow_while_something_is_missing() {
        let pauses: Vec<_> = [0, 1, 2, 5, 6, 40].iter().map(|failures| pause(*failures).as_secs()).collect();
        assert_eq!(pauses, [300, 5, 10, 80, 120, 120]);
    }

    #[test]
    fn who_lacks_a_right_is_provided_for_within_a_minute_and_not_more_often() {
        let at = Instant::now();
        let provided = |failures| {
            let due = at + pause(failures);
            Provided { key: String::new(), at, due, failures, outcome: Outcome::default() }
        };
        let due = |failures, is_urged| (provided(failures).due(is_urged) - at).as_secs();
        assert_eq!([due(0, false), due(0, true), due(1, true), due(6, true)], [300, 60, 5, 60]);
    }

    #[test]
    fn another_wish_or_secret_is_provided_anew() {
        let worker = resolved(&["a", "b"]);
        assert_eq!(key(&worker), key(&resolved(&["a", "b"])));
        assert_ne!(key(&worker), key(&resolved(&["a"])));
        let mut rotated = resolved(&["a", "b"]);
        rotated.secrets[0].contents = b"hunter9".to_vec().into();
        assert_ne!(key(&worker), key(&rotated));
    }
}
