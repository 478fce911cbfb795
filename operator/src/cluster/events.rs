//! Kubernetes events: what is told of a resource when its state changes, beside its status.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Reporter};
use kube::{Client, Resource};

use super::context::Context;
use super::labels::MANAGER;
use super::recorders::Recorders;

/// How long a note may be, in bytes (the API server's limit is 1 kB).
const LONGEST: usize = 1000;

/// Tells of resources.
pub struct Events {
    recorder: Recorders,
}

impl Events {
    /// Tells as this operator.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorders::new(client, reporter) }
    }

    /// Something went as it should: `action` is what was done, in a word (`Retire`, `Carry`).
    pub async fn normal<K>(&self, of: &K, reason: &str, action: &str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(of, EventType::Normal, reason, action, note.into()).await;
    }

    /// Somebody should look at it.
    pub async fn warning<K>(&self, of: &K, reason: &str, action: &str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(of, EventType::Warning, reason, action, note.into()).await;
    }

    /// What cannot be told is in the log, and stops nothing: the status says it too.
    async fn publish<K>(&self, of: &K, type_: EventType, reason: &str, action: &str, note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        let reference: ObjectReference = of.object_ref(&());
        let name = format!(
            "{} {}/{}",
            K::kind(&()),
            reference.namespace.as_deref().unwrap_or_default(),
            reference.name.as_deref().unwrap_or_default()
        );
        match type_ {
            EventType::Normal => tracing::info!(resource = %name, reason, "{note}"),
            EventType::Warning => tracing::warn!(resource = %name, reason, "{note}"),
        }
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note)),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::warn!(resource = %name, "the event {reason} could not be told: {error}");
        }
    }
}

impl Context {
    /// Tells that a resource has become ready, or why it is not, where that is news.
    pub async fn tell_of_ready<K>(&self, of: &K, was: Option<&Condition>, is: Option<&Condition>)
    where
        K: Resource<DynamicType = ()>,
    {
        let Some(is) = is else { return };
        let is_known = was.is_some_and(|was| was.status == is.status && was.reason == is.reason);
        if is_known {
            return;
        }
        match is.status.as_str() {
            "True" => self.events.normal(of, &is.reason, "Observe", is.message.as_str()).await,
            // That something begins, or waits, is no news but to who looks.
            _ if matches!(is.reason.as_str(), "Starting" | "Deleting") => {}
            _ if is.reason == "Waiting" => self.events.normal(of, &is.reason, "Observe", is.message.as_str()).await,
            _ => self.events.warning(of, &is.reason, "Observe", is.message.as_str()).await,
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > LONGEST {
        let end = (0..=LONGEST - '…'.len_utf8()).rev().find(|end| note.is_char_boundary(*end));
        note.truncate(end.unwrap_or_default());
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_as_long_as_the_api_server_takes() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("ä".repeat(800));
        assert!(long.len() <= LONGEST && long.ends_with("ä…"));
    }
}
