//! A look at a table at an exact place of the log.
//!
//! A temporary slot gives both at once: its consistent point is the place, its snapshot shows just what committed before
//! it, as the server has built it from the commit records of the log. Making it waits for the transactions that write at
//! this moment, so none of them can be half seen; no row is read before the last of those that it shows has ended.

use std::time::Duration;

use afterbay_clients::postgres::wire::{ReplicationConnection, SlotOptions, SlotSnapshot};
use afterbay_clients::postgres::{Lsn, quote};
use afterbay_crds::plan::TableName;
use afterbay_crds::reason::Reason;
use afterbay_formats::table::{TableDescription, TableKind};

use super::{SourceError, copy_text};
use crate::change::{ChangeBatch, Item};
use crate::feed::FeedSender;

/// A name for a slot that lives as long as its connection.
pub fn temporary_name(purpose: &str) -> String {
    use std::hash::{BuildHasher, Hasher};
    // A fresh RandomState is a random number that the standard library has at hand.
    let unique = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("afterbay_{purpose}_{unique:016x}")
}

/// After what time it is told that rows wait.
const LONG: Duration = Duration::from_secs(30);

/// A transaction that the snapshot shows, and that has not ended yet.
const UNFINISHED: &str = "SELECT x FROM pg_current_snapshot() s, \
     generate_series(pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint - 1) x \
     WHERE pg_visible_in_snapshot(x::text::xid8, s) AND pg_xact_status(x::text::xid8) = 'in progress' LIMIT 1";

/// Begins a transaction that sees what committed before the place that is given back; the slot goes with the connection.
/// Whoever waits for rows of `table` is told what they wait for, if it is long.
pub async fn begin(
    connection: &mut ReplicationConnection,
    slot: &str,
    table: Option<&TableName>,
) -> Result<Lsn, SourceError> {
    let begun = make(connection, slot);
    tokio::pin!(begun);
    if let Ok(point) = tokio::time::timeout(LONG, &mut begun).await {
        return point;
    }
    let table = table.map(tracing::field::display);
    tracing::warn!(table, "the next rows of the snapshot wait for transactions of the database that are open for long");
    begun.await
}

async fn make(connection: &mut ReplicationConnection, slot: &str) -> Result<Lsn, SourceError> {
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let options = SlotOptions { temporary: true, snapshot: SlotSnapshot::Use, failover: false };
    let slot = connection.create_slot(slot, options).await?;
    until_all_have_ended(connection).await?;
    // An error beats rows that a policy hides from this role.
    connection.execute("SET LOCAL row_security = off").await?;
    Ok(slot.consistent_point)
}

