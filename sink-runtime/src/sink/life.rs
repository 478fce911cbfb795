//! One life of a Sink: what the protocol asks for, done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_clients::kafka::{ErrorClass, TopicHandle, TransactionError, TransactionalProducer};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::report::{Problem, SinkState};

use super::begin::{Begun, KAFKA_TIMEOUT, begin, messages};
use super::messages::Messages;
use super::relation::{self, SinkRelation};
use super::snapshot::Snapshot;
use super::transaction::Transaction;
use super::{SinkContext, problems};
use crate::change::{Change, ChangeBatch, Item, RowSpan, Shape};
use crate::fault;
use crate::feed::{Delivery, Feed, Nothing};
use crate::protocol::{Action, End, Event, Protocol, RelationIdentity, SchemaIds, SourceIdentity};
use crate::source::{Attached, checks};

mod chunks;
mod commit;
mod stage;

/// How long a transaction stays open though nothing waits behind it: a breath, so that small source transactions that
/// follow each other closely share a Kafka transaction. A shorter interval of the Sink goes before.
const LINGER: Duration = Duration::from_millis(10);
/// How long a transaction waits for the rest of a source transaction, however short the interval is: it would be cut
/// for no more than a hiccup of the network.
const REST: Duration = Duration::from_millis(100);
/// How long a Sink waits for changes before it looks up.
const IDLE: Duration = Duration::from_millis(100);
/// How often a position that moved without changes is committed.
const POSITION_INTERVAL: Duration = Duration::from_secs(10);
/// How long the next transaction waits behind a small one. A broker confirms a commit before it has marked its end in the
/// partitions; until then it refuses to begin another, and librdkafka asks again only after 20 ms.
const MARKERS: Duration = Duration::from_millis(5);
/// With as many messages a transaction is no small one.
const MANY_MESSAGES: u64 = 1_000;
/// How often the topic's partitions are counted.
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(30);

/// How a life ends.
#[derive(Debug)]
pub enum Ending {
    /// The next one is to begin at once.
    Again,
    /// It was told to.
    Stopped,
    /// Another worker owns the transactional id.
    Fenced(Problem),
    /// Something stands against it; to be tried again with patience.
    Parked(Problem),
    /// The source has ended what fed it; all that it fed come back at once.
    Lost(Problem),
}

impl From<Problem> for Ending {
    fn from(problem: Problem) -> Self {
        Self::Parked(problem)
    }
}

impl From<TransactionError> for Ending {
    fn from(error: TransactionError) -> Self {
        match error.class {
            ErrorClass::Fenced => Self::Fenced(error.problem()),
            _ => Self::Parked(error.problem()),
        }
    }
}

/// Lives once; says how it ended, and whether anything was committed.
pub fn live(context: &SinkContext) -> (Ending, bool) {
    let mut life = match begin(context) {
        Ok(begun) => Life::new(context, begun),
        Err(ending) => return (ending, false),
    };
    let ending = match life.run() {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    // After a commit whose outcome is not known there may be a record, which needs the log from its position on.
    if life.fresh && !life.commit_tried {
        context.floors.free(context.index);
    }
    (ending, life.has_committed)
}

/// What has arrived and is to be staged.
#[derive(Clone, Copy)]
enum Arrived<'b> {
    Nothing,
    Change(&'b ChangeBatch, &'b Change),
    Row(&'b ChangeBatch, RowSpan),
}

struct Life<'a> {
    context: &'a SinkContext,
    producer: TransactionalProducer,
    protocol: Protocol,
    feed: Feed,
    fresh: bool,
    start: Lsn,
    identity: SourceIdentity,
    /// What the progress record says of the relation.
    recorded: RelationIdentity,
    /// Where the source's log ended when this life began.
    log_end: Lsn,
    snapshot_time_us: i64,
    relation: SinkRelation,
    /// Columns of what comes that the relation is not held against yet.
    shape: Option<Arc<Shape>>,
    /// Columns of the stream, as it has told them last.
    streamed: Option<Arc<Shape>>,
    messages: Messages,
    schemas: SchemaIds,
    topic: TopicHandle,
    partitions_counted: Instant,
    transaction: Transaction,
    snapshot_rows: u64,
    last_commit: Instant,
    /// No transaction begins before.
    begin_from: Instant,
    has_committed: bool,
    /// Whether a commit was begun, whatever became of it.
    commit_tried: bool,
    /// After what time the broker ends a transaction.
    timeout_ms: u64,
    /// The snapshot beside the stream, if one is under way.
    snapshot: Option<Snapshot>,
}

