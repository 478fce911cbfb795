//! The program `afterbay`, run as a user runs it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afterbay_crds::report::{SinkReport, SinkState, WorkerReport};
use serde_json::Value;

use crate::database::lsn;
use crate::waiting::await_condition;
use crate::{Scenario, http, processes, programs};

/// How long anything may take on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Arguments and environment of a run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    state_dir: Option<PathBuf>,
    text: bool,
}

impl Options {
    /// With an argument more.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Telling people, instead of machines: the lines are in the log.
    #[must_use]
    pub fn text(mut self) -> Self {
        self.text = true;
        self
    }

    /// With this state directory instead of the scenario's.
    #[must_use]
    pub fn state_dir(mut self, folder: PathBuf) -> Self {
        self.state_dir = Some(folder);
        self
    }

    /// With an environment variable more.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a worker that dies once: the nth time that it comes by the fault point.
    #[must_use]
    pub fn dies_at(self, scenario: &Scenario, point: &str, nth: u32) -> Self {
        let fuse = scenario.fuse();
        std::fs::write(&fuse, point).expect("the fuse can be written");
        self.environment("AFTERBAY_FAULT", &format!("{point}:{nth}"))
            .environment("AFTERBAY_FAULT_ONCE", fuse.to_str().expect("the folder has a plain name"))
    }

    /// With a worker that stands still the nth time that it comes by the fault point, until [`Scenario::lets_go`].
    #[must_use]
    pub fn holds_at(self, scenario: &Scenario, point: &str, nth: u32) -> Self {
        let brake = scenario.brake();
        std::fs::write(&brake, "").expect("the brake can be written");
        self.environment("AFTERBAY_HOLD", &format!("{point}:{nth}"))
            .environment("AFTERBAY_HOLD_FILE", brake.to_str().expect("the folder has a plain name"))
    }
}

/// A running `afterbay run`; ends with the test. What it wrote is shown when the test fails.
pub struct Afterbay {
    child: Child,
    log: Lines,
    events: Lines,
    fuse: PathBuf,
    brake: PathBuf,
}

/// How a program has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output, lines.
    pub output: Vec<String>,
    /// Its log, lines.
    pub log: Vec<String>,
}

impl Finished {
    /// Whether the status is 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The JSON lines of its output.
    pub fn events(&self) -> Vec<Value> {
        parse(&self.output)
    }
}

