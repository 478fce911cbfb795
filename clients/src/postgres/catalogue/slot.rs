//! Replication slots.

use crate::postgres::lsn::{InvalidLsn, Lsn};
use crate::postgres::{PostgresError, SqlClient};

/// A slot as `pg_replication_slots` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The plugin; none for a physical slot.
    pub plugin: Option<String>,
    /// The database; none for a physical slot.
    pub database: Option<String>,
    /// Whether it goes with the session that made it.
    pub temporary: bool,
    /// The server process that reads it.
    pub active_pid: Option<i32>,
    /// Up to where its reader has acknowledged.
    pub confirmed_flush: Option<Lsn>,
    /// From where on the server keeps the log for it; none when the slot is lost.
    pub restart_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`; none where there is no limit to tell it by.
    pub wal_status: Option<String>,
    /// Bytes of the log that it holds back.
    pub held_bytes: Option<i64>,
    /// Whether standbys keep a copy of it; never before version 17.
    pub failover: bool,
}

impl SlotStatus {
    /// Whether the server can no longer give what the slot should hold.
    pub fn lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost") || (self.plugin.is_some() && self.restart_lsn.is_none())
    }
}

/// The slot of this name.
pub async fn status(client: &SqlClient, name: &str) -> Result<Option<SlotStatus>, PostgresError> {
    let row = client
        .query_opt(
            "SELECT plugin::text, database::text, temporary, active_pid, confirmed_flush_lsn::text, restart_lsn::text, \
                wal_status, CASE WHEN NOT pg_is_in_recovery() \
                    THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 END, \
                coalesce((to_jsonb(s) ->> 'failover')::bool, false) \
             FROM pg_replication_slots s WHERE slot_name = $1::text",
            &[&name],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let lsn = |column: usize| {
        let parsed = row.get::<_, Option<String>>(column).map(|text| text.parse::<Lsn>()).transpose();
        parsed.map_err(|error: InvalidLsn| PostgresError::protocol(error.to_string(), client.place()))
    };
    Ok(Some(SlotStatus {
        plugin: row.get(0),
        database: row.get(1),
        temporary: row.get(2),
        active_pid: row.get(3),
        confirmed_flush: lsn(4)?,
        restart_lsn: lsn(5)?,
        wal_status: row.get(6),
        held_bytes: row.get(7),
        failover: row.get(8),
    }))
}

/// The slots of this database that have this name, or begin with it and an underscore: those that a SourceConnector with this slot, and its
/// pools, may have made.
pub async fn named(client: &SqlClient, base: &str) -> Result<Vec<String>, PostgresError> {
    let rows = client
        .query(
            "SELECT slot_name::text FROM pg_replication_slots \
             WHERE plugin = 'pgoutput' AND database = current_database() AND NOT temporary \
                AND (slot_name = $1::text OR left(slot_name, length($1::text) + 1) = $1::text || '_') ORDER BY slot_name",
            &[&base],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Ends the server process that reads a slot; whether there was one that could be told. It leaves a moment later.
///
/// The role must be the one that the process runs under, a member of it, or of `pg_signal_backend`.
pub async fn terminate_backend(client: &SqlClient, pid: i32) -> Result<bool, PostgresError> {
    Ok(client.query_one("SELECT pg_terminate_backend($1)", &[&pid]).await?.get(0))
}

/// Drops a slot that is lost, if there is one and nobody reads it: one that was made anew meanwhile is left alone.
pub async fn drop_lost(client: &SqlClient, name: &str) -> Result<(), PostgresError> {
    client
        .query(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE slot_name = $1::text AND active_pid IS NULL AND (wal_status = 'lost' OR restart_lsn IS NULL)",
            &[&name],
        )
        .await
        .map(|_| ())
}

/// Drops a slot that nobody reads. One that does not exist is no error.
pub async fn drop(client: &SqlClient, name: &str) -> Result<(), PostgresError> {
    client
        .query(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1::text",
            &[&name],
        )
        .await
        .map(|_| ())
}
