//! One life of a Sink: what the protocol asks for, done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_clients::fault;
use afterbay_clients::kafka::{ErrorClass, TransactionError, TransactionalProducer};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::report::{Problem, SinkState};

use super::begin::{Begun, begin, tell_differing};
use super::carried::Carried;
use super::relation::{self, SinkRelation};
use super::snapshot::Snapshot;
use super::transaction::Transaction;
use super::{SinkContext, problems};
use crate::change::{Change, ChangeBatch, Item, RowSpan, Shape};
use crate::feed::{Delivery, Feed, Nothing};
use crate::history::History;
use crate::protocol::{Action, End, Event, ObeyedStart, Protocol, SourceIdentity, TableProgress};
use crate::source::{Attached, checks};

mod chunks;
mod commit;
mod keep;
mod retain;
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
    /// A row of the snapshot of this relation.
    Row(usize, &'b ChangeBatch, RowSpan),
}

impl Arrived<'_> {
    /// Which relation of the Sink it is of.
    fn relation(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Change(_, change) => change.relation,
            Self::Row(relation, ..) => relation,
        }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, and none goes with another")]
struct Life<'a> {
    context: &'a SinkContext,
    producer: TransactionalProducer,
    protocol: Protocol,
    feed: Feed,
    fresh: bool,
    start: Lsn,
    identity: SourceIdentity,
    /// Where the source's log ended when this life began.
    log_end: Lsn,
    snapshot_time_us: i64,
    /// Its relations, by the numbers that changes bear; none for one that is left out.
    relations: Vec<Option<Carried<'a>>>,
    /// What the record tells of tables that are not among them.
    past: Vec<TableProgress>,
    transaction: Transaction,
    last_commit: Instant,
    /// Whether something was asked of a broker or a registry for what is staged.
    has_asked: bool,
    /// No transaction begins before.
    begin_from: Instant,
    has_committed: bool,
    /// Whether a commit was begun, whatever became of it.
    commit_tried: bool,
    /// After what time the broker ends a transaction.
    timeout_ms: u64,
    /// The snapshot beside the stream, if one is under way.
    snapshot: Option<Snapshot>,
    /// The relation that it is of.
    in_chunks: usize,
    /// From here on the stream's columns are those of the relations, or newer; none: no columns are to be kept that are not
    /// known.
    described_at: Option<Lsn>,
    /// The relations whose columns became known while the batch at hand was worked off.
    newly_kept: Vec<usize>,
    /// What is retained of the log.
    history: History,
    /// When it was looked last from where on.
    retained_at: Instant,
    /// The start that the record is to say was obeyed.
    start_at: Option<ObeyedStart>,
}

