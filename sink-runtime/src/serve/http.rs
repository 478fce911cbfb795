//! The routes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::{WorkerStatus, metrics};

/// Connections at the same time. More wait until one is closed: the pages are for a few probes and collectors.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may last: who asks again after that connects anew, and who says nothing does not keep a place.
const CONNECTION_MAX: Duration = Duration::from_mins(2);

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, status: WorkerStatus) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .route("/status", get(report))
        .with_state(status);
    axum::serve(Bounded { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }, routes).await
}

/// A listener that has so many connections at a time, none of them for ever.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        // What fails is tried again, after a pause where the process has too many files open.
        let (tcp, address) = Listener::accept(&mut self.listener).await;
        (Connection { tcp, end: Box::pin(tokio::time::sleep(CONNECTION_MAX)), _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, which breaks when its time is over.
struct Connection {
    tcp: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.over(cx)?;
        Pin::new(&mut this.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.over(cx)?;
        Pin::new(&mut this.tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
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
