//! The routes.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::{WorkerStatus, metrics};

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, status: WorkerStatus) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .route("/status", get(report))
        .with_state(status);
    axum::serve(listener, routes).await
}

fn verdict(well: bool, words: &'static str) -> (StatusCode, &'static str) {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, words) }
}

async fn live(State(status): State<WorkerStatus>) -> impl IntoResponse {
    verdict(status.is_alive(), "a Sink's thread has ended\n")
}

async fn ready(State(status): State<WorkerStatus>) -> impl IntoResponse {
    verdict(status.is_ready(), "not every Sink has found its place\n")
}

async fn report(State(status): State<WorkerStatus>) -> impl IntoResponse {
    Json(status.report())
}

async fn prometheus(State(status): State<WorkerStatus>) -> impl IntoResponse {
    let content_type = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    match metrics::encode(&status.report()) {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, error.to_string()),
    }
}
