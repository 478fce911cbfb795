//! The beginning of a life: fenced, what is committed is known, the source feeds.

use std::time::Duration;

use afterbay_clients::kafka::{ProducerSettings, TopicHandle, TransactionalProducer, admin, progress};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::KafkaConnectionPlan;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::SinkState;

use super::keys_seen::KeysSeen;
use super::life::Ending;
use super::messages::{Messages, MessagesSpec};
use super::relation::SinkRelation;
use super::snapshot::Snapshot;
use super::{SinkContext, problems};
use crate::fault;
use crate::position::Position;
use crate::protocol::{Action, End, Event, ProgressRecord, Protocol, SchemaIds, SnapshotProgress, Start};
use crate::source::chunks::key_changed;
use crate::source::loss::Refusal;
use crate::source::{Attached, Origin};

/// How long Kafka may take to answer a call that begins a life.
pub const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
/// Kafka's default for `transaction.max.timeout.ms`, where the broker does not tell its own.
const MAX_TRANSACTION_MS: u64 = 900_000;
/// Rows per second that the slowest snapshot that is begun must reach.
const SLOWEST_SNAPSHOT_ROWS: u64 = 5_000;

/// What a life begins with.
pub struct Begun {
    /// Its producer.
    pub producer: TransactionalProducer,
    /// Its protocol, which waits for the first event of the source.
    pub protocol: Protocol,
    /// What the source gives.
    pub attached: Attached,
    /// Whether the Sink has committed nothing before.
    pub fresh: bool,
    /// The relation as the catalogue has it.
    pub relation: SinkRelation,
    /// What makes messages of its rows.
    pub messages: Messages,
    /// The schemas of those.
    pub schemas: SchemaIds,
    /// Where they go.
    pub topic: TopicHandle,
    /// After what time the broker ends a transaction.
    pub timeout_ms: u64,
    /// The snapshot beside the stream, if one is under way.
    pub snapshot: Option<Snapshot>,
}

/// Fences, reads what is committed, and has the source feed from there; where that is lost, from a new start.
pub fn begin(context: &SinkContext) -> Result<Begun, Ending> {
    let mut lost = None;
    loop {
        match begin_without(context, lost) {
            // Fenced and read once more: what was lost is that position, and no other.
            Err(NotBegun::Lost(position)) => lost = Some(position),
            Err(NotBegun::Ending(ending)) => return Err(ending),
            Ok(begun) => return Ok(begun),
        }
    }
}

/// Fences, and finds out how far a Sink has come that is not to go on from there; none where it has not begun.
pub fn place(context: &SinkContext) -> Result<Option<Position>, Ending> {
    let recovered = recover(context, context.plan.kafka.commit.timeout_ms, None)?;
    Ok(recovered.protocol.committed())
}

/// Why a life does not begin.
enum NotBegun {
    /// What follows the position that is committed is gone, and the Sink is to begin anew.
    Lost(Position),
    /// It ends.
    Ending(Ending),
}

impl<E: Into<Ending>> From<E> for NotBegun {
    fn from(ending: E) -> Self {
        Self::Ending(ending.into())
    }
}

/// Begins a life; a Sink whose record says that it stands at `lost` begins anew.
fn begin_without(context: &SinkContext, lost: Option<Position>) -> Result<Begun, NotBegun> {
    let mut timeout_ms = context.plan.kafka.commit.timeout_ms;
    let mut recovered = recover(context, timeout_ms, lost)?;
    let fresh_rows = Origin::Fresh { snapshot: true };
    if recovered.origin == fresh_rows && context.source.chunk_key(&context.plan)?.is_some() {
        // The start is a place of the log alone: the rows come beside the stream.
        recovered.origin = Origin::Fresh { snapshot: false };
        recovered.snapshot = Some(SnapshotProgress::default());
    } else if recovered.origin == fresh_rows {
        // All rows go out in one transaction, which needs the longest timeout that the broker gives. The producer that
        // has it fences anew, and so all that follows it is done anew.
        timeout_ms = longest_transaction(context).max(timeout_ms);
        drop(recovered);
        recovered = recover(context, timeout_ms, lost)?;
    }
    let fresh = matches!(recovered.origin, Origin::Fresh { .. });
    attach(context, recovered, timeout_ms).inspect_err(|_| {
        // A start that is given up before anything was sent needs the log no more.
        if fresh {
            context.floors.free(context.index);
        }
    })
}

/// Fenced, and what is committed is known.
struct Recovered {
    producer: TransactionalProducer,
    protocol: Protocol,
    origin: Origin,
    snapshot: Option<SnapshotProgress>,
}

