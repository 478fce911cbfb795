//! Rights, topics and publication of a worker: provided when anything of it changes, again while something is missing, and now and
//! then to repair what has drifted.

use std::collections::BTreeMap;
use std::time::Duration;

use afterbay_crds::plan::PostgresConnectionPlan;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{Worker, handshake};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use crate::cluster::objects::names;
use crate::provision::{self, Outcome};

/// After this time all is looked at again.
const REPAIR: Duration = Duration::from_mins(5);
/// The pauses between tries while something is missing.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(2);

/// What was provided, and when to look at it again.
#[derive(Debug)]
pub struct Provided {
    /// What is to be provided, in one word.
    key: String,
    due: Instant,
    failures: u32,
    outcome: Outcome,
}

/// Provides what a worker needs, unless that was done for the very same a short time ago. `worker` is as its pods
/// see it, `own` as this program does, whose files have been written: they stand elsewhere each time.
pub async fn provide<'p>(
    last: &'p mut Option<Provided>,
    worker: &Worker,
    own: &Worker,
) -> (&'p Outcome, BTreeMap<&'static str, u64>) {
    let key = key(worker);
    let now = Instant::now();
    let known = last.take().filter(|provided| provided.key == key);
    let (provided, writes) = match known {
        Some(provided) if now < provided.due => (provided, BTreeMap::new()),
        known => {
            let mut outcome = provision::worker(own, None).await;
            let writes = std::mem::take(&mut outcome.writes);
            let failures = if outcome.is_done() { 0 } else { known.map_or(0, |known| known.failures) + 1 };
            (Provided { key, due: Instant::now() + pause(failures), failures, outcome }, writes)
        }
    };
    (&last.insert(provided).outcome, writes)
}

/// When what was provided is to be looked at again.
pub fn due_in(last: Option<&Provided>) -> Option<Duration> {
    last.map(|provided| provided.due.saturating_duration_since(Instant::now()))
}

fn pause(failures: u32) -> Duration {
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

/// What a database says that nobody reads yet: asked as seldom as it is provided.
#[derive(Debug)]
pub struct Handshake {
    key: String,
    due: Instant,
    failures: u32,
    /// What it says.
    pub answer: Result<(), Problem>,
}

/// Asks a database, unless it was asked the same (`alike`) a short time ago.
pub async fn ask<'h>(
    last: &'h mut Option<Handshake>,
    alike: &handshake::Handshake<PostgresConnectionPlan>,
    connection: &PostgresConnectionPlan,
) -> &'h Handshake {
    let parts = alike.secrets.iter().map(|secret| secret.contents.expose_secret());
    let key = names::hash([format!("{:?}", alike.connection).as_bytes()].into_iter().chain(parts));
    let known = last.take().filter(|handshake| handshake.key == key);
    let handshake = match known {
        Some(handshake) if Instant::now() < handshake.due => handshake,
        known => {
            let answer = afterbay_clients::postgres::sql::connect(connection).await;
            let answer = answer.map(drop).map_err(|error| error.problem());
            let failures = if answer.is_ok() { 0 } else { known.map_or(0, |known| known.failures) + 1 };
            Handshake { key, due: Instant::now() + pause(failures), failures, answer }
        }
    };
    last.insert(handshake)
}

impl Handshake {
    /// When to ask again.
    pub fn due_in(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }
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
    fn another_wish_or_secret_is_provided_anew() {
        let worker = resolved(&["a", "b"]);
        assert_eq!(key(&worker), key(&resolved(&["a", "b"])));
        assert_ne!(key(&worker), key(&resolved(&["a"])));
        let mut rotated = resolved(&["a", "b"]);
        rotated.secrets[0].contents = b"hunter9".to_vec().into();
        assert_ne!(key(&worker), key(&rotated));
    }
}