impl<'a> Life<'a> {
    fn new(context: &'a SinkContext, begun: Begun) -> Self {
        let now = Instant::now();
        let Attached { feed, relation: recorded, start, identity, log_end, snapshot_time_us, .. } = begun.attached;
        Self {
            context,
            producer: begun.producer,
            protocol: begun.protocol,
            feed,
            fresh: begun.fresh,
            start,
            identity,
            recorded,
            log_end,
            snapshot_time_us,
            relation: begun.relation,
            shape: None,
            streamed: None,
            messages: begun.messages,
            schemas: begun.schemas,
            topic: begun.topic,
            partitions_counted: now,
            transaction: Transaction::new(now),
            snapshot_rows: begun.snapshot.as_ref().map_or(0, |snapshot| snapshot.progress.rows),
            last_commit: now,
            begin_from: now,
            has_committed: false,
            commit_tried: false,
            timeout_ms: begun.timeout_ms,
            snapshot: begun.snapshot,
        }
    }
}

impl Life<'_> {
    fn run(&mut self) -> Result<std::convert::Infallible, Ending> {
        loop {
            if self.context.stop.is_set() {
                return Err(self.stop());
            }
            // Read before the queue: what it speaks of is in the queue by now.
            let delivered = self.feed.delivered.get();
            match self.feed.next(self.patience()) {
                Ok(Delivery::Changes(batch, room)) => {
                    self.take_in(&batch)?;
                    drop(room);
                }
                Ok(Delivery::SnapshotEnd(start)) => self.drive(Event::SnapshotEnd(start), Arrived::Nothing)?,
                Ok(Delivery::Continue(feed)) => self.feed = feed,
                Ok(Delivery::Lost(problem)) => return Err(Ending::Lost(problem)),
                Err(Nothing::Yet) => self.rest(delivered)?,
                Err(Nothing::Anymore) => return Err(problems::source_gone().into()),
            }
            // Beside a snapshot, changes that are left out may keep it from ever coming to rest.
            if self.is_due() || self.is_position_due() {
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
        }
    }

    /// How long to wait for what comes next.
    fn patience(&self) -> Duration {
        if let Some(patience) = self.snapshot.as_ref().and_then(Snapshot::patience) {
            patience
        } else if !self.protocol.is_open() || self.fresh {
            IDLE
        } else if self.protocol.is_within() {
            self.linger()
        } else {
            self.linger().saturating_sub(self.transaction.begun.elapsed())
        }
    }

    fn linger(&self) -> Duration {
        LINGER.min(Duration::from_millis(self.context.plan.kafka.commit.interval_ms))
    }

    /// All that was delivered is worked off, and nothing came since.
    fn rest(&mut self, delivered: Lsn) -> Result<(), Ending> {
        if self.fresh {
            return Ok(());
        }
        if delivered > Lsn(0) {
            self.drive(Event::Boundary(delivered), Arrived::Nothing)?;
        }
        if self.snapshot.is_some() && self.chunk_at_rest(delivered)? {
            return Ok(());
        }
        if self.protocol.is_open() {
            // Within a source transaction more is to come: it is to stay whole if it fits.
            if self.protocol.is_within() && self.transaction.begun.elapsed() < self.longest() {
                return Ok(());
            }
            return self.drive(Event::CommitDue, Arrived::Nothing);
        }
        self.context.status.settled(delivered);
        if delivered >= self.log_end {
            self.works();
        }
        if self.is_position_due() {
            self.drive(Event::CommitDue, Arrived::Nothing)?;
        }
        Ok(())
    }

    /// Whether a position that moved without messages has waited long enough.
    fn is_position_due(&self) -> bool {
        !self.fresh
            && !self.protocol.is_open()
            && self.protocol.is_ahead()
            && self.last_commit.elapsed() >= POSITION_INTERVAL
    }

    /// Whether the open transaction is old or large enough.
    fn is_due(&self) -> bool {
        if self.fresh || !self.protocol.is_open() {
            return false;
        }
        let commit = &self.context.plan.kafka.commit;
        let staged = self.transaction.staged;
        let age = self.transaction.begun.elapsed();
        let old =
            age >= Duration::from_millis(commit.interval_ms) && (!self.protocol.is_within() || age >= self.longest());
        old || staged.bytes >= commit.bytes || staged.messages >= commit.records
    }

    /// How long a transaction waits for the rest of a source transaction: well within its timeout.
    fn longest(&self) -> Duration {
        let commit = &self.context.plan.kafka.commit;
        Duration::from_millis(commit.interval_ms * 2).max(REST).min(Duration::from_millis(commit.timeout_ms / 3))
    }

    fn take_in(&mut self, batch: &ChangeBatch) -> Result<(), Ending> {
        self.messages.prepare(batch);
        for item in batch.items() {
            match item {
                Item::Change(change) if self.snapshot.is_some() => self.beside_snapshot(batch, change)?,
                Item::Change(change) => self.drive(Event::Change(change.id), Arrived::Change(batch, change))?,
                Item::SnapshotRow(row) => self.drive(Event::SnapshotRow, Arrived::Row(batch, *row))?,
                Item::Boundary(end) => self.drive(Event::Boundary(*end), Arrived::Nothing)?,
                // Looked at when a change of it is to be sent: what is passed over may have had other columns.
                Item::Shape(shape) => {
                    self.streamed = Some(Arc::clone(shape));
                    self.shaped(shape);
                }
            }
            if self.is_large() {
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
        }
        Ok(())
    }

    /// What follows has these columns.
    fn shaped(&mut self, shape: &Arc<Shape>) {
        self.shape = Some(Arc::clone(shape));
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.shaped(shape);
        }
    }

    fn works(&self) {
        let beside = self.snapshot.is_some();
        self.context.status.works(if beside { SinkState::Snapshotting } else { SinkState::Running });
    }

    /// Whether the open transaction is large enough, however young: looked at after each change, so without a clock.
    fn is_large(&self) -> bool {
        let commit = &self.context.plan.kafka.commit;
        let staged = self.transaction.staged;
        !self.fresh && (staged.bytes >= commit.bytes || staged.messages >= commit.records)
    }

    /// The columns of the changes that follow.
    fn follow(&mut self, shape: &Shape) -> Result<(), Ending> {
        if self.relation.is(shape) {
            return Ok(());
        }
        let plan = &self.context.plan;
        let table = self.context.source.describe(&plan.table)?;
        if table.oid != self.recorded.oid {
            return Err(checks::made_again(&plan.table, table.oid, self.recorded.oid).into());
        }
        // The catalogue is of now, the change of then.
        let table = if relation::is(&table, shape) {
            table
        } else {
            self.context.source.describe_then(&table, shape)?.ok_or_else(|| problems::types_gone(self.context))?
        };
        self.relation = SinkRelation::new(plan, table)?;
        tracing::info!(sink = %plan.name, table = %plan.table, "columns changed, following");
        self.compile()
    }

    fn compile(&mut self) -> Result<(), Ending> {
        let (messages, schemas) = messages(self.context, &self.relation, self.topic.clone(), self.messages.partitions)?;
        self.messages = messages;
        self.schemas = schemas;
        Ok(())
    }

    /// Tells the protocol what happened, and does what it asks for until it waits again.
    fn drive(&mut self, event: Event, arrived: Arrived<'_>) -> Result<(), Ending> {
        let mut action = self.protocol.step(event);
        loop {
            let event = match action {
                Action::Await | Action::PassOver => return Ok(()),
                Action::Begin => {
                    self.count_partitions()?;
                    std::thread::sleep(self.begin_from.saturating_duration_since(Instant::now()));
                    self.producer.begin().map_err(|error| self.failed(error))?;
                    fault::point("begun");
                    self.transaction = Transaction::new(Instant::now());
                    self.messages.begin_transaction();
                    Event::Begun
                }
                Action::Stage => {
                    self.stage(arrived)?;
                    fault::point("staged");
                    Event::Staged
                }
                Action::StageProgress(position) => {
                    fault::point("before-progress");
                    self.stage_progress(position)?;
                    fault::point("progress-staged");
                    Event::ProgressStaged
                }
                Action::Commit => {
                    self.commit()?;
                    fault::point("committed");
                    Event::Committed
                }
                Action::Acknowledge(position) => {
                    self.acknowledge(position);
                    fault::point("acknowledged");
                    return Ok(());
                }
                Action::End(End::Started(position)) => {
                    self.acknowledge(position);
                    fault::point("started");
                    return Err(Ending::Again);
                }
                Action::End(End::ReplayDiffers(id)) => return Err(problems::replay_differs(id).into()),
                _ => return Err(problems::out_of_order(self.context).into()),
            };
            action = self.protocol.step(event);
        }
    }

    /// Keys go to the partitions that there are, also when the topic grows. Between transactions, so that a replayed one
    /// may fall otherwise, but never in part.
    fn count_partitions(&mut self) -> Result<(), Ending> {
        if self.partitions_counted.elapsed() < PARTITIONS_INTERVAL {
            return Ok(());
        }
        let topic = &self.context.plan.kafka.topic;
        let count = self.producer.partition_count(topic, KAFKA_TIMEOUT)?;
        let before = std::mem::replace(&mut self.messages.partitions, count);
        if count != before {
            tracing::warn!(sink = %self.context.plan.name, "topic {topic} has {count} partitions now, it had {before}: keys move");
        }
        self.partitions_counted = Instant::now();
        Ok(())
    }

    /// Commits what is there, if that can be done in time.
    fn stop(&mut self) -> Ending {
        if !self.fresh
            && let Err(ending) = self.drive(Event::CommitDue, Arrived::Nothing)
        {
            return ending;
        }
        Ending::Stopped
    }
}
