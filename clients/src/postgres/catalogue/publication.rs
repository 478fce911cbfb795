//! Publications: what they hold, and how the managed ones are made.

use afterbay_crds::plan::TableName;

use crate::postgres::quote;
use crate::postgres::{PostgresError, SqlClient};

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// Whether our role is the owner or a member of it, and so may alter it.
    pub owned: bool,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// What is published.
    pub operations: Operations,
    /// Whether a partition's changes are published as those of its root.
    pub via_partition_root: bool,
    /// Its tables.
    pub tables: Vec<PublishedTable>,
}

/// Which operations a publication holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the catalogue has it")]
pub struct Operations {
    /// `insert`
    pub insert: bool,
    /// `update`
    pub update: bool,
    /// `delete`
    pub delete: bool,
    /// `truncate`
    pub truncate: bool,
}

impl Operations {
    /// All of them.
    pub const ALL: Self = Self { insert: true, update: true, delete: true, truncate: true };
}

/// A table of a publication, as `pg_publication_tables` has it: with [`Publication::via_partition_root`] the root of a
/// partitioned table, else its leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    /// The table.
    pub table: TableName,
    /// The columns that are published; none: all that are not generated (servers before 15 know no other way).
    pub columns: Option<Vec<String>>,
    /// The condition that rows must meet to be published.
    pub row_filter: Option<String>,
    /// The oid of what puts the table into the publication: of its own entry, of its schema's, or of a publication of all
    /// tables itself. One that leaves and comes back has another.
    pub entry: u32,
    /// The oid of its schema's entry, if there is one: a table can have one of its own besides.
    pub schema_entry: Option<u32>,
}

impl PublishedTable {
    /// Whether this entry (still) puts the table into the publication.
    pub fn is_held_by(&self, entry: u32) -> bool {
        self.entry == entry || self.schema_entry == Some(entry)
    }
}

/// The publication of this name, with its tables.
pub async fn find(client: &SqlClient, name: &str) -> Result<Option<Publication>, PostgresError> {
    look_up(client, name, None).await
}

/// The publication of this name, with those of its tables that are asked for.
pub async fn find_with(
    client: &SqlClient,
    name: &str,
    tables: &[TableName],
) -> Result<Option<Publication>, PostgresError> {
    look_up(client, name, Some(tables)).await
}

async fn look_up(
    client: &SqlClient,
    name: &str,
    wanted: Option<&[TableName]>,
) -> Result<Option<Publication>, PostgresError> {
    let row = client
        .query_opt(
            "SELECT pg_get_userbyid(pubowner)::text, pg_has_role(pubowner, 'USAGE'), puballtables, pubinsert, pubupdate, \
                pubdelete, pubtruncate, pubviaroot, current_setting('server_version_num')::int4 \
             FROM pg_publication WHERE pubname = $1::text",
            &[&name],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let parts = parts_sql(row.get(8));
    let schema_entry = schema_entry_sql(row.get(8));
    let names = |part: fn(&TableName) -> &str| wanted.map(|tables| tables.iter().map(part).collect::<Vec<_>>());
    let tables = client
        .query(
            &format!(
                "SELECT t.schemaname::text, t.tablename::text, {parts}, CASE WHEN p.puballtables THEN p.oid ELSE coalesce(\
                    (SELECT r.oid FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid), \
                    {schema_entry}, p.oid) END, {schema_entry} \
                 FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname \
                 JOIN pg_namespace n ON n.nspname = t.schemaname \
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
                 WHERE t.pubname = $1::text AND ($2::text[] IS NULL OR (t.schemaname::text, t.tablename::text) IN \
                    (SELECT w.schema, w.name FROM unnest($2::text[], $3::text[]) AS w (schema, name))) \
                 ORDER BY 1, 2"
            ),
            &[&name, &names(|table| &table.schema), &names(|table| &table.name)],
        )
        .await?;
    Ok(Some(Publication {
        name: name.to_owned(),
        owner: row.get(0),
        owned: row.get(1),
        all_tables: row.get(2),
        operations: Operations { insert: row.get(3), update: row.get(4), delete: row.get(5), truncate: row.get(6) },
        via_partition_root: row.get(7),
        tables: tables
            .iter()
            .map(|row| PublishedTable {
                table: TableName { schema: row.get(0), name: row.get(1) },
                columns: row.get(2),
                row_filter: row.get(3),
                entry: row.get(4),
                schema_entry: row.get(5),
            })
            .collect(),
    }))
}

/// How a server of this version tells which columns and rows of a table it publishes. Column lists and row filters came
/// with version 15, generated columns can be published from 18 on; some of 15 to 17 list them without publishing them.
fn parts_sql(version: i32) -> &'static str {
    match version {
        180_000.. => {
            "CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                AND NOT a.attisdropped AND (a.attgenerated = '') <> (a.attname = ANY (t.attnames))) \
             THEN t.attnames::text[] END, t.rowfilter"
        }
        150_000.. => {
            "CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> ALL (t.attnames)) \
             THEN t.attnames::text[] END, t.rowfilter"
        }
        _ => "NULL::text[], NULL::text",
    }
}

