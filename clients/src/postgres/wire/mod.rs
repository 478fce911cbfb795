//! The replication connection: a small client of Postgres' protocol for what a worker needs of it.
//!
//! It speaks the simple query protocol, `COPY … TO STDOUT` and streaming replication, over plain TCP or TLS, and logs in
//! by SCRAM-SHA-256, md5 or (over TLS only) a clear password. `docs/design/0002-own-replication-client.md` says why it is
//! our own. The connection is a plain `SQL` session as well (`replication=database`), so that a slot's snapshot can be
//! used where it was made.

mod command;
mod copy;
mod frames;
mod login;
mod replication;
pub(super) mod stream;

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use self::frames::FrameReader;
use self::stream::Stream;
use super::error::PostgresError;
use super::session::Place;

pub use command::{CreatedSlot, SlotOptions, SlotSnapshot, SystemIdentity, TextRow, TimelineSwitch};
pub use copy::CopyOut;
pub use replication::{ReplicationMessage, ReplicationReader, StatusWriter};

/// A session with `replication=database`.
///
/// One command at a time. A command's future that is dropped before its end, or a [`CopyOut`] that is not read to its
/// end, leaves the session in the middle of something: every later command then fails. Dropping the connection closes
/// its socket, upon which the server ends the session and its temporary slots.
#[derive(Debug)]
pub struct ReplicationConnection {
    frames: FrameReader<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
    place: Arc<Place>,
    server_version: String,
    /// Between a command and the server's word that it is ready for the next.
    busy: bool,
}

impl ReplicationConnection {
    /// The server that it is connected to.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The server's version as it writes it, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    async fn send(&mut self, message: &BytesMut) -> Result<(), PostgresError> {
        let sent = async {
            self.writer.write_all(message).await?;
            self.writer.flush().await
        };
        sent.await.map_err(|error| PostgresError::io(&error, &self.place))
    }
}
