//! The components of the rig's own cluster: they can be ended, started again, and made to stand still.

use std::process::Command;

use crate::programs::repository;

/// A component. One that a test has stopped comes back with the end of the test at the latest, since all others need it: such
/// a test must be the only one that runs.
pub struct Component(&'static str);

impl Component {
    /// `etcd`, `containerd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubelet` or `kube-proxy`.
    pub fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Ends it in an orderly way.
    pub fn stop(&self) {
        self.script("stop");
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.script("kill");
    }

    /// Starts it again.
    pub fn start(&self) {
        self.script("start");
    }

    /// It stands still, and answers nobody.
    pub fn pause(&self) {
        self.script("pause");
    }

    /// It goes on.
    pub fn resume(&self) {
        self.script("resume");
    }

    fn script(&self, verb: &str) {
        let script = repository().join("e2e/rig/kubernetes/rig");
        let output = Command::new(&script).args([verb, self.0]).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "e2e/rig/kubernetes/rig {verb} {}: {words}", self.0);
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let script = repository().join("e2e/rig/kubernetes/rig");
        // It may not stand still, or not be down; and what fails here must not hide why the test failed.
        for verb in ["resume", "start"] {
            let _ = Command::new(&script).args([verb, self.0]).output();
        }
    }
}
