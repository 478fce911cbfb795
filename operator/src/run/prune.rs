//! Deletes what is not declared any more (`--prune`): the worker's program does it, here it is started and told of.

use std::process::Stdio;
use std::sync::{Arc, PoisonError};

use afterbay_crds::reason::Reason;
use afterbay_crds::resolve::retirement::{Known, Retiring};
use afterbay_crds::retirement::{LeftBehind, Retirement};
use anyhow::Context as _;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::watch::Sender;

use super::{Shared, child};

/// Takes away what is to go; tells what stays. `done` is set when all is tried.
pub async fn run(shared: Arc<Shared>, retiring: Retiring, mut known: Known, done: Sender<bool>) {
    let Retiring { plan, secrets, left, retained } = retiring;
    for (subject, what) in stays(&retained) {
        shared.teller.say(
            &format!("{subject}: {what} (deletionPolicy: Retain)"),
            &json!({"event": "retained", "subject": subject}),
        );
    }
    known.forget(retained.sinks.into_keys(), retained.sources.into_keys());
    tell(&shared, &left);
    // From now on a missing record is what was asked for.
    let sinks = plan.sinks.iter().map(|sink| sink.name.as_str());
    let outcome = match forget_begun(&shared, sinks).and_then(|()| shared.state.keep_secrets(&secrets)) {
        Ok(()) => retire(&shared, &plan).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Retirement { sinks, sources, left: mut more }) => {
            for LeftBehind { problem, .. } in &mut more {
                problem.hint = format!("{}; then give --prune once more", problem.hint);
            }
            for subject in
                sinks.iter().map(|sink| format!("sink {sink}")).chain(sources.iter().map(|it| format!("source {it}")))
            {
                shared.teller.say(&format!("{subject}: deleted"), &json!({"event": "pruned", "subject": subject}));
            }
            tell(&shared, &more);
            let stays_behind = |source: &String| left.iter().any(|left| left.subject == format!("source {source}"));
            known.forget(sinks, sources.into_iter().filter(|source| !stays_behind(source)));
        }
        Err(error) => shared.teller.problem(
            "prune",
            &Reason::LeftBehind.problem(
                format!("what is not declared any more may stay behind: {error:#}"),
                "see the log, and give --prune once more",
            ),
        ),
    }
    if let Err(error) = shared.state.keep_known(&known) {
        tracing::error!("{error:#}");
    }
    done.send_replace(true);
}

fn tell(shared: &Shared, left: &[LeftBehind]) {
    for LeftBehind { subject, problem } in left {
        shared.teller.problem(subject, problem);
    }
}

/// What stays of what is retained.
fn stays(retained: &Known) -> Vec<(String, String)> {
    let sinks = retained.sinks.iter().map(|(name, sink)| {
        (format!("sink {name}"), format!("its progress record stays in topic {}", sink.progress_topic))
    });
    let sources = retained.sources.iter().map(|(name, source)| {
        let slots: Vec<_> = source.slots.iter().map(String::as_str).collect();
        let what = format!("replication slot {} stays, and makes the database keep its log", slots.join(", "));
        (format!("source {name}"), what)
    });
    sinks.chain(sources).collect()
}

fn forget_begun<'s>(shared: &Shared, sinks: impl Iterator<Item = &'s str>) -> anyhow::Result<()> {
    let mut begun = shared.begun.lock().unwrap_or_else(PoisonError::into_inner);
    for sink in sinks {
        begun.remove(sink);
    }
    shared.state.keep_begun(&begun)
}

async fn retire(shared: &Shared, plan: &afterbay_crds::retirement::RetirementPlan) -> anyhow::Result<Retirement> {
    if plan.sinks.is_empty() && plan.sources.is_empty() {
        return Ok(Retirement::default());
    }
    let file = shared.state.keep("retire.json", &serde_json::to_vec_pretty(plan)?)?;
    let mut child = Command::new(&shared.runtime)
        .arg("--retire")
        .arg(file)
        // It ends with this program: nobody is to delete the record of a Sink that another run has begun anew.
        .env("AFTERBAY_PARENT_PIPE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", shared.runtime.display()))?;
    // Held until it has ended.
    let _lifeline = child.stdin.take();
    let log = child::pass_on(shared, "prune", child.stderr.take());
    let (output, ()) = tokio::join!(child.wait_with_output(), log);
    let output = output?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the program that deletes it ended ({})", output.status))
}
