//! Entering a server: startup parameters, authentication, and the choice of the primary.

use std::sync::Arc;

use afterbay_crds::plan::PostgresConnectionPlan;
use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::io::ReadHalf;

use super::frames::FrameReader;
use super::stream::Stream;
use super::{ReplicationConnection, command};
use crate::postgres::cursor::Cursor;
use crate::postgres::error::{PostgresError, PostgresErrorKind};
use crate::postgres::session::{self, APPLICATION_NAME, Enter, Entrance, Place, Purpose};

impl Enter for ReplicationConnection {
    async fn enter(plan: &PostgresConnectionPlan, entrance: Entrance) -> Result<(Self, bool), PostgresError> {
        let mut connection = Self::log_in(plan, entrance).await?;
        let in_recovery = connection.query("SELECT pg_catalog.pg_is_in_recovery()").await?;
        let primary = in_recovery.first().and_then(|row| row.first()?.as_deref()) == Some("f");
        Ok((connection, primary))
    }
}

impl ReplicationConnection {
    /// Connects to the first of the servers that is a primary.
    pub async fn connect(plan: &PostgresConnectionPlan) -> Result<Self, PostgresError> {
        session::first_primary(plan).await
    }

    async fn log_in(plan: &PostgresConnectionPlan, entrance: Entrance) -> Result<Self, PostgresError> {
        let Entrance { stream, password, place } = entrance;
        let encrypted = stream.encrypted();
        let (reader, writer) = tokio::io::split(stream);
        let frames = FrameReader::new(reader);
        let mut connection = Self { frames, writer, place, server_version: String::new(), busy: true };

        let options = session::options(Purpose::Replication);
        let parameters = [
            ("user", plan.username.as_str()),
            ("database", plan.database.as_str()),
            ("replication", "database"),
            ("application_name", APPLICATION_NAME),
            ("client_encoding", "UTF8"),
            ("options", options.as_str()),
        ];
        let mut message = BytesMut::new();
        frontend::startup_message(parameters, &mut message)
            .map_err(|error| PostgresError::protocol(error.to_string(), &connection.place))?;
        connection.send(&message).await?;

        let login = Login { username: &plan.username, password, encrypted, scram: None };
        connection.authenticate(login).await?;
        connection.settle().await?;
        Ok(connection)
    }

    async fn authenticate(&mut self, mut login: Login<'_>) -> Result<(), PostgresError> {
        loop {
            let body = expect(&mut self.frames, b'R', &self.place).await?;
            match login.answer(body, &self.place)? {
                Step::Done => return Ok(()),
                Step::Wait => {}
                Step::Send(message) => self.send(&message).await?,
            }
        }
    }

    /// Reads what the server tells after the login, up to its first ReadyForQuery.
    async fn settle(&mut self) -> Result<(), PostgresError> {
        loop {
            let frame = self.frames.next().await.map_err(|error| PostgresError::io(&error, &self.place))?;
            match frame.kind {
                b'Z' => break,
                b'E' => return Err(command::server_error(frame.body, &self.place)),
                b'S' => {
                    let mut cursor = Cursor::new(frame.body);
                    if let (Ok("server_version"), Ok(value)) = (cursor.text(), cursor.text()) {
                        value.clone_into(&mut self.server_version);
                    }
                }
                // Notices, and the key with which a query could be cancelled.
                _ => {}
            }
        }
        self.busy = false;
        Ok(())
    }
}

/// The body of the next message, which must be of this kind.
async fn expect<'a>(
    frames: &'a mut FrameReader<ReadHalf<Stream>>,
    kind: u8,
    place: &Arc<Place>,
) -> Result<&'a [u8], PostgresError> {
    let frame = frames.next().await.map_err(|error| PostgresError::io(&error, place))?;
    if frame.kind == kind {
        Ok(frame.body)
    } else if frame.kind == b'E' {
        Err(command::server_error(frame.body, place))
    } else {
        let words = format!("an unexpected message of kind `{}`", char::from(frame.kind).escape_default());
        Err(PostgresError::protocol(words, place))
    }
}

struct Login<'a> {
    username: &'a str,
    password: Option<SecretSlice<u8>>,
    encrypted: bool,
    scram: Option<ScramSha256>,
}

enum Step {
    Done,
    Wait,
    Send(BytesMut),
}

impl Login<'_> {
    /// Answers one authentication request (the chapter "Message Formats", `AuthenticationOk` and its kin).
    fn answer(&mut self, body: &[u8], place: &Arc<Place>) -> Result<Step, PostgresError> {
        let broken = |_| PostgresError::protocol("a broken authentication request", place);
        let refused = |words: &str| PostgresError::new(PostgresErrorKind::AuthenticationUnsupported, words, place);
        let mut cursor = Cursor::new(body);
        let mut message = BytesMut::new();
        match cursor.u32().map_err(broken)? {
            0 => return Ok(Step::Done),
            3 if !self.encrypted => {
                return Err(refused("the server asks for the clear password, which is sent over TLS only"));
            }
            3 => frontend::password_message(self.password(place)?, &mut message),
            5 => {
                let salt = cursor.take(4).map_err(broken)?;
                let salt = salt.try_into().map_err(|_| PostgresError::protocol("a broken salt", place))?;
                let hash = md5_hash(self.username.as_bytes(), self.password(place)?, salt);
                frontend::password_message(hash.as_bytes(), &mut message)
            }
            10 => {
                let mut offered = false;
                while let Ok(mechanism) = cursor.text() {
                    offered |= mechanism == SCRAM_SHA_256;
                }
                if !offered {
                    return Err(refused("the server offers no SASL mechanism but SCRAM-SHA-256-PLUS"));
                }
                let scram = ScramSha256::new(self.password(place)?, ChannelBinding::unsupported());
                let sent = frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut message);
                self.scram = Some(scram);
                sent
            }
            11 => {
                let scram = self.scram(place)?;
                let proof = scram.update(cursor.rest());
                proof.and_then(|()| frontend::sasl_response(scram.message(), &mut message))
            }
            12 => {
                // The server's proof that it knows the password too.
                let verified = self.scram(place)?.finish(cursor.rest());
                return verified
                    .map(|()| Step::Wait)
                    .map_err(|error| PostgresError::new(PostgresErrorKind::WrongPassword, error.to_string(), place));
            }
            2 | 7 | 8 => return Err(refused("the server asks for Kerberos (GSSAPI)")),
            9 => return Err(refused("the server asks for SSPI")),
            _ => return Err(refused("the server asks for an unknown way to log in")),
        }
        .map_err(|error| PostgresError::new(PostgresErrorKind::WrongPassword, error.to_string(), place))?;
        Ok(Step::Send(message))
    }

    fn password(&self, place: &Arc<Place>) -> Result<&[u8], PostgresError> {
        match &self.password {
            Some(password) => Ok(password.expose_secret()),
            None => {
                Err(PostgresError::new(PostgresErrorKind::PasswordMissing, "the server asks for a password", place))
            }
        }
    }

    fn scram(&mut self, place: &Arc<Place>) -> Result<&mut ScramSha256, PostgresError> {
        self.scram.as_mut().ok_or_else(|| PostgresError::protocol("SCRAM goes on that never began", place))
    }
}
