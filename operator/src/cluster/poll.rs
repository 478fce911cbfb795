//! Reads what the workers say of themselves.

use std::net::IpAddr;
use std::time::Duration;

use afterbay_crds::names::WorkerName;
use afterbay_crds::report::WorkerReport;
use futures::stream::{self, StreamExt as _};
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;

/// How often each is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many are asked at once.
const AT_ONCE: usize = 32;

/// Where workers listen.
pub const PORT: u16 = 8080;

/// How large a report may be, in bytes: some 1 KiB for each Sink, and more for each table that is left out.
const LARGEST: usize = 16 << 20;

/// Asks all workers that have a pod, every 5 s, for ever.
pub async fn run(board: &Board) -> Result<(), reqwest::Error> {
    // Within the cluster, and whatever proxy leads out of it.
    let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().pool_max_idle_per_host(1).build()?;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = board.to_ask().into_iter().filter_map(|(worker, pod)| {
            let address = pod.address.filter(|_| pod.is_running)?;
            Some(ask(&http, board, worker, pod.name.clone(), address))
        });
        stream::iter(asked).for_each_concurrent(AT_ONCE, |asked| asked).await;
    }
}

/// One that does not answer is told by its pod, and what it said last stays until there is another pod.
async fn ask(http: &reqwest::Client, board: &Board, worker: WorkerName, pod: String, address: IpAddr) {
    let address = std::net::SocketAddr::new(address, PORT);
    let url = format!("http://{address}/status");
    match report(http, &url).await {
        Ok(report) if report.worker == worker.to_string() => board.set_report(&worker, &pod, report),
        Ok(report) => tracing::warn!("{url} was to be worker {worker}, and is {}", report.worker),
        Err(error) => {
            tracing::debug!("worker {worker} does not answer: {error}");
            board.set_unanswered(&worker, &pod);
        }
    }
}

async fn report(http: &reqwest::Client, url: &str) -> Result<WorkerReport, Box<dyn std::error::Error + Send + Sync>> {
    let mut answer = http.get(url).send().await?.error_for_status()?;
    let mut text = Vec::new();
    while let Some(more) = answer.chunk().await? {
        text.extend_from_slice(&more);
        if text.len() > LARGEST {
            return Err(format!("its report is larger than {LARGEST} bytes").into());
        }
    }
    Ok(serde_json::from_slice(&text)?)
}
