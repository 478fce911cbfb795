//! What a database says that nobody reads: asked as seldom as workers are provided for.

use std::path::PathBuf;
use std::time::Duration;

use afterbay_crds::names::WorkerName;
use afterbay_crds::plan::PostgresConnectionPlan;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::handshake;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::memory::Memory;
use super::provide::pause;
use super::{Look, plan};
use crate::cluster::context::Failure;
use crate::cluster::objects::names;

impl Look<'_> {
    /// What the database says, where no worker asks it; and when to ask again.
    pub(super) async fn handshake(
        &self,
        memory: &mut Memory,
    ) -> Result<(Option<Result<(), Problem>>, Option<Duration>), Failure> {
        // One all of whose Sinks are left out of its plan is none that would ask.
        let has_plan = |worker: &WorkerName| {
            self.context.board.worker(worker).facts.is_some_and(|facts| facts.plan_hash.is_some())
        };
        let has_worker = !self.current.is_empty() || self.context.board.workers(self.name).iter().any(has_plan);
        if has_worker || !self.verdict.source.is_fine() {
            memory.handshake = None;
            return Ok((None, None));
        }
        let scratch = self.context.scratch.folder()?;
        let alike = self.connection(plan::SECRETS_DIR.into());
        let found = self.connection(scratch.path().to_owned());
        let (Some(alike), Some(found)) = (alike, found) else { return Ok((None, None)) };
        scratch.keep(&found.secrets)?;
        let handshake = ask(&mut memory.handshake, &alike, &found.connection).await;
        Ok((Some(handshake.answer.clone()), Some(handshake.due_in())))
    }

    /// How the database is reached, with files below this directory.
    pub(super) fn connection(&self, secrets_dir: PathBuf) -> Option<handshake::Handshake<PostgresConnectionPlan>> {
        handshake::postgres(&self.gathered.manifests, &self.settings(secrets_dir), self.name)
    }
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
    let key = key(alike);
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

/// What tells one way to reach a database from another, credentials among it.
pub fn key(alike: &handshake::Handshake<PostgresConnectionPlan>) -> String {
    let parts = alike.secrets.iter().map(|secret| secret.contents.expose_secret());
    names::hash([format!("{:?}", alike.connection).as_bytes()].into_iter().chain(parts))
}

impl Handshake {
    /// When to ask again.
    pub fn due_in(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }
}
