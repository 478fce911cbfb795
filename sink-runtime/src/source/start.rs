//! The start of a Sink: the position from which it streams, and the rows that are there before.
//!
//! A temporary slot gives both at once: its consistent point is the position, its snapshot shows just what committed
//! before it. Making it waits for the transactions that write at this moment, so none of them can be half seen, and the
//! table joined the publication before, so none of them can be half published. The worker's own slot is made first: it
//! holds the log from then on.

use std::sync::Arc;

use afterbay_clients::fault;
use afterbay_clients::postgres::Lsn;
use afterbay_clients::postgres::SqlClient;
use afterbay_clients::postgres::catalogue::{server, slot, table as tables};
use afterbay_clients::postgres::wire::{ReplicationConnection, SlotOptions, SlotSnapshot, SystemIdentity};
use afterbay_crds::plan::{OnSlotLoss, PostgresPlan, RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::table::TableDescription;
use afterbay_queries::carried;
use tokio::sync::Mutex;

use super::claim::Grant;
use super::session::Context;
use super::snapshot::temporary_name;
use super::turns::Reader;
use super::{AttachRequest, Attached, SourceError, checks, describe, snapshot};
use crate::feed::{Delivered, Delivery, FeedSender, feed};
use crate::protocol::{RelationIdentity, SourceIdentity};

/// Serves one request for a fresh start, on connections of its own. `slot` keeps two starts from making the slot at
/// once.
pub async fn run(context: Arc<Context>, request: AttachRequest, snapshot: bool, slot: Arc<Mutex<()>>) {
    let AttachRequest { sink, claims, origin: _, reply } = request;
    let table = claims.first().map(|claim| &claim.table);
    let turns = &context.turns;
    let (turn, reader) = if snapshot { (turns.whole_table().await, None) } else { turns.place().await };
    // Before the temporary slot is made: what the others commit meanwhile must not let the server forget what this Sink
    // needs from then on.
    context.floors.hold(sink);
    let mut begun = match begin(&context, sink, table, &slot, reader).await {
        Ok(begun) => begun,
        Err(error) => {
            context.floors.free(sink);
            // A Sink that does not wait any more needs no answer.
            let _ = reply.send(Err(error.problem().into()));
            return;
        }
    };
    let (sender, feed) = feed(context.queue_bytes, Delivered::default());
    let attached = Attached {
        feed,
        grants: begun
            .table
            .iter()
            .map(|(table, relation)| Grant::Carried(Box::new(table.clone()), *relation))
            .collect(),
        start: begun.consistent_point,
        identity: begun.identity.clone(),
        log_end: begun.consistent_point,
        rows_estimated: if snapshot { begun.rows_estimated } else { None },
        snapshot_time_us: begun.time_us,
    };
    if reply.send(Ok(attached)).is_err() {
        return;
    }
    let point = begun.consistent_point;
    let outcome = rows(&context, &mut begun, snapshot, &sender).await;
    // The next one is to find the slot free. What cannot be put away goes with its connection, a moment later.
    if outcome.is_ok() && snapshot::end(&mut begun.reader.connection, &begun.slot).await.is_ok() && !snapshot {
        context.turns.give_back(turn, begun.reader);
    } else {
        drop((begun, turn));
    }
    let outcome = match outcome {
        Ok(()) => still_held(&context, point).await,
        Err(error) => Err(error),
    };
    let delivery = match outcome {
        Ok(()) => Delivery::SnapshotEnd(point),
        Err(error) => Delivery::Lost(error.problem()),
    };
    // As above.
    let _ = sender.send(delivery);
}

struct Begun {
    reader: Reader,
    slot: String,
    consistent_point: Lsn,
    table: Option<(TableDescription, RelationIdentity)>,
    identity: SourceIdentity,
    rows_estimated: Option<u64>,
    time_us: i64,
}

async fn begin(
    context: &Context,
    sink: usize,
    table: Option<&TableName>,
    slot: &Mutex<()>,
    reader: Option<Reader>,
) -> Result<Begun, SourceError> {
    let plan = &context.plan;
    let mut reader = Reader::ready(reader, &plan.connection).await?;
    let Reader { connection, client } = &mut reader;
    let table = table.map(|table| (table, context.relation(sink, table)));
    let relation = preconditions(client, plan, table).await?;
    let server = connection.identify_system().await?;
    {
        let _one_at_a_time = slot.lock().await;
        ensure_slot(client, connection, plan).await?;
    }
    // It locks the table, so it is asked before the other session does.
    let rows_estimated = match table {
        Some((table, _)) => tables::estimate_rows(client, table).await?,
        None => None,
    };
    let name = temporary_name("start");
    let point = snapshot::begin(connection, &name, table.map(|(table, _)| table)).await?;
    fault::hold("start-begun").await;
    let described = match (table, relation) {
        (Some((table, _)), Some(relation)) => {
            snapshot::lock(connection, table).await?;
            let description = describe(client, table).await?;
            if description.oid != relation.oid {
                return Err(SourceError::Refused(checks::made_again(table, description.oid, relation.oid)));
            }
            snapshot::shows(connection, &description).await?;
            Some((description, relation))
        }
        // The tables of a Sink by pattern join it when it has begun.
        _ => None,
    };
    let time_us = snapshot::time_us(connection).await?;
    Ok(Begun {
        reader,
        slot: name,
        consistent_point: point,
        table: described,
        identity: identity(plan, &server),
        rows_estimated,
        time_us,
    })
}

/// What must hold before; the relation, where there is one yet, as the progress record is to know it.
async fn preconditions(
    client: &SqlClient,
    plan: &PostgresPlan,
    table: Option<(&TableName, Option<&RelationPlan>)>,
) -> Result<Option<RelationIdentity>, SourceError> {
    let facts = server::facts(client).await?;
    let mut problems = facts.problems(client);
    if plan.failover_slot {
        problems.extend(facts.failover(client));
    }
    let Some((table, relation)) = table else {
        let problem = problems.into_iter().next();
        return problem.map_or(Ok(None), |problem| Err(SourceError::Refused(problem)));
    };
    let description = describe(client, table).await?;
    // Before the publication: a table that is not fit is not added to it, as its changes could fail for that.
    let unfit = relation.and_then(|relation| carried::check_anew(&description, relation).err());
    problems.extend(unfit.unwrap_or_default());
    if let Some(access) = server::table_access(client, description.oid).await? {
        problems.extend(access.problems(&facts, table));
    }
    let published = checks::published(client, &plan.publication, table).await?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(SourceError::Refused(problem));
    }
    let entry = published.map_err(SourceError::Refused)?;
    Ok(Some(RelationIdentity { oid: description.oid, entry }))
}

