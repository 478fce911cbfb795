//! `kubectl`, as users call it.

use super::run;

/// What `kubectl` said when it ended with a failure.
#[derive(Clone, Debug)]
pub struct Refused(pub String);

/// `kubectl` in a namespace.
#[derive(Clone, Debug)]
pub struct Kubectl {
    namespace: String,
}

impl Kubectl {
    /// In this namespace.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    /// What it prints; or why it fails.
    pub async fn try_run(&self, arguments: &[&str], input: &str) -> Result<String, Refused> {
        let said = run("kubectl", &[&["--namespace", &self.namespace], arguments].concat(), input).await;
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

    async fn expect(&self, arguments: &[&str], input: &str) -> String {
        let said = self.try_run(arguments, input).await;
        said.unwrap_or_else(|refused| panic!("kubectl {}: {}\n{input}", arguments.join(" "), refused.0))
    }
}

/// Conflicts are between users, of whom a test is one.
const APPLY: [&str; 5] = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
