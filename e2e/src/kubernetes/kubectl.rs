//! `kubectl`, as users call it.

use std::time::{Duration, Instant};

use super::{PATIENCE, Said, run};
use crate::waiting::within;

/// What `kubectl` said when it ended with a failure.
#[derive(Clone, Debug)]
pub struct Refused(pub String);

impl Refused {
    /// Whether the API server did not get to answer, as where the machine stood still for a while.
    pub fn is_no_answer(&self) -> bool {
        const WORDS: [&str; 6] =
            ["TLS handshake timeout", "Unable to connect", "connection refused", "i/o timeout", "etcdserver:", ": EOF"];
        WORDS.iter().any(|words| self.0.contains(words))
    }
}

/// How long to wait for an API server that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// `kubectl` in a namespace, or in none.
#[derive(Clone, Debug)]
pub struct Kubectl {
    place: Vec<String>,
}

impl Kubectl {
    /// In this namespace.
    pub fn new(namespace: &str) -> Self {
        Self { place: vec![format!("--namespace={namespace}")] }
    }

    /// In that which the arguments or the manifests tell.
    pub fn anywhere() -> Self {
        Self { place: Vec::new() }
    }

    /// What it prints; or why it fails.
    pub async fn try_run(&self, arguments: &[&str], input: &str) -> Result<String, Refused> {
        let said = self.said(arguments, input).await;
        if said.success { Ok(said.output) } else { Err(Refused(said.errors)) }
    }

    /// What it prints; fails the test if it fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        self.expect(arguments, "").await
    }

    /// Applies manifests: server-side, as Argo CD and Helm do with resources that are large.
    pub async fn apply(&self, manifests: &str) -> String {
        self.expect(&APPLY, manifests).await
    }

    /// Applies manifests that may be refused; the API server's words.
    pub async fn try_apply(&self, manifests: &str) -> Result<String, Refused> {
        self.try_run(&APPLY, manifests).await
    }

    /// Whether the API server would take manifests; nothing is kept.
    pub async fn dry_run(&self, manifests: &str) -> Result<String, Refused> {
        self.try_run(&[&APPLY[..], &["--dry-run=server"]].concat(), manifests).await
    }

    /// Waits until applying manifests again, as [`Kubectl::apply`] does, would change nothing, as `kubectl diff` sees it:
    /// a status that is written between its two looks is a difference, too.
    pub async fn differs_in_nothing(&self, manifests: &str) {
        let mut differs = String::new();
        let same = within(PATIENCE, async || {
            let said = self.said(&["diff", "--server-side", "--force-conflicts", "-f", "-"], manifests).await;
            assert!(said.success || !said.output.is_empty(), "kubectl diff: {}\n{manifests}", said.errors);
            differs = said.output;
            said.success.then_some(())
        });
        assert!(same.await.is_some(), "{differs}");
    }

    async fn said(&self, arguments: &[&str], input: &str) -> Said {
        let place = self.place.iter().map(String::as_str);
        run("kubectl", &place.chain(arguments.iter().copied()).collect::<Vec<_>>(), input).await
    }

    async fn expect(&self, arguments: &[&str], input: &str) -> String {
        let mut said = self.try_run(arguments, input).await;
        let end = Instant::now() + PATIENCE;
        while said.as_ref().is_err_and(Refused::is_no_answer) && Instant::now() < end {
            tokio::time::sleep(PAUSE).await;
            said = self.try_run(arguments, input).await;
        }
        said.unwrap_or_else(|refused| panic!("kubectl {}: {}\n{input}", arguments.join(" "), refused.0))
    }
}

/// Conflicts are between users, of whom a test is one.
const APPLY: [&str; 5] = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