/// The entry of a table's schema; schemas can be published from version 15 on.
fn schema_entry_sql(version: i32) -> &'static str {
    match version {
        150_000.. => "(SELECT s.oid FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = n.oid)",
        _ => "NULL::oid",
    }
}

/// Whether the role may make publications in this database (`CREATE` on it).
pub async fn may_create(client: &SqlClient) -> Result<bool, PostgresError> {
    let row = client.query_one("SELECT has_database_privilege(current_database(), 'CREATE')", &[]).await?;
    Ok(row.get(0))
}

/// Makes a publication of these tables.
pub async fn create(client: &SqlClient, name: &str, tables: &[TableName]) -> Result<(), PostgresError> {
    client.execute(&create_sql(name, tables)).await
}

/// Adds tables to a publication.
///
/// A slot of this publication may be live, so each table is locked against writers while it joins: what a running
/// transaction had written before would otherwise be decoded by the old catalogue, and be left out. The locks wait up to
/// `lock_timeout_ms` each, then the whole fails with [`crate::postgres::PostgresErrorKind::Locked`] and nothing is changed.
pub async fn add_tables(
    client: &SqlClient,
    name: &str,
    tables: &[TableName],
    lock_timeout_ms: u32,
) -> Result<(), PostgresError> {
    let outcome = client.execute(&add_tables_sql(name, tables, lock_timeout_ms)).await;
    if outcome.is_err() {
        // The batch begins a transaction itself, and a failure leaves the session in it; should this fail as well, the
        // session is broken, and the first error says more.
        client.execute("ROLLBACK").await.ok();
    }
    outcome
}

/// Takes tables out of a publication.
pub async fn drop_tables(client: &SqlClient, name: &str, tables: &[TableName]) -> Result<(), PostgresError> {
    client.execute(&format!("ALTER PUBLICATION {} DROP TABLE {}", quote::identifier(name), only(tables))).await
}

/// Drops a publication; one that does not exist is no error.
pub async fn drop(client: &SqlClient, name: &str) -> Result<(), PostgresError> {
    client.execute(&format!("DROP PUBLICATION IF EXISTS {}", quote::identifier(name))).await
}

/// The statement that makes a publication as Afterbay needs it; also for users who make it themselves.
pub fn create_sql(name: &str, tables: &[TableName]) -> String {
    let target = if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", only(tables)) };
    format!(
        "CREATE PUBLICATION {}{target} \
         WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)",
        quote::identifier(name)
    )
}

fn add_tables_sql(name: &str, tables: &[TableName], lock_timeout_ms: u32) -> String {
    // The lock takes in the partitions, into which others may write directly.
    let locked = tables.iter().map(quote::table).collect::<Vec<_>>().join(", ");
    format!(
        "BEGIN; SET LOCAL lock_timeout = '{lock_timeout_ms}ms'; \
         LOCK TABLE {locked} IN SHARE ROW EXCLUSIVE MODE; \
         ALTER PUBLICATION {} ADD TABLE {}; COMMIT",
        quote::identifier(name),
        only(tables)
    )
}

/// The tables themselves: without `ONLY` those that inherit from them would join too (partitions do in either way).
fn only(tables: &[TableName]) -> String {
    tables.iter().map(|table| format!("ONLY {}", quote::table(table))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<TableName> {
        [("public", "orders"), ("My Shop", "a\"b")]
            .map(|(schema, name)| TableName { schema: schema.into(), name: name.into() })
            .to_vec()
    }

    #[test]
    fn create() {
        assert_eq!(
            create_sql("afterbay shop", &tables()),
            r#"CREATE PUBLICATION "afterbay shop" FOR TABLE ONLY "public"."orders", ONLY "My Shop"."a""b" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)"#
        );
        assert!(create_sql("p", &[]).starts_with("CREATE PUBLICATION \"p\" WITH"));
    }

    #[test]
    fn tables_join_under_a_lock() {
        assert_eq!(
            add_tables_sql("p", &tables()[..1], 5000),
            "BEGIN; SET LOCAL lock_timeout = '5000ms'; \
             LOCK TABLE \"public\".\"orders\" IN SHARE ROW EXCLUSIVE MODE; \
             ALTER PUBLICATION \"p\" ADD TABLE ONLY \"public\".\"orders\"; COMMIT"
        );
    }
}
