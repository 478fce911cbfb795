//! `helm`, as users call it.

use serde_json::{Value, json};

use super::kubectl::Refused;
use super::run;
use crate::programs::repository;

/// A release of the chart `charts/afterbay`.
#[derive(Clone, Debug)]
pub struct Release {
    name: String,
    namespace: String,
}

impl Release {
    /// Under this name, in this namespace.
    pub fn new(name: &str, namespace: &str) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned() }
    }

    /// Installs the chart, or upgrades what is installed, and waits until all of it is ready.
    pub async fn install(&self, values: &Value) -> String {
        let installed = self.try_install(values).await;
        installed.unwrap_or_else(|refused| panic!("helm upgrade --install {}: {}", self.name, refused.0))
    }

    /// As [`Release::install`]; or why it fails.
    pub async fn try_install(&self, values: &Value) -> Result<String, Refused> {
        let chart = repository().join("charts/afterbay");
        let chart = chart.to_str().expect("the path is text");
        let arguments = ["upgrade", "--install", &self.name, chart, "--values", "-", "--wait", "--timeout", "300s"];
        self.run(&arguments, &values.to_string()).await
    }

    /// Runs the release's own tests.
    pub async fn test(&self) -> String {
        let tested = self.run(&["test", &self.name, "--logs"], "").await;
        tested.unwrap_or_else(|refused| panic!("helm test {}: {}", self.name, refused.0))
    }

    /// Takes the release away, and waits until it is gone.
    pub async fn uninstall(&self) -> String {
        let gone = self.run(&["uninstall", &self.name, "--wait", "--timeout", "300s"], "").await;
        gone.unwrap_or_else(|refused| panic!("helm uninstall {}: {}", self.name, refused.0))
    }

    /// Any command of helm in the release's namespace, with this on its standard input.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String, Refused> {
        let said = run("helm", &[arguments, &["--namespace", &self.namespace]].concat(), input).await;
        if said.success { Ok(said.output) } else { Err(Refused(said.errors)) }
    }
}

/// Values that take the product's image from the node, under this tag.
pub fn image_values(tag: &str) -> Value {
    json!({"image": {"repository": "afterbay", "tag": tag, "pullPolicy": "Never"}})
}
