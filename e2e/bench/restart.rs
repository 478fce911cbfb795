//! A worker is killed while changes come: how long the next one needs until a reader sees a record of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Format, await_condition};

use crate::afterbay::{Bench, end};
use crate::report::Report;
use crate::settings::Settings;
use crate::steady::{Listener, write};
use crate::usage::started;

/// How long a worker lives until it is killed.
const LIFE: Duration = Duration::from_secs(3);

/// One restart.
#[derive(Clone, Copy)]
pub struct Restart {
    /// From the start of the process to the first record that a read_committed consumer sees.
    pub from_start: Duration,
    /// From the kill, with the pause that is made before a worker is started again.
    pub from_kill: Duration,
}

/// Kills it again and again.
pub async fn run(settings: &Settings, report: &mut Report) {
    let bench = Bench::new(settings, Format::Json).await;
    let afterbay = bench.start();
    afterbay.caught_up(&bench.scenario).await;
    let listener = Listener::start(Arc::clone(&bench.topic), bench.topic.visible());
    let kills = async {
        let mut restarts = Vec::new();
        for _ in 0..settings.kills {
            tokio::time::sleep(LIFE).await;
            let killed = SystemTime::now();
            afterbay.kill_worker().await;
            let started = started(afterbay.worker().await);
            let look = async || listener.first_after(started);
            let first = await_condition("a record of the next worker", PATIENCE, look).await;
            let since = |moment| first.at.duration_since(moment).unwrap_or_default();
            restarts.push(Restart { from_start: since(started), from_kill: since(killed) });
        }
        restarts
    };
    let restarts = tokio::select! {
        restarts = kills => restarts,
        _ = write(&bench.scenario.database, 1..settings.rows) => panic!("the table is too small for so many kills"),
    };
    listener.stop();
    end(afterbay).await;
    report.restarts(restarts);
}
