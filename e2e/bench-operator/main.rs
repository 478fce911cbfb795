//! `make bench-operator`: what 500 Sinks on 50 SourceConnectors cost an operator, against a real API server, broker and database.
//!
//! Their 50 workers do not run: a small machine has no room for them beside the cluster. While the scheduler stands still their pods
//! are given no node; this program writes their status, as a kubelet would, and answers for each of them as a worker that runs.

// As in the tests: what cannot go on is to end the program, there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workers;

use std::process::Stdio;
use std::time::{Duration, Instant};

use afterbay_e2e::kubernetes::{Component, condition, definitions, requests};
use afterbay_e2e::programs::{folder, repository};
use afterbay_e2e::{Manifests, Namespace, Scenario, Sink, await_condition, processes};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const SOURCES: usize = 50;
const SINKS: usize = 500;
/// How long it may take until all are ready.
const PATIENCE: Duration = Duration::from_mins(15);
/// After what time it is idle.
const SETTLED: Duration = Duration::from_secs(5);
/// For how long an idle operator is watched.
const IDLE: Duration = Duration::from_mins(1);

const FILE: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- operator: written by make bench-operator -->";
const END: &str = "<!-- end of operator -->";

#[tokio::main]
async fn main() {
    definitions().await;
    let scenario = Scenario::new("bench-operator").await;
    let namespace = Namespace::alone(&scenario).await;
    let scheduler = Component::new(&namespace, "kube-scheduler");
    scheduler.pause();
    let manifests = declare(&scenario).await;
    namespace.apply(&manifests).await;
    let answering = tokio::spawn(workers::answer(namespace.client.clone(), namespace.name.clone()));

    let begin = Instant::now();
    let operator = start(&scenario, &namespace).await;
    let pid = operator.id().expect("the operator runs");
    await_condition("all Sinks are ready", PATIENCE, async || {
        let sinks = namespace.list("Sink", "").await;
        let ready = |sink: &&Value| condition(sink, "Ready").is_some_and(|ready| ready["status"] == "True");
        (sinks.iter().filter(ready).count() == SINKS).then_some(())
    })
    .await;
    let took = begin.elapsed();
    let most = processes::peak_memory(pid);
    let asked = requests(&scenario.unique);
    let writes = asked.iter().filter(|request| request.writes()).count();

    // What goes with the last Sink that got ready is written a moment later.
    tokio::time::sleep(SETTLED).await;
    let before = requests(&scenario.unique).len();
    let (ticks, begin) = (processor_ticks(pid), Instant::now());
    tokio::time::sleep(IDLE).await;
    // A tick is a hundredth of a second wherever Linux runs today.
    let share = (processor_ticks(pid) - ticks) / begin.elapsed().as_secs_f64();
    let idle = requests(&scenario.unique).split_off(before);
    publish(&[
        ("all of them ready, from the operator's start", format!("{:.1} s", took.as_secs_f64())),
        ("requests to the API server until then", asked.len().to_string()),
        ("of them writes", writes.to_string()),
        ("most memory", format!("{} MB", most / 1_000_000)),
        ("processor of an idle operator, of one", format!("{share:.2} %")),
        ("requests of an idle operator in a minute", idle.len().to_string()),
        ("of them writes", idle.iter().filter(|request| request.writes()).count().to_string()),
    ]);
    answering.abort();
}

/// All resources, and the tables that they name.
async fn declare(scenario: &Scenario) -> Manifests {
    let database = &scenario.database;
    let mut manifests = scenario.manifests().without("SourceConnector/shop");
    for source in 0..SOURCES {
        let slot = format!("{}_{source}", scenario.slot());
        manifests = manifests.with(scenario.source(&format!("source-{source}"), &slot));
    }
    for sink in 0..SINKS {
        database.run(&format!("CREATE TABLE t{sink} (id int PRIMARY KEY)")).await;
        let name = format!("sink-{sink}");
        let topic = scenario.topic(&name);
        manifests = manifests.with(Sink::new(&name, &format!("public.t{sink}"), &topic).key(&["id"])).set(
            &format!("Sink/{name}"),
            "spec.source.name",
            format!("source-{}", sink % SOURCES),
        );
    }
    manifests
}

/// The operator, as a process whose memory and time can be seen. It asks the API server in a name of its own, the scenario's, so that
/// its requests can be told from others.
async fn start(scenario: &Scenario, namespace: &Namespace) -> Child {
    let own = namespace.kubectl.run(&["config", "view", "--raw", "--flatten", "-o", "json"]).await;
    let mut own: Value = serde_json::from_str(&own).expect("it is JSON");
    for user in own["users"].as_array_mut().into_iter().flatten() {
        user["user"]["as"] = json!(scenario.unique);
        user["user"]["as-groups"] = json!(["system:masters"]);
    }
    let file = scenario.folder().join("kubeconfig");
    std::fs::write(&file, own.to_string()).expect("a file can be written");
    let mut command = Command::new(folder().join("afterbay"));
    command
        .args(["operator", "--no-leader-election", "--listen", "127.0.0.1:0", "--watch-namespace", &namespace.name])
        .arg("--scratch-dir")
        .arg(scenario.folder())
        .env("KUBECONFIG", file)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().expect("the operator can be started")
}

/// Processor time that a process has used, in hundredths of a second.
fn processor_ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the operator runs");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    // User and system time.
    fields[11..13].iter().filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// Writes the figures to where they are told.
fn publish(figures: &[(&str, String)]) {
    let mut text = format!("\n| {SINKS} Sinks on {SOURCES} SourceConnectors | |\n|---|--:|\n");
    for (measure, figure) in figures {
        for part in ["| ", measure, " | ", figure, " |\n"] {
            text += part;
        }
    }
    text += "\n";
    println!("{text}");
    let path = repository().join(FILE);
    let old = std::fs::read_to_string(&path).expect("the file can be read");
    let (before, rest) = old.split_once(BEGIN).expect("the file says where the figures begin");
    let (_, after) = rest.split_once(END).expect("the file says where they end");
    std::fs::write(&path, format!("{before}{BEGIN}\n{text}{END}{after}")).expect("the file can be written");
}
