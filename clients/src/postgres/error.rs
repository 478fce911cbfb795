//! What can go wrong with Postgres, in classes that say whether trying again helps and what a user can do.

use std::io;
use std::sync::Arc;

use super::session::Place;
use crate::secret::SecretUnreadable;
use crate::tls::{HandshakeFailure, TlsConfigError};

mod problem;
pub use problem::unreachable;

/// An error of a Postgres session.
#[derive(Debug, thiserror::Error)]
#[error("{kind} ({place}): {words}")]
pub struct PostgresError {
    /// Its class.
    pub kind: PostgresErrorKind,
    /// The server's five letters, where it was the server that said it.
    pub sqlstate: Option<String>,
    /// What was said, in the server's or the system's own words.
    pub words: String,
    /// Where.
    pub place: Arc<Place>,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident => $words:literal,)+) => {
        /// The class of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PostgresErrorKind { $($(#[doc = $doc])+ $name,)+ }

        impl std::fmt::Display for PostgresErrorKind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$name => $words,)+ })
            }
        }
    };
}

kinds! {
    /// The name has no address.
    UnknownHost => "unknown host",
    /// Nobody answers, or not in time.
    Unreachable => "unreachable",
    /// The session broke off.
    ConnectionLost => "the connection broke off",
    /// The server shuts down, starts up or recovers.
    Unavailable => "the server is not available now",
    /// None of the servers is a primary.
    NotPrimary => "not a primary",
    /// Role or password are refused.
    WrongPassword => "role or password refused",
    /// The server wants a password and the plan has none.
    PasswordMissing => "a password is needed",
    /// The server asks for a way to log in that this client does not have, or not over plain text.
    AuthenticationUnsupported => "unsupported way to log in",
    /// No line of `pg_hba.conf` lets the role in.
    NoHbaEntry => "not let in by pg_hba.conf",
    /// The database does not exist.
    UnknownDatabase => "unknown database",
    /// The server has no TLS.
    TlsNotOffered => "the server does not offer TLS",
    /// No trusted authority issued the server's certificate.
    TlsUntrusted => "the server's certificate is not trusted",
    /// The server's certificate bears other names.
    TlsWrongName => "the server's certificate is for another name",
    /// The handshake failed otherwise.
    TlsFailed => "the TLS handshake failed",
    /// Our own TLS files cannot be used.
    TlsFiles => "TLS cannot be set up",
    /// The password's file cannot be read.
    SecretUnreadable => "the password cannot be read",
    /// A privilege or attribute is missing.
    NotPermitted => "not permitted",
    /// `wal_level` is not `logical`.
    WalLevelTooLow => "wal_level is too low",
    /// All replication slots or senders are taken.
    SlotsExhausted => "no replication slot or sender is free",
    /// All connections are taken.
    TooManyConnections => "too many connections",
    /// The slot is read by another session.
    SlotInUse => "the slot is in use",
    /// A slot of that name exists already.
    SlotExists => "the slot exists already",
    /// The slot does not exist, or was invalidated, or its log is gone.
    SlotLost => "the slot is lost",
    /// The slot is not one for logical decoding in this database.
    SlotUnfit => "the slot is not fit",
    /// The publication does not exist.
    PublicationMissing => "the publication does not exist",
    /// The table does not exist.
    TableMissing => "the table does not exist",
    /// Another object does not exist.
    ObjectMissing => "unknown object",
    /// A lock was not to be had in time.
    Locked => "locked by another session",
    /// A statement took too long, or was cancelled.
    Cancelled => "cancelled",
    /// The server is out of memory, disk or another resource.
    OutOfResources => "the server is out of resources",
    /// The server, or this client, broke the protocol.
    Protocol => "protocol violation",
    /// Anything else that the server says.
    Other => "error",
}

impl PostgresError {
    pub(super) fn new(kind: PostgresErrorKind, words: impl Into<String>, place: &Arc<Place>) -> Self {
        Self { kind, sqlstate: None, words: words.into(), place: Arc::clone(place) }
    }

    pub(super) fn protocol(words: impl Into<String>, place: &Arc<Place>) -> Self {
        Self::new(PostgresErrorKind::Protocol, words, place)
    }

    /// What the server said: its SQLSTATE and its message.
    pub(super) fn server(sqlstate: &str, words: String, place: &Arc<Place>) -> Self {
        let kind = PostgresErrorKind::of_server(sqlstate, &words);
        Self { kind, sqlstate: Some(sqlstate.to_owned()), words, place: Arc::clone(place) }
    }

    /// An error while bytes are sent or received on a session that stood.
    pub(super) fn io(error: &io::Error, place: &Arc<Place>) -> Self {
        match HandshakeFailure::find(error) {
            Some(failure) => Self::tls(failure, place),
            None => Self::new(PostgresErrorKind::ConnectionLost, error.to_string(), place),
        }
    }

