//! One life of a Sink: what the protocol asks for, done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_clients::kafka::{
    ErrorClass, ProducerSettings, TopicHandle, TransactionError, TransactionalProducer, admin, progress,
};
use afterbay_clients::postgres::{Lsn, quote};
use afterbay_crds::plan::FormatPlan;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{Problem, SinkState};
use afterbay_formats::encoders::EncodeErrorKind;

use super::SinkContext;
use super::messages::{MessageError, Messages, MessagesSpec, Staged};
use super::relation::SinkRelation;
use crate::change::{Change, ChangeBatch, ChangeKind, Item, RowSpan, Shape};
use crate::fault;
use crate::feed::{Delivery, Feed, Nothing};
use crate::position::{ChangeId, Position};
use crate::protocol::{Action, End, Event, ProgressRecord, Protocol, RECORD_VERSION, SchemaIds, SourceIdentity, Start};
use crate::source::Origin;

/// How long Kafka may take to answer a call that begins a life.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a transaction stays open though nothing waits behind it: a breath, so that small source transactions that
/// follow each other closely share a Kafka transaction.
const LINGER: Duration = Duration::from_millis(10);
/// How long a Sink waits for changes before it looks up.
const IDLE: Duration = Duration::from_millis(100);
/// How often a position that moved without changes is committed.
const POSITION_INTERVAL: Duration = Duration::from_secs(10);
/// Kafka's default for `transaction.max.timeout.ms`, where the broker does not tell its own.
const MAX_TRANSACTION_MS: u64 = 900_000;
/// Rows per second that the slowest snapshot that is begun must reach.
const SLOWEST_SNAPSHOT_ROWS: u64 = 5_000;

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
    let mut timeout_ms = context.plan.kafka.commit.timeout_ms;
    loop {
        match recover(context, timeout_ms) {
            Ok(Recovered { origin: Origin::Fresh { snapshot: true }, .. })
                if timeout_ms != snapshot_timeout(context) =>
            {
                // All rows go out in one transaction, which needs the longest timeout that the broker gives. The
                // producer that has it fences anew, and so all that follows it is done anew.
                timeout_ms = snapshot_timeout(context);
            }
            Ok(recovered) => {
                let mut life = match attach(context, recovered, timeout_ms) {
                    Ok(life) => life,
                    Err(ending) => return (ending, false),
                };
                let ending = match life.run() {
                    Ok(never) => match never {},
                    Err(ending) => ending,
                };
                return (ending, life.has_committed);
            }
            Err(ending) => return (ending, false),
        }
    }
}

/// Fenced, and what is committed is known.
struct Recovered {
    producer: TransactionalProducer,
    protocol: Protocol,
    origin: Origin,
}

fn recover(context: &SinkContext, timeout_ms: u64) -> Result<Recovered, Ending> {
    let kafka = &context.plan.kafka;
    // A status that knows of a commit knows more than the plan.
    let (mut protocol, _fence) = Protocol::start(context.status.begun());
    let mut settings = ProducerSettings::new(&kafka.transactional_id);
    settings.transaction_timeout_ms = timeout_ms;
    settings.compression = kafka.compression;
    settings.queue_bytes = context.producer_bytes;
    let producer = TransactionalProducer::new(&kafka.connection, &settings).map_err(|error| error.problem())?;
    producer.init_transactions(KAFKA_TIMEOUT)?;
    fault::point("fenced");
    protocol.step(Event::Fenced);
    let record = read_record(context)?;
    fault::point("progress-read");
    let position = record.as_ref().map(|record| record.position);
    let origin = match protocol.step(Event::ProgressRead(position)) {
        Action::Attach(Start::Fresh) => Origin::Fresh { snapshot: context.plan.snapshot },
        Action::Attach(Start::At(position)) => {
            let Some(record) = record else { return Err(out_of_order(context)) };
            context.status.committed(position, 0, 0, None);
            context.floors.raise(context.index, position.replay_from());
            Origin::Record { position, identity: record.source, relation: record.relation }
        }
        Action::End(End::ProgressMissing) => return Err(progress_missing(context).into()),
        _ => return Err(out_of_order(context)),
    };
    Ok(Recovered { producer, protocol, origin })
}

