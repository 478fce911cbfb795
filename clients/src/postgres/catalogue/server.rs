//! The server and the role: what must hold before anything can be read.

use afterbay_crds::plan::TableName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use crate::postgres::lsn::Lsn;
use crate::postgres::quote;
use crate::postgres::session::APPLICATION_NAME;
use crate::postgres::{PostgresError, SqlClient};

/// What a server says about itself and about our role.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the catalogue has it")]
pub struct ServerFacts {
    /// `server_version_num`, e.g. `150018`.
    pub version: u32,
    /// `server_version`, for messages.
    pub version_text: String,
    /// `wal_level`.
    pub wal_level: String,
    /// The encoding of the database.
    pub encoding: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// `synchronous_standby_names`; empty: commits wait for no standby.
    pub synchronous_standby_names: String,
    /// `synchronized_standby_slots`: the slots of the standbys that are to have the log before it is sent from a failover
    /// slot; none before version 17.
    pub synchronized_standby_slots: Option<String>,
    /// `max_replication_slots`.
    pub replication_slots_max: u32,
    /// The role.
    pub role: String,
    /// Whether the role has the attribute `REPLICATION`.
    pub replication: bool,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether row security does not apply to it.
    pub bypasses_row_security: bool,
}

/// What the role may do with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the catalogue has it")]
pub struct TableAccess {
    /// `SELECT` on it, or on each of its columns.
    pub select: bool,
    /// `USAGE` of its schema.
    pub schema_usage: bool,
    /// Whether policies of row security hide rows from the role.
    pub row_security: bool,
    /// Whether the role owns it, itself or by membership.
    pub owned: bool,
}

/// Asks the server about itself.
pub async fn facts(client: &SqlClient) -> Result<ServerFacts, PostgresError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
                current_setting('wal_level'), current_setting('server_encoding'), pg_is_in_recovery(), \
                current_setting('synchronous_standby_names'), current_setting('max_replication_slots')::int4, \
                r.rolname::text, r.rolreplication, r.rolsuper, r.rolbypassrls, \
                current_setting('synchronized_standby_slots', true) \
             FROM pg_roles r WHERE r.rolname = current_user",
            &[],
        )
        .await?;
    Ok(ServerFacts {
        version: row.get::<_, i32>(0).unsigned_abs(),
        version_text: row.get(1),
        wal_level: row.get(2),
        encoding: row.get(3),
        in_recovery: row.get(4),
        synchronous_standby_names: row.get(5),
        replication_slots_max: row.get::<_, i32>(6).unsigned_abs(),
        role: row.get(7),
        replication: row.get(8),
        superuser: row.get(9),
        bypasses_row_security: row.get(10),
        synchronized_standby_slots: row.get(11),
    })
}

/// What the role may do with a table, by its oid; none when it does not exist.
pub async fn table_access(client: &SqlClient, table_oid: u32) -> Result<Option<TableAccess>, PostgresError> {
    let row = client
        .query_opt(
            // Privileges on every single column do as well as one on the table.
            "SELECT has_schema_privilege(c.relnamespace, 'USAGE'), \
                has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS ( \
                    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                    AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')), \
                row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE') \
             FROM pg_class c WHERE c.oid = $1",
            &[&table_oid],
        )
        .await?;
    Ok(row.map(|row| TableAccess {
        schema_usage: row.get(0),
        select: row.get(1),
        row_security: row.get(2),
        owned: row.get(3),
    }))
}

/// The end of the log that is flushed to disk; everything that was committed before this call lies before it, unless
/// `synchronous_commit` is off.
pub async fn flushed(client: &SqlClient) -> Result<Lsn, PostgresError> {
    lsn(client, "SELECT pg_current_wal_flush_lsn()::text").await
}

/// The end of the log; everything that was committed before this call lies before it.
pub async fn inserted(client: &SqlClient) -> Result<Lsn, PostgresError> {
    lsn(client, "SELECT pg_current_wal_insert_lsn()::text").await
}

async fn lsn(client: &SqlClient, sql: &str) -> Result<Lsn, PostgresError> {
    let text: String = client.query_one(sql, &[]).await?.get(0);
    text.parse()
        .map_err(|error: crate::postgres::lsn::InvalidLsn| PostgresError::protocol(error.to_string(), client.place()))
}

