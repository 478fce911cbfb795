//! What the status tells: why something does not come about, how far a Sink is, and what is not as it was asked for.

mod figures;
mod handshakes;
mod let_in;
mod not_started;

use afterbay_e2e::await_condition;
use afterbay_e2e::kubernetes::{Operated, PATIENCE, condition};
use serde_json::Value;

/// Waits until a resource is not ready for this reason, in these words and with what to do: in its status, and in an event.
async fn is_told(operated: &Operated, resource: &str, reason: &str, kstatus: &str, words: &[&str]) {
    let message = operated.not_ready(resource, reason).await;
    assert!(message.contains(" · what to do: "), "{resource}: {message}");
    for words in words {
        assert!(message.contains(words), "{resource} does not say {words}: {message}");
    }
    let object = operated.namespace.get(resource).await.expect("it is there");
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
            && words.iter().all(|words| says.contains(words))
    };
    await_condition(&format!("an event {reason} of {resource} that says {words:?}"), PATIENCE, async || {
        operated.namespace.list("Event", "").await.iter().any(is_its).then_some(())
    })
    .await;
}