/// The Sink's record, if it has one: that of another life of the same name is none.
fn read_record(context: &SinkContext) -> Result<Option<ProgressRecord>, Ending> {
    let kafka = &context.plan.kafka;
    let found = progress::read_progress(
        &kafka.connection,
        &kafka.progress_topic,
        &kafka.progress_group_id,
        &kafka.progress_key,
        KAFKA_TIMEOUT,
    )
    .map_err(|error| error.problem())?;
    let Some(bytes) = found else { return Ok(None) };
    let record = ProgressRecord::from_bytes(&bytes).map_err(|error| {
        Reason::ProgressUnreadable.problem(
            format!("{error} (key {} of topic {})", kafka.progress_key, kafka.progress_topic),
            "use the newest version of Afterbay that has run this Sink",
        )
    })?;
    Ok((record.uid == context.plan.uid).then_some(record))
}

fn progress_missing(context: &SinkContext) -> Problem {
    let kafka = &context.plan.kafka;
    Reason::ProgressMissing.problem(
        format!(
            "the Sink has committed before, but topic {} holds no record under key {}",
            kafka.progress_topic, kafka.progress_key
        ),
        "the progress topic was emptied or made anew: restore it, or give the Sink a new name and topic to start afresh",
    )
}

/// A defect: the thread goes on with a new life, as after anything else.
fn out_of_order(context: &SinkContext) -> Ending {
    Reason::TransactionFailed
        .problem(
            format!("the protocol of Sink {} was told something out of order", context.plan.name),
            "this is a defect, please report it; nothing is lost, the Sink goes on from what is committed",
        )
        .into()
}

fn snapshot_timeout(context: &SinkContext) -> u64 {
    let connection = &context.plan.kafka.connection;
    // Without the right to ask, the broker's default is as good as any: a broker that allows less says so.
    context
        .runtime
        .block_on(admin::broker_config(connection, "transaction.max.timeout.ms"))
        .ok()
        .flatten()
        .and_then(|value| value.parse().ok())
        .unwrap_or(MAX_TRANSACTION_MS)
}

/// Has the source feed the Sink, and makes ready what messages need.
fn attach(context: &SinkContext, recovered: Recovered, timeout_ms: u64) -> Result<Life<'_>, Ending> {
    let Recovered { producer, mut protocol, origin } = recovered;
    context.status.is(SinkState::Starting);
    let kafka = &context.plan.kafka;
    let topic = producer.topic(&kafka.topic)?;
    let partitions = producer.partition_count(&kafka.topic, KAFKA_TIMEOUT)?;
    let fresh = matches!(origin, Origin::Fresh { .. });
    let snapshot = matches!(origin, Origin::Fresh { snapshot: true });
    let attached = context.source.attach(context.index, context.plan.table.clone(), origin)?;
    fault::point("attached");
    let relation = SinkRelation::new(&context.plan, attached.table)?;
    if snapshot {
        snapshot_fits(context, attached.rows_estimated, timeout_ms)?;
        context.status.snapshot_begins(attached.rows_estimated);
    }
    let (messages, schemas) = messages(context, &relation, topic.clone(), partitions)?;
    protocol.step(Event::Attached);
    context.status.is(if snapshot { SinkState::Snapshotting } else { SinkState::Running });
    let now = Instant::now();
    Ok(Life {
        context,
        producer,
        protocol,
        feed: attached.feed,
        fresh,
        start: attached.start,
        identity: attached.identity,
        snapshot_time_us: attached.snapshot_time_us,
        relation,
        shape: None,
        messages,
        schemas,
        topic,
        partitions,
        transaction: Transaction::new(now),
        snapshot_rows: 0,
        last_commit: now,
        has_committed: false,
    })
}

fn snapshot_fits(context: &SinkContext, rows_estimated: Option<u64>, timeout_ms: u64) -> Result<(), Ending> {
    let limit = SLOWEST_SNAPSHOT_ROWS * timeout_ms / 1_000;
    match rows_estimated {
        Some(rows) if rows > limit => Err(Reason::SnapshotTooLong
            .problem(
                format!(
                    "table {} has about {rows} rows, which cannot be sent within the broker's longest transaction ({} s)",
                    context.plan.table,
                    timeout_ms / 1_000
                ),
                "raise the broker's transaction.max.timeout.ms, or set snapshot: false",
            )
            .into()),
        _ => Ok(()),
    }
}

fn messages(
    context: &SinkContext,
    relation: &SinkRelation,
    topic: TopicHandle,
    partitions: i32,
) -> Result<(Messages, SchemaIds), Ending> {
    let plan = &context.plan;
    let (encoders, schemas) = relation.encoders(plan, &context.runtime)?;
    let spec = MessagesSpec {
        encoders,
        key: relation.key.clone(),
        columns: relation.width(),
        envelope: plan.envelope,
        avro: matches!(plan.format, FormatPlan::Avro { .. }),
        topic,
        partitions,
        name_prefix: plan.kafka.name_prefix.clone(),
    };
    Ok((Messages::new(spec), schemas))
}