    pub(super) fn tls(failure: HandshakeFailure, place: &Arc<Place>) -> Self {
        let (kind, words) = match failure {
            HandshakeFailure::UnknownAuthority => {
                (PostgresErrorKind::TlsUntrusted, "no trusted authority issued it".to_owned())
            }
            HandshakeFailure::WrongName => {
                (PostgresErrorKind::TlsWrongName, "the host is not among its subject alternative names".to_owned())
            }
            HandshakeFailure::Expired => {
                (PostgresErrorKind::TlsFailed, "the server's certificate is expired or not yet valid".to_owned())
            }
            HandshakeFailure::ClientCertificate => {
                (PostgresErrorKind::TlsFailed, "the server asks for a client certificate".to_owned())
            }
            HandshakeFailure::Other(words) => (PostgresErrorKind::TlsFailed, words),
        };
        Self::new(kind, words, place)
    }

    pub(super) fn tls_files(error: &TlsConfigError, place: &Arc<Place>) -> Self {
        Self::new(PostgresErrorKind::TlsFiles, error.to_string(), place)
    }

    pub(super) fn secret(error: &SecretUnreadable, place: &Arc<Place>) -> Self {
        Self::new(PostgresErrorKind::SecretUnreadable, error.to_string(), place)
    }

    /// An error of tokio-postgres on a session that stood or was about to.
    pub(super) fn client(error: &tokio_postgres::Error, place: &Arc<Place>) -> Self {
        use std::error::Error as _;
        if let Some(server) = error.as_db_error() {
            let words = with_detail(server.message(), server.detail(), server.hint());
            return Self::server(server.code().code(), words, place);
        }
        if let Some(source) = error.source() {
            if let Some(failure) = HandshakeFailure::find(source) {
                return Self::tls(failure, place);
            }
            if let Some(io) = source.downcast_ref::<io::Error>() {
                return Self::io(io, place);
            }
            // The configuration's own complaint, when the server asks for what the plan does not have.
            if source.to_string().contains("password missing") {
                return Self::new(PostgresErrorKind::PasswordMissing, "the server asks for a password", place);
            }
            return Self::protocol(format!("{error}: {source}"), place);
        }
        if error.is_closed() {
            return Self::new(PostgresErrorKind::ConnectionLost, "the server closed the connection", place);
        }
        Self::protocol(error.to_string(), place)
    }

    /// Whether trying again can help without anybody changing something.
    pub fn transient(&self) -> bool {
        use PostgresErrorKind as Kind;
        matches!(
            self.kind,
            Kind::UnknownHost
                | Kind::Unreachable
                | Kind::ConnectionLost
                | Kind::Unavailable
                | Kind::NotPrimary
                | Kind::SlotsExhausted
                | Kind::TooManyConnections
                | Kind::SlotInUse
                | Kind::Locked
                | Kind::Cancelled
                | Kind::OutOfResources
        ) || self.sqlstate.as_deref().is_some_and(|state| matches!(state, "40001" | "40P01"))
    }
}

impl PostgresErrorKind {
    /// The class of what a server says. SQLSTATEs are those of Postgres' appendix A; where one stands for several
    /// causes its words decide, which are English or not: a translated server is then told as `Other`.
    fn of_server(sqlstate: &str, words: &str) -> Self {
        match sqlstate {
            "28000" if words.contains("pg_hba.conf") => Self::NoHbaEntry,
            "28P01" | "28000" => Self::WrongPassword,
            "3D000" => Self::UnknownDatabase,
            "42501" => Self::NotPermitted,
            "53300" if words.contains("max_wal_senders") => Self::SlotsExhausted,
            "53300" => Self::TooManyConnections,
            "53400" => Self::SlotsExhausted,
            "55006" => Self::SlotInUse,
            "55000" if words.contains("wal_level") => Self::WalLevelTooLow,
            // "can no longer get changes from", "can no longer access", "cannot read from logical replication slot"
            "55000" if words.contains("can no longer") || words.contains("cannot read from") => Self::SlotLost,
            "55000" if words.contains("replication slot") => Self::SlotUnfit,
            "58P01" if words.contains("WAL segment") => Self::SlotLost,
            "42704" if words.contains("replication slot") => Self::SlotLost,
            "42704" if words.contains("publication") => Self::PublicationMissing,
            "42704" | "3F000" | "42703" => Self::ObjectMissing,
            "42710" if words.contains("replication slot") => Self::SlotExists,
            "42P01" => Self::TableMissing,
            "55P03" => Self::Locked,
            "57014" => Self::Cancelled,
            "57P01" | "57P02" | "57P03" => Self::Unavailable,
            "25006" => Self::NotPrimary,
            _ => match sqlstate.get(..2) {
                Some("08") => Self::ConnectionLost,
                Some("53") => Self::OutOfResources,
                _ => Self::Other,
            },
        }
    }
}

/// A server's message with its detail and hint, one line.
pub(super) fn with_detail(message: &str, detail: Option<&str>, hint: Option<&str>) -> String {
    let mut words = message.to_owned();
    for more in [detail, hint].into_iter().flatten() {
        words.push_str("; ");
        words.push_str(&more.replace('\n', " "));
    }
    words
}

#[cfg(test)]
mod tests;
