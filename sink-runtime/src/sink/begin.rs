//! The beginning of a life: fenced, what is committed is known, the source feeds.

use std::time::Duration;

use afterbay_clients::kafka::{ProducerSettings, TransactionalProducer, admin, progress};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::{KafkaConnectionPlan, RelationPlan, SchemaChanges, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::SinkState;
use afterbay_formats::table::TableDescription;

use super::carried::{Carried, counts};
use super::life::Ending;
use super::snapshot::Snapshot;
use super::start_at::{self, Replay};
use super::tables::{self, Tables};
use super::{SinkContext, problems};
use crate::change::Shape;
use crate::fault;
use crate::history::History;
use crate::kept_columns::KeptColumns;
use crate::position::Position;
use crate::protocol::{
    Action, End, Event, KeptColumn, ObeyedStart, OneTable, ProgressRecord, Protocol, SchemaIds, SnapshotProgress,
    Start, TableProgress,
};
use crate::source::claim::Grant;
use crate::source::histories::Retained;
use crate::source::loss::Refusal;
use crate::source::{Attached, Origin};

/// How long Kafka may take to answer a call that begins a life.
pub const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
/// Kafka's default for `transaction.max.timeout.ms`, where the broker does not tell its own.
const MAX_TRANSACTION_MS: u64 = 900_000;
/// Rows per second that the slowest snapshot that is begun must reach.
const SLOWEST_SNAPSHOT_ROWS: u64 = 5_000;

/// What a life begins with.
pub struct Begun<'a> {
    /// Its producer.
    pub producer: TransactionalProducer,
    /// Its protocol, which waits for the first event of the source.
    pub protocol: Protocol,
    /// What the source gives.
    pub attached: Attached,
    /// Whether the Sink has committed nothing before.
    pub fresh: bool,
    /// Its relations, in the order of the plan; none for one that is left out.
    pub relations: Vec<Option<Carried<'a>>>,
    /// What the record goes on to tell of tables that are not among them.
    pub past: Vec<TableProgress>,
    /// After what time the broker ends a transaction.
    pub timeout_ms: u64,
    /// The snapshot beside the stream, if one is under way, and of which relation.
    pub snapshot: Option<(usize, Snapshot)>,
    /// The columns that messages keep, where they are known by now.
    pub kept: Option<KeptColumns>,
    /// From here on the stream's columns are those of the relation, or newer.
    pub described_at: Option<Lsn>,
    /// What is retained of the log.
    pub history: History,
    /// The start that the record says, or is to say, was obeyed.
    pub start_at: Option<ObeyedStart>,
}

/// Fences, reads what is committed, and has the source feed from there; where that is lost, from a new start.
pub fn begin(context: &SinkContext) -> Result<Begun<'_>, Ending> {
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
fn begin_without(context: &SinkContext, lost: Option<Position>) -> Result<Begun<'_>, NotBegun> {
    let mut timeout_ms = context.plan.kafka.commit.timeout_ms;
    let mut recovered = recover(context, timeout_ms, lost)?;
    let fresh_rows = Origin::Fresh { snapshot: true };
    if recovered.origin == fresh_rows && in_chunks(context)? {
        // The start is a place of the log alone: the rows come beside the stream.
        recovered.origin = Origin::Fresh { snapshot: false };
        recovered.beside = true;
    } else if recovered.origin == fresh_rows {
        // All rows go out in one transaction, which needs the longest timeout that the broker gives. The producer that
        // has it fences anew, and so all that follows it is done anew.
        timeout_ms = longest_transaction(context).max(timeout_ms);
        drop(recovered);
        recovered = recover(context, timeout_ms, lost)?;
    }
    let fresh = matches!(recovered.origin, Origin::Fresh { .. });
    let replay = recovered.replay.clone();
    attach(context, recovered, timeout_ms).inspect_err(|_| {
        // A start that is given up before anything was sent needs the log no more.
        if fresh {
            context.floors.free(context.index);
        }
        if let Some(replay) = replay {
            context.floors.give_up(context.index, replay.committed);
        }
    })
}

/// Whether the rows that are there at the start come in chunks, after it.
fn in_chunks(context: &SinkContext) -> Result<bool, Ending> {
    match &context.plan.relations[..] {
        [relation] if !context.plan.by_pattern => Ok(context.source.chunk_key(relation)?.is_some()),
        _ => Ok(true),
    }
}

