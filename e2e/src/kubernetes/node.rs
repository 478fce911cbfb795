//! The rig's node loses its power, and is switched on again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Namespace, script};
use crate::processes;

/// How long processes may take to be gone that were killed, on a machine that is busy.
const GONE: Duration = Duration::from_secs(30);

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
