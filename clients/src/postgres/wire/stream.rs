//! From a plan to a socket: the address, TCP, TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use afterbay_crds::plan::HostPort;
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::postgres::error::{PostgresError, PostgresErrorKind};
use crate::postgres::session::Place;
use crate::tls::HandshakeFailure;

/// After how much silence the system asks whether the peer is there, and how often and how many times then.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the connection counts as broken.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_mins(1);

/// A connection to a server, before or after the login.
#[derive(Debug)]
pub(in crate::postgres) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether what is sent cannot be read underway.
    pub(super) fn encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Connects to a server, encrypted where a configuration is given.
    pub(in crate::postgres) async fn connect(
        host: &HostPort,
        tls: Option<&Arc<ClientConfig>>,
        place: &Arc<Place>,
    ) -> Result<Self, PostgresError> {
        let tcp = connect_tcp(host, place).await?;
        let Some(config) = tls else { return Ok(Self::Plain(tcp)) };
        encrypt(tcp, host, config, place).await
    }
}

async fn connect_tcp(host: &HostPort, place: &Arc<Place>) -> Result<TcpStream, PostgresError> {
    let addresses = tokio::net::lookup_host((host.host.as_str(), host.port))
        .await
        .map_err(|error| PostgresError::new(PostgresErrorKind::UnknownHost, error.to_string(), place))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                let options = tcp.set_nodelay(true).and_then(|()| keep_alive(&tcp));
                options.map_err(|error| PostgresError::io(&error, place))?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(PostgresError::new(PostgresErrorKind::Unreachable, last.to_string(), place))
}

fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

async fn encrypt(
    mut tcp: TcpStream,
    host: &HostPort,
    config: &Arc<ClientConfig>,
    place: &Arc<Place>,
) -> Result<Stream, PostgresError> {
    let io_error = |error: io::Error| PostgresError::io(&error, place);
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(io_error)?;
    // One byte and no more: what followed in plain text would otherwise pass as if it had come encrypted.
    match tcp.read_u8().await.map_err(io_error)? {
        b'S' => {}
        b'N' => return Err(PostgresError::new(PostgresErrorKind::TlsNotOffered, "the server has ssl off", place)),
        other => {
            let words = format!("byte {other} in answer to the request for TLS; is this a Postgres server?");
            return Err(PostgresError::protocol(words, place));
        }
    }
    let name = ServerName::try_from(host.host.clone()).map_err(|_| {
        let words = format!("\"{}\" is no valid name of a server", host.host);
        PostgresError::new(PostgresErrorKind::TlsFailed, words, place)
    })?;
    match TlsConnector::from(Arc::clone(config)).connect(name, tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(match HandshakeFailure::find(&error) {
            Some(failure) => PostgresError::tls(failure, place),
            None => PostgresError::new(PostgresErrorKind::TlsFailed, error.to_string(), place),
        }),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
