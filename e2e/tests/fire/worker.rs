//! A worker beside the one that `afterbay run` has started.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use afterbay_e2e::{afterbay, processes, programs};
use serde_json::Value;

/// A second worker of the same plan; ends at the latest when this is dropped.
pub struct Second(Child);

impl Second {
    /// Starts it on the plan of this worker, with another address for its status; none while that one has no plan yet.
    pub fn start(worker: u32, folder: &Path) -> Option<Self> {
        let plan = afterbay::plan_file(worker)?;
        let mut plan: Value = serde_json::from_slice(&std::fs::read(plan).ok()?).ok()?;
        plan["listenFile"] = folder.join("second.address").to_str()?.into();
        let file = folder.join("second.plan.json");
        std::fs::write(&file, plan.to_string()).expect("the plan can be written");
        let child = Command::new(programs::folder().join("sink-runtime"))
            .arg("--plan")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Some(Self(child.expect("the worker can be started")))
    }

    /// Whether it has left by itself.
    pub fn has_left(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        if !self.has_left() {
            processes::signal(self.0.id(), "KILL");
            // Nothing is to be done about a child that cannot be waited for.
            let _ = self.0.wait();
        }
    }
}
