//! A real Kubernetes: that of `e2e/rig/kubernetes`, or the one that the environment gives.
//!
//! Its tests run in the cluster's network (`e2e/rig/kubernetes/rig test`), where [`Rig`](crate::Rig) is the set of parts
//! that pods reach as well. A test makes a [`Scenario`](crate::Scenario) as any other, and for it a [`Namespace`]: manifests
//! name the same addresses and give the same names as without a cluster. What users do goes through `kubectl` and `helm`, so that
//! tests read what users read; what only looks goes through a client, since looking must not cost a process.

mod audit;
pub mod carrying;
mod component;
mod definitions;
mod diagnosis;
mod helm;
mod kinds;
mod kubectl;
mod metrics;
mod namespace;
mod node;
mod operated;
mod pod;
mod turn;

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::programs;

pub use audit::{Request, requests};
pub use carrying::Carrying;
pub use component::Component;
pub use definitions::{Unseen, definitions};
pub use helm::{Release, image_values};
pub use kubectl::{Kubectl, Refused};
pub use namespace::{Namespace, condition};
pub use node::{AnotherNode, reboot};
pub use operated::{LONG, OPERATOR, Operated, labels};
pub use pod::{Ended, PodRun, is_ready};

/// How long what the cluster does by itself may take: starting a pod, ending one.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// The product's image, as the rig has brought it to the node.
pub const IMAGE: &str = "afterbay:dev";

/// Brings the programs under test to the node as `afterbay:TAG`, as another version of the product would come. Takes seconds.
pub fn bring_image(tag: &str) {
    let folder = programs::folder().to_str().expect("the path is text");
    let output = script(&["image", tag, folder]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "e2e/rig/kubernetes/rig image {tag}: {words}");
}

/// Runs the script of the rig's cluster.
fn script(arguments: &[&str]) -> Output {
    let script = programs::repository().join("e2e/rig/kubernetes/rig");
    let output = std::process::Command::new(&script).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", script.display()))
}

/// A client of the API server; fails the test where there is no cluster.
pub async fn client() -> kube::Client {
    let how = "run the tests by e2e/rig/kubernetes/rig test";
    assert!(std::env::var_os("KUBECONFIG").is_some(), "KUBECONFIG names no cluster: {how}");
    let client = kube::Client::try_default().await.unwrap_or_else(|error| panic!("no cluster: {error}; {how}"));
    let version = client.apiserver_version().await;
    version.unwrap_or_else(|error| panic!("the API server does not answer: {error}; {how}"));
    client
}

/// What a program that has ended said.
struct Said {
    success: bool,
    output: String,
    errors: String,
}

/// Runs a program to its end, with this on its standard input.
async fn run(program: &str, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let mut stdin = child.stdin.take().expect("it has a standard input");
    let write = async move {
        // One that does not read to the end says why it ended.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    Said {
        success: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
