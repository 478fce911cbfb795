//! What the status tells: why something does not come about, how far a Sink is, and what is not as it was asked for.

mod figures;
mod handshakes;
mod let_in;
mod not_started;

use afterbay_e2e::await_condition;
use afterbay_e2e::kubernetes::{LONG, Operated, PATIENCE, condition};
use serde_json::Value;

/// Waits until a resource is not ready for this reason, in these words and with what to do; an event tells of it, too.
async fn is_told(operated: &Operated, resource: &str, reason: &str, kstatus: &str, words: &[&str]) {
    // Who answers slowly may be told of in other words at first, for the same reason.
    let says = |object: &Value| {
        let ready = condition(object, "Ready").cloned().unwrap_or_default();
        let message = ready["message"].as_str().unwrap_or_default();
        (ready["status"] == "False" && ready["reason"] == reason)
            && ready["observedGeneration"] == object["metadata"]["generation"]
            && message.contains(" · what to do: ")
            && words.iter().all(|words| message.contains(words))
    };
    let object = operated.namespace.seen(resource, &format!("is not ready: {reason}, {words:?}"), LONG, says).await;
    for kind in ["Stalled", "Reconciling"] {
        let is_true = condition(&object, kind).is_some_and(|condition| condition["status"] == "True");
        assert_eq!(is_true, kind == kstatus, "{resource} {kind}: {object}");
    }
    let (kind, name) = resource.split_once('/').expect("a resource is Kind/name");
    let is_its = |event: &Value| {
        let (about, says) = (&event["involvedObject"], event["message"].as_str().unwrap_or_default());
        about["kind"] == kind
            && about["name"] == name
            && (event["type"] == "Warning" && event["reason"] == reason)
            && words.iter().any(|words| says.contains(words))
    };
    await_condition(&format!("an event {reason} of {resource} that says one of {words:?}"), PATIENCE, async || {
        operated.namespace.list("Event", "").await.iter().any(is_its).then_some(())
    })
    .await;
}
