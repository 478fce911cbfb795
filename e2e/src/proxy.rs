//! A network that can be cut, that can swallow everything, and that can be slow: a TCP proxy.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// As it should be.
    Well,
    /// Every connection is reset, and so is every new one.
    Cut,
    /// Nothing arrives, and nobody is told.
    Hung,
    /// Late and little at a time.
    Slow,
}

/// What a slow network carries at a time, and how long that takes.
const SLOW_BYTES: usize = 8 << 10;
const SLOW_TIME: Duration = Duration::from_millis(25);

/// A proxy in front of one server; ends with the test.
pub struct Proxy {
    network: watch::Sender<Network>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Listens here (port 0: a free one), and connects there. The address on which it listens.
    pub async fn start(listen: &str, upstream: String) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.unwrap_or_else(|error| panic!("a proxy cannot listen on {listen}: {error}"));
        let address = listener.local_addr().expect("it listens");
        let (network, seen) = watch::channel(Network::Well);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, upstream.clone(), seen.clone()));
            }
        });
        (Self { network, server }, address)
    }

    /// From now on the network is so.
    pub fn is(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn carry(mut client: TcpStream, upstream: String, mut network: watch::Receiver<Network>) {
    // While nothing gets through, no server answers a new connection either.
    let Ok(now) = network.wait_for(|network| *network != Network::Hung).await.map(|network| *network) else { return };
    if now == Network::Cut {
        return reset(&client);
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else { return reset(&client) };
    // Small messages go at once, as without a proxy.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let cut = tokio::select! {
        () = copy(from_client, to_server, network.clone()) => false,
        () = copy(from_server, to_client, network.clone()) => false,
        _ = network.wait_for(|network| *network == Network::Cut) => true,
    };
    if cut {
        reset(&client);
        reset(&server);
    }
}

/// When it is dropped, the other side is told at once, and what is under way is lost.
fn reset(connection: &TcpStream) {
    // One that is gone already needs no more.
    let _ = connection.set_zero_linger();
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let limit = if *network.borrow() == Network::Slow { SLOW_BYTES } else { buffer.len() };
        let Ok(length @ 1..) = from.read(&mut buffer[..limit]).await else { return };
        if *network.borrow() == Network::Slow {
            tokio::time::sleep(SLOW_TIME).await;
        }
        if network.wait_for(|network| *network != Network::Hung).await.is_err()
            || to.write_all(&buffer[..length]).await.is_err()
        {
            return;
        }
    }
}
