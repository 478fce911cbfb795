//! What happened in a namespace, for somebody who reads why a test failed.

use std::fmt::Write;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, LogParams};
use serde_json::Value;

use super::kinds;

/// Lines of each log.
const LINES: i64 = 200;

/// States of the product's resources, pods, events and logs; what cannot be read is left out.
pub(super) async fn of(client: &Client, namespace: &str) -> String {
    let mut text = format!("--- what happened in namespace {namespace}\n");
    for kind in kinds::OURS {
        let objects = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kinds::api_resource(kind));
        let Ok(found) = objects.list(&ListParams::default()).await else { continue };
        for object in found.items {
            let name = object.metadata.name.unwrap_or_default();
            let _ = writeln!(text, "{kind}/{name}: {}", object.data.get("status").unwrap_or(&Value::Null));
        }
    }
    let events = Api::<Event>::namespaced(client.clone(), namespace).list(&ListParams::default()).await;
    for event in events.map(|found| found.items).unwrap_or_default() {
        let about = &event.involved_object;
        let (kind, name) = (about.kind.as_deref().unwrap_or("?"), about.name.as_deref().unwrap_or("?"));
        let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        let _ = writeln!(text, "event of {kind}/{name}: {reason}: {message}");
    }
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let found = pods.list(&ListParams::default()).await.map(|found| found.items).unwrap_or_default();
    for pod in found {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let status = serde_json::to_string(&pod.status).unwrap_or_default();
        let _ = writeln!(text, "Pod/{name}: {status}");
        // Of a container that was started again, what it said before it ended tells more.
        for previous in [true, false] {
            let parameters = LogParams { tail_lines: Some(LINES), previous, ..LogParams::default() };
            if let Ok(log) = pods.logs(&name, &parameters).await {
                let _ = writeln!(text, "--- log of {name}{}\n{log}", if previous { ", before" } else { "" });
            }
        }
    }
    text
}
