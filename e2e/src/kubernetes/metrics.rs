//! What programs in pods say of themselves at `/metrics`.

use super::{Namespace, OPERATOR};
use crate::http;

impl Namespace {
    /// The metrics of a pod with these labels, if it answers.
    pub async fn metrics(&self, labels: &str) -> Option<String> {
        let pods = self.pods(labels).await;
        let address = pods.first()?.status.as_ref()?.pod_ip.clone()?;
        let (_, text) = http::request("GET", &format!("http://{address}:8080/metrics"), "").await?;
        Some(text)
    }

    /// The value of a series of the operator that runs here: `name{label="value"}`.
    pub async fn series(&self, series: &str) -> Option<u64> {
        let text = self.metrics(OPERATOR).await?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// The sum of a counter of theirs, over those of its labels that hold this.
    pub async fn metric(&self, labels: &str, name: &str, label: &str) -> Option<u64> {
        let text = self.metrics(labels).await?;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}
