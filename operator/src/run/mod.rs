//! `afterbay run`: every worker as a child process, until told to end.

mod child;
mod joining;
mod prune;
mod reports;
pub mod status;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afterbay_crds::names::ResourceName;
use afterbay_crds::resolve::{ResolveSettings, resolve};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as channel;
use tokio::task::JoinSet;

use crate::cli::{self, Output, RunArguments};
use crate::events::Teller;
use crate::state::StateDir;
use crate::{dereference, render};

/// How long workers may take to end.
const FAREWELL: Duration = Duration::from_secs(15);

/// What the workers of a run share.
struct Shared {
    state: StateDir,
    teller: Teller,
    runtime: PathBuf,
    until_caught_up: bool,
    begun: Mutex<BTreeSet<String>>,
    reports: reports::Reports,
    http: reqwest::Client,
    /// One for each SourceConnector: its pools share a publication, and two who see that it is not there would both make it.
    publications: HashMap<ResourceName, tokio::sync::Mutex<()>>,
}

impl Shared {
    /// Keeps the other pools of the SourceConnector from its publication as long as the guard lives.
    async fn alone_at_publication(&self, source: &ResourceName) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        Some(self.publications.get(source)?.lock().await)
    }

    /// Keeps what is known for `afterbay status`.
    fn keep_status(&self) {
        if let Err(error) = self.state.keep_status(&self.reports.all()) {
            tracing::error!("{error:#}");
        }
    }
}

/// Runs what the manifests declare.
pub async fn run(arguments: RunArguments) -> anyhow::Result<ExitCode> {
    let output = arguments.output;
    let ended = carry(arguments).await;
    if let (Output::Json, Err(error)) = (output, &ended) {
        cli::print(&format!("{}\n", json!({"event": "end", "code": 1, "error": format!("{error:#}")})))?;
    }
    ended
}

async fn carry(arguments: RunArguments) -> anyhow::Result<ExitCode> {
    let (manifests, errors) = dereference::manifests(&arguments.manifests, arguments.prune);
    if !errors.is_empty() {
        for error in &errors {
            match arguments.output {
                Output::Text => eprintln!("error: {error}"),
                Output::Json => {
                    let mut line = serde_json::to_value(error)?;
                    line["event"] = "invalid".into();
                    cli::print(&format!("{line}\n"))?;
                }
            }
        }
        if arguments.output == Output::Json {
            cli::print(&format!("{}\n", json!({"event": "end", "code": 1})))?;
        }
        return Ok(ExitCode::FAILURE);
    }
    let state = StateDir::hold(&arguments.state_dir)?;
    let begun = state.begun()?;
    let settings = ResolveSettings {
        instance: arguments.manifests.instance.clone(),
        secrets_dir: state.secrets(),
        listen: "127.0.0.1:0".to_owned(),
        begun: begun.clone(),
    };
    let workers = resolve(&manifests, &settings);
    let mut known = state.known()?;
    let undeclared = known.undeclared(&manifests);
    let retiring = arguments.prune.then(|| undeclared.retire(&manifests, &settings));
    known.learn(&manifests, &workers);
    state.keep_known(&known)?;
    let shared = Arc::new(Shared {
        state,
        teller: Teller::new(arguments.output),
        runtime: arguments.runtime.clone().unwrap_or_else(runtime),
        until_caught_up: arguments.until_caught_up,
        begun: Mutex::new(begun.iter().map(ToString::to_string).collect()),
        reports: reports::Reports::new(&workers),
        publications: workers
            .iter()
            .map(|worker| (worker.name.source.clone(), tokio::sync::Mutex::default()))
            .collect(),
        http: reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?,
    });
    shared.keep_status();
    let asked_to_end = signalled();
    let (stop, stopping) = channel::channel(false);
    let mut running = JoinSet::new();
    let mut caught_up = Vec::new();
    for (index, worker) in workers.into_iter().enumerate() {
        let (done, is_done) = channel::channel(false);
        caught_up.push(is_done);
        running.spawn(child::run(Arc::clone(&shared), index, worker, done, stopping.clone()));
    }
    // Beside the workers, which go on whatever comes of it.
    let mut pruning = JoinSet::new();
    match retiring {
        Some(retiring) if !undeclared.is_empty() => {
            let (done, is_done) = channel::channel(false);
            caught_up.push(is_done);
            pruning.spawn(prune::run(Arc::clone(&shared), retiring, known, done));
        }
        _ => {
            for (subject, problem) in undeclared.warnings() {
                shared.teller.warning(&subject, &problem);
            }
        }
    }
    let code = wait(&shared, &arguments, asked_to_end, caught_up, &mut running).await;
    stop.send_replace(true);
    pruning.abort_all();
    let farewell = async { while running.join_next().await.is_some() {} };
    tokio::select! {
        _ = tokio::time::timeout(FAREWELL, farewell) => {}
        // Asked a second time: at once. The children go with their pipes.
        () = signalled() => {}
    }
    // The directory is shared with tasks that may live for another moment.
    shared.state.leave();
    let code = code?;
    if arguments.output == Output::Json {
        shared.teller.say("", &json!({"event": "end", "code": code}));
    }
    Ok(ExitCode::from(code))
}

/// Waits for the end of the run: a signal, or that all is carried.
async fn wait(
    shared: &Shared,
    arguments: &RunArguments,
    asked_to_end: impl Future<Output = ()>,
    caught_up: Vec<channel::Receiver<bool>>,
    running: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<u8> {
    let all = async {
        for mut worker in caught_up {
            // A worker's task that has ended is told by the task itself.
            let _ = worker.wait_for(|done| *done).await;
        }
    };
    let patience = arguments.timeout.unwrap_or(Duration::MAX);
    tokio::select! {
        () = asked_to_end => Ok(0),
        () = all, if arguments.until_caught_up => {
            shared.teller.say("every Sink has caught up", &json!({"event": "caughtUp"}));
            Ok(0)
        }
        () = tokio::time::sleep(patience), if arguments.timeout.is_some() => {
            let behind = shared.reports.behind();
            let lines: Vec<_> = behind.iter().map(render::behind).collect();
            let text = format!("not every Sink has caught up in time: {}", lines.join("; "));
            let sinks: Vec<_> = behind.iter().map(render::behind_json).collect();
            shared.teller.say(&text, &json!({"event": "timeout", "sinks": sinks}));
            Ok(1)
        }
        Some(ended) = running.join_next() => {
            ended??;
            anyhow::bail!("a worker's supervision ended by itself")
        }
    }
}

/// Waits until this process is asked to end: from the call on, not only from when it is waited for, as what is begun meanwhile
/// must not be left behind.
pub fn signalled() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// The worker's program: beside this one, or on the PATH.
fn runtime() -> PathBuf {
    let beside = std::env::current_exe().map(|own| own.with_file_name("sink-runtime"));
    beside.ok().filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from("sink-runtime"))
}
