//! Chunks of a snapshot: so many rows behind a key, each chunk as the table was at a place of the log of its own.
//!
//! `docs/design/0005-chunked-snapshot.md` argues why this loses and repeats nothing.

use std::sync::Arc;

use afterbay_clients::fault;
use afterbay_clients::postgres::catalogue::{collation, slot, table as tables};
use afterbay_clients::postgres::{Lsn, SqlClient, quote};
use afterbay_crds::plan::{RelationPlan, SnapshotMode, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::chunk_key::ChunkKey;
use afterbay_formats::table::TableDescription;
use afterbay_queries::carried;
use tokio::sync::oneshot;

use super::session::Context;
use super::turns::Reader;
use super::{SourceError, checks, describe, snapshot};
use crate::change::Shape;
use crate::feed::{Delivered, Delivery, Feed, feed};
use crate::protocol::{RelationIdentity, SourceIdentity};

/// A Sink's wish for the next rows.
#[derive(Clone, Debug)]
pub struct ChunkRequest {
    /// The relation.
    pub table: TableName,
    /// What the Sink's record says of it.
    pub relation: RelationIdentity,
    /// The database that the Sink's positions belong to.
    pub identity: SourceIdentity,
    /// The key that orders the rows.
    pub key: ChunkKey,
    /// The key of the last row that the Sink has; none: it has no row.
    pub after: Option<Vec<String>>,
}

/// The next rows, at most as many as the plan says: with fewer the table is at its end.
#[derive(Debug)]
pub struct Chunk {
    /// The rows are those that committed before this place left there.
    pub point: Lsn,
    /// When that was, in microseconds since 1970.
    pub time_us: i64,
    /// The columns of the rows.
    pub shape: Arc<Shape>,
    /// How many rows the table has, as the planner estimates.
    pub rows_estimated: Option<u64>,
    /// Where the rows come, and [`Delivery::SnapshotEnd`] behind them.
    pub rows: Feed,
}

/// Reads chunks for the Sinks of a worker.
#[derive(Debug)]
pub struct Chunks {
    context: Arc<Context>,
}

impl Chunks {
    /// For this worker.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// The key by which a snapshot of the Sink's table is to be taken in chunks, if it is.
    pub async fn key(&self, relation: &RelationPlan) -> Result<Option<ChunkKey>, Problem> {
        match self.context.plan.snapshot.mode {
            SnapshotMode::Consistent => Ok(None),
            SnapshotMode::Auto => self.possible_key(relation).await,
            SnapshotMode::Chunked => {
                self.possible_key(relation).await?.map_or_else(|| Err(no_key(&relation.table)), |key| Ok(Some(key)))
            }
        }
    }

    /// The key by which one that has begun in chunks goes on, whatever the plan says by now.
    pub async fn key_under_way(&self, relation: &RelationPlan) -> Result<ChunkKey, Problem> {
        self.possible_key(relation).await?.ok_or_else(|| key_changed(&relation.table))
    }

    /// The key of a table of a Sink by pattern, which is read in chunks or not at all.
    pub async fn key_by_pattern(&self, relation: &RelationPlan) -> Result<ChunkKey, Problem> {
        self.possible_key(relation).await?.ok_or_else(|| no_key_by_pattern(&relation.table))
    }

    async fn possible_key(&self, relation: &RelationPlan) -> Result<Option<ChunkKey>, Problem> {
        let look = async {
            let client = self.context.ask().await?;
            let table = describe(&client, &relation.table).await?;
            let key = carried::key_of_table(&table, relation).map_err(SourceError::Refused)?;
            key_of(&client, &table, &key).await
        };
        look.await.map_err(|error: SourceError| error.problem())
    }

    /// How many rows a chunk has.
    pub fn rows(&self) -> u64 {
        self.context.plan.snapshot.chunk_rows
    }

    /// Reads a chunk. The Sinks take turns, in the order of their asking.
    pub async fn read(&self, request: ChunkRequest, reply: oneshot::Sender<Result<Chunk, Problem>>) {
        let turns = &self.context.turns;
        let (turn, reader) = turns.place().await;
        if reply.is_closed() {
            if let Some(reader) = reader {
                turns.give_back(turn, reader);
            }
            return;
        }
        let reader = match Reader::ready(reader, &self.context.plan.connection).await {
            Ok(reader) => reader,
            Err(error) => return refuse(reply, &error.into()),
        };
        if let Some(reader) = self.read_with(reader, request, reply).await {
            turns.give_back(turn, reader);
        }
    }

    /// Gives the reader back where it can be used once more.
    async fn read_with(
        &self,
        mut reader: Reader,
        request: ChunkRequest,
        mut reply: oneshot::Sender<Result<Chunk, Problem>>,
    ) -> Option<Reader> {
        let slot = snapshot::temporary_name("chunk");
        let begun = tokio::select! {
            begun = self.begin(&mut reader, &request, &slot) => Some(begun),
            () = reply.closed() => None,
        };
        let Some(begun) = begun else {
            abandon(&reader.client, &slot).await;
            return None;
        };
        let (point, table, time_us, rows_estimated) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                refuse(reply, &error);
                return None;
            }
        };
        let (sender, rows) = feed(self.context.queue_bytes, Delivered::default());
        let shape = Arc::new(Shape::of(&table));
        if reply.send(Ok(Chunk { point, time_us, shape, rows_estimated, rows })).is_err() {
            return None;
        }
        let statement = snapshot::copy_statement(&table, &rest(&request, self.rows()));
        let sent =
            snapshot::send_rows(&mut reader.connection, &statement, &table, self.context.batch_bytes, &sender).await;
        let ended = match sent {
            Ok(true) => Delivery::SnapshotEnd(point),
            Ok(false) => return None,
            Err(error) => Delivery::Lost(error.problem()),
        };
        let whole = matches!(ended, Delivery::SnapshotEnd(_));
        // A Sink that has left needs no end.
        let _ = sender.send(ended);
        // What cannot be put away is thrown away with its connection.
        (whole && snapshot::end(&mut reader.connection, &slot).await.is_ok()).then_some(reader)
    }

    /// Begins the look at the table, which must be the Sink's still.
    async fn begin(
        &self,
        reader: &mut Reader,
        request: &ChunkRequest,
        slot: &str,
    ) -> Result<(Lsn, TableDescription, i64, Option<u64>), SourceError> {
        let Reader { connection, client } = reader;
        let server = connection.identify_system().await?;
        if (&server.system_id, server.timeline) != (&request.identity.system, request.identity.timeline) {
            return Err(SourceError::Refused(another_server()));
        }
        // It locks the table, so it is asked before this reader's other session does.
        let rows_estimated = tables::estimate_rows(client, &request.table).await?;
        let point = snapshot::begin(connection, slot, Some(&request.table)).await?;
        fault::hold("chunk-begun").await;
        snapshot::lock(connection, &request.table).await?;
        let publication = &self.context.plan.publication;
        let standing = checks::standing(client, publication, &[(&request.table, request.relation)]).await?.pop();
        let table = standing.unwrap_or_else(|| Err(another_server())).map_err(SourceError::Refused)?;
        let names: Vec<String> = request.key.names().map(str::to_owned).collect();
        let key = key_of(client, &table, &names).await?;
        if !key.is_some_and(|key| key.orders_as(&request.key)) {
            return Err(SourceError::Refused(key_changed(&request.table)));
        }
        snapshot::shows(connection, &table).await?;
        // Rows are to come in the order of the key's index from the first on: not after a sort of the whole table.
        connection.execute("SET LOCAL enable_seqscan = off").await?;
        connection.execute("SET LOCAL enable_sort = off").await?;
        let time_us = snapshot::time_us(connection).await?;
        Ok((point, table, time_us, rows_estimated))
    }
}

