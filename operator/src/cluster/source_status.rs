//! What is said of SourceConnectors; all else about them is [`super::source`]'s.

use afterbay_crds::manifest::Kind;
use afterbay_crds::names::ResourceName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::context::{Context, Failure};
use super::queue::Next;
use super::status::source::{ItsSinks, SLOT_KEPT};
use super::status::{self, ready_of};
use super::stores::Key;

fn slot_kept(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == SLOT_KEPT)
}

/// Writes the status of a SourceConnector, if it has changed.
pub async fn reconcile(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let Some(source) = context.stores.sources.get(name) else {
        context.board.forget(Kind::SourceConnector, name);
        return Ok(Next::Never);
    };
    let sinks = context.stores.sinks.by(&Key::Source(name.clone()));
    let begun = sinks.iter().any(|sink| sink.status.as_ref().is_some_and(|status| status.begun));
    let sinks = ItsSinks { count: sinks.len(), begun };
    let now = status::source::source(&source, &context.board.source(name), sinks, Timestamp::now());
    if context.apply_status(&*source, source.status.as_ref(), &now).await? {
        context.board.written(Kind::SourceConnector, name);
        let before = source.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        context.tell_of_ready(&*source, ready_of(before), ready_of(&now.conditions)).await;
        if let (None, Some(kept)) = (slot_kept(before), slot_kept(&now.conditions)) {
            context.events.warning(&*source, &kept.reason, "Observe", kept.message.as_str()).await;
        }
    }
    Ok(Next::Never)
}
