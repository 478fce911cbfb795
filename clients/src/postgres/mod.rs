//! Postgres: SQL sessions, the replication session, pgoutput and what is asked of the catalogue.
//!
//! Two connections serve two ends. [`sql`] asks the catalogue with tokio-postgres; [`wire`] is a small client of our own
//! for what tokio-postgres does not speak: replication, and `COPY` in the snapshot of a slot
//! (`docs/design/0002-own-replication-client.md`). Both enter the server in the same way ([`session`]): the same TLS,
//! the same choice of the primary, the same settings of the session, so that a value's text form is the same on both.

pub mod catalogue;
pub mod error;
pub mod lsn;
pub mod pgoutput;
pub mod quote;
pub mod retirement;
pub mod session;
pub mod sql;
pub mod wire;

mod cursor;

pub use error::{PostgresError, PostgresErrorKind};
pub use lsn::Lsn;
pub use sql::SqlClient;
pub use wire::{ReplicationConnection, ReplicationMessage, ReplicationReader, StatusWriter};