/// Ends the server's process that makes a slot for nobody: it waits for transactions, and does not see that its connection
/// is closed.
async fn abandon(client: &SqlClient, name: &str) {
    let found = slot::status(client, name).await;
    if let Ok(Some(pid)) = found.map(|slot| slot.and_then(|slot| slot.active_pid))
        && let Err(error) = slot::terminate_backend(client, pid).await
    {
        tracing::debug!(slot = name, "{error}");
    }
}

fn refuse(reply: oneshot::Sender<Result<Chunk, Problem>>, error: &SourceError) {
    // A Sink that does not wait any more needs no answer.
    let _ = reply.send(Err(error.problem()));
}

async fn key_of(client: &SqlClient, table: &TableDescription, key: &[String]) -> Result<Option<ChunkKey>, SourceError> {
    let bytewise = collation::bytewise_columns(client, table.oid).await?;
    Ok(ChunkKey::of(table, key, &bytewise))
}

/// The rows behind the key that the Sink has, in the key's order.
fn rest(request: &ChunkRequest, rows: u64) -> String {
    let names = quote::identifiers(request.key.names());
    let behind = request.after.as_ref().map_or_else(String::new, |after| {
        format!(" WHERE ({names}) > ({})", quote::literals(after.iter().map(String::as_str)))
    });
    format!("{behind} ORDER BY {names} LIMIT {rows}")
}

fn no_key(table: &TableName) -> Problem {
    Reason::TableUnfit.problem(
        format!(
            "a snapshot of table {table} cannot be taken in chunks: it needs a primary key whose columns belong to spec.key \
             and are of integers, numeric, uuid, bytea, dates, timestamps, or text with collation \"C\""
        ),
        "set spec.postgres.snapshot.mode of the SourceConnector to Auto or Consistent, or snapshot: false",
    )
}

fn no_key_by_pattern(table: &TableName) -> Problem {
    let Problem { reason, message, .. } = no_key(table);
    let hint = "exclude it with !pattern and carry it by a Sink of its own, or set snapshot: false";
    Problem { reason, message, hint: hint.to_owned() }
}

fn another_server() -> Problem {
    Reason::SourceUnreachable.problem(
        "the address of the database leads to another server than the replication session has",
        "nothing, after a failover: the snapshot goes on by itself once the session has followed",
    )
}

/// The rows that are sent and those to come have no order in common.
pub fn key_changed(table: &TableName) -> Problem {
    Reason::SchemaChanged.problem(
        format!(
            "the primary key of table {table} was changed while its snapshot was under way, or its replica identity does not \
             hold it any more"
        ),
        "rows that are sent and rows to come have no order in common: change it back, or give the Sink a new name and topic \
         to start afresh",
    )
}
