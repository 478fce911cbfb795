//! The source: one replication session for all Sinks of a worker.
//!
//! Sinks ask to be fed ([`SourceHandle::attach`]); the [`manager`] gathers them into a [`session`] over the slot. One
//! that comes later, or comes back, reads on a copy of the slot until it has caught up with the others
//! ([`catch_up`]), so that it never makes them wait; a new one begins on a connection of its own ([`start`]), and has the
//! rows that are there all at once or, beside the stream, in [`chunks`]. Nothing here knows of Kafka.

pub mod catch_up;
pub mod checks;
pub mod chunks;
pub mod claim;
pub mod copy_text;
pub mod floors;
pub mod histories;
pub mod kept;
pub mod loss;
pub mod manager;
pub mod own_thread;
pub mod router;
pub mod session;
pub mod snapshot;
pub mod start;
pub mod status;
pub mod turns;
pub mod watch;

use std::sync::Arc;

use afterbay_clients::postgres::catalogue::{server, slot, table as tables};
use afterbay_clients::postgres::{Lsn, PostgresError, SqlClient};
use afterbay_crds::plan::{RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::chunk_key::ChunkKey;
use afterbay_formats::fitness;
use afterbay_formats::table::TableDescription;
use tokio::sync::{mpsc, oneshot};

use self::chunks::{Chunk, ChunkRequest, Chunks};
use self::claim::{Claim, Grant};
use self::histories::{Retained, SinkHistory};
use self::loss::Refusal;
use self::router::Member;
use self::session::Context;
use crate::change::Shape;
use crate::feed::{Feed, FeedSender};
use crate::kept_columns::KeptColumns;
use crate::position::Position;
use crate::protocol::SourceIdentity;

/// Why the source cannot feed a Sink.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Postgres says no, or nothing.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The stream is not what it should be.
    #[error(transparent)]
    Route(#[from] router::RouteError),
    /// The snapshot is not what it should be.
    #[error(transparent)]
    CopyText(#[from] copy_text::CopyTextError),
    /// What stands against it is told.
    #[error("{}", .0.message)]
    Refused(Problem),
}

impl SourceError {
    /// As users read it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Postgres(error) => error.problem(),
            Self::Refused(problem) => problem.clone(),
            Self::Route(_) | Self::CopyText(_) => Reason::SourceFailed.problem(
                self.to_string(),
                "this is a defect, please report it with the version of the server; nothing is lost, it is tried again",
            ),
        }
    }
}

/// From where a Sink wants to be fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From now on; with the rows that are there before.
    Fresh {
        /// Whether the rows are wanted.
        snapshot: bool,
    },
    /// From what its progress record says.
    Record {
        /// How far it has come.
        position: Position,
        /// Where that holds.
        identity: SourceIdentity,
    },
}

/// A Sink's wish to be fed.
#[derive(Debug)]
pub struct AttachRequest {
    /// Which Sink of the plan.
    pub sink: usize,
    /// Its tables. One that begins without a place in the log has one at the most.
    pub claims: Vec<Claim>,
    /// From where.
    pub origin: Origin,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Attached, Refusal>>,
}

/// What a Sink gets.
#[derive(Debug)]
pub struct Attached {
    /// The queue.
    pub feed: Feed,
    /// What it gets for each of its claims.
    pub grants: Vec<Grant>,
    /// From where the stream feeds: the snapshot shows what committed before it.
    pub start: Lsn,
    /// The database that the positions belong to.
    pub identity: SourceIdentity,
    /// The end of the log at this moment: who has got so far has seen all that was there.
    pub log_end: Lsn,
    /// Rows that the snapshot will bring, as the planner estimates.
    pub rows_estimated: Option<u64>,
    /// When the snapshot was taken, in microseconds since 1970.
    pub snapshot_time_us: i64,
}

/// A catching-up Sink's wish to be fed by the session of all.
#[derive(Debug)]
pub struct JoinRequest {
    /// The Sink, as the router is to know it.
    pub member: Member,
    /// The queue on which it catches up. A Sink that has left it is at the end of its life, and the next life may be in the
    /// session already.
    pub queue: FeedSender,
    /// How far it has caught up.
    pub boundary: Lsn,
    /// Where the queue goes, and from where on it is filled.
    pub reply: oneshot::Sender<(Feed, Lsn)>,
}

/// What the manager is asked for.
#[derive(Debug)]
pub enum Request {
    /// Feed a Sink.
    Attach(AttachRequest),
    /// Do not wait for this Sink: it has a problem of its own, or is busy with its start.
    Away(usize),
    /// Take a Sink that has caught up into the session.
    Join(Box<JoinRequest>),
}

/// What the Sinks hold of the source.
#[derive(Clone, Debug)]
pub struct SourceHandle {
    context: Arc<Context>,
    requests: mpsc::UnboundedSender<Request>,
    chunks: Arc<Chunks>,
    runtime: tokio::runtime::Handle,
}

