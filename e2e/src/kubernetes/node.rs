//! The rig's node loses its power, and is switched on again; another one beside it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Namespace, script};
use crate::processes;

/// How long processes may take to be gone that were killed, on a machine that is busy.
const GONE: Duration = Duration::from_secs(30);

/// How often a node gives a sign of life.
const SIGN: Duration = Duration::from_secs(5);

/// The first process of the cluster's namespaces.
const FIRST: u32 = 1;

/// Kills all that runs on the node at once, the pods and their shims, the cluster's components and the rig's parts, and brings
/// the node up again. The disk is as it was at that moment.
///
/// All tests need it, so the test must be [alone](Namespace::alone).
pub fn reboot(namespace: &Namespace) {
    assert!(namespace.is_alone(), "a test that takes the node's power must be alone: Namespace::alone");
    lose_power();
    let output = script(&["up"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the node does not come back: {words}");
}

/// Kills every process of the cluster's namespaces, but for their first one, the test, what has started the test and what the
/// test has started.
fn lose_power() {
    // Somewhere else they would be all processes of the machine.
    let first = processes::arguments(FIRST).join(" ");
    assert!(
        first.contains("e2e/rig/kubernetes/init.sh"),
        "not within the namespaces of the rig's cluster: the first process is {first}"
    );
    let end = Instant::now() + GONE;
    loop {
        // Some start others until they are dead.
        let doomed = doomed();
        if doomed.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "they do not end: {:?}", doomed.iter().map(|pid| told(*pid)).collect::<Vec<_>>());
        processes::kill(&doomed);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Those that live and are not spared.
fn doomed() -> Vec<u32> {
    let mut spared: BTreeSet<u32> = ancestors(std::process::id()).collect();
    spared.insert(FIRST);
    let is_spared = |pid: &u32| spared.contains(pid) || ancestors(*pid).any(|pid| pid == std::process::id());
    processes::all().into_iter().filter(|pid| processes::lives(*pid) && !is_spared(pid)).collect()
}

/// A process, its parent, and so on, up to the first one that is seen from here.
fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| processes::parent(*pid))
}

fn told(pid: u32) -> String {
    format!("{pid} {}", processes::arguments(pid).join(" "))
}

/// A node that is nothing but a sign of life, and takes no pods: while it is there the cluster takes a silent node for lost. Where all
/// are silent it would rather take itself to be cut off, and move nothing.
pub struct AnotherNode {
    name: String,
    alive: JoinHandle<()>,
}

impl AnotherNode {
    /// Comes, and goes with the test, which must be [alone](Namespace::alone).
    pub async fn new(namespace: &Namespace) -> Self {
        assert!(namespace.is_alone(), "a test that has a node of its own must be alone: Namespace::alone");
        let (nodes, name) = (Api::<Node>::all(namespace.client.clone()), namespace.name.clone());
        let node = json!({"metadata": {"name": name}, "spec": {"unschedulable": true}});
        let node = serde_json::from_value(node).expect("this is a node");
        nodes.create(&PostParams::default(), &node).await.expect("a node can be made");
        let lives = {
            let name = name.clone();
            async move {
                loop {
                    let now = Timestamp::now();
                    let ready = json!({
                        "type": "Ready", "status": "True", "reason": "Alive", "message": "it lives",
                        "lastHeartbeatTime": Time(now), "lastTransitionTime": Time(now),
                    });
                    let patch = Patch::Merge(json!({"status": {"conditions": [ready]}}));
                    // The next one will do as well.
                    let _ = nodes.patch_status(&name, &PatchParams::default(), &patch).await;
                    tokio::time::sleep(SIGN).await;
                }
            }
        };
        Self { name, alive: tokio::spawn(lives) }
    }
}

impl Drop for AnotherNode {
    fn drop(&mut self) {
        self.alive.abort();
        let name = self.name.clone();
        // The test's own runtime may be on its way out.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| {
                runtime.block_on(async {
                    let Ok(client) = Client::try_default().await else { return };
                    let _ = Api::<Node>::all(client).delete(&name, &DeleteParams::default()).await;
                });
            })
        });
        // What cannot be cleaned up must not hide why the test failed.
        let _ = cleaner.join();
    }
}