impl<'a> Life<'a> {
    fn new(context: &'a SinkContext, begun: Begun<'a>) -> Self {
        let now = Instant::now();
        let Attached { feed, start, identity, log_end, snapshot_time_us, .. } = begun.attached;
        let (in_chunks, snapshot) = begun.snapshot.unzip();
        Self {
            context,
            producer: begun.producer,
            protocol: begun.protocol,
            feed,
            fresh: begun.fresh,
            start,
            identity,
            log_end,
            snapshot_time_us,
            relations: begun.relations,
            past: begun.past,
            transaction: Transaction::new(now),
            last_commit: now,
            begin_from: now,
            has_asked: false,
            has_committed: false,
            commit_tried: false,
            timeout_ms: begun.timeout_ms,
            snapshot,
            in_chunks: in_chunks.unwrap_or_default(),
            described_at: begun.described_at,
            newly_kept: Vec::new(),
            history: begun.history,
            retained_at: now,
            start_at: begun.start_at,
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
                Ok(Delivery::Changes(mut batch, room)) => {
                    self.pick(&mut batch);
                    let mut from = 0;
                    while let Some(rest) = self.take_in(&batch, from)? {
                        self.pick_rest(&mut batch, rest);
                        from = rest;
                    }
                    drop(room);
                }
                Ok(Delivery::SnapshotEnd(start)) => self.drive(Event::SnapshotEnd(start), Arrived::Nothing)?,
                Ok(Delivery::Continue(feed)) => self.feed = feed,
                Ok(Delivery::Lost(problem)) => return Err(Ending::Lost(problem)),
                Err(Nothing::Yet) => self.rest(delivered)?,
                Err(Nothing::Anymore) => return Err(problems::source_gone().into()),
            }
            self.let_go();
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

    /// Works off the items of a batch from this one on; gives back the first of those that are left, where columns have become
    /// known to which they are to be brought.
    fn take_in(&mut self, batch: &ChangeBatch, from: usize) -> Result<Option<usize>, Ending> {
        self.begin_batch();
        for (index, item) in batch.items().iter().enumerate().skip(from) {
            match item {
                Item::Change(change) if self.skips(change) => {}
                Item::Change(change) if !self.carries(change.relation) => self.pass_by(batch, change)?,
                Item::Change(change) if self.snapshot.is_some() => {
                    self.chunks_before(change.id.commit)?;
                    if !self.newly_kept.is_empty() {
                        return Ok(Some(index));
                    }
                    self.beside_snapshot(batch, change)?;
                }
                Item::Change(change) => self.drive(Event::Change(change.id), Arrived::Change(batch, change))?,
                Item::SnapshotRow(row) => self.drive(Event::SnapshotRow, Arrived::Row(0, batch, *row))?,
                Item::Boundary(end) => self.drive(Event::Boundary(*end), Arrived::Nothing)?,
                // Looked at when a change of it is to be sent: what is passed over may have had other columns.
                Item::Shape(relation, shape) => {
                    if let Some(Some(carried)) = self.relations.get_mut(*relation) {
                        carried.streamed = Some(Arc::clone(shape));
                    }
                    self.shaped(*relation, shape);
                }
            }
            // What many tables need at their first messages may take long, all together.
            if self.is_large() || (std::mem::take(&mut self.has_asked) && self.is_due()) {
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
            if !self.newly_kept.is_empty() {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }

    /// What follows of a relation has these columns.
    fn shaped(&mut self, relation: usize, shape: &Arc<Shape>) {
        if let Some(Some(carried)) = self.relations.get_mut(relation) {
            carried.shape = Some(Arc::clone(shape));
        }
        if let Some(snapshot) = &mut self.snapshot
            && relation == self.in_chunks
        {
            snapshot.shaped(shape);
        }
    }

    fn carries(&self, relation: usize) -> bool {
        matches!(self.relations.get(relation), Some(Some(_)))
    }

    /// A change of a relation that has left, or is left out. The Sink may stand behind just this one, and then it must come
    /// again.
    fn pass_by(&mut self, batch: &ChangeBatch, change: &Change) -> Result<(), Ending> {
        if self.protocol.has(&change.id) {
            return self.drive(Event::Change(change.id), Arrived::Change(batch, change));
        }
        Ok(())
    }

    /// Rows of another batch come.
    fn begin_batch(&mut self) {
        for carried in self.relations.iter_mut().flatten() {
            if let Some(messages) = &mut carried.messages {
                messages.begin_batch();
            }
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

    /// The columns of the changes of a relation that follow.
    fn follow(&mut self, number: usize, shape: &Shape) -> Result<(), Ending> {
        let Some(Some(carried)) = self.relations.get_mut(number) else { return Ok(()) };
        if carried.relation.is(shape) {
            return Ok(());
        }
        let plan = carried.plan;
        if let Some(problem) = carried.kept.as_ref().and_then(|kept| kept.against(&plan.table, shape)) {
            return Err(problem.into());
        }
        let table = self.context.source.describe(&plan.table)?;
        if table.oid != carried.recorded.oid {
            return Err(checks::made_again(&plan.table, table.oid, carried.recorded.oid).into());
        }
        let table = match &carried.kept {
            Some(kept) => kept.of(table),
            None => table,
        };
        // The catalogue is of now, the change of then.
        let table = if relation::is(&table, shape) {
            table
        } else {
            let then = self.context.source.describe_then(&table, shape)?;
            then.ok_or_else(|| problems::types_gone(&plan.table))?
        };
        carried.relation = SinkRelation::new(plan, table).map_err(|problem| {
            if self.context.plan.by_pattern { problems::of_table(&plan.table, problem) } else { problem }
        })?;
        tracing::info!(sink = %self.context.plan.name, table = %plan.table, "columns changed, following");
        self.compile(number)
    }

    /// Makes ready what messages of a relation need.
    fn compile(&mut self, number: usize) -> Result<(), Ending> {
        self.has_asked = true;
        if let Some(Some(carried)) = self.relations.get_mut(number) {
            carried.compile(self.context, &self.producer, number)?;
        }
        tell_differing(self.context, &self.relations);
        Ok(())
    }

    /// Tells the protocol what happened, and does what it asks for until it waits again.
    fn drive(&mut self, event: Event, arrived: Arrived<'_>) -> Result<(), Ending> {
        if self.leaves_out(arrived)? {
            return Ok(());
        }
        let mut action = self.protocol.step(event);
        loop {
            let event = match action {
                Action::Await | Action::PassOver => return Ok(()),
                Action::Begin => {
                    for carried in self.relations.iter_mut().flatten() {
                        carried.begin_transaction();
                    }
                    std::thread::sleep(self.begin_from.saturating_duration_since(Instant::now()));
                    self.producer.begin().map_err(|error| self.failed(error))?;
                    fault::point("begun");
                    self.transaction = Transaction::new(Instant::now());
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
