//! What a user reads of an error: what happened and where, and the remedy.

use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::PostgresErrorKind as Kind;
use super::{Place, PostgresError};
use crate::postgres::quote;

/// One for all the ways in which a server is away: going down, away and coming up are one outage, which is told once.
const UNREACHABLE_HINT: &str =
    "check host and port, that the server runs, and that no firewall is in between; it is tried again by itself";

/// The server is away, in these words.
pub fn unreachable(what: impl Into<String>) -> Problem {
    Reason::SourceUnreachable.problem(what, UNREACHABLE_HINT)
}

impl PostgresError {
    /// What a user reads.
    pub fn problem(&self) -> Problem {
        self.reason().problem(self.message(), self.hint())
    }

    fn message(&self) -> String {
        let Place { servers, database, role } = &*self.place;
        let words = &self.words;
        match self.kind {
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
        }
    }

    fn reason(&self) -> Reason {
        match self.kind {
            Kind::UnknownHost | Kind::Unreachable | Kind::ConnectionLost | Kind::Unavailable => {
                Reason::SourceUnreachable
            }
            Kind::NotPrimary => Reason::SourceNotPrimary,
            Kind::WrongPassword | Kind::PasswordMissing | Kind::AuthenticationUnsupported | Kind::NoHbaEntry => {
                Reason::SourceAuthenticationFailed
            }
            Kind::UnknownDatabase => Reason::DatabaseNotFound,
            Kind::TlsNotOffered | Kind::TlsUntrusted | Kind::TlsWrongName | Kind::TlsFailed | Kind::TlsFiles => {
                Reason::SourceTlsFailed
            }
            Kind::SecretUnreadable => Reason::SecretUnreadable,
            Kind::NotPermitted => Reason::SourceNotPermitted,
            Kind::WalLevelTooLow => Reason::WalLevelTooLow,
            Kind::SlotsExhausted => Reason::ReplicationSlotsExhausted,
            Kind::SlotInUse => Reason::SlotInUse,
            Kind::SlotLost => Reason::SlotLost,
            Kind::SlotUnfit => Reason::SlotUnfit,
            Kind::PublicationMissing => Reason::PublicationIncomplete,
            Kind::TableMissing => Reason::TableNotFound,
            Kind::TooManyConnections
            | Kind::Locked
            | Kind::Cancelled
            | Kind::OutOfResources
            | Kind::SlotExists
            | Kind::ObjectMissing
            | Kind::Protocol
            | Kind::Other => Reason::SourceFailed,
        }
    }

    fn hint(&self) -> String {
        let hint = match self.kind {
            Kind::UnknownHost | Kind::Unreachable | Kind::ConnectionLost | Kind::Unavailable => UNREACHABLE_HINT,
            Kind::NotPrimary => "name the primary among the hosts, or promote one; it is tried again",
            Kind::WrongPassword => {
                "check the role and the password in the referenced Secret (a line end at its end counts too)"
            }
            Kind::PasswordMissing => "set authentication.passwordSecret of the SourceConnector",
            Kind::AuthenticationUnsupported => {
                "let the role log in with scram-sha-256 or md5 in pg_hba.conf, or with password over TLS"
            }
            Kind::NoHbaEntry => {
                "add a line for this role, database and client address to pg_hba.conf and reload; mind hostssl and \
                 hostnossl"
            }
            Kind::UnknownDatabase => "check the name of the database, or create it",
            Kind::TlsNotOffered => "turn on ssl in the server's postgresql.conf, or set tls.mode: disable",
            Kind::TlsUntrusted => "name the authority that issued the server's certificate in tls.trustedCertificates",
            Kind::TlsWrongName => {
                "connect by a name that stands in the certificate's subject alternative names, or set tls.mode: \
                 verify-ca"
            }
            Kind::TlsFailed => "check the server's certificate and its ssl settings",
            Kind::TlsFiles => "check that the Secret in tls.trustedCertificates holds PEM certificates",
            Kind::SecretUnreadable => "check that the Secret exists and holds the key",
            Kind::NotPermitted => return self.grant(),
            Kind::WalLevelTooLow => "run ALTER SYSTEM SET wal_level = logical; and restart the server",
            Kind::SlotsExhausted => {
                "drop slots that nobody uses (SELECT * FROM pg_replication_slots), or raise max_replication_slots and \
                 max_wal_senders and restart the server"
            }
            Kind::SlotInUse => "stop the other reader of the slot, or give this SourceConnector a slot name of its own",
            Kind::SlotLost => {
                "the changes since the last commit are gone from the server's log: delete the Sink with its progress \
                 and create it anew with a snapshot; raise max_slot_wal_keep_size"
            }
            Kind::SlotUnfit => "give this SourceConnector a slot name of its own, or drop the slot if nobody needs it",
            Kind::PublicationMissing => "create the publication, or let Afterbay do it (publication.managed: true)",
            Kind::TableMissing => "check the schema and the name of the table",
            Kind::TooManyConnections => "raise max_connections, or close sessions that nobody uses; it is tried again",
            Kind::Locked | Kind::Cancelled => "end long transactions on the tables in question; it is tried again",
            Kind::OutOfResources => "look at the server's disk, memory and log; it is tried again",
            Kind::SlotExists | Kind::ObjectMissing | Kind::Protocol | Kind::Other => {
                "look into the server's log for the same moment"
            }
        };
        hint.to_owned()
    }

    /// The statement that gives what is missing, as far as the server's words tell it.
    fn grant(&self) -> String {
        let role = quote::identifier(&self.place.role);
        let words = &self.words;
        if words.contains("replication") || words.contains("WAL sender") {
            format!("run ALTER ROLE {role} WITH REPLICATION;")
        } else if words.contains("for table") || words.contains("for relation") {
            format!("run GRANT SELECT ON that table TO {role};")
        } else if words.contains("for schema") {
            format!("run GRANT USAGE ON that schema TO {role};")
        } else if words.contains("row-level security") {
            format!("run ALTER ROLE {role} WITH BYPASSRLS;")
        } else if words.contains("must be owner") {
            format!("make {role} a member of the owner's role, or let the owner do it")
        } else {
            format!("give the privilege to {role}")
        }
    }
}