impl ServerFacts {
    /// The problem, if the server would have its commits wait for what we acknowledge. Which standbys it waits for at
    /// this moment does not tell: a client counts from its first acknowledgement on.
    pub fn synchronous(&self) -> Option<Problem> {
        names_standby(&self.synchronous_standby_names, APPLICATION_NAME).then(|| {
            Reason::SynchronousStandby.problem(
                format!(
                    "synchronous_standby_names is {}, which counts Afterbay (application name {APPLICATION_NAME}) as a \
                     standby: commits would wait for it",
                    self.synchronous_standby_names
                ),
                "name the standbys in synchronous_standby_names, without '*'",
            )
        })
    }

    /// The problem, if the server has no failover slots.
    pub fn failover(&self, client: &SqlClient) -> Option<Problem> {
        (self.version < 170_000).then(|| {
            Reason::SlotUnfit.problem(
                format!(
                    "spec.postgres.slot.failover needs Postgres 17 or newer, the one at {} is version {}",
                    client.place().servers,
                    self.version_text
                ),
                "leave slot.failover out (after a failover it is SlotLost then, and slot.onLoss decides), or upgrade the server",
            )
        })
    }

    /// What is to be known where a failover slot may run ahead of the standbys.
    pub fn failover_may_lose(&self) -> Option<&'static str> {
        self.synchronized_standby_slots.as_deref().is_some_and(str::is_empty).then_some(
            "synchronized_standby_slots is empty: changes may be in Kafka before a standby has them, and the Sinks will stall \
             after a failover to a standby that lacks some; name the slots of the standbys in it",
        )
    }

    /// What keeps the server and the role from being a source.
    pub fn problems(&self, client: &SqlClient) -> Vec<Problem> {
        let servers = &client.place().servers;
        let mut problems = Vec::new();
        if self.version < 130_000 {
            problems.push(Reason::SourceFailed.problem(
                format!("Postgres at {servers} is version {}", self.version_text),
                "version 13 or newer is needed",
            ));
        }
        if self.wal_level != "logical" {
            problems.push(Reason::WalLevelTooLow.problem(
                format!("wal_level of Postgres at {servers} is \"{}\", not \"logical\"", self.wal_level),
                "run ALTER SYSTEM SET wal_level = logical; and restart the server (on a managed service set its \
                 parameter for logical replication)",
            ));
        }
        problems.extend(self.synchronous());
        if !self.replication && !self.superuser {
            problems.push(Reason::SourceNotPermitted.problem(
                format!("role \"{}\" at {servers} may not replicate", self.role),
                format!("run ALTER ROLE {} WITH REPLICATION;", quote::identifier(&self.role)),
            ));
        }
        problems
    }
}

/// Whether `synchronous_standby_names` names a client, alone or among all: `s1, s2`, `FIRST 1 (s1, s2)`, `ANY 1 (*)`.
fn names_standby(setting: &str, application_name: &str) -> bool {
    let list = setting.split_once('(').map_or(setting, |(_, list)| list.trim_end().trim_end_matches(')'));
    list.split(',')
        .map(|name| name.trim().trim_matches('"'))
        .any(|name| name == "*" || name.eq_ignore_ascii_case(application_name))
}

impl TableAccess {
    /// What keeps the role from reading the table.
    pub fn problems(self, facts: &ServerFacts, table: &TableName) -> Vec<Problem> {
        let role = quote::identifier(&facts.role);
        let mut problems = Vec::new();
        if !self.schema_usage {
            problems.push(Reason::SourceNotPermitted.problem(
                format!("role \"{}\" may not use schema \"{}\" of table {table}", facts.role, table.schema),
                format!("run GRANT USAGE ON SCHEMA {} TO {role};", quote::identifier(&table.schema)),
            ));
        }
        if !self.select {
            problems.push(Reason::SourceNotPermitted.problem(
                format!("role \"{}\" may not select from table {table}", facts.role),
                format!("run GRANT SELECT ON {} TO {role};", quote::table(table)),
            ));
        }
        if self.row_security {
            problems.push(Reason::SourceNotPermitted.problem(
                format!("row security hides rows of table {table} from role \"{}\"", facts.role),
                format!("run ALTER ROLE {role} WITH BYPASSRLS;"),
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_counts_as_a_standby() {
        for setting in
            ["*", "afterbay", "s1, Afterbay", "FIRST 1 (s1, *)", "ANY 2 (\"afterbay\", s2)", "2 (s1,afterbay )"]
        {
            assert!(names_standby(setting, "afterbay"), "{setting}");
        }
        for setting in ["", "s1", "FIRST 1 (s1, s2)", "ANY 1 (afterbay2)"] {
            assert!(!names_standby(setting, "afterbay"), "{setting}");
        }
    }
}
