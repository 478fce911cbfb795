//! `afterbay status`: what a running `afterbay run` carries.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use afterbay_crds::report::WorkerReport;
use anyhow::Context as _;

use crate::cli::{self, Output, StatusArguments};
use crate::{render, state};

/// How long messages are counted for their rate.
const SAMPLE: Duration = Duration::from_millis(1_200);

/// Shows it.
pub async fn show(arguments: StatusArguments) -> anyhow::Result<ExitCode> {
    let dir = &arguments.state_dir;
    if state::holder(dir).is_none() {
        eprintln!(
            "error: no afterbay run holds the state directory {}: start one, or give its --state-dir",
            dir.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    let first = read(dir)?;
    if arguments.output == Output::Json {
        cli::print(&format!("{}\n", serde_json::to_string(&first)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::time::sleep(SAMPLE).await;
    let second = read(dir)?;
    let committed = |reports: &[WorkerReport], name: &str| {
        let mut sinks = reports.iter().flat_map(|report| &report.sinks);
        sinks.find(|sink| sink.name == name).map_or(0, |sink| sink.messages_committed)
    };
    let rate =
        |name: &str| committed(&second, name).saturating_sub(committed(&first, name)) as f64 / SAMPLE.as_secs_f64();
    cli::print(&render::table(&second, &rate))?;
    Ok(ExitCode::SUCCESS)
}

fn read(dir: &Path) -> anyhow::Result<Vec<WorkerReport>> {
    let place = dir.join("status.json");
    match std::fs::read(&place) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is not readable", place.display())),
        // No worker has answered yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", place.display())),
    }
}
