//! What was asked of the rig's own API server, from its audit log: who, what, and how it went.

use std::path::PathBuf;

use serde_json::Value;

use crate::programs::repository;

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` …
    pub verb: String,
    /// `sinks`, `sinks/status`, `deployments` …
    pub resource: String,
    /// The object's namespace; empty where it has none.
    pub namespace: String,
    /// The object's name; empty where many are asked for.
    pub name: String,
    /// The status of the answer.
    pub code: i64,
}

impl Request {
    /// Whether it asks for something to be changed.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// All requests of a user so far, in order: `system:serviceaccount:NAMESPACE:NAME` for what runs in pods. One in whose name
/// another asks is the one who is meant.
pub fn requests(user: &str) -> Vec<Request> {
    let path = log();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The last line may not be whole yet.
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_its = |entry: &Value| {
        let named = entry.get("impersonatedUser").unwrap_or(&entry["user"]);
        named["username"] == user
    };
    entries.filter(is_its).map(|entry| request(&entry)).collect()
}

fn log() -> PathBuf {
    let state = std::env::var_os("AFTERBAY_KUBERNETES_STATE").map_or_else(|| "target/kubernetes".into(), PathBuf::from);
    repository().join(state).join("log/audit.log")
}

fn request(entry: &Value) -> Request {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = &entry["objectRef"];
    let resource = match about["subresource"].as_str() {
        Some(part) => format!("{}/{part}", text(&about["resource"])),
        None => text(&about["resource"]),
    };
    Request {
        verb: text(&entry["verb"]),
        resource,
        namespace: text(&about["namespace"]),
        name: text(&about["name"]),
        code: entry["responseStatus"]["code"].as_i64().unwrap_or_default(),
    }
}
