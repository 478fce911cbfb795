//! `afterbay probe`: asks a page whether all is well. The image holds no other program that could, and `helm test` runs one.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::ProbeArguments;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks until the page answers with a status of success, or the time is over.
pub async fn probe(arguments: ProbeArguments) -> anyhow::Result<ExitCode> {
    let ProbeArguments { url, timeout: limit } = arguments;
    // What is asked is one's own: no proxy knows it.
    let client = reqwest::Client::builder().no_proxy().build().context("cannot make a client")?;
    let deadline = Instant::now() + limit;
    loop {
        let answer = match timeout(PATIENCE, client.get(&url).send()).await {
            Ok(Ok(answer)) if answer.status().is_success() => {
                println!("{url}: {}", answer.status());
                return Ok(ExitCode::SUCCESS);
            }
            Ok(Ok(answer)) => format!("it answers with {}", answer.status()),
            Ok(Err(error)) => cause(&error),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        if Instant::now() + PAUSE >= deadline {
            anyhow::bail!("{url}: {answer}");
        }
        sleep(PAUSE).await;
    }
}

/// What lies behind an error: its own words say that there was one, and repeat the address.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
