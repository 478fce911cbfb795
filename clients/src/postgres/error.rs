//! What can go wrong with Postgres, in classes that say whether trying again helps and what a user can do.

use std::io;
use std::sync::Arc;

use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::session::Place;
use crate::secret::SecretUnreadable;
use crate::tls::{HandshakeFailure, TlsConfigError};

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

    /// What a user reads.
    pub fn problem(&self) -> Problem {
        let (reason, hint) = self.remedy();
        let Place { servers, database, role } = &*self.place;
        let words = &self.words;
        use PostgresErrorKind as Kind;
        let message = match self.kind {
            Kind::UnknownHost => format!("the host of {servers} is unknown: {words}"),
            Kind::Unreachable => format!("Postgres at {servers} does not answer: {words}"),
            Kind::ConnectionLost => format!("the connection to Postgres at {servers} broke off: {words}"),
            Kind::Unavailable => format!("Postgres at {servers} is not available now: {words}"),
            Kind::NotPrimary => format!("no primary among the Postgres servers {servers}: {words}"),
            Kind::WrongPassword => {
                format!("Postgres at {servers} refuses role \"{role}\" for database \"{database}\": {words}")
            }
            Kind::PasswordMissing => {
                format!("Postgres at {servers} asks for the password of role \"{role}\", and none is given")
            }
            Kind::AuthenticationUnsupported => {
                format!("role \"{role}\" cannot log in to Postgres at {servers}: {words}")
            }
            Kind::NoHbaEntry => {
                format!("Postgres at {servers} does not let role \"{role}\" into database \"{database}\": {words}")
            }
            Kind::UnknownDatabase => format!("Postgres at {servers} has no database \"{database}\": {words}"),
            Kind::TlsNotOffered => format!("Postgres at {servers} does not offer TLS"),
            Kind::TlsUntrusted => format!("the certificate of Postgres at {servers} is not trusted: {words}"),
            Kind::TlsWrongName => format!("the certificate of Postgres at {servers} is for another name: {words}"),
            Kind::TlsFailed => format!("the TLS handshake with Postgres at {servers} failed: {words}"),
            Kind::TlsFiles => format!("TLS for Postgres at {servers} cannot be set up: {words}"),
            Kind::SecretUnreadable => format!("the password for Postgres at {servers} cannot be read: {words}"),
            Kind::NotPermitted => {
                format!("role \"{role}\" lacks a privilege in database \"{database}\" at {servers}: {words}")
            }
            _ => format!("Postgres at {servers}, database \"{database}\": {words}"),
        };
        reason.problem(message, hint)
    }

    fn remedy(&self) -> (Reason, String) {
        use PostgresErrorKind as Kind;
        let Place { database, role, .. } = &*self.place;
        let role_name = super::quote::identifier(role);
        match self.kind {
            Kind::UnknownHost | Kind::Unreachable => (
                Reason::SourceUnreachable,
                "check host and port, that the server runs, and that no firewall is in between; it is tried again"
                    .to_owned(),
            ),
            Kind::ConnectionLost | Kind::Unavailable => {
                (Reason::SourceUnreachable, "nothing, if the server restarts: it is tried again".to_owned())
            }
            Kind::NotPrimary => (
                Reason::SourceNotPrimary,
                "name the primary among the hosts, or promote one; it is tried again".to_owned(),
            ),
            Kind::WrongPassword => (
                Reason::SourceAuthenticationFailed,
                "check the role and the password in the referenced Secret (a line end at its end counts too)".to_owned(),
            ),
            Kind::PasswordMissing => (
                Reason::SourceAuthenticationFailed,
                "set authentication.passwordSecret of the SourceConnector".to_owned(),
            ),
            Kind::AuthenticationUnsupported => (
                Reason::SourceAuthenticationFailed,
                "let the role log in with scram-sha-256 or md5 in pg_hba.conf, or with password over TLS".to_owned(),
            ),
            Kind::NoHbaEntry => (
                Reason::SourceAuthenticationFailed,
                format!(
                    "add lines for this role, this client's address and both the database \"{database}\" and \
                     replication to pg_hba.conf and reload; mind hostssl and hostnossl"
                ),
            ),
            Kind::UnknownDatabase => {
                (Reason::DatabaseNotFound, "check the name of the database, or create it".to_owned())
            }
            Kind::TlsNotOffered => (
                Reason::SourceTlsFailed,
                "turn on ssl in the server's postgresql.conf, or set tls.mode: disable".to_owned(),
            ),
            Kind::TlsUntrusted => (
                Reason::SourceTlsFailed,
                "name the authority that issued the server's certificate in tls.trustedCertificates".to_owned(),
            ),
            Kind::TlsWrongName => (
                Reason::SourceTlsFailed,
                "connect by a name that stands in the certificate's subject alternative names, or set tls.mode: verify-ca"
                    .to_owned(),
            ),
            Kind::TlsFailed => {
                (Reason::SourceTlsFailed, "check the server's certificate and its ssl settings".to_owned())
            }
            Kind::TlsFiles => (
                Reason::SourceTlsFailed,
                "check that the Secret in tls.trustedCertificates holds PEM certificates".to_owned(),
            ),
            Kind::SecretUnreadable => {
                (Reason::SecretUnreadable, "check that the Secret exists and holds the key".to_owned())
            }
            Kind::NotPermitted => (Reason::SourceNotPermitted, self.grant(&role_name)),
            Kind::WalLevelTooLow => (
                Reason::WalLevelTooLow,
                "run ALTER SYSTEM SET wal_level = logical; and restart the server".to_owned(),
            ),
            Kind::SlotsExhausted => (
                Reason::ReplicationSlotsExhausted,
                "drop slots that nobody uses (select * from pg_replication_slots), or raise max_replication_slots and \
                 max_wal_senders and restart the server"
                    .to_owned(),
            ),
            Kind::SlotInUse => (
                Reason::SlotInUse,
                "stop the other reader of the slot, or give this SourceConnector a slot name of its own".to_owned(),
            ),
            Kind::SlotLost => (
                Reason::SlotLost,
                "the changes since the last commit are gone from the server's log: delete the Sink with its progress \
                 record and create it anew with a snapshot; raise max_slot_wal_keep_size"
                    .to_owned(),
            ),
            Kind::SlotUnfit => (
                Reason::SlotUnfit,
                "give this SourceConnector a slot name of its own, or drop the slot if nobody needs it".to_owned(),
            ),
            Kind::PublicationMissing => (
                Reason::PublicationIncomplete,
                "create the publication, or let Afterbay do it (publication.managed: true)".to_owned(),
            ),
            Kind::TableMissing => (Reason::TableNotFound, "check the schema and the name of the table".to_owned()),
            Kind::TooManyConnections => (
                Reason::SourceFailed,
                "raise max_connections, or close sessions that nobody uses; it is tried again".to_owned(),
            ),
            Kind::Locked | Kind::Cancelled => (
                Reason::SourceFailed,
                "end long transactions on the tables in question; it is tried again".to_owned(),
            ),
            Kind::OutOfResources => {
                (Reason::SourceFailed, "look at the server's disk, memory and log; it is tried again".to_owned())
            }
            Kind::SlotExists | Kind::ObjectMissing | Kind::Protocol | Kind::Other => {
                (Reason::SourceFailed, "look into the server's log for the same moment".to_owned())
            }
        }
    }

    /// The statement that gives what is missing, as far as the server's words tell it.
    fn grant(&self, role: &str) -> String {
        let words = &self.words;
        if words.contains("replication") || words.contains("WAL sender") {
            format!("run ALTER ROLE {role} WITH REPLICATION;")
        } else if words.contains("for table") || words.contains("for relation") {
            format!("run GRANT SELECT ON that table TO {role};")
        } else if words.contains("for schema") {
            format!("run GRANT USAGE ON that schema TO {role};")
        } else if words.contains("row-level security") {
            format!("run ALTER ROLE {role} WITH BYPASSRLS; or take the table out of row security")
        } else if words.contains("must be owner") {
            format!("make {role} a member of the owner's role")
        } else {
            format!("give the privilege to {role}")
        }
    }
}

impl PostgresErrorKind {
    /// The class of what a server says. SQLSTATEs are those of Postgres' appendix A; where one stands for several
    /// causes its words decide, which are English or not: a translated server is then told as `Other`.
    fn of_server(sqlstate: &str, words: &str) -> Self {
        match sqlstate {
            "28P01" => Self::WrongPassword,
            "28000" if words.contains("pg_hba.conf") => Self::NoHbaEntry,
            "28000" => Self::WrongPassword,
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