/// Fences, and reads what is committed.
fn recover(context: &SinkContext, timeout_ms: u64, lost: Option<Position>) -> Result<Recovered, Ending> {
    let kafka = &context.plan.kafka;
    // A status that knows of a commit knows more than the plan.
    let (mut protocol, _fence) = Protocol::start(context.status.begun());
    let mut settings = ProducerSettings::new(&kafka.transactional_id);
    settings.transaction_timeout_ms = timeout_ms;
    settings.compression = kafka.compression;
    settings.queue_bytes = context.producer_bytes;
    settings.batch_bytes = context.batches.bytes();
    let producer = {
        let _in_the_door = context.doors.fencing(&context.runtime);
        fence(&kafka.connection, &settings)?
    };
    fault::point("fenced");
    protocol.step(Event::Fenced);
    let record = {
        let _in_the_door = context.doors.reading(&context.runtime);
        read_record(context)?
    };
    fault::point("progress-read");
    let position = record.as_ref().map(|record| record.position);
    let mut snapshot = record.as_ref().and_then(|record| record.snapshot.clone());
    let origin = match protocol.step(Event::ProgressRead(position)) {
        Action::Attach(Start::Fresh) => {
            context.floors.free(context.index);
            Origin::Fresh { snapshot: context.plan.snapshot }
        }
        Action::Attach(Start::At(position)) => {
            let Some(record) = record else { return Err(problems::out_of_order(context).into()) };
            if context.floors.of(context.index).is_some_and(|committed| position.replay_from() < committed) {
                return Err(problems::record_too_old(context).into());
            }
            context.status.committed(position, 0, 0, None);
            context.floors.raise(context.index, position.replay_from());
            if record.topic != kafka.topic {
                return Err(problems::topic_changed(context, &record.topic).into());
            }
            if lost == Some(position) {
                protocol.step(Event::PositionLost);
                // It needs nothing any more that is behind it; what it needs from its start on is held before that is made.
                context.floors.free(context.index);
                snapshot = None;
                Origin::Fresh { snapshot: context.plan.snapshot }
            } else {
                Origin::Record { position, identity: record.source, relation: record.relation }
            }
        }
        Action::End(End::ProgressMissing) => return Err(problems::progress_missing(context).into()),
        _ => return Err(problems::out_of_order(context).into()),
    };
    Ok(Recovered { producer, protocol, origin, snapshot })
}

fn fence(connection: &KafkaConnectionPlan, settings: &ProducerSettings) -> Result<TransactionalProducer, Ending> {
    let new = || TransactionalProducer::new(connection, settings).map_err(|error| error.problem());
    let mut producer = new()?;
    if !producer.init_transactions_at_once(KAFKA_TIMEOUT)? {
        producer = new()?;
        producer.init_transactions(KAFKA_TIMEOUT)?;
    }
    Ok(producer)
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

/// How long a transaction may be open at the most.
fn longest_transaction(context: &SinkContext) -> u64 {
    let _in_the_door = context.doors.fencing(&context.runtime);
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
fn attach(context: &SinkContext, recovered: Recovered, timeout_ms: u64) -> Result<Begun, NotBegun> {
    let Recovered { producer, mut protocol, origin, snapshot: progress } = recovered;
    context.status.is(SinkState::Starting);
    let kafka = &context.plan.kafka;
    let topic = producer.topic(&kafka.topic)?;
    let partitions = producer.partition_count(&kafka.topic, KAFKA_TIMEOUT)?;
    let fresh = matches!(origin, Origin::Fresh { .. });
    let snapshot = matches!(origin, Origin::Fresh { snapshot: true });
    let answer = context.source.attach(context.index, context.plan.table.clone(), origin);
    // A log that was too short does not become the one of then by growing.
    if !fresh
        && !matches!(answer, Err(Refusal::Problem(_) | Refusal::Lost(_)))
        && let Some(problem) = context.status.set_back()
    {
        return Err(problems::set_back(&problem).into());
    }
    let attached = match answer {
        Ok(attached) => attached,
        Err(Refusal::Problem(problem)) => return Err(problem.into()),
        Err(Refusal::Lost(problem)) => {
            context.floors.lose(context.index);
            return Err(problem.into());
        }
        Err(Refusal::BeginAnew(problem)) => {
            let lost = protocol.committed().ok_or_else(|| problems::out_of_order(context))?;
            context.status.begins_anew(&problem, lost);
            return Err(NotBegun::Lost(lost));
        }
    };
    fault::point("attached");
    let relation = SinkRelation::new(&context.plan, attached.table.clone())?;
    if snapshot {
        let limit = SLOWEST_SNAPSHOT_ROWS * timeout_ms / 1_000;
        if let Some(rows) = attached.rows_estimated.filter(|rows| *rows > limit) {
            return Err(problems::snapshot_too_long(context, rows, timeout_ms).into());
        }
        context.status.snapshot(0, attached.rows_estimated);
    }
    let beside = match progress {
        Some(progress) => Some(beside(context, &protocol, progress)?),
        None => None,
    };
    let (messages, schemas) = messages(context, &relation, topic.clone(), partitions)?;
    protocol.step(Event::Attached);
    context.status.is(if snapshot || beside.is_some() { SinkState::Snapshotting } else { SinkState::Running });
    Ok(Begun { producer, protocol, attached, fresh, relation, messages, schemas, topic, timeout_ms, snapshot: beside })
}

/// The snapshot that goes on from there.
fn beside(context: &SinkContext, protocol: &Protocol, progress: SnapshotProgress) -> Result<Snapshot, Ending> {
    let key = context.source.chunk_key_under_way(&context.plan)?;
    if progress.after.is_some() && key.words() != progress.key {
        return Err(key_changed(&context.plan.table).into());
    }
    let progress = SnapshotProgress { key: key.words(), ..progress };
    context.status.snapshot(progress.rows, None);
    let position = protocol.committed().unwrap_or(Position::Done(Lsn(0)));
    Ok(Snapshot::new(key, progress, position))
}

/// What makes messages of rows of a relation, its schemas registered.
pub fn messages(
    context: &SinkContext,
    relation: &SinkRelation,
    topic: TopicHandle,
    partitions: i32,
) -> Result<(Messages, SchemaIds), Ending> {
    let plan = &context.plan;
    let (encoders, schemas) = {
        let _in_the_door = context.doors.registry(&context.runtime);
        relation.encoders(context)?
    };
    let spec = MessagesSpec {
        encoders,
        key: relation.fit.key.clone(),
        headers: relation.headers(plan),
        partition_by: relation.partition_by.clone(),
        keys_seen: plan.key_not_enforced.then(KeysSeen::default),
        columns: relation.width(),
        envelope: plan.envelope,
        topic,
        partitions,
        name_prefix: plan.kafka.name_prefix.clone(),
    };
    Ok((Messages::new(spec), schemas))
}
