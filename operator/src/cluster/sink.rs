//! The reconciler of Sinks: their finalizer and their status. It provides nothing: workers are a SourceConnector's business.

use afterbay_crds::api::{Sink, SinkStatus};
use afterbay_crds::manifest::Kind;
use afterbay_crds::names::ResourceName;
use afterbay_crds::report::SinkState;
use k8s_openapi::jiff::Timestamp;

use super::board::{SinkFacts, SinkView};
use super::context::{Context, Failure};
use super::finalize::{has, is_going};
use super::labels::SINK_FINALIZER;
use super::queue::Next;
use super::stores::references::registries_of_sink;
use super::{handshake, retire, status};

/// Looks at a Sink.
pub async fn reconcile(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let Some(sink) = context.stores.sinks.get(name) else {
        context.board.set_sink(name, None);
        context.board.forget(Kind::Sink, name);
        return Ok(Next::Never);
    };
    let next = if !is_going(&*sink) {
        // Before anything is carried: what is carried can be retired.
        context.hold(&*sink, SINK_FINALIZER).await?;
        Next::Never
    } else if has(&*sink, SINK_FINALIZER) {
        retire::sink(context, &sink).await?
    } else {
        return Ok(Next::Never);
    };
    let connection = name.sibling(&sink.spec.kafka.connection);
    let mut view = context.board.sink(name, &connection, &registries_of_sink(name, &sink.spec));
    waits_for_source(context, &sink, name, &mut view);
    let now = status::sink::sink(&sink, &view, Timestamp::now());
    if context.apply_status(&*sink, sink.status.as_ref(), &now).await? {
        context.board.written(Kind::Sink, name);
        tell(context, &sink, &now).await;
        doubt(context, &sink, &now);
    }
    Ok(next)
}

/// Where there is no SourceConnector, nobody finds out anything of its Sinks.
fn waits_for_source(context: &Context, sink: &Sink, name: &ResourceName, view: &mut SinkView) {
    let source = name.sibling(&sink.spec.source.name);
    let facts = view.facts.get_or_insert_with(SinkFacts::default);
    let is_there = context.stores.sources.get(&source).is_some() || context.stores.sources.is_unreadable(&source);
    if !is_there && facts.waiting_for.is_none() && facts.deletion.is_none() {
        facts.waiting_for = Some(format!("SourceConnector {source}"));
    }
}

/// What its connections have answered may be over when it comes to carry, or to stand still.
fn doubt(context: &Context, sink: &Sink, now: &SinkStatus) {
    let of = |status: &SinkStatus| (status.state, status.error.as_ref().map(|error| error.reason.clone()));
    if sink.status.as_ref().map(of) == Some(of(now)) {
        return;
    }
    match (now.state, &now.error) {
        (Some(SinkState::Running | SinkState::Snapshotting), _) => handshake::doubt(context, sink, None),
        (Some(SinkState::Stalled), Some(error)) => handshake::doubt(context, sink, Some(&error.reason)),
        _ => {}
    }
}

/// What has changed, as an event.
async fn tell(context: &Context, sink: &Sink, now: &SinkStatus) {
    let before = sink.status.clone().unwrap_or_default();
    let (was, is) = (status::ready_of(&before.conditions), status::ready_of(&now.conditions));
    context.tell_of_ready(sink, was, is).await;
    if before.state != now.state && now.state == Some(SinkState::Paused) {
        context.events.normal(sink, "Paused", "Pause", "it is paused, and keeps its place").await;
    }
    for warning in &now.warnings {
        if !before.warnings.iter().any(|known| known.reason == warning.reason && known.hint == warning.hint) {
            let note = format!("{} · what to do: {}", warning.message, warning.hint);
            context.events.warning(sink, &warning.reason, "Look", note).await;
        }
    }
}