impl Afterbay {
    /// Starts it on a manifest file.
    pub fn start(scenario: &Scenario, manifests: &Path, options: &Options) -> Self {
        let mut child = command(scenario, "run", manifests)
            .arg("--state-dir")
            .arg(options.state_dir.clone().unwrap_or_else(|| scenario.state_dir()))
            .args(["--output", if options.text { "text" } else { "json" }])
            .args(&options.arguments)
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .spawn()
            .expect("afterbay can be started");
        let events = Lines::of(child.stdout.take());
        let log = Lines::of(child.stderr.take());
        Self { child, log, events, fuse: scenario.fuse(), brake: scenario.brake() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process ids of its workers.
    pub fn workers(&self) -> Vec<u32> {
        processes::children(self.pid())
    }

    /// The process id of its one worker, once it runs.
    pub async fn worker(&self) -> u32 {
        await_condition("a worker runs", PATIENCE, async || self.workers().first().copied()).await
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> Finished {
        let status = await_condition("afterbay run ends", PATIENCE, async || {
            self.child.try_wait().expect("the child can be waited for")
        })
        .await;
        Finished { status, output: self.events.ended().await, log: self.log.ended().await }
    }

    /// Asks it to end, and waits for it.
    pub async fn stop(self) -> Finished {
        self.end_by("TERM").await
    }

    /// Sends it a signal, and waits for its end.
    pub async fn end_by(self, signal: &str) -> Finished {
        processes::signal(self.pid(), signal);
        self.wait().await
    }

    /// Ends the worker as `kill -9` does, and waits for the next one.
    pub async fn kill_worker(&self) {
        let old = self.worker().await;
        processes::signal(old, "KILL");
        await_condition("another worker runs", PATIENCE, async || self.workers().into_iter().find(|pid| *pid != old))
            .await;
    }

    /// Ends it as `kill -9` does, and waits until its workers have gone after it.
    pub async fn kill(mut self) {
        let workers = self.workers();
        processes::signal(self.pid(), "KILL");
        self.child.wait().expect("the child can be waited for");
        await_condition("the workers go after their parent", PATIENCE, async || {
            (!workers.iter().any(|pid| processes::lives(*pid))).then_some(())
        })
        .await;
    }

    /// Waits until the fault point of [`Options::dies_at`] has ended the worker.
    pub async fn worker_has_died(&self) {
        await_condition("the worker comes by its fault point", PATIENCE, async || (!self.fuse.exists()).then_some(()))
            .await;
    }

    /// Waits until the worker stands still at the fault point of [`Options::holds_at`].
    pub async fn worker_stands_still(&self) {
        let told = || std::fs::metadata(&self.brake).is_ok_and(|brake| brake.len() > 0);
        await_condition("the worker stands still at its fault point", PATIENCE, async || told().then_some(())).await;
    }

    /// What the worker says of itself, if one answers.
    pub async fn report(&self) -> Option<WorkerReport> {
        report(*self.workers().first()?).await
    }

    /// What each of the workers says of itself, if there are any and all of them answer.
    pub async fn reports(&self) -> Option<Vec<WorkerReport>> {
        let mut reports = Vec::new();
        for worker in self.workers() {
            reports.push(report(worker).await?);
        }
        (!reports.is_empty()).then_some(reports)
    }

    /// The process id of the worker of this name, once it runs and answers.
    pub async fn worker_named(&self, name: &str) -> u32 {
        await_condition(&format!("worker {name} answers"), PATIENCE, async || {
            for worker in self.workers() {
                if report(worker).await.is_some_and(|report| report.worker == name) {
                    return Some(worker);
                }
            }
            None
        })
        .await
    }

    /// Waits until every Sink has committed all that the database held when this was called.
    pub async fn caught_up(&self, scenario: &Scenario) {
        self.caught_up_within(scenario, PATIENCE).await;
    }

    /// The same for much, that takes its time.
    pub async fn caught_up_within(&self, scenario: &Scenario, patience: Duration) {
        let end = scenario.database.log_end().await;
        await_condition("every Sink catches up", patience, async || {
            let reports = self.reports().await?;
            let carries = |report: &WorkerReport| {
                !report.sinks.is_empty() && report.sinks.iter().all(|sink| has_settled(sink, end))
            };
            reports.iter().all(carries).then_some(())
        })
        .await;
    }

    /// Waits until this one Sink has committed all that the database held when this was called.
    pub async fn sink_caught_up(&self, scenario: &Scenario, sink: &str) {
        let end = scenario.database.log_end().await;
        self.sink("catches up", sink, |report| has_settled(report, end)).await;
    }

    /// Waits until a Sink is stalled for this reason; gives message and hint.
    pub async fn stalled(&self, sink: &str, reason: &str) -> (String, String) {
        let is = |report: &SinkReport| report.error.as_ref().is_some_and(|problem| problem.reason == reason);
        let report = self.sink(&format!("is stalled by {reason}"), sink, is).await;
        let problem = report.error.expect("there is one, as was just seen");
        (problem.message, problem.hint)
    }

    /// Waits until the report of a Sink is as wanted.
    pub async fn sink(&self, what: &str, sink: &str, wanted: impl Fn(&SinkReport) -> bool) -> SinkReport {
        await_condition(&format!("Sink {sink} {what}"), PATIENCE, async || {
            let sinks = self.reports().await?.into_iter().flat_map(|report| report.sinks);
            sinks.into_iter().find(|report| is_named(report, sink) && wanted(report))
        })
        .await
    }

    /// Waits for a line of the JSON output.
    pub async fn event(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        await_condition(what, PATIENCE, async || parse(&self.events.all()).into_iter().find(|event| wanted(event)))
            .await
    }

    /// Waits for a problem of this reason in the JSON output; gives message and hint.
    pub async fn problem(&self, reason: &str) -> (String, String) {
        let event = self.event(reason, |event| event["event"] == "problem" && event["reason"] == reason).await;
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        (text("message"), text("hint"))
    }

    /// Waits for a warning of this reason in the JSON output; gives message and hint.
    pub async fn warning(&self, reason: &str) -> (String, String) {
        let event = self.event(reason, |event| event["event"] == "warning" && event["reason"] == reason).await;
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        (text("message"), text("hint"))
    }

    /// The reasons of the warnings in the JSON output so far.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = parse(&self.events.all()).into_iter().filter(|event| event["event"] == "warning");
        warnings.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The problems in the JSON output so far.
    pub fn problems(&self) -> Vec<Value> {
        parse(&self.events.all()).into_iter().filter(|event| event["event"] == "problem").collect()
    }

    /// What was told of each subject so far, in its order: the reasons of its problems, and `solved` where they were over.
    pub fn tellings(&self) -> BTreeMap<String, Vec<String>> {
        let mut tellings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in parse(&self.events.all()) {
            let word = match event["event"].as_str() {
                Some("problem") => &event["reason"],
                Some("solved") => &event["event"],
                _ => continue,
            };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            tellings.entry(text(&event["subject"])).or_default().push(text(word));
        }
        tellings
    }

    /// Waits for a line of the log.
    pub async fn logged(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        await_condition(what, PATIENCE, async || self.log.all().into_iter().find(|line| wanted(line))).await
    }

    /// The log so far, lines.
    pub fn log(&self) -> Vec<String> {
        self.log.all()
    }

    /// The JSON output so far, lines.
    pub fn output(&self) -> Vec<String> {
        self.events.all()
    }
}

impl Drop for Afterbay {
    fn drop(&mut self) {
        let workers = self.workers();
        if matches!(self.child.try_wait(), Ok(None)) {
            processes::signal(self.pid(), "KILL");
            // Nothing is to be done about a child that cannot be waited for.
            let _ = self.child.wait();
        }
        for worker in workers {
            processes::signal(worker, "KILL");
        }
        if std::thread::panicking() {
            eprintln!("--- afterbay run, output\n{}", self.events.all().join("\n"));
            eprintln!("--- afterbay run, log\n{}", self.log.all().join("\n"));
        }
    }
}

/// `afterbay validate`, up to its end.
pub async fn validate(scenario: &Scenario, manifests: &Path, arguments: &[&str]) -> Finished {
    finish(command(scenario, "validate", manifests).args(arguments)).await
}

/// `afterbay status` of a state directory, up to its end.
pub async fn status(state_dir: &Path, arguments: &[&str]) -> Finished {
    let mut command = program();
    finish(command.args(["status", "--state-dir"]).arg(state_dir).args(arguments)).await
}

async fn finish(command: &mut Command) -> Finished {
    let mut child = command.spawn().expect("afterbay can be started");
    let (output, log) = (Lines::of(child.stdout.take()), Lines::of(child.stderr.take()));
    let status =
        await_condition("afterbay ends", PATIENCE, async || child.try_wait().expect("the child can be waited for"))
            .await;
    Finished { status, output: output.ended().await, log: log.ended().await }
}

fn command(scenario: &Scenario, verb: &str, manifests: &Path) -> Command {
    let mut command = program();
    command.arg(verb).arg("-f").arg(manifests).args(["--namespace", &scenario.unique]);
    command
}

fn program() -> Command {
    let mut command = Command::new(programs::folder().join("afterbay"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn report(worker: u32) -> Option<WorkerReport> {
    let address = address(worker)?;
    let (status, body) = http::request("GET", &format!("http://{}/status", address.trim()), "").await?;
    (status == 200).then(|| serde_json::from_str(&body).expect("the status is a worker's report"))
}

/// The address on which a worker serves its status, from the plan that its arguments name.
fn address(worker: u32) -> Option<String> {
    let plan = std::fs::read(plan_file(worker)?).ok()?;
    let plan: Value = serde_json::from_slice(&plan).ok()?;
    std::fs::read_to_string(plan["listenFile"].as_str()?).ok()
}

/// The plan that a worker runs.
pub fn plan_file(worker: u32) -> Option<PathBuf> {
    let arguments = processes::arguments(worker);
    let place = arguments.iter().position(|argument| argument == "--plan")?;
    arguments.get(place + 1).map(PathBuf::from)
}

fn has_settled(report: &SinkReport, end: u64) -> bool {
    report.state == SinkState::Running && report.settled.as_deref().is_some_and(|settled| lsn(settled) >= end)
}

fn is_named(report: &SinkReport, sink: &str) -> bool {
    report.name.rsplit_once('/').is_some_and(|(_, name)| name == sink)
}

fn parse(lines: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    lines.iter().map(parse).collect()
}

/// The lines that a program writes, read by a thread.
struct Lines {
    read: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Lines {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let pipe = pipe.expect("the pipe was asked for");
        let read = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&read);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                lines.lock().expect("no thread has panicked").push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self { read, reader }
    }

    /// What was read until now.
    fn all(&self) -> Vec<String> {
        self.read.lock().expect("no thread has panicked").clone()
    }

    /// All, after the program has ended.
    async fn ended(&self) -> Vec<String> {
        await_condition("the output ends with the program", PATIENCE, async || self.reader.is_finished().then_some(()))
            .await;
        self.all()
    }
}
