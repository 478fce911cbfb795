//! A node is lost: nobody can tell its pod to end, and another worker of the same plan is started.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use afterbay_crds::report::{SinkState, WorkerReport};
use afterbay_e2e::database::lsn;
use afterbay_e2e::kubernetes::carrying::SOURCE;
use afterbay_e2e::kubernetes::{Carrying, Component, LONG, Operated};
use afterbay_e2e::programs::folder;
use afterbay_e2e::{await_condition, http};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// How a worker ends whose Sinks another one carries.
const FENCED: i32 = 3;

#[tokio::test]
async fn its_worker_gives_way_to_the_one_that_is_started_beside_it() {
    let operated = Operated::alone("node-lost").await;
    let database = &operated.scenario.database;
    // The server would end by itself who is not heard of for a minute.
    database.run_as_superuser(&format!("ALTER ROLE {} SET wal_sender_timeout = 0", database.role)).await;
    let carrying = Carrying::of(operated).await;
    let (operated, namespace) = (&carrying.operated, &carrying.operated.namespace);
    let lost = operated.worker(SOURCE).await;
    let kubelet = Component::new(namespace, "kubelet");
    let beside = carrying.under_writes(async {
        kubelet.pause();
        // It notices nothing, and keeps all its connections.
        assert_eq!(namespace.signal(&lost, "sink-runtime", "STOP"), 1, "its one process");
        let before = reader(operated).await.expect("the lost one reads");
        let mut beside = Beside::start(operated).await;
        beside.goes_on(operated).await;
        let now = reader(operated).await.expect("the one beside reads");
        assert_ne!(now, before, "its server process has been ended");
        namespace.signal(&lost, "sink-runtime", "CONT");
        await_condition("the pod's worker ends", LONG, async || {
            // As long as the lost one has not noticed it may be the one that takes over.
            beside.is_started_again_where_it_gave_way();
            namespace.processes(&lost, "sink-runtime").is_empty().then_some(())
        })
        .await;
        beside.goes_on(operated).await;
        beside
    });
    let beside = beside.await;

    // The node is back: its worker is started again, and now the other one gives way.
    let ended = carrying.under_writes(async {
        kubelet.resume();
        let exit = |state: &Value| state["terminated"]["exitCode"] == FENCED;
        let pod = format!("Pod/{}", lost.metadata.name.as_deref().expect("a pod has a name"));
        let seen = namespace.seen(&pod, "was fenced", LONG, |pod| {
            let container = &pod["status"]["containerStatuses"][0];
            exit(&container["lastState"]) || exit(&container["state"])
        });
        seen.await;
        let ended = beside.ended().await;
        carrying.goes_on().await;
        ended
    });
    assert_eq!(ended.await.code(), Some(FENCED), "it leaves quietly");
    carrying.check().await;
}

/// The server process that reads the slot.
async fn reader(operated: &Operated) -> Option<String> {
    let reader = "SELECT active_pid FROM pg_replication_slots WHERE database = current_database() AND NOT temporary";
    let rows = operated.scenario.database.rows(reader).await;
    let [row] = &rows[..] else { panic!("not one slot: {rows:?}") };
    row[0].clone()
}

/// A worker of the plan that a Deployment names, as its pod on another node would run it.
struct Beside {
    command: Command,
    child: Child,
    listen_file: PathBuf,
}

impl Beside {
    async fn start(operated: &Operated) -> Self {
        let namespace = &operated.namespace;
        let deployment = namespace.get("Deployment/afterbay-shop-default").await.expect("the worker's Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        let named = |volume: &str| {
            let volumes = pod["volumes"].as_array().into_iter().flatten();
            volumes.into_iter().find(|each| each["name"] == volume).cloned().unwrap_or_default()
        };
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not as expected: {pod}")).to_owned();
        let plan = format!("ConfigMap/{}", text(&named("plan")["configMap"]["name"]));
        let begun = format!("ConfigMap/{}", text(&named("begun")["configMap"]["name"]));
        let secrets = format!("Secret/{}", text(&named("secrets")["secret"]["secretName"]));
        let (plan, begun, secrets) =
            (namespace.get(&plan).await, namespace.get(&begun).await, namespace.get(&secrets).await);
        let [plan, begun, secrets] = [plan, begun, secrets].map(|object| object.expect("what the Deployment names"));

        let place = operated.scenario.folder().join("beside");
        std::fs::create_dir(&place).expect("a folder can be made");
        for (file, contents) in secrets["data"].as_object().into_iter().flatten() {
            let contents = BASE64_STANDARD.decode(text(contents)).expect("a Secret is base64");
            std::fs::write(place.join(file), contents).expect("a file can be written");
        }
        let mounts = pod["containers"][0]["volumeMounts"].as_array().into_iter().flatten();
        let mount = mounts.into_iter().find(|mount| mount["name"] == "secrets").expect("secrets are mounted");
        let own = text(&plan["data"]["plan.json"]).replace(&text(&mount["mountPath"]), &place.display().to_string());
        let mut own: Value = serde_json::from_str(&own).expect("the plan is JSON");
        let listen_file = place.join("listen");
        own["listen"] = json!("127.0.0.1:0");
        own["listenFile"] = json!(listen_file);
        let (plan_file, begun_file) = (place.join("plan.json"), place.join("begun.json"));
        std::fs::write(&plan_file, own.to_string()).expect("a file can be written");
        std::fs::write(&begun_file, text(&begun["data"]["sinks.json"])).expect("a file can be written");

        let mut command = Command::new(folder().join("sink-runtime"));
        command.arg("--plan").arg(plan_file).arg("--begun").arg(begun_file).stdin(Stdio::null()).kill_on_drop(true);
        Self { child: command.spawn().expect("the worker can be started"), command, listen_file }
    }

    /// What its node does.
    fn is_started_again_where_it_gave_way(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child can be asked for") {
            assert_eq!(status.code(), Some(FENCED), "it ends for nothing else");
            self.child = self.command.spawn().expect("the worker can be started");
        }
    }

    /// Waits until it has committed all that the database held when this was called.
    async fn goes_on(&self, operated: &Operated) {
        let end = operated.scenario.database.log_end().await;
        await_condition("the worker beside catches up", LONG, async || {
            let report = self.report().await?;
            let [sink] = &report.sinks[..] else { return None };
            let settled = sink.settled.as_deref().is_some_and(|settled| lsn(settled) >= end);
            (sink.state == SinkState::Running && settled).then_some(())
        })
        .await;
    }

    async fn report(&self) -> Option<WorkerReport> {
        let address = std::fs::read_to_string(&self.listen_file).ok()?;
        let (_, body) = http::request("GET", &format!("http://{}/status", address.trim()), "").await?;
        serde_json::from_str(&body).ok()
    }

    /// Waits until it ends by itself.
    async fn ended(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(LONG, self.child.wait()).await;
        ended.expect("the worker beside ends").expect("a child can be waited for")
    }
}
