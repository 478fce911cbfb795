//! Streaming replication: a reader and a writer that two tasks can use at the same time.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::frames::FrameReader;
use super::stream::Stream;
use super::{ReplicationConnection, command};
use crate::postgres::cursor::{Broken, Cursor};
use crate::postgres::error::PostgresError;
use crate::postgres::lsn::Lsn;
use crate::postgres::quote;
use crate::postgres::session::Place;

/// Seconds between 1970-01-01 and 2000-01-01, from where Postgres counts.
const POSTGRES_EPOCH_S: u64 = 946_684_800;

/// What the server streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationMessage<'a> {
    /// One message of the plugin.
    XLogData {
        /// Where the change stands in the log.
        wal_start: Lsn,
        /// The server's guess at the end of its log; for logical replication the same as `wal_start`.
        wal_end: Lsn,
        /// The plugin's message.
        data: &'a [u8],
    },
    /// Nothing new, so far.
    Keepalive {
        /// All changes of transactions that commit before this place have been sent.
        wal_end: Lsn,
        /// Whether the server wants an answer soon.
        reply_requested: bool,
    },
}

/// Reads what the server streams.
#[derive(Debug)]
pub struct ReplicationReader {
    frames: FrameReader<ReadHalf<Stream>>,
    place: Arc<Place>,
    server_version: String,
    ended: bool,
}

/// Tells the server how far we are. The socket closes when both it and the [`ReplicationReader`] are dropped.
#[derive(Debug)]
pub struct StatusWriter {
    writer: WriteHalf<Stream>,
    /// What is not sent yet: a future of ours that is dropped halfway must not tear a message.
    unsent: BytesMut,
    place: Arc<Place>,
}

impl ReplicationConnection {
    /// Starts to stream the changes of the publications' tables from the slot. The server begins at the slot's
    /// confirmed position or at `from`, whichever is later; [`Lsn::ZERO`] is the former.
    pub async fn start_replication(
        mut self,
        slot: &str,
        from: Lsn,
        publications: &[&str],
    ) -> Result<(ReplicationReader, StatusWriter), PostgresError> {
        let names = quote::replication_literal(&quote::identifiers(publications.iter().copied()));
        let slot = quote::identifier(slot);
        self.begin(&format!(
            "START_REPLICATION SLOT {slot} LOGICAL {from} (proto_version '1', publication_names {names})"
        ))
        .await?;
        loop {
            let frame = self.frames.next().await.map_err(|error| PostgresError::io(&error, &self.place))?;
            match frame.kind {
                b'W' => break,
                b'E' => return Err(command::server_error(frame.body, &self.place)),
                b'N' | b'S' => {}
                _ => return Err(PostgresError::protocol("the server does not start to stream", &self.place)),
            }
        }
        let Self { frames, writer, place, server_version, .. } = self;
        let status = StatusWriter { writer, unsent: BytesMut::new(), place: Arc::clone(&place) };
        Ok((ReplicationReader { frames, place, server_version, ended: false }, status))
    }
}

impl ReplicationReader {
    /// The next message; none when the server has ended the stream. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<ReplicationMessage<'_>>, PostgresError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let frame = self.frames.next().await;
            let kind = frame.map_err(|error| PostgresError::io(&error, &self.place))?.kind;
            if self.is_message(kind)? {
                return self.message().map(Some);
            }
        }
    }

    /// The next message if it is in the buffer already; none when it would have to be waited for, or at the end.
    pub fn try_next(&mut self) -> Result<Option<ReplicationMessage<'_>>, PostgresError> {
        loop {
            let frame = self.frames.buffered().map_err(|error| PostgresError::io(&error, &self.place))?;
            let Some(kind) = frame.map(|frame| frame.kind) else { return Ok(None) };
            if self.is_message(kind)? {
                return self.message().map(Some);
            }
        }
    }

    /// Ends the stream from our side and takes back the connection. Reads and drops what the server has still to send,
    /// which can be the rest of a large transaction.
    pub async fn stop(mut self, mut writer: StatusWriter) -> Result<ReplicationConnection, PostgresError> {
        if !self.ended {
            writer.send_copy_done().await?;
            while self.next().await?.is_some() {}
        }
        let Self { frames, place, server_version, .. } = self;
        Ok(ReplicationConnection { frames, writer: writer.writer, place, server_version, busy: false })
    }

    /// Whether the current frame, of this kind, holds a message of the stream.
    fn is_message(&mut self, kind: u8) -> Result<bool, PostgresError> {
        match kind {
            b'd' => return Ok(true),
            b'Z' => self.ended = true,
            b'E' => {
                self.ended = true;
                return Err(command::server_error(self.frames.current(), &self.place));
            }
            // CopyDone and CommandComplete come before ReadyForQuery; notices and parameters at any time.
            _ => {}
        }
        Ok(false)
    }

    #[inline]
    fn message(&self) -> Result<ReplicationMessage<'_>, PostgresError> {
        parse(self.frames.current())
            .map_err(|Broken| PostgresError::protocol("a broken message of the stream", &self.place))
    }
}

impl StatusWriter {
    /// Tells the server that everything before `flushed` is safe, so that it may forget it; asks it for an answer where
    /// `reply_requested`. A future that is dropped leaves its message to be sent by the next call.
    pub async fn send(&mut self, flushed: Lsn, reply_requested: bool) -> Result<(), PostgresError> {
        let since_2000 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_micros().saturating_sub(u128::from(POSTGRES_EPOCH_S) * 1_000_000));
        self.unsent.put_u8(b'd');
        self.unsent.put_u32(4 + 34);
        self.unsent.put_u8(b'r');
        // Written, flushed, applied: one and the same for us.
        for _ in 0..3 {
            self.unsent.put_u64(flushed.0);
        }
        self.unsent.put_u64(u64::try_from(since_2000).unwrap_or(u64::MAX));
        self.unsent.put_u8(u8::from(reply_requested));
        self.flush().await
    }

    async fn send_copy_done(&mut self) -> Result<(), PostgresError> {
        frontend::copy_done(&mut self.unsent);
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), PostgresError> {
        let flushed = async {
            while self.unsent.has_remaining() {
                if self.writer.write_buf(&mut self.unsent).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
            }
            self.writer.flush().await
        };
        flushed.await.map_err(|error| PostgresError::io(&error, &self.place))
    }
}

/// The messages of the chapter "Streaming Replication Protocol".
#[inline]
fn parse(body: &[u8]) -> Result<ReplicationMessage<'_>, Broken> {
    let mut cursor = Cursor::new(body);
    match cursor.u8()? {
        b'w' => {
            let (wal_start, wal_end, _sent_at) = (cursor.lsn()?, cursor.lsn()?, cursor.i64()?);
            Ok(ReplicationMessage::XLogData { wal_start, wal_end, data: cursor.rest() })
        }
        b'k' => {
            let (wal_end, _sent_at) = (cursor.lsn()?, cursor.i64()?);
            Ok(ReplicationMessage::Keepalive { wal_end, reply_requested: cursor.u8()? != 0 })
        }
        _ => Err(Broken),
    }
}