/// Fenced, and what is committed is known.
struct Recovered {
    producer: TransactionalProducer,
    protocol: Protocol,
    origin: Origin,
    /// What the record tells of tables.
    known: Vec<TableProgress>,
    /// Whether rows are to come beside the stream of a Sink that begins.
    beside: bool,
    columns: Option<Vec<KeptColumn>>,
    history: History,
    start_at: Option<ObeyedStart>,
    replay: Option<Replay>,
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
    let freezes = context.plan.schema_changes == SchemaChanges::Freeze;
    let one = record.as_ref().and_then(ProgressRecord::one);
    let columns = one.and_then(|one| one.columns.clone()).filter(|_| freezes);
    let history = retained(context, record.as_ref());
    let replay = start_at::decide(context, record.as_ref()).inspect_err(|_| match &record {
        // A Sink that stalls for it holds up no more than one that stalls for something else.
        Some(record) => context.floors.raise(context.index, record.position.replay_from()),
        None => context.floors.free(context.index),
    })?;
    let start_at = match &replay {
        Some(replay) => Some(replay.obeyed.clone()),
        None => one.and_then(|one| one.start_at.clone()),
    };
    if let Some(replay) = replay {
        let [planned] = &context.plan.relations[..] else { return Err(problems::out_of_order(context).into()) };
        let known = vec![replayed(planned, &replay, one)];
        if let Some(record) = record {
            let position = record.position.replay_from();
            // Whether it is the Sink's topic is seen there.
            tables::known(&context.plan, record.tables)
                .inspect_err(|_| context.floors.raise(context.index, position))?;
        }
        if !context.floors.set_back(context.index, replay.from) {
            let gone = Reason::SlotLost.problem("it was acknowledged just now", "");
            return Err(start_at::overtaken(&replay, &gone).into());
        }
        tracing::info!(sink = %context.plan.name, from = %replay.from, "starting at {}", replay.obeyed.asked);
        context.status.set_back_to(replay.from);
        let position = Position::Done(replay.from);
        // It is told as what is committed: the log from there on is to be sent, and nothing before it.
        if protocol.step(Event::ProgressRead(Some(position))) != Action::Attach(Start::At(position)) {
            return Err(problems::out_of_order(context).into());
        }
        let origin = Origin::Record { position, identity: replay.retained.identity.clone() };
        let replay = Some(replay);
        return Ok(Recovered { producer, protocol, origin, known, beside: false, columns, history, start_at, replay });
    }
    let position = record.as_ref().map(|record| record.position);
    let mut known = Vec::new();
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
            known = tables::known(&context.plan, record.tables)?;
            if lost == Some(position) {
                protocol.step(Event::PositionLost);
                // It needs nothing any more that is behind it; what it needs from its start on is held before that is made.
                context.floors.free(context.index);
                // Of what a Sink by pattern has carried its topics hold rows.
                known = known.into_iter().filter(|_| context.plan.by_pattern).map(tables::of_the_past).collect();
                Origin::Fresh { snapshot: context.plan.snapshot }
            } else {
                Origin::Record { position, identity: record.source }
            }
        }
        Action::End(End::ProgressMissing) => return Err(problems::progress_missing(context).into()),
        _ => return Err(problems::out_of_order(context).into()),
    };
    Ok(Recovered { producer, protocol, origin, known, beside: false, columns, history, start_at, replay: None })
}

/// What the record of a Sink that is set back, or started at a place, is told to tell of its relation.
fn replayed(plan: &RelationPlan, replay: &Replay, record: Option<&OneTable>) -> TableProgress {
    TableProgress {
        table: plan.table.clone(),
        relation: replay.retained.relation,
        topic: plan.topic.clone(),
        topic_id: record.and_then(|record| record.topic_id.clone()),
        schemas: SchemaIds::default(),
        snapshot: None,
        rows: 0,
        left: false,
    }
}

