//! `COPY … TO STDOUT`.

use super::ReplicationConnection;
use super::command;
use crate::postgres::error::PostgresError;

/// The rows of a copy, one a line of its text form. Must be read to its end before the connection's next command.
#[derive(Debug)]
pub struct CopyOut<'a> {
    connection: &'a mut ReplicationConnection,
    ended: bool,
}

impl ReplicationConnection {
    /// Runs `COPY … TO STDOUT`.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>, PostgresError> {
        self.begin(sql).await?;
        loop {
            let frame = self.frames.next().await.map_err(|error| PostgresError::io(&error, &self.place))?;
            match frame.kind {
                b'H' => return Ok(CopyOut { connection: self, ended: false }),
                b'E' => {
                    let error = command::server_error(frame.body, &self.place);
                    self.drain(|_, _| Ok(())).await?;
                    return Err(error);
                }
                b'N' | b'S' => {}
                _ => {
                    self.drain(|_, _| Ok(())).await?;
                    return Err(PostgresError::protocol("the statement copies nothing out", &self.place));
                }
            }
        }
    }
}

impl CopyOut<'_> {
    /// The next row with its line end, in the server's own bytes; none at the end. Nothing is lost when the future is
    /// dropped.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, PostgresError> {
        if self.ended {
            return Ok(None);
        }
        let connection = &mut *self.connection;
        loop {
            let frame = connection.frames.next().await.map_err(|error| PostgresError::io(&error, &connection.place))?;
            match frame.kind {
                b'd' => break,
                b'E' => {
                    self.ended = true;
                    let error = command::server_error(frame.body, &connection.place);
                    connection.drain(|_, _| Ok(())).await?;
                    return Err(error);
                }
                b'c' => {
                    connection.drain(|_, _| Ok(())).await?;
                    self.ended = true;
                    return Ok(None);
                }
                _ => {}
            }
        }
        Ok(Some(connection.frames.current()))
    }
}
