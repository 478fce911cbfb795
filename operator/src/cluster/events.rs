//! Kubernetes events: what is told of a resource when its state changes, beside its status.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Reporter};
use kube::{Client, Resource};

use super::context::Context;
use super::labels::MANAGER;
use super::recorders::Recorders;
use super::settings::OwnPod;
use super::stores::name_of;

/// How long a note may be, in bytes (the API server's limit is 1 kB).
const LONGEST: usize = 1000;

/// Tells of resources.
pub struct Events {
    recorder: Recorders,
    /// The operator's own pod.
    own: Option<ObjectReference>,
}

impl Events {
    /// Tells as this operator, which runs in this pod.
    pub fn new(client: Client, identity: &str, pod: Option<&OwnPod>) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorders::new(client, reporter), own: pod.map(of_pod) }
    }

    /// Something went as it should: `action` is what was done, in a word (`Retire`, `Carry`).
    pub async fn normal<K>(&self, of: &K, reason: &str, action: &str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.tell(of, &event(EventType::Normal, reason, action, note.into())).await;
    }

    /// Somebody should look at it.
    pub async fn warning<K>(&self, of: &K, reason: &str, action: &str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.tell(of, &event(EventType::Warning, reason, action, note.into())).await;
    }

    /// As [`Events::warning`], of a resource that is about to go. A namespace that is ending takes no event: it is told of the operator's
    /// own pod then.
    pub async fn last_warning<K>(&self, of: &K, reason: &str, action: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let own = event(EventType::Warning, reason, action, note.to_owned());
        let Err(error) = self.publish(of, &own).await else { return };
        let (reference, name) = (of.object_ref(&()), named(of));
        let of_own = event(EventType::Warning, reason, action, format!("{name}: {note}"));
        let told = match &self.own {
            Some(pod) => self.recorder.publish(&Event { secondary: Some(reference), ..of_own }, pod).await,
            None => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(resource = %name, "the event {reason} could not be told: {error}");
        }
    }

    /// What cannot be told is in the log, and stops nothing: the status says it too.
    async fn tell<K>(&self, of: &K, event: &Event)
    where
        K: Resource<DynamicType = ()>,
    {
        if let Err(error) = self.publish(of, event).await {
            tracing::warn!(resource = %named(of), "the event {} could not be told: {error}", event.reason);
        }
    }

    async fn publish<K>(&self, of: &K, event: &Event) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let note = event.note.as_deref().unwrap_or_default();
        match event.type_ {
            EventType::Normal => tracing::info!(resource = %named(of), reason = event.reason, "{note}"),
            EventType::Warning => tracing::warn!(resource = %named(of), reason = event.reason, "{note}"),
        }
        self.recorder.publish(event, &of.object_ref(&())).await
    }
}

fn of_pod(pod: &OwnPod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.name.namespace.clone()),
        name: Some(pod.name.name.clone()),
        uid: pod.uid.clone(),
        ..ObjectReference::default()
    }
}

fn event(type_: EventType, reason: &str, action: &str, note: String) -> Event {
    Event { type_, reason: reason.to_owned(), note: Some(cut(note)), action: action.to_owned(), secondary: None }
}

/// Kind and name of a resource, as a sentence has them.
fn named<K: Resource<DynamicType = ()>>(of: &K) -> String {
    format!("{} {}", K::kind(&()), name_of(of))
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
    use afterbay_crds::names::ResourceName;

    use super::*;

    #[test]
    fn what_is_told_of_the_own_pod_is_found_by_its_uid() {
        let name = ResourceName::new("afterbay-system", "afterbay-1");
        let reference = of_pod(&OwnPod { name, uid: Some("a".to_owned()) });
        assert_eq!((reference.kind.as_deref(), reference.uid.as_deref()), (Some("Pod"), Some("a")));
    }

    #[test]
    fn notes_are_as_long_as_the_api_server_takes() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("ä".repeat(800));
        assert!(long.len() <= LONGEST && long.ends_with("ä…"));
    }
}
