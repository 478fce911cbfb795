//! Which columns of text compare by their bytes.

use crate::postgres::{PostgresError, SqlClient};

/// The columns of `text`, `varchar` and `name` (and of domains over them) whose collation compares bytes: `C` and `POSIX`,
/// or the database's own where that is one of the two. Not `char(n)`, whose padding does not count.
pub async fn bytewise_columns(client: &SqlClient, table_oid: u32) -> Result<Vec<String>, PostgresError> {
    let rows = client
        .query(
            "SELECT a.attname::text FROM pg_attribute a \
             JOIN pg_type t ON t.oid = a.atttypid \
             JOIN pg_collation c ON c.oid = a.attcollation \
             JOIN pg_database d ON d.datname = current_database() \
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
               AND (CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END)::regtype::text \
                   IN ('text', 'character varying', 'name') \
               AND pg_encoding_to_char(d.encoding) = 'UTF8' \
               AND (c.collname IN ('C', 'POSIX') AND c.collnamespace = 'pg_catalog'::regnamespace \
                 OR c.collname = 'default' AND d.datcollate IN ('C', 'POSIX') \
                   AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c')",
            &[&table_oid],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
