//! `sink-runtime --plan FILE`: runs one worker.

use std::path::PathBuf;
use std::process::ExitCode;

use afterbay_crds::plan::{PLAN_VERSION, Plan};
use anyhow::Context as _;
use clap::Parser;
use sink_runtime::worker::{self, Exit};
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
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log();
    let plan = match read(&arguments.plan) {
        Ok(plan) => plan,
        Err(error) => {
            tracing::error!(reason = "PlanInvalid", "{error:#}");
            return ExitCode::from(EXIT_PLAN);
        }
    };
    // Of rustls' providers one is chosen, or it would not know which. It can only fail where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(plan) {
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

fn read(path: &std::path::Path) -> anyhow::Result<Plan> {
    let text = std::fs::read(path).with_context(|| format!("cannot read the plan {}", path.display()))?;
    let version: serde_json::Value = serde_json::from_slice(&text).context("the plan is not JSON")?;
    anyhow::ensure!(
        version.get("version") == Some(&PLAN_VERSION.into()),
        "the plan is not of version {PLAN_VERSION}: use programs of one version"
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
