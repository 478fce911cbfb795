//! From commit in the database to a read_committed consumer, at an even rate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use afterbay_e2e::Format;

use crate::afterbay::{Bench, end};
use crate::figures::{Figures, Run};
use crate::report::Report;
use crate::settings::Settings;
use crate::steady::{Committed, Listener, RATE, Seen, write};

/// How long changes come before those that count: connections and buffers are there then.
const WARMING_SECONDS: u64 = 2;

/// How long changes took.
pub struct Latency {
    /// What the run has cost besides.
    pub figures: Figures,
    /// Changes a second, as they were committed.
    pub rate: f64,
    ascending: Vec<Duration>,
}

impl Latency {
    fn new(figures: Figures, committed: &[Committed], seen: &[Seen]) -> Self {
        let seen: HashMap<_, _> = seen.iter().map(|seen| (seen.id, seen.at)).collect();
        // The consumer may be told of a change before the writer is.
        let took = |change: &Committed| seen[&change.id].duration_since(change.at).unwrap_or_default();
        let mut ascending: Vec<_> = committed.iter().map(took).collect();
        ascending.sort_unstable();
        let times = || committed.iter().map(|change| change.at);
        let seconds = times().max().zip(times().min()).and_then(|(last, first)| last.duration_since(first).ok());
        let rate = committed.len() as f64 / seconds.unwrap_or_default().as_secs_f64();
        Self { figures, rate, ascending }
    }

    /// The time within which this share of the changes was seen.
    pub fn quantile(&self, share: f64) -> Duration {
        let place = (self.ascending.len() as f64 * share) as usize;
        self.ascending[place.min(self.ascending.len() - 1)]
    }
}

/// The setting that is none.
pub const DEFAULTS: &str = "defaults";

/// With the default settings, and with one that commits soon.
pub async fn run(settings: &Settings, report: &mut Report) {
    let bench = Bench::new(settings, Format::Json).await;
    report.latency(DEFAULTS, of(&bench, settings).await);
    let bench = Bench::new(settings, Format::Json).await.commit_interval("10ms");
    report.latency("commit: {interval: 10ms}", of(&bench, settings).await);
}

async fn of(bench: &Bench, settings: &Settings) -> Latency {
    let afterbay = bench.start();
    afterbay.caught_up(&bench.scenario).await;
    let database = &bench.scenario.database;
    let (warm, last) = (WARMING_SECONDS * RATE, (WARMING_SECONDS + settings.seconds) * RATE);
    write(database, 1..warm).await;
    afterbay.caught_up(&bench.scenario).await;

    let (from, worker) = (bench.topic.visible(), afterbay.worker().await);
    let listener = Listener::start(Arc::clone(&bench.topic), from);
    let run = Run::begin_with(worker);
    let committed = write(database, warm..last.min(settings.rows)).await;
    let changes = committed.len() as u64;
    let done = bench.topic.await_records(from, changes, || run.end(worker));
    let seen = listener.stop();
    end(afterbay).await;
    let figures = done.figures(&bench.topic.read(from, changes));
    Latency::new(figures, &committed, &seen)
}
