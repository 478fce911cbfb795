//! What programs in pods say of themselves at `/metrics`.

use super::Namespace;
use crate::http;

impl Namespace {
    /// The metrics of a pod with these labels, if it answers.
    pub async fn metrics(&self, labels: &str) -> Option<String> {
        let pods = self.pods(labels).await;
        let address = pods.first()?.status.as_ref()?.pod_ip.clone()?;
        let (_, text) = http::request("GET", &format!("http://{address}:8080/metrics"), "").await?;
        Some(text)
    }

    /// The sum of a counter of theirs, over those of its labels that hold this.
    pub async fn metric(&self, labels: &str, name: &str, label: &str) -> Option<u64> {
        let text = self.metrics(labels).await?;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}