/// Waits until all that the snapshot shows has ended for the server too.
///
/// A commit stands in the log, of which the snapshot is made, a moment before the server holds it for one: mostly
/// microseconds, and as long as its synchronous standby takes. Rows of it that somebody reads with this snapshot in
/// that moment are taken for those of a transaction that has failed. They would be missing in the snapshot, and worse: the
/// server notes it on the rows (hint bits), so that the change is undone for everybody
/// (pgsql-hackers, January 2026, "Race conditions in logical decoding"). So no table is read before; `pg_xact_status` asks
/// the list of those that run first.
async fn until_all_have_ended(connection: &mut ReplicationConnection) -> Result<(), SourceError> {
    let mut pause = Duration::from_millis(1);
    while !connection.query(UNFINISHED).await?.is_empty() {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(())
}

/// From here on no `ALTER TABLE` can come between; what came since the snapshot [`shows`] in the file of the table.
pub async fn lock(connection: &mut ReplicationConnection, table: &TableName) -> Result<(), SourceError> {
    // Who waits for a lock holds up the server's memory of old rows, and in a chunk the other Sinks' chunks.
    connection.execute("SET LOCAL lock_timeout = '20s'").await?;
    connection.execute(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", quote::table(table))).await?;
    Ok(())
}

/// Whether the snapshot shows the table's rows: where the file that it knows is not the table's any more, rows are missing,
/// as neither a rewrite nor `TRUNCATE` keeps them for older snapshots. And whether it knows the columns: one that was added
/// since is in the rows, and not in the changes that come from the snapshot's place on.
pub async fn shows(connection: &mut ReplicationConnection, table: &TableDescription) -> Result<(), SourceError> {
    let oid = table.oid;
    let columns = quote::literals(table.streamed_columns().map(|column| column.name.as_str()));
    let seen = connection
        .query(&format!(
            "SELECT coalesce(bool_and(c.relfilenode = pg_relation_filenode(c.oid)), true), \
             (SELECT count(*) FROM pg_attribute WHERE attrelid = {oid} AND NOT attisdropped AND attname IN ({columns})) \
             FROM pg_class c WHERE c.relkind = 'r' AND (c.oid = {oid} OR c.oid IN \
             (SELECT relid FROM pg_partition_tree({oid}) WHERE isleaf))"
        ))
        .await?;
    let [Some(file), Some(columns)] = seen.first().map_or(&[][..], Vec::as_slice) else {
        return Err(not_shown(table, "is not seen by"));
    };
    match (file.as_str(), columns.parse() == Ok(table.streamed_columns().count())) {
        ("t", true) => Ok(()),
        ("t", false) => Err(not_shown(table, "got other columns during")),
        _ => Err(not_shown(table, "was rewritten or truncated during")),
    }
}

fn not_shown(table: &TableDescription, how: &str) -> SourceError {
    SourceError::Refused(Reason::SourceFailed.problem(
        format!("table {}.{} {how} the start of a snapshot of it", table.schema, table.name),
        "nothing is lost: the snapshot is tried again by itself",
    ))
}

/// The time now, in microseconds since 1970: making the slot may have waited for long.
pub async fn time_us(connection: &mut ReplicationConnection) -> Result<i64, SourceError> {
    let rows = connection.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").await?;
    Ok(rows
        .first()
        .and_then(|row| row.first())
        .and_then(Option::as_deref)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default())
}

/// The very columns that the stream brings, in its order; `rest` says which rows, and in what order.
pub fn copy_statement(table: &TableDescription, rest: &str) -> String {
    let columns: Vec<_> = table.streamed_columns().map(|column| quote::identifier(&column.name)).collect();
    let columns = columns.join(", ");
    let only = if table.kind == TableKind::Partitioned { "" } else { "ONLY " };
    let name = quote::table(&TableName { schema: table.schema.clone(), name: table.name.clone() });
    format!("COPY (SELECT {columns} FROM {only}{name}{rest}) TO STDOUT")
}

/// Ends the look; the connection can be used for the next one.
pub async fn end(connection: &mut ReplicationConnection, slot: &str) -> Result<(), SourceError> {
    connection.execute("COMMIT").await?;
    Ok(connection.drop_slot(slot, false).await?)
}

/// Sends the rows of a `COPY` in batches; whether the Sink was there to the end.
pub async fn send_rows(
    connection: &mut ReplicationConnection,
    statement: &str,
    table: &TableDescription,
    batch_bytes: usize,
    sender: &FeedSender,
) -> Result<bool, SourceError> {
    let columns = table.streamed_columns().count();
    let mut copy = connection.copy_out(statement).await?;
    let mut batch = ChangeBatch::default();
    while let Some(line) = copy.next().await? {
        if !batch.has_room_for(line.len()) && sender.changes(std::mem::take(&mut batch)).await.is_err() {
            return Ok(false);
        }
        let row = copy_text::push_row(&mut batch, line, columns)?;
        batch.push(Item::SnapshotRow(row));
        if batch.size() >= batch_bytes && sender.changes(std::mem::take(&mut batch)).await.is_err() {
            return Ok(false);
        }
    }
    Ok(sender.changes(batch).await.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_differ_and_are_slot_names() {
        let (one, two) = (temporary_name("start"), temporary_name("start"));
        assert_ne!(one, two);
        assert!(one.len() < 64 && one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
    }
}
