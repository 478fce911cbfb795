//! The server's messages, cut out of one large buffer: many small messages cost one read, and none is copied.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for one read.
const READ_BYTES: usize = 256 * 1024;
/// A buffer that one huge message has swollen beyond this is given back afterwards.
const KEEP_BYTES_MAX: usize = 4 * READ_BYTES;
/// No message of Postgres is larger: its own buffers end at 1 GiB.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// The kind and the length before each message.
const HEADER_BYTES: usize = 5;

/// One message of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Its kind.
    pub(super) kind: u8,
    /// What follows the length.
    pub(super) body: &'a [u8],
}

/// Cuts messages out of what it reads. Nothing is lost when a future of it is dropped.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    /// Bytes of the message that was handed out last; they go with the next call.
    lent: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: BytesMut::with_capacity(READ_BYTES), lent: 0 }
    }

    /// The next message, if the whole of it is in the buffer.
    #[inline]
    pub(super) fn buffered(&mut self) -> io::Result<Option<Frame<'_>>> {
        if self.advance()? { Ok(Some(self.frame())) } else { Ok(None) }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> io::Result<Frame<'_>> {
        while !self.advance()? {
            self.fill().await?;
        }
        Ok(self.frame())
    }

    /// The body of the message that was handed out last.
    #[inline]
    pub(super) fn current(&self) -> &[u8] {
        self.buffer.get(HEADER_BYTES..self.lent).unwrap_or_default()
    }

    /// Gives up the last message; whether the next one is whole.
    #[inline]
    fn advance(&mut self) -> io::Result<bool> {
        self.buffer.advance(self.lent);
        self.lent = 0;
        let Some(len) = self.message_len()? else { return Ok(false) };
        if self.buffer.len() < len {
            return Ok(false);
        }
        self.lent = len;
        Ok(true)
    }

    /// The message that [`Self::advance`] found.
    #[inline]
    fn frame(&self) -> Frame<'_> {
        Frame { kind: self.buffer[0], body: self.current() }
    }

    /// The length of the message at the front, header and all, as soon as that much is there.
    #[inline]
    fn message_len(&self) -> io::Result<Option<usize>> {
        let Some([_, length @ ..]) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of an impossible length"));
        }
        Ok(Some(length + 1))
    }

    async fn fill(&mut self) -> io::Result<()> {
        let missing = match self.message_len()? {
            Some(len) => len - self.buffer.len(),
            None => 1,
        };
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(READ_BYTES);
        }
        // At least half a buffer a time, also at its end; all of a large message at once.
        self.buffer.reserve(missing.max(READ_BYTES / 2));
        match self.source.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[tokio::test]
    async fn messages_come_whole_however_the_bytes_arrive() {
        let large = vec![7; 3 * READ_BYTES];
        let mut bytes = message(b'd', b"one");
        bytes.extend(message(b'Z', b""));
        bytes.extend(message(b'd', &large));
        bytes.extend(message(b'd', b"last"));
        for piece in [1, 3, 4096, usize::MAX] {
            // One byte a time would take long for the large one.
            let piece = if piece < 4096 { piece * 1000 + 1 } else { piece };
            let (mut server, client) = tokio::io::duplex(1 << 20);
            let sent = bytes.clone();
            let sender = tokio::spawn(async move {
                for chunk in sent.chunks(piece.min(sent.len())) {
                    server.write_all(chunk).await.unwrap();
                }
            });
            let mut frames = FrameReader::new(client);
            assert!(frames.buffered().unwrap().is_none(), "nothing was read yet");
            for (kind, body) in [(b'd', b"one".as_slice()), (b'Z', b""), (b'd', &large), (b'd', b"last")] {
                let frame = frames.next().await.unwrap();
                assert_eq!((frame.kind, frame.body), (kind, body));
            }
            sender.await.unwrap();
            assert_eq!(frames.next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn a_dropped_future_loses_nothing() {
        let (mut server, client) = tokio::io::duplex(1024);
        let mut frames = FrameReader::new(client);
        let bytes = message(b'd', b"whole");
        for byte in bytes {
            let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), frames.next()).await;
            assert!(waiting.is_err(), "there is no whole message yet");
            server.write_all(&[byte]).await.unwrap();
        }
        assert_eq!(frames.next().await.unwrap().body, b"whole");
    }

    #[tokio::test]
    async fn impossible_lengths_are_refused() {
        for length in [0u32, 3, u32::MAX] {
            let mut bytes = vec![b'd'];
            bytes.extend(length.to_be_bytes());
            let mut frames = FrameReader::new(bytes.as_slice());
            assert_eq!(frames.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn a_swollen_buffer_is_given_back() {
        let mut bytes = message(b'd', &vec![7; 2 * KEEP_BYTES_MAX]);
        bytes.extend(message(b'd', b"small"));
        let mut frames = FrameReader::new(bytes.as_slice());
        frames.next().await.unwrap();
        frames.next().await.unwrap();
        assert!(frames.next().await.is_err(), "the end");
        assert!(frames.buffer.capacity() <= KEEP_BYTES_MAX);
    }
}
