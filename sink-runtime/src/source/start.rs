//! The start of a Sink: the position from which it streams, and the rows that are there before.
//!
//! A temporary slot gives both at once: its consistent point is the position, its snapshot shows just what committed
//! before it. Making it waits for the transactions that write at this moment, so none of them can be half seen, and the
//! table joined the publication before, so none of them can be half published. The worker's own slot is made first: it
//! holds the log from then on.

use std::sync::Arc;

use afterbay_clients::postgres::catalogue::{server, slot, table as tables};
use afterbay_clients::postgres::sql::{self, SqlClient};
use afterbay_clients::postgres::wire::{ReplicationConnection, SlotOptions, SlotSnapshot, SystemIdentity};
use afterbay_clients::postgres::{Lsn, quote};
use afterbay_crds::plan::{PostgresPlan, SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::fitness;
use afterbay_formats::table::{TableDescription, TableKind};
use tokio::sync::Mutex;

use super::session::Context;
use super::{AttachRequest, Attached, SourceError, checks, copy_text, describe};
use crate::change::{ChangeBatch, Item};
use crate::feed::{Delivered, Delivery, FeedSender, feed};
use crate::protocol::{RelationIdentity, SourceIdentity};

/// Serves one request for a fresh start, on connections of its own. `slot` keeps two starts from making the slot at
/// once.
pub async fn run(context: Arc<Context>, request: AttachRequest, snapshot: bool, slot: Arc<Mutex<()>>) {
    let AttachRequest { sink, table, origin: _, reply } = request;
    // Before the temporary slot is made: what the others commit meanwhile must not let the server forget what this Sink
    // needs from then on.
    context.floors.hold(sink);
    let mut begun = match begin(&context, sink, &table, &slot).await {
        Ok(begun) => begun,
        Err(error) => {
            context.floors.free(sink);
            // A Sink that does not wait any more needs no answer.
            let _ = reply.send(Err(error.problem()));
            return;
        }
    };
    let (sender, feed) = feed(context.queue_bytes, Delivered::default());
    let attached = Attached {
        feed,
        table: begun.table.clone(),
        relation: begun.relation,
        start: begun.consistent_point,
        identity: begun.identity.clone(),
        log_end: begun.consistent_point,
        rows_estimated: if snapshot { begun.rows_estimated } else { None },
        snapshot_time_us: begun.time_us,
    };
    if reply.send(Ok(attached)).is_err() {
        return;
    }
    let outcome = match rows(&context, &mut begun, snapshot, &sender).await {
        Ok(()) => still_held(&context, begun.consistent_point).await,
        Err(error) => Err(error),
    };
    let delivery = match outcome {
        Ok(()) => Delivery::SnapshotEnd(begun.consistent_point),
        Err(error) => Delivery::Lost(error.problem()),
    };
    // As above.
    let _ = sender.send(delivery);
}

struct Begun {
    connection: ReplicationConnection,
    consistent_point: Lsn,
    table: TableDescription,
    relation: RelationIdentity,
    identity: SourceIdentity,
    rows_estimated: Option<u64>,
    time_us: i64,
}

async fn begin(context: &Context, sink: usize, table: &TableName, slot: &Mutex<()>) -> Result<Begun, SourceError> {
    let plan = &context.plan;
    let client = sql::connect(&plan.connection).await?;
    let relation = preconditions(&client, plan, table, context.sinks.get(sink)).await?;
    let mut connection = ReplicationConnection::connect(&plan.connection).await?;
    let server = connection.identify_system().await?;
    {
        let _one_at_a_time = slot.lock().await;
        ensure_slot(&client, &mut connection, plan).await?;
    }
    let point = temporary_slot(&mut connection).await?;
    // From here on no ALTER TABLE can come between; what came since the snapshot shows in the file of the table.
    connection.execute(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", quote::table(table))).await?;
    let description = describe(&client, table).await?;
    if description.oid != relation.oid {
        return Err(SourceError::Refused(checks::made_again(table, description.oid, relation.oid)));
    }
    if rewritten(&mut connection, &description).await? {
        return Err(SourceError::Refused(Reason::SourceFailed.problem(
            format!("table {table} was rewritten or truncated while its snapshot began"),
            "nothing is lost: the snapshot is tried again by itself",
        )));
    }
    let rows_estimated = tables::estimate_rows(&client, table).await?;
    let time_us = transaction_time_us(&mut connection).await?;
    Ok(Begun {
        connection,
        consistent_point: point,
        table: description,
        relation,
        identity: identity(plan, &server),
        rows_estimated,
        time_us,
    })
}

/// What must hold before; the relation as the progress record is to know it.
async fn preconditions(
    client: &SqlClient,
    plan: &PostgresPlan,
    table: &TableName,
    sink: Option<&SinkPlan>,
) -> Result<RelationIdentity, SourceError> {
    let facts = server::facts(client).await?;
    let mut problems = facts.problems(client);
    let description = describe(client, table).await?;
    // Before the publication: a table that is not fit is not added to it, as its changes could fail for that.
    let unfit = sink.and_then(|sink| fitness::check(&description, &sink.key_columns, sink.envelope).err());
    problems.extend(unfit.unwrap_or_default());
    if let Some(access) = server::table_access(client, description.oid).await? {
        problems.extend(access.problems(&facts, table));
    }
    let published = checks::published(client, &plan.publication, table).await?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(SourceError::Refused(problem));
    }
    let entry = published.map_err(SourceError::Refused)?;
    Ok(RelationIdentity { oid: description.oid, entry })
}

/// The worker's slot still holds the log from the start on; an older worker may have read from it meanwhile. While
/// nothing is committed a start costs nothing but to be made anew.
async fn still_held(context: &Context, start: Lsn) -> Result<(), SourceError> {
    let client = sql::connect(&context.plan.connection).await?;
    let slot = &context.plan.slot;
    let Some(status) = slot::status(&client, slot).await? else {
        return Err(SourceError::Refused(start_overtaken(&format!("replication slot {slot} was dropped"))));
    };
    match status.confirmed_flush {
        Some(confirmed) if confirmed > start => Err(SourceError::Refused(start_overtaken(&format!(
            "replication slot {slot} was read up to {confirmed} by another worker, beyond the start {start}"
        )))),
        _ => Ok(()),
    }
}

fn start_overtaken(what: &str) -> Problem {
    Reason::SourceFailed.problem(
        format!("{what}, while the Sink began"),
        "nothing is sent yet and nothing is lost: the start is tried again by itself",
    )
}

async fn ensure_slot(
    client: &SqlClient,
    connection: &mut ReplicationConnection,
    plan: &PostgresPlan,
) -> Result<(), SourceError> {
    if let Some(status) = slot::status(client, &plan.slot).await? {
        return checks::slot_is_fit(plan, &status).map_err(SourceError::Refused);
    }
    let options = SlotOptions { temporary: false, snapshot: SlotSnapshot::Nothing };
    let created = connection.create_slot(&plan.slot, options).await?;
    tracing::info!(slot = %plan.slot, consistent_point = %created.consistent_point, "replication slot created");
    Ok(())
}

/// Begins the transaction of the snapshot; the slot goes with the connection.
async fn temporary_slot(connection: &mut ReplicationConnection) -> Result<Lsn, SourceError> {
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let options = SlotOptions { temporary: true, snapshot: SlotSnapshot::Use };
    let slot = connection.create_slot(&temporary_name("start"), options).await?;
    // An error beats rows that a policy hides from this role.
    connection.execute("SET LOCAL row_security = off").await?;
    Ok(slot.consistent_point)
}

/// A name for a slot that lives as long as its connection.
pub fn temporary_name(purpose: &str) -> String {
    use std::hash::{BuildHasher, Hasher};
    // A fresh RandomState is a random number that the standard library has at hand.
    let unique = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("afterbay_{purpose}_{unique:016x}")
}

/// Whether the file that the snapshot knows is not the table's file any more: its rows would then be missing.
async fn rewritten(connection: &mut ReplicationConnection, table: &TableDescription) -> Result<bool, SourceError> {
    let oid = table.oid;
    let seen = connection
        .query(&format!(
            "SELECT coalesce(bool_and(c.relfilenode = pg_relation_filenode(c.oid)), true) \
             FROM pg_class c WHERE c.relkind = 'r' AND (c.oid = {oid} OR c.oid IN \
             (SELECT relid FROM pg_partition_tree({oid}) WHERE isleaf))"
        ))
        .await?;
    Ok(seen.first().and_then(|row| row.first()).and_then(Option::as_deref) != Some("t"))
}

async fn transaction_time_us(connection: &mut ReplicationConnection) -> Result<i64, SourceError> {
    let rows = connection.query("SELECT (extract(epoch FROM now()) * 1000000)::bigint").await?;
    Ok(rows
        .first()
        .and_then(|row| row.first())
        .and_then(Option::as_deref)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default())
}

/// The positions' home.
pub fn identity(plan: &PostgresPlan, server: &SystemIdentity) -> SourceIdentity {
    SourceIdentity {
        system: server.system_id.clone(),
        timeline: server.timeline,
        database: plan.connection.database.clone(),
        slot: plan.slot.clone(),
    }
}

/// The very columns that the stream brings, in its order.
fn copy_statement(table: &TableName, description: &TableDescription) -> String {
    let columns: Vec<_> = description.streamed_columns().map(|column| quote::identifier(&column.name)).collect();
    let columns = columns.join(", ");
    match description.kind {
        TableKind::Partitioned => {
            format!("COPY (SELECT {columns} FROM {}) TO STDOUT", quote::table(table))
        }
        _ => format!("COPY (SELECT {columns} FROM ONLY {}) TO STDOUT", quote::table(table)),
    }
}

async fn rows(context: &Context, begun: &mut Begun, snapshot: bool, sender: &FeedSender) -> Result<(), SourceError> {
    if !snapshot {
        return Ok(());
    }
    let table = TableName { schema: begun.table.schema.clone(), name: begun.table.name.clone() };
    let columns = begun.table.streamed_columns().count();
    let mut copy = begun.connection.copy_out(&copy_statement(&table, &begun.table)).await?;
    let mut batch = ChangeBatch::default();
    while let Some(line) = copy.next().await? {
        if !batch.has_room_for(line.len()) && sender.changes(std::mem::take(&mut batch)).await.is_err() {
            return Ok(());
        }
        let row = copy_text::push_row(&mut batch, line, columns)?;
        batch.push(Item::SnapshotRow(row));
        if batch.size() >= context.batch_bytes && sender.changes(std::mem::take(&mut batch)).await.is_err() {
            return Ok(());
        }
    }
    // A Sink that has left needs no rows.
    let _ = sender.changes(batch).await;
    Ok(())
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
