//! Probes and metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::status::ready_of;
use super::stores::Stores;

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// It is not known yet.
    Unknown,
    /// Another operator.
    Other,
    /// This one.
    Own,
}

struct Shared {
    stores: Arc<Stores>,
    metrics: Arc<Metrics>,
    leadership: watch::Receiver<Leadership>,
}

/// Serves, for ever, `/livez`, `/readyz` and `/metrics`.
pub async fn serve(
    listen: SocketAddr,
    stores: Arc<Stores>,
    metrics: Arc<Metrics>,
    leadership: watch::Receiver<Leadership>,
) -> std::io::Result<()> {
    let shared = Arc::new(Shared { stores, metrics, leadership });
    let (ready, metered) = (Arc::clone(&shared), shared);
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || {
                let answer = readiness(&ready);
                async move { answer }
            }),
        )
        .route(
            "/metrics",
            get(move || {
                let answer = measured(&metered);
                async move { answer }
            }),
        );
    axum::serve(TcpListener::bind(listen).await?, router).await
}

fn readiness(shared: &Shared) -> (StatusCode, &'static str) {
    match *shared.leadership.borrow() {
        Leadership::Other => (StatusCode::OK, "ok: another one leads\n"),
        Leadership::Own if shared.stores.are_filled() => (StatusCode::OK, "ok: it leads\n"),
        Leadership::Own => (StatusCode::SERVICE_UNAVAILABLE, "what there is in the cluster has not been read yet\n"),
        Leadership::Unknown => (StatusCode::SERVICE_UNAVAILABLE, "it is not known yet who leads\n"),
    }
}

fn measured(shared: &Shared) -> axum::response::Response {
    count(&shared.stores, &shared.metrics);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text()).into_response()
}

/// How many resources there are, by whether they are ready: counted when somebody asks.
fn count(stores: &Stores, metrics: &Metrics) {
    let connections = stores.connections.all();
    tally(
        metrics,
        "KafkaConnection",
        connections.iter().map(|one| one.status.as_ref().map(|s| s.conditions.as_slice())),
    );
    let registries = stores.registries.all();
    let of_registries = registries.iter().map(|one| one.status.as_ref().map(|s| s.conditions.as_slice()));
    tally(metrics, "SchemaRegistryConnection", of_registries);
    let sources = stores.sources.all();
    tally(metrics, "SourceConnector", sources.iter().map(|one| one.status.as_ref().map(|s| s.conditions.as_slice())));
    let sinks = stores.sinks.all();
    tally(metrics, "Sink", sinks.iter().map(|one| one.status.as_ref().map(|s| s.conditions.as_slice())));
}

type Conditions = [k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition];

fn tally<'a>(metrics: &Metrics, kind: &str, all: impl Iterator<Item = Option<&'a Conditions>>) {
    let is_ready = |conditions: &Conditions| ready_of(conditions).is_some_and(|ready| ready.status == "True");
    let (ready, others): (Vec<_>, Vec<_>) = all.partition(|conditions| conditions.is_some_and(is_ready));
    metrics.resources(kind, ready.len(), others.len());
}
