//! Follows what a worker says of itself.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use afterbay_clients::postgres::catalogue::server;
use afterbay_clients::postgres::{Lsn, PostgresError, sql};
use afterbay_crds::report::WorkerReport;
use afterbay_crds::resolve::Worker;
use tokio::sync::watch::Sender;

use super::Shared;
use super::reports::Finder;
use crate::tables::has_settled;

const INTERVAL: Duration = Duration::from_secs(1);
const QUICK_INTERVAL: Duration = Duration::from_millis(100);

/// The end of the source's log now; waits for the source.
pub async fn log_end(shared: &Shared, index: usize, worker: &Worker) -> u64 {
    let subject = format!("source {}", worker.name);
    loop {
        match ask_log_end(worker).await {
            Ok(end) => {
                shared.teller.solved(&subject);
                shared.reports.lacks(index, Finder::LogEnd, &[]);
                shared.reports.aim(index, end.0);
                shared.keep_status();
                return end.0;
            }
            Err(error) => {
                shared.teller.problem(&subject, &error.problem());
                shared.reports.lacks(index, Finder::LogEnd, &[(subject.clone(), error.problem())]);
                shared.keep_status();
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ask_log_end(worker: &Worker) -> Result<Lsn, PostgresError> {
    let client = sql::connect(&worker.plan.source.connection).await?;
    server::flushed(&client).await
}

/// Tells what the worker says, as long as it runs.
pub async fn follow(shared: &Shared, index: usize, address_file: &Path, target: Option<u64>, caught_up: &Sender<bool>) {
    let mut timer = tokio::time::interval(if target.is_some() { QUICK_INTERVAL } else { INTERVAL });
    // The first looks come quickly: a worker is there within a moment.
    let mut early = 20;
    loop {
        if early > 0 {
            early -= 1;
            tokio::time::sleep(QUICK_INTERVAL).await;
        } else {
            timer.tick().await;
        }
        let Ok(address) = tokio::fs::read_to_string(address_file).await else { continue };
        let Some(report) = ask(shared, address.trim()).await else { continue };
        take_in(shared, index, &report);
        if target.is_some_and(|target| report.sinks.iter().all(|sink| has_settled(sink, target))) {
            caught_up.send_replace(true);
        }
    }
}

async fn ask(shared: &Shared, address: &str) -> Option<WorkerReport> {
    let answer = shared.http.get(format!("http://{address}/status")).send().await.ok()?;
    answer.json().await.ok()
}

fn take_in(shared: &Shared, index: usize, report: &WorkerReport) {
    {
        // Written while it is held: what another task has written of it since is not to be taken back.
        let mut known = shared.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.extend(report.sinks.iter().filter(|sink| sink.begun).map(|sink| sink.name.clone()));
        if known.len() > before
            && let Err(error) = shared.state.keep_begun(&known)
        {
            tracing::error!("{error:#}");
        }
    }
    let source = format!("source {}", report.worker);
    match &report.source.error {
        Some(problem) => shared.teller.problem(&source, problem),
        None if report.source.connected => shared.teller.solved(&source),
        None => {}
    }
    report.sinks.iter().for_each(|sink| shared.teller.sink(sink));
    shared.reports.told(index, report.clone());
    shared.keep_status();
}
