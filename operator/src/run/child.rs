//! One worker: provisioned, started, watched, started again.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use afterbay_crds::reason::Reason;
use afterbay_crds::resolve::Worker;
use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch::{Receiver, Sender};

use super::joining::Joining;
use super::reports::Finder;
use super::{FAREWELL, Shared, watch};
use crate::provision::{self, Outcome};
use crate::tables::Choice;

/// After this long a worker counts as stable, and its next restart is quick again.
const STABLE: Duration = Duration::from_mins(1);
/// How a worker says that another one owns its Sinks.
const EXIT_FENCED: i32 = 3;
/// How a worker says that its plan cannot be run.
const EXIT_PLAN: i32 = 4;

/// How long to wait before each further try.
pub fn patience() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Runs a worker until told to stop. `caught_up` is set once its Sinks have committed what the source held at first.
pub async fn run(
    shared: Arc<Shared>,
    index: usize,
    mut worker: Worker,
    caught_up: Sender<bool>,
    mut stopping: Receiver<bool>,
) -> anyhow::Result<()> {
    let name = worker.name.to_string();
    shared.state.keep_secrets(&worker.secrets)?;
    let mut tables = Joining::new(&shared, index, &worker);
    tokio::select! {
        choices = tables.at_first(&worker) => tables.carry(&mut worker, choices),
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    }
    let log_end =
        async { if shared.until_caught_up { Some(watch::log_end(&shared, index, &worker).await) } else { None } };
    let both = async { tokio::join!(log_end, provide(&shared, index, &worker)) };
    let (target, provisioning) = tokio::select! {
        both = both => both,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    let mut provided = provisioning.is_done();
    loop {
        // What is still missing is tried again beside the worker, which carries what it can meanwhile.
        let beside = async {
            if !provided {
                provide_until_done(&shared, index, &worker).await;
            }
            std::future::pending::<()>().await;
        };
        let supervised =
            supervise(&shared, index, &worker, &name, target, &caught_up, tables.change(&worker), stopping.clone());
        let change = tokio::select! {
            outcome = supervised => outcome?,
            () = beside => return Ok(()),
        };
        let Some(choices) = change else { return Ok(()) };
        tables.carry(&mut worker, choices);
        // What the tables needed that joined is there; what there is to know of their topics is looked at in time.
        provided = false;
    }
}

/// Tries to provide everything; again as long as the worker must not run without.
async fn provide(shared: &Shared, index: usize, worker: &Worker) -> Outcome {
    let mut waits = patience();
    loop {
        let outcome = attempt(shared, index, worker).await;
        if outcome.is_allowed() {
            return outcome;
        }
        tokio::time::sleep(waits.next().unwrap_or(STABLE)).await;
    }
}

async fn provide_until_done(shared: &Shared, index: usize, worker: &Worker) {
    for wait in patience() {
        tokio::time::sleep(wait).await;
        if attempt(shared, index, worker).await.is_done() {
            return;
        }
    }
}

/// All that problems of provisioning are told of; connections come first, since they hide what is behind them.
fn subjects(worker: &Worker) -> impl Iterator<Item = String> {
    let connections = worker.provisioning.kafka.iter().map(|kafka| format!("connection {}", kafka.connection.name));
    let sinks = worker.sinks.iter().map(|sink| format!("sink {}", sink.name));
    connections.chain([format!("source {}", worker.name)]).chain(sinks)
}

async fn attempt(shared: &Shared, index: usize, worker: &Worker) -> Outcome {
    let outcome = provision::worker(worker, shared.publications.get(&worker.name.source)).await;
    shared.reports.lacks(index, Finder::Provisioning, &outcome.problems);
    shared.reports.warns(index, &outcome.warnings);
    shared.keep_status();
    for (subject, problem) in &outcome.problems {
        shared.teller.problem(&format!("{subject} (provisioning)"), problem);
    }
    for subject in subjects(worker).filter(|subject| !outcome.holds_up(subject)) {
        shared.teller.solved(&format!("{subject} (provisioning)"));
    }
    for (subject, problem) in &outcome.warnings {
        shared.teller.warning(subject, problem);
    }
    outcome
}

/// Keeps a process of the worker running. Gives what Sinks are to carry where that has changed, and the process has ended.
#[expect(clippy::too_many_arguments, reason = "each is another thing that goes on meanwhile")]
async fn supervise(
    shared: &Arc<Shared>,
    index: usize,
    worker: &Worker,
    name: &str,
    target: Option<u64>,
    caught_up: &Sender<bool>,
    change: impl Future<Output = Vec<Choice>>,
    mut stopping: Receiver<bool>,
) -> anyhow::Result<Option<Vec<Choice>>> {
    let stem = worker.name.file_stem();
    let mut waits = patience();
    // It goes on across the worker's restarts.
    tokio::pin!(change);
    loop {
        let address_file = shared.state.path().join(format!("{stem}.address"));
        // That of the last worker says nothing about this one.
        let _ = std::fs::remove_file(&address_file);
        let plan = plan(shared, worker, &address_file);
        let plan_file = shared.state.keep_plan(&stem, &plan)?;
        let mut child = start(shared, &plan_file)?;
        // Taken out: waiting for a child closes what it still has of its pipe.
        let lifeline = child.stdin.take();
        shared.teller.worker(name, "started", child.id());
        let (shared_with_log, whose, pipe) = (Arc::clone(shared), name.to_owned(), child.stderr.take());
        let log = tokio::spawn(async move { pass_on(&shared_with_log, &whose, pipe).await });
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = child.wait() => Ended::ByItself(ended?),
            () = watch::follow(shared, index, &address_file, target, caught_up) => Ended::AsAsked(None),
            choices = &mut change => Ended::AsAsked(Some(choices)),
            _ = stopping.wait_for(|stop| *stop) => Ended::AsAsked(None),
        };
        let status = match ended {
            Ended::ByItself(status) => status,
            Ended::AsAsked(choices) => {
                // It commits what it holds, and ends.
                drop(lifeline);
                end(&mut child).await;
                return Ok(choices);
            }
        };
        // Its last words come before what is said of its end.
        let _ = tokio::time::timeout(Duration::from_secs(1), log).await;
        tell_end(shared, name, status);
        if begun.elapsed() >= STABLE {
            waits = patience();
        }
        tokio::select! {
            () = tokio::time::sleep(waits.next().unwrap_or(STABLE)) => {}
            choices = &mut change => return Ok(Some(choices)),
            _ = stopping.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

/// How a worker's process came to its end.
enum Ended {
    ByItself(ExitStatus),
    /// It is to end; the tables that the next one is to carry, if that is why.
    AsAsked(Option<Vec<Choice>>),
}

/// The plan as of now: Sinks may have begun since the manifests were resolved.
fn plan(shared: &Shared, worker: &Worker, address_file: &std::path::Path) -> afterbay_crds::plan::Plan {
    let mut plan = worker.plan.clone();
    plan.listen_file = Some(address_file.to_owned());
    let begun = shared.begun.lock().unwrap_or_else(PoisonError::into_inner);
    for sink in &mut plan.sinks {
        sink.begun = begun.contains(&sink.name);
    }
    plan
}

fn start(shared: &Shared, plan: &std::path::Path) -> anyhow::Result<Child> {
    Command::new(&shared.runtime)
        .arg("--plan")
        .arg(plan)
        // The worker ends when this pipe closes, however this program ends.
        .env("AFTERBAY_PARENT_PIPE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A signal of the terminal is for this program, which tells the workers.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!("cannot start {}: build sink-runtime, or name it with --runtime", shared.runtime.display())
        })
}

/// Tells the lines of a child's log.
pub async fn pass_on(shared: &Shared, worker: &str, log: Option<tokio::process::ChildStderr>) {
    let Some(log) = log else { return };
    let mut lines = BufReader::new(log).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        shared.teller.log(worker, &line);
    }
}

async fn end(child: &mut Child) {
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        // One that does not end is ended; what it did not commit is sent by the next run.
        let _ = child.kill().await;
    }
}

fn tell_end(shared: &Shared, name: &str, status: ExitStatus) {
    let problem = match status.code() {
        Some(EXIT_FENCED) => Reason::Fenced.problem(
            format!("the worker left, as another producer has its transactional ids ({status})"),
            "if another installation uses this Kafka cluster, give one of them another --instance; the worker is started again",
        ),
        Some(EXIT_PLAN) => Reason::PlanInvalid.problem(
            format!("the worker cannot read its plan ({status})"),
            "use afterbay and sink-runtime of one version; its log says more",
        ),
        _ => Reason::WorkerExited.problem(
            format!("the worker ended ({status})"),
            "nothing is lost: it is started again and goes on from what is committed; its log says why",
        ),
    };
    shared.teller.problem(&format!("worker {name}"), &problem);
    // The next end of this kind is news again.
    shared.teller.forget(&format!("worker {name}"));
}