/// The worker's slot still holds the log from the start on; an older worker may have read from it meanwhile. While
/// nothing is committed a start costs nothing but to be made anew.
async fn still_held(context: &Context, start: Lsn) -> Result<(), SourceError> {
    let client = context.ask().await?;
    let slot = &context.plan.slot;
    let Some(status) = slot::status(&client, slot).await? else {
        return Err(SourceError::Refused(start_overtaken(&format!("replication slot {slot} was dropped"))));
    };
    match status.confirmed_flush {
        _ if status.lost() => {
            Err(SourceError::Refused(start_overtaken(&format!("replication slot {slot} was invalidated"))))
        }
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
        let fit = checks::slot_is_fit(plan, &status);
        let anew = plan.on_slot_loss == OnSlotLoss::Resnapshot && checks::slot_is_ours(plan, &status).is_ok();
        if fit.is_ok() || !anew || status.active_pid.is_some() {
            return fit.map_err(SourceError::Refused);
        }
        // It is lost to all Sinks alike.
        slot::drop_lost(client, &plan.slot).await?;
        fault::point("slot-dropped");
    }
    let options = SlotOptions { temporary: false, snapshot: SlotSnapshot::Nothing, failover: plan.failover_slot };
    let created = connection.create_slot(&plan.slot, options).await?;
    fault::point("slot-made");
    tracing::info!(slot = %plan.slot, consistent_point = %created.consistent_point, "replication slot created");
    Ok(())
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

async fn rows(context: &Context, begun: &mut Begun, wanted: bool, sender: &FeedSender) -> Result<(), SourceError> {
    let Some((table, _)) = begun.table.as_ref().filter(|_| wanted) else { return Ok(()) };
    let statement = snapshot::copy_statement(table, "");
    snapshot::send_rows(&mut begun.reader.connection, &statement, table, context.batch_bytes, sender).await.map(|_| ())
}