impl SourceHandle {
    /// A handle whose requests go there.
    pub fn new(context: Arc<Context>, requests: mpsc::UnboundedSender<Request>) -> Self {
        Self {
            chunks: Arc::new(Chunks::new(Arc::clone(&context))),
            context,
            requests,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Asks to be fed, and waits for the answer. For threads, not for tasks.
    pub fn attach(&self, sink: usize, claims: Vec<Claim>, origin: Origin) -> Result<Attached, Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = AttachRequest { sink, claims, origin, reply };
        self.requests.send(Request::Attach(request)).map_err(|_| stopping())?;
        answer.blocking_recv().map_err(|_| stopping())?
    }

    /// Whether the slot still has what follows the place of a Sink that is not about to be fed; none where that cannot be told
    /// now. For threads, not for tasks.
    pub fn serves(&self, sink: usize, position: &Position) -> Option<Result<(), Refusal>> {
        let context = &self.context;
        let slot = self.runtime.block_on(async {
            let client = context.ask().await.ok()?;
            slot::status(&client, &context.plan.slot).await.ok()
        })?;
        let ours = context.status.is_up();
        Some(loss::slot_serves(&context.plan, context.sinks.get(sink), slot.as_ref(), ours, position))
    }

    /// Says that this Sink is not about to ask.
    pub fn away(&self, sink: usize) {
        // A manager that is gone waits for nobody.
        let _ = self.requests.send(Request::Away(sink));
    }

    /// The key by which a snapshot of the Sink's table is to be taken in chunks, if it is. For threads, not for tasks.
    pub fn chunk_key(&self, relation: &RelationPlan) -> Result<Option<ChunkKey>, Problem> {
        self.runtime.block_on(self.chunks.key(relation))
    }

    /// The key of a table of a Sink by pattern, which is read in chunks or not at all. For threads, not for tasks.
    pub fn chunk_key_by_pattern(&self, relation: &RelationPlan) -> Result<ChunkKey, Problem> {
        self.runtime.block_on(self.chunks.key_by_pattern(relation))
    }

    /// The key by which one that has begun in chunks goes on. For threads, not for tasks.
    pub fn chunk_key_under_way(&self, relation: &RelationPlan) -> Result<ChunkKey, Problem> {
        self.runtime.block_on(self.chunks.key_under_way(relation))
    }

    /// How many rows a chunk has.
    pub fn chunk_rows(&self) -> u64 {
        self.chunks.rows()
    }

    /// Asks for the next rows of a snapshot.
    pub fn chunk(&self, request: ChunkRequest) -> oneshot::Receiver<Result<Chunk, Problem>> {
        let (reply, answer) = oneshot::channel();
        let chunks = Arc::clone(&self.chunks);
        self.runtime.spawn(async move { chunks.read(request, reply).await });
        answer
    }

    /// The end of the source's log, as far as heard.
    pub fn log_end(&self) -> Lsn {
        self.context.status.log_end()
    }

    /// The Sink keeps these columns of its table; none: it follows.
    pub fn keeps(&self, sink: usize, table: u32, kept: Option<KeptColumns>) {
        self.context.kept.set(sink, table, kept);
    }

    /// The Sink retains this of the log; none: nothing.
    pub fn retains(&self, sink: usize, history: Option<SinkHistory>) {
        self.context.histories.set(sink, history);
    }

    /// What is retained of a table, by Sinks that run.
    pub fn retained(&self, table: &TableName) -> Vec<Retained> {
        self.context.histories.of(table)
    }

    /// The end of the log now: everything that was committed before this call lies before it. For threads, not for tasks.
    pub fn inserted(&self) -> Result<Lsn, Problem> {
        self.runtime.block_on(async {
            let client = self.context.ask().await.map_err(|error| error.problem())?;
            server::inserted(&client).await.map_err(|error| error.problem())
        })
    }

    /// The relation as the catalogue has it now. For threads, not for tasks.
    pub fn describe(&self, table: &TableName) -> Result<TableDescription, Problem> {
        self.runtime.block_on(async {
            let client = self.context.ask().await.map_err(|error| error.problem())?;
            describe(&client, table).await.map_err(|error| error.problem())
        })
    }

    /// The relation as it was when the stream described it so; none where that cannot be told any more. For threads, not
    /// for tasks.
    pub fn describe_then(&self, now: &TableDescription, shape: &Shape) -> Result<Option<TableDescription>, Problem> {
        self.runtime.block_on(async {
            let client = self.context.ask().await.map_err(|error| error.problem())?;
            tables::describe_then(&client, now, &shape.columns).await.map_err(|error| error.problem())
        })
    }
}

/// The table as the catalogue has it, or that there is none.
async fn describe(client: &SqlClient, table: &TableName) -> Result<TableDescription, SourceError> {
    if let Some(description) = tables::describe(client, table).await? {
        return Ok(description);
    }
    Err(SourceError::Refused(not_found(client, table).await?))
}

async fn not_found(client: &SqlClient, table: &TableName) -> Result<Problem, PostgresError> {
    Ok(fitness::table_not_found(table, &tables::similar(client, table).await?))
}

fn stopping() -> Problem {
    Reason::SourceFailed.problem("the worker is stopping", "nothing is to be done")
}
