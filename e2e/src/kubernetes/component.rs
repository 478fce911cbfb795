//! The components of the rig's own cluster: they can be ended, started again, and made to stand still.

use super::{Namespace, script};

/// A component. Whatever a test does to it, it is back before another test begins.
pub struct Component(&'static str);

impl Component {
    /// `etcd`, `containerd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubelet` or `kube-proxy`.
    ///
    /// All tests need it, so the test must be [alone](Namespace::alone).
    pub fn new(namespace: &Namespace, name: &'static str) -> Self {
        assert!(namespace.is_alone(), "a test that touches {name} must be alone: Namespace::alone");
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
        let output = script(&[verb, self.0]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "e2e/rig/kubernetes/rig {verb} {}: {words}", self.0);
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        // It may not be up at all.
        script(&["resume", self.0]);
        let output = script(&["up"]);
        if !output.status.success() {
            // A panic here could hide why the test failed.
            eprintln!("the cluster does not come back: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