/// What the Sink retains, as its record says; from now on nobody forgets it.
fn retained(context: &SinkContext, record: Option<&ProgressRecord>) -> History {
    let one = record.and_then(|record| Some((record, record.one()?)));
    let (Some(keep_ms), Some((record, one)), [planned]) =
        (context.plan.retain_history_ms, one, &context.plan.relations[..])
    else {
        context.floors.retain(context.index, None);
        context.source.retains(context.index, None);
        return History::default();
    };
    let history = one.history.clone();
    context.floors.retain(context.index, history.floor(start_at::now_ms(), keep_ms));
    let retained = Retained {
        table: planned.table.clone(),
        relation: one.relation,
        identity: record.source.clone(),
        history: history.clone(),
        keep_ms,
    };
    context.source.retains(context.index, Some(retained));
    history
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
fn attach(context: &SinkContext, recovered: Recovered, timeout_ms: u64) -> Result<Begun<'_>, NotBegun> {
    let Recovered { producer, mut protocol, origin, known, beside, columns, history, start_at, replay } = recovered;
    context.status.is(SinkState::Starting);
    let fresh = matches!(origin, Origin::Fresh { .. });
    let snapshot = matches!(origin, Origin::Fresh { snapshot: true });
    let (claims, known) = tables::claims(&context.plan, known, fresh, protocol.is_within());
    let answer = context.source.attach(context.index, claims, origin);
    // A log that was too short does not become the one of then by growing.
    if !fresh
        && !matches!(answer, Err(Refusal::Problem(_) | Refusal::Lost(_)))
        && let Some(problem) = context.status.set_back()
    {
        return Err(problems::set_back(&problem).into());
    }
    let mut attached = match answer {
        Ok(attached) => attached,
        Err(Refusal::Problem(problem)) => return Err(problem.into()),
        Err(Refusal::Lost(problem) | Refusal::BeginAnew(problem)) if let Some(replay) = &replay => {
            return Err(start_at::overtaken(replay, &problem).into());
        }
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
    let mut grants = std::mem::take(&mut attached.grants);
    let kept = keep(context, columns, &mut grants, fresh)?;
    let to_be_kept = kept.is_none() && !fresh && context.plan.schema_changes == SchemaChanges::Freeze;
    let described_at = if to_be_kept { Some(context.source.inserted()?) } else { None };
    let mut tables = tables::take(context, known, grants, fresh)?;
    if !context.plan.by_pattern {
        for (number, carried) in tables.relations.iter_mut().enumerate() {
            let Some(carried) = carried else { continue };
            // What keeps messages of the one relation from being made is told before anything begins.
            carried.compile(context, &producer, number)?;
            carried.rows_estimated = attached.rows_estimated;
            if beside {
                tables.under_way = Some((number, SnapshotProgress::default()));
            }
        }
    }
    if snapshot {
        let limit = SLOWEST_SNAPSHOT_ROWS * timeout_ms / 1_000;
        if let Some(rows) = attached.rows_estimated.filter(|rows| *rows > limit) {
            return Err(problems::snapshot_too_long(context, rows, timeout_ms).into());
        }
    }
    tell_differing(context, &tables.relations);
    let position = protocol.committed().unwrap_or(Position::Done(Lsn(0)));
    let beside = tables.first_snapshot(context, position)?;
    if snapshot || beside.is_some() {
        tell_rows(context, &tables.relations);
    }
    context.status.tables(counts(&tables.relations), tables.left_out);
    protocol.step(Event::Attached);
    // One by pattern begins without its tables: it carries nothing before its next life.
    context.status.is(match snapshot || beside.is_some() {
        _ if fresh && context.plan.by_pattern => SinkState::Starting,
        true => SinkState::Snapshotting,
        false => SinkState::Running,
    });
    let Tables { relations, past, .. } = tables;
    Ok(Begun {
        producer,
        protocol,
        attached,
        fresh,
        relations,
        past,
        timeout_ms,
        snapshot: beside,
        kept,
        described_at,
        history,
        start_at,
    })
}

/// Brings the one relation of a Sink to the columns that it keeps; nobody behind this knows that the table has more.
fn keep(
    context: &SinkContext,
    columns: Option<Vec<KeptColumn>>,
    grants: &mut [Grant],
    fresh: bool,
) -> Result<Option<KeptColumns>, Ending> {
    let ([Grant::Carried(table, identity)], [planned]) = (grants, &context.plan.relations[..]) else { return Ok(None) };
    let kept = columns.map(|columns| KeptColumns::new(columns, table));
    if let Some(kept) = &kept {
        **table = table_of(context, kept, (&planned.table, table), fresh)?;
    }
    context.source.keeps(context.index, identity.oid, kept.clone());
    Ok(kept)
}

/// The table with the columns that are kept, as they were when that began: what comes first may be of then.
fn table_of(
    context: &SinkContext,
    kept: &KeptColumns,
    (name, table): (&TableName, &TableDescription),
    fresh: bool,
) -> Result<TableDescription, Ending> {
    // All rows come as they are now.
    if fresh && let Some(problem) = kept.against(name, &Shape::of(table)) {
        return Err(problem.into());
    }
    let now = kept.of(table.clone());
    if fresh || kept.are_in(&now) {
        return Ok(now);
    }
    let then = context.source.describe_then(&now, &kept.shape(&now))?;
    then.ok_or_else(|| problems::types_gone(name).into())
}

/// Says how many rows are sent, and how many there are, of all relations together.
pub fn tell_rows(context: &SinkContext, relations: &[Option<Carried<'_>>]) {
    let carried = || relations.iter().flatten();
    let rows = carried().map(|carried| carried.rows).sum();
    let estimated = |carried: &Carried<'_>| carried.rows_estimated.map(|estimated| estimated.max(carried.rows));
    let known = carried().any(|carried| carried.rows_estimated.is_some());
    let all = carried().map(|carried| estimated(carried).unwrap_or(carried.rows)).sum();
    context.status.snapshot(rows, known.then_some(all));
}

/// Says which subjects have another compatibility level than was asked for.
pub fn tell_differing(context: &SinkContext, relations: &[Option<Carried<'_>>]) {
    let differing: Vec<_> =
        relations.iter().flatten().flat_map(|carried| carried.differing.iter().map(String::as_str)).collect();
    let warning = (!differing.is_empty()).then(|| {
        Reason::CompatibilityDiffers.problem(
            differing.join("; "),
            "it is left as it is: change it in the registry, or what the manifest asks for",
        )
    });
    context.status.warning(Reason::CompatibilityDiffers, warning);
}
