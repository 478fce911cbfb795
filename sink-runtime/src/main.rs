//! `sink-runtime --plan FILE`: runs one worker. `sink-runtime --retire FILE`: takes away what deleted Sinks and SourceConnectors
//! leave, and says on standard output what came of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use afterbay_crds::plan::{PLAN_VERSION, Plan};
use afterbay_crds::retirement::{RETIREMENT_VERSION, RetirementPlan};
use anyhow::Context as _;
use clap::Parser;
use serde::de::DeserializeOwned;
use sink_runtime::worker::{self, Exit};
use sink_runtime::{begun, outcome, retire};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Another worker owns this one's Sinks.
const EXIT_FENCED: u8 = 3;
/// The plan cannot be run, now or later.
const EXIT_PLAN: u8 = 4;

/// Carries the changes of one source into Kafka, exactly once.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The resolved plan of this worker (JSON)
    #[arg(long, value_name = "FILE", required_unless_present = "retire")]
    plan: Option<PathBuf>,
    /// Which Sinks have committed before: a JSON list of their names (<namespace>/<name>), beside what the plan knows
    #[arg(long, value_name = "FILE", requires = "plan")]
    begun: Option<PathBuf>,
    /// Take away what deleted Sinks and SourceConnectors leave: progress records, slots, publications (JSON)
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    retire: Option<PathBuf>,
    /// Where to write what came of it, in at most 4096 bytes, beside standard output
    #[arg(long, value_name = "FILE", requires = "retire")]
    outcome: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log();
    // Of rustls' providers one is chosen, or it would not know which. It can only fail where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = match (&arguments.plan, &arguments.retire) {
        (Some(plan), _) => worker_plan(plan, arguments.begun.as_deref()).map(|plan| Wanted::Worker(Box::new(plan))),
        (None, Some(plan)) => read(plan, RETIREMENT_VERSION).map(Wanted::Retirement),
        (None, None) => Err(anyhow::anyhow!("there is no plan")),
    };
    let plan = match wanted {
        Ok(Wanted::Worker(plan)) => plan,
        Ok(Wanted::Retirement(plan)) => return retire(plan, arguments.outcome.as_deref()),
        Err(error) => {
            tracing::error!(reason = "PlanInvalid", "{error:#}");
            return ExitCode::from(EXIT_PLAN);
        }
    };
    match run(*plan) {
        Ok(Exit::Stopped) => ExitCode::SUCCESS,
        Ok(Exit::Fenced) => ExitCode::from(EXIT_FENCED),
        Ok(Exit::Broken) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log() {
    let filter = EnvFilter::try_from_env("AFTERBAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if std::env::var("AFTERBAY_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_ansi(false).init();
    }
}

/// What it is started for.
enum Wanted {
    Worker(Box<Plan>),
    Retirement(RetirementPlan),
}

fn worker_plan(path: &Path, begun_file: Option<&Path>) -> anyhow::Result<Plan> {
    let mut plan = read(path, PLAN_VERSION)?;
    if let Some(file) = begun_file {
        begun::apply(&mut plan, &begun::read(file)?);
    }
    Ok(plan)
}

fn read<P: DeserializeOwned>(path: &Path, of: u32) -> anyhow::Result<P> {
    let text = std::fs::read(path).with_context(|| format!("cannot read the plan {}", path.display()))?;
    let version: serde_json::Value = serde_json::from_slice(&text).context("the plan is not JSON")?;
    anyhow::ensure!(
        version.get("version") == Some(&of.into()),
        "the plan is not of version {of}: use programs of one version"
    );
    serde_json::from_slice(&text).context("the plan is not understood")
}

fn run(plan: Plan) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let exit = runtime.block_on(worker::run(plan, shutdown()))?;
    // What still blocks is waited for by nobody.
    runtime.shutdown_background();
    Ok(exit)
}

/// Ends with 0 where nothing stays behind. Told to end, it ends at once: what is not done can be done again.
fn retire(plan: RetirementPlan, outcome_file: Option<&Path>) -> ExitCode {
    let done = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map(|runtime| {
        let done = runtime.block_on(async {
            tokio::select! {
                done = retire::run(plan) => Some(done),
                () = shutdown() => None,
            }
        });
        // What still blocks is waited for by nobody.
        runtime.shutdown_background();
        done
    });
    let told = done.map_err(anyhow::Error::from).and_then(|done| {
        let Some(done) = done else { return Ok(false) };
        let whole = done.left.is_empty();
        println!("{}", serde_json::to_string(&done)?);
        if let Some(file) = outcome_file {
            outcome::write(file, &done).with_context(|| format!("cannot write the outcome {}", file.display()))?;
        }
        Ok(whole)
    });
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A signal to end, or the end of the program that started this one.
async fn shutdown() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = parent_gone() => tracing::info!("ending, as the parent process asks for it or is gone"),
    }
}

/// Returns when the pipe from the parent closes; never where there is none.
async fn parent_gone() {
    if std::env::var_os("AFTERBAY_PARENT_PIPE").is_none() {
        return std::future::pending().await;
    }
    let mut stdin = tokio::io::stdin();
    let mut byte = [0];
    while matches!(stdin.read(&mut byte).await, Ok(1)) {}
}
