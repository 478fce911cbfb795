//! The beginning of a life: fenced, what is committed is known, the source feeds.

use std::time::Duration;

use afterbay_clients::fault;
use afterbay_clients::kafka::{ProducerSettings, TransactionalProducer, admin, progress};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::{KafkaConnectionPlan, RelationPlan};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::SinkState;

use super::carried::{Carried, counts};
use super::life::Ending;
use super::snapshot::Snapshot;
use super::start_at::{self, Replay};
use super::tables::{self, Tables};
use super::{SinkContext, keeping, problems};
use crate::history::History;
use crate::position::Position;
use crate::protocol::{
    self, Action, End, Event, ObeyedStart, ProgressRecord, Protocol, SnapshotProgress, Start, TableProgress,
};
use crate::source::claim::Grant;
use crate::source::histories::{RetainedTable, SinkHistory};
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
    /// From here on the stream's columns are those of the relations, or newer; none: no columns are to be kept that are not
    /// known.
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
    let history = retained(context, record.as_ref());
    let replay = start_at::decide(context, record.as_ref()).inspect_err(|_| match &record {
        // A Sink that stalls for it holds up no more than one that stalls for something else.
        Some(record) => context.floors.raise(context.index, record.position.replay_from()),
        None => context.floors.free(context.index),
    })?;
    let start_at = match &replay {
        Some(replay) => Some(replay.obeyed.clone()),
        None => record.as_ref().and_then(|record| record.start_at.clone()),
    };
    if let Some(replay) = replay {
        let known = replay.known.clone();
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
        let origin = Origin::Record { position, identity: replay.identity.clone() };
        let replay = Some(replay);
        return Ok(Recovered { producer, protocol, origin, known, beside: false, history, start_at, replay });
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
                // Of what it has carried its topics hold rows.
                known = known.into_iter().map(tables::of_the_past).collect();
                Origin::Fresh { snapshot: context.plan.snapshot }
            } else {
                Origin::Record { position, identity: record.source }
            }
        }
        Action::End(End::ProgressMissing) => return Err(problems::progress_missing(context).into()),
        _ => return Err(problems::out_of_order(context).into()),
    };
    Ok(Recovered { producer, protocol, origin, known, beside: false, history, start_at, replay: None })
}

/// What the Sink retains, as its record says; from now on nobody forgets it.
fn retained(context: &SinkContext, record: Option<&ProgressRecord>) -> History {
    let (Some(keep_ms), Some(record)) = (context.plan.retain_history_ms, record) else {
        context.floors.retain(context.index, None);
        context.source.retains(context.index, None);
        return History::default();
    };
    let history = record.history.clone();
    context.floors.retain(context.index, history.floor(start_at::now_ms(), keep_ms));
    let tables = match &record.tables {
        protocol::Tables::One(one) => {
            // Under another kind of plan it says nothing of the first of its tables.
            let planned = context.plan.relations.iter().take(usize::from(!context.plan.by_pattern));
            let table = |planned: &RelationPlan| RetainedTable {
                table: planned.table.clone(),
                relation: one.relation,
                since: None,
            };
            planned.map(table).collect()
        }
        protocol::Tables::ByPattern(tables) => {
            let carried = tables.iter().filter(|table| !table.left);
            let table = |table: &TableProgress| RetainedTable {
                table: table.table.clone(),
                relation: table.relation,
                since: table.since,
            };
            carried.map(table).collect()
        }
    };
    let retained = SinkHistory { tables, identity: record.source.clone(), history: history.clone(), keep_ms };
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
    let Recovered { producer, mut protocol, origin, known, beside, history, start_at, replay } = recovered;
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
    let grants = std::mem::take(&mut attached.grants);
    // One that begins where others have been needs all its tables from there on.
    if let Some(replay) = replay.as_ref().filter(|replay| replay.committed.is_none())
        && let Some(problem) = grants.iter().find_map(Grant::gone)
    {
        return Err(start_at::made_again(replay, problem).into());
    }
    let mut tables = tables::take(context, known, grants, fresh)?;
    let to_be_kept = keeping::freezes(&context.plan) && !fresh;
    let to_be_kept = to_be_kept && tables.relations.iter().flatten().any(|carried| carried.kept.is_none());
    let described_at = if to_be_kept { Some(context.source.inserted()?) } else { None };
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
    // A life that only takes a place carries nothing: the next one does.
    context.status.is(match snapshot || beside.is_some() {
        _ if fresh && !snapshot => SinkState::Starting,
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
        described_at,
        history,
        start_at,
    })
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