/// What the open transaction holds.
struct Transaction {
    begun: Instant,
    staged: Staged,
    oldest_us: Option<i64>,
}

impl Transaction {
    fn new(now: Instant) -> Self {
        Self { begun: now, staged: Staged::default(), oldest_us: None }
    }
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
    snapshot_time_us: i64,
    relation: SinkRelation,
    /// Columns of the stream that the relation is not held against yet.
    shape: Option<Arc<Shape>>,
    messages: Messages,
    schemas: SchemaIds,
    topic: TopicHandle,
    partitions: i32,
    transaction: Transaction,
    snapshot_rows: u64,
    last_commit: Instant,
    has_committed: bool,
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
                Ok(Delivery::Lost(problem)) => return Err(problem.into()),
                Err(Nothing::Yet) => self.rest(delivered)?,
                Err(Nothing::Anymore) => return Err(source_gone().into()),
            }
            if self.is_due() {
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
        }
    }

    /// How long to wait for what comes next.
    fn patience(&self) -> Duration {
        if !self.protocol.is_open() || self.fresh {
            IDLE
        } else if self.protocol.is_within() {
            LINGER
        } else {
            LINGER.saturating_sub(self.transaction.begun.elapsed())
        }
    }

    /// All that was delivered is worked off, and nothing came since.
    fn rest(&mut self, delivered: Lsn) -> Result<(), Ending> {
        if self.fresh {
            return Ok(());
        }
        if delivered > Lsn(0) {
            self.drive(Event::Boundary(delivered), Arrived::Nothing)?;
        }
        if self.protocol.is_open() {
            // Within a source transaction more is to come: it is to stay whole if it fits.
            if self.protocol.is_within() && self.transaction.begun.elapsed() < self.longest() {
                return Ok(());
            }
            return self.drive(Event::CommitDue, Arrived::Nothing);
        }
        self.context.status.settled(delivered);
        if self.protocol.is_ahead() && self.last_commit.elapsed() >= POSITION_INTERVAL {
            self.drive(Event::CommitDue, Arrived::Nothing)?;
        }
        Ok(())
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
        Duration::from_millis((commit.interval_ms * 2).min(commit.timeout_ms / 3))
    }

    fn take_in(&mut self, batch: &ChangeBatch) -> Result<(), Ending> {
        for item in batch.items() {
            match item {
                Item::Change(change) => self.drive(Event::Change(change.id), Arrived::Change(batch, change))?,
                Item::SnapshotRow(row) => self.drive(Event::SnapshotRow, Arrived::Row(batch, *row))?,
                Item::Boundary(end) => self.drive(Event::Boundary(*end), Arrived::Nothing)?,
                // Looked at when a change of it is to be sent: what is passed over may have had other columns.
                Item::Shape(shape) => self.shape = Some(Arc::clone(shape)),
            }
            if self.is_large() {
                self.drive(Event::CommitDue, Arrived::Nothing)?;
            }
        }
        Ok(())
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
        let relation = SinkRelation::new(plan, table)?;
        if !relation.is(shape) {
            // The catalogue is of now, the change of then, and between the two the columns changed again.
            return Err(Reason::SchemaChanged
                .problem(
                    format!("the columns of table {} at this place of the log are not those that it has now", plan.table),
                    "the Sink cannot tell the types that the columns had then: give it a new name and topic, or restore the columns",
                )
                .into());
        }
        tracing::info!(sink = %plan.name, table = %plan.table, "columns changed, following");
        self.relation = relation;
        self.compile()
    }

    fn compile(&mut self) -> Result<(), Ending> {
        let (messages, schemas) = messages(self.context, &self.relation, self.topic.clone(), self.partitions)?;
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
                    self.producer.begin()?;
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
                Action::End(End::ReplayDiffers(id)) => return Err(replay_differs(id).into()),
                _ => return Err(out_of_order(self.context)),
            };
            action = self.protocol.step(event);
        }
    }

    fn stage(&mut self, arrived: Arrived<'_>) -> Result<(), Ending> {
        if let Some(shape) = self.shape.take() {
            self.follow(&shape)?;
        }
        loop {
            let staged = match arrived {
                Arrived::Change(_, change) if change.kind == ChangeKind::Truncate => {
                    return Err(truncated(self.context, change).into());
                }
                Arrived::Change(batch, change) => self.messages.stage(&self.producer, batch, change),
                Arrived::Row(batch, row) => {
                    let name = (self.start, self.snapshot_rows);
                    self.messages.stage_snapshot_row(&self.producer, batch, row, self.snapshot_time_us, name)
                }
                Arrived::Nothing => return Err(out_of_order(self.context)),
            };
            match staged {
                Ok(staged) => {
                    self.count(staged, arrived);
                    return Ok(());
                }
                // An older row holds a NULL where the catalogue allows none any more: the column is told as nullable.
                Err(MessageError::Encode(error))
                    if error.kind == EncodeErrorKind::NullInNotNull && self.relation.widen(error.column) =>
                {
                    self.compile()?;
                }
                Err(MessageError::Kafka(error)) => return Err(error.into()),
                Err(error) => return Err(self.not_encodable(&error, arrived).into()),
            }
        }
    }

    fn count(&mut self, staged: Staged, arrived: Arrived<'_>) {
        self.transaction.staged.messages += staged.messages;
        self.transaction.staged.bytes += staged.bytes;
        self.context.status.staged(staged.messages, staged.bytes);
        match arrived {
            Arrived::Change(_, change) if self.transaction.oldest_us.is_none() => {
                self.transaction.oldest_us = Some(change.time_us);
                self.context.status.waits_since(change.time_us);
            }
            Arrived::Row(..) => {
                self.snapshot_rows += 1;
                self.context.status.snapshot_row();
            }
            _ => {}
        }
    }

    fn stage_progress(&mut self, position: Position) -> Result<(), Ending> {
        let plan = &self.context.plan;
        let record = ProgressRecord {
            version: RECORD_VERSION,
            sink: plan.name.clone(),
            uid: plan.uid.clone(),
            position,
            relation: self.relation.table.oid,
            source: self.identity.clone(),
            schemas: self.schemas,
        };
        let value = record.to_bytes().map_err(|error| {
            Reason::ProgressUnreadable.problem(error.to_string(), "this is a defect, please report it")
        })?;
        let topic = self.producer.topic(&plan.kafka.progress_topic)?;
        self.producer.produce(&topic, 0, Some(plan.kafka.progress_key.as_bytes()), Some(&value), &[])?;
        Ok(())
    }

    /// Commits; what is not known to be committed ends this life, and the next one reads what came of it.
    fn commit(&mut self) -> Result<(), Ending> {
        let timeout = Duration::from_millis(self.context.plan.kafka.commit.timeout_ms).max(KAFKA_TIMEOUT);
        self.producer.commit(timeout)?;
        Ok(())
    }

    fn acknowledge(&mut self, position: Position) {
        let staged = self.transaction.staged;
        self.context.status.committed(position, staged.messages, staged.bytes, self.transaction.oldest_us);
        self.context.floors.raise(self.context.index, position.replay_from());
        self.last_commit = Instant::now();
        self.transaction = Transaction::new(self.last_commit);
        self.has_committed = true;
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

    fn not_encodable(&self, error: &MessageError, arrived: Arrived<'_>) -> Problem {
        let table = &self.context.plan.table;
        let place = match arrived {
            Arrived::Change(_, change) => format!("the change {}:{}", change.id.commit, change.id.ordinal),
            _ => format!("row {} of the snapshot", self.snapshot_rows),
        };
        match error {
            MessageError::Unchanged { .. } | MessageError::OldRowMissing => Reason::ReplicaIdentityInsufficient.problem(
                format!("{place} of table {table} came without an old value that is needed: {error}"),
                format!("ALTER TABLE {} REPLICA IDENTITY FULL; changes made before cannot be completed: give the Sink a new name and topic", quote::table(table)),
            ),
            MessageError::Encode(encode) => Reason::ValueNotEncodable.problem(
                format!("{place} of table {table}, column {}: {encode}", self.relation.column(encode.column)),
                "correct the value in the source and give the Sink a new name and topic, or change the column's type",
            ),
            _ => Reason::SourceFailed.problem(format!("{place} of table {table}: {error}"), "please report it"),
        }
    }
}

fn truncated(context: &SinkContext, change: &Change) -> Problem {
    Reason::SourceTruncated.problem(
        format!("table {} was truncated at {}", context.plan.table, change.id.commit),
        "a topic cannot say which rows are gone: give the Sink a new name and topic to start afresh",
    )
}

fn replay_differs(id: ChangeId) -> Problem {
    Reason::ReplayDiffers.problem(
        format!(
            "the source transaction at {} was committed up to change {}, but its replay does not show that change",
            id.commit, id.ordinal
        ),
        "the publication or the slot was changed meanwhile: give the Sink a new name and topic to start afresh",
    )
}

fn source_gone() -> Problem {
    Reason::SourceFailed.problem("the replication session ended", "nothing is to be done: it is begun again by itself")
}
