//! The replication session that feeds the Sinks of a worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_clients::fault;
use afterbay_clients::postgres::catalogue::server;
use afterbay_clients::postgres::error::unreachable;
use afterbay_clients::postgres::wire::{ReplicationMessage, ReplicationReader, StatusWriter};
use afterbay_clients::postgres::{Lsn, PostgresError, sql};
use afterbay_crds::plan::{PostgresPlan, RelationPlan, SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::floors::Floors;
use super::histories::Histories;
use super::kept::Kept;
use super::router::{MemberRelation, Place, Router};
use super::status::SourceStatus;
use super::turns::{Question, Turns};
use super::watch::{Seen, Watch};
use super::{JoinRequest, Request, SourceError};
use crate::feed::{Delivered, Delivery, FeedSender, HELD_UP, Left, Unfed, feed};

/// How often the source hears what is committed, also while a full queue holds the reader.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// How often the end of the log is asked for.
const LOG_END_INTERVAL: Duration = Duration::from_secs(2);
/// A server that asks so often within this time is shutting down.
const ASKED_TIMES: u32 = 5;
const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// How far, in bytes of log, a Sink may be behind that is taken up.
const FAR: u64 = 64 << 20;
/// Messages after which a busy session looks up from its reading.
const MESSAGES_PER_TURN: usize = 4_096;
/// How long a session sleeps before it reads again. The server sends each message by itself: to read them one by one, and
/// to wake a Sink for each, costs several times what is done with them.
const BREATH: Duration = Duration::from_millis(1);
/// The same, where many come: as many messages since the last sleep...
const DEEP_BREATH: Duration = Duration::from_millis(4);
const MANY_MESSAGES: usize = 16;
/// ... but not where as many bytes came: so full a buffer is read again at once.
const MANY_BYTES: usize = 64 * 1024;

/// What all that read the source of one worker share.
#[derive(Debug)]
pub struct Context {
    /// The plan's source.
    pub plan: Arc<PostgresPlan>,
    /// The plan's Sinks.
    pub sinks: Arc<[SinkPlan]>,
    /// What the Sinks have committed.
    pub floors: Floors,
    /// What they retain of the log.
    pub histories: Histories,
    /// Which columns of their tables they keep.
    pub kept: Kept,
    /// What is told of the source.
    pub status: SourceStatus,
    /// Bytes that the queue of one Sink holds.
    pub queue_bytes: u32,
    /// Bytes after which a batch goes into its queue.
    pub batch_bytes: usize,
    /// What the Sinks take of the server at once.
    pub turns: Turns,
}

impl Context {
    /// What a Sink is to make of a table.
    pub fn relation(&self, sink: usize, table: &TableName) -> Option<&RelationPlan> {
        self.sinks.get(sink)?.relations.iter().find(|relation| relation.table == *table)
    }

    /// Whether the tables of a Sink come from patterns.
    pub fn is_by_pattern(&self, sink: usize) -> bool {
        self.sinks.get(sink).is_some_and(|sink| sink.by_pattern)
    }

    /// A connection for a short question, when it is one's turn.
    pub async fn ask(&self) -> Result<Question<'_>, PostgresError> {
        self.turns.ask(&self.plan.connection).await
    }
}

/// Senders by Sink, and how far they have been served.
pub struct Queues {
    senders: HashMap<usize, FeedSender>,
    delivered: Delivered,
    batch_bytes: usize,
    /// Whether somebody else waits while a queue is full.
    others_wait: bool,
}

impl Queues {
    /// No queues yet. `others_wait`: somebody else waits while one of them is full.
    pub fn new(batch_bytes: usize, delivered: Delivered, others_wait: bool) -> Self {
        Self { senders: HashMap::new(), delivered, batch_bytes, others_wait }
    }

    /// How far all queues have been served.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// Serves a Sink from now on.
    pub fn add(&mut self, sink: usize, sender: FeedSender) {
        self.senders.insert(sink, sender);
    }

    /// Sends the batches that are worth it, or all; lets go who has left, and who is held up by what is not the source
    /// while others wait.
    pub async fn flush(&mut self, router: &mut Router, all: bool) {
        let mut left = Vec::new();
        for member in router.members() {
            let due = all || member.batch.size() >= self.batch_bytes;
            if due
                && !member.batch.is_empty()
                && let Some(sender) = self.senders.get(&member.sink)
            {
                let batch = std::mem::take(&mut member.batch);
                let sent = if self.others_wait {
                    sender.changes_if_alive(batch).await
                } else {
                    sender.changes(batch).await.map_err(|Left| Unfed::Left)
                };
                match sent {
                    Ok(()) => {}
                    Err(Unfed::Left) => left.push(member.sink),
                    // What it was not handed is lost to this life of the Sink: the next one begins at its record.
                    Err(Unfed::HeldUp) => member.lost = Some(held_up(&member.relations)),
                }
            }
            if let Some(problem) = member.lost.take() {
                if let Some(sender) = self.senders.get(&member.sink) {
                    // A Sink that has left needs no reason.
                    let _ = sender.send(Delivery::Lost(problem));
                }
                left.push(member.sink);
            }
        }
        if !left.is_empty() {
            router.retain(|member| !left.contains(&member.sink));
            self.senders.retain(|sink, _| !left.contains(sink));
        }
    }

    /// Tells all that the session is over.
    pub fn close(&mut self, problem: &Problem) {
        for (_, sender) in self.senders.drain() {
            // A Sink that has left needs no reason.
            let _ = sender.send(Delivery::Lost(problem.clone()));
        }
    }
}

/// A running session, on [a thread of its own](super::own_thread).
///
/// All that it says of itself holds from where it started: the server reads its log anew from further back and passes
/// over what lies before the start, also for those who join. So nothing that it hears meanwhile counts.
pub struct Session {
    /// The members.
    pub router: Router,
    /// Their queues.
    pub queues: Queues,
    reader: ReplicationReader,
    /// Messages, and bytes of their data, since it slept.
    since: (usize, usize),
    boundary: Lsn,
    /// Who waits for a place between two transactions.
    joining: Vec<JoinRequest>,
    asked: Asked,
    _status: AbortOnDropHandle<()>,
    _log_end: Option<AbortOnDropHandle<()>>,
}

impl Session {
    /// A session over a replication stream that was started at `start`, with all of whose members beginning there or
    /// later. With `acknowledge` it tells the server what is committed: a session on a copy of the slot does not.
    pub fn new(
        context: &Arc<Context>,
        (reader, writer): (ReplicationReader, StatusWriter),
        start: Lsn,
        router: Router,
        queues: Queues,
        acknowledge: bool,
    ) -> Self {
        queues.delivered.set(start);
        let asked = Asked::default();
        Self {
            router,
            queues,
            reader,
            since: (0, 0),
            boundary: start,
            joining: Vec::new(),
            asked: asked.clone(),
            _status: AbortOnDropHandle::new(tokio::spawn(report(Arc::clone(context), writer, asked, acknowledge))),
            // One that catches up goes by what the session of all knows.
            _log_end: acknowledge.then(|| AbortOnDropHandle::new(tokio::spawn(watch_log_end(Arc::clone(context))))),
        }
    }

    /// All of the transactions that commit before this LSN are delivered.
    pub fn boundary(&self) -> Lsn {
        self.boundary
    }

    /// Waits for a message and takes it in. Nothing is lost when the future is dropped.
    pub async fn next(&mut self, context: &Context) -> Result<(), SourceError> {
        match self.reader.next().await? {
            Some(message) => take_in(&mut self.router, &mut self.boundary, &mut self.asked, &context.status, &message),
            None => Err(SourceError::Refused(ended())),
        }
    }

    /// Takes in what has arrived behind the last message, and delivers all; sleeps then, if that is worth while. Not to be
    /// dropped halfway: what is taken out of the stream would be lost.
    pub async fn turn(&mut self, context: &Context) -> Result<(), SourceError> {
        let mut breath = None;
        for _ in 0..MESSAGES_PER_TURN {
            let Some(message) = self.reader.try_next()? else {
                breath = self.breath();
                break;
            };
            self.since.0 += 1;
            if let ReplicationMessage::XLogData { data, .. } = message {
                self.since.1 += data.len();
            }
            take_in(&mut self.router, &mut self.boundary, &mut self.asked, &context.status, &message)?;
            if self.router.take_largest() >= self.queues.batch_bytes {
                self.queues.flush(&mut self.router, false).await;
            }
        }
        self.queues.flush(&mut self.router, true).await;
        // Of a transaction that is half delivered nothing is said.
        self.queues.delivered.set(self.boundary);
        if let Some(breath) = breath {
            std::thread::sleep(breath);
        }
        Ok(())
    }

    /// How long to sleep, now that all that was read is worked off.
    fn breath(&mut self) -> Option<Duration> {
        match std::mem::take(&mut self.since) {
            (_, MANY_BYTES..) => None,
            (MANY_MESSAGES.., _) => Some(DEEP_BREATH),
            _ => Some(BREATH),
        }
    }

    /// Has the server say how far it has come, also where there is nothing to send.
    pub fn ask(&self) {
        self.asked.wanted.notify_one();
    }

    /// Lets a Sink go.
    pub fn leave(&mut self, sink: usize) {
        self.router.retain(|member| member.sink != sink);
        self.queues.senders.remove(&sink);
    }

    /// Takes up those who wait, if the stream stands between transactions.
    fn join_waiting(&mut self, context: &Context) {
        if self.router.is_at_boundary() {
            for request in std::mem::take(&mut self.joining) {
                // Without an answer it begins anew.
                if may_join(&request, self.boundary) {
                    self.join(context, request);
                }
            }
        }
    }

    fn join(&mut self, context: &Context, request: JoinRequest) {
        let sink = request.member.sink;
        self.leave(sink);
        let (sender, feed) = feed(context.queue_bytes, self.queues.delivered.clone());
        if request.reply.send((feed, self.boundary)).is_ok() {
            self.queues.add(sink, sender);
            self.router.join(request.member);
        }
    }
}

/// Whether a session that stands at this boundary takes up a Sink. One that has fallen far behind would be waited for by
/// all; one whose life is over would put out its own next life.
fn may_join(request: &JoinRequest, boundary: Lsn) -> bool {
    request.boundary.0 + FAR >= boundary.0 && !request.queue.has_left()
}

fn take_in(
    router: &mut Router,
    boundary: &mut Lsn,
    asked: &mut Asked,
    status: &SourceStatus,
    message: &ReplicationMessage<'_>,
) -> Result<(), SourceError> {
    match *message {
        ReplicationMessage::XLogData { wal_start, data, .. } => {
            status.heard_log_end(wal_start);
            if let Place::Boundary(end) = router.apply(wal_start, data)? {
                *boundary = (*boundary).max(end);
            }
        }
        ReplicationMessage::Keepalive { wal_end, reply_requested } => {
            if reply_requested && asked.again() {
                return Err(SourceError::Refused(shutting_down()));
            }
            status.heard_log_end(wal_end);
            // Within a transaction a keepalive tells of the reading of the log, not of what is sent.
            if router.is_at_boundary() {
                *boundary = (*boundary).max(wal_end);
            }
        }
    }
    Ok(())
}

/// How urgently the server asks what is committed.
///
/// A server that shuts down waits until all that it has sent is acknowledged, and asks again with each answer. What a Sink
/// has not committed is not acknowledged, so it would wait for ever if the session did not end.
#[derive(Clone, Default)]
struct Asked {
    wanted: Arc<Notify>,
    recently: u32,
    since: Option<Instant>,
}

impl Asked {
    /// The server asks; whether it does so as one that shuts down.
    fn again(&mut self) -> bool {
        self.wanted.notify_one();
        let now = Instant::now();
        if self.since.is_none_or(|since| now - since > ASKED_WITHIN) {
            (self.since, self.recently) = (Some(now), 0);
        }
        self.recently += 1;
        self.recently >= ASKED_TIMES
    }
}

fn held_up(relations: &[MemberRelation]) -> Problem {
    let seconds = HELD_UP.as_secs();
    let tables = match relations {
        [relation] => format!("table {}", relation.table),
        relations => format!("{} tables", relations.len()),
    };
    Reason::SinkHeldUp.problem(
        format!("the Sink of {tables} has taken nothing for {seconds} s though its queue is full: the others go on without it"),
        "nothing: it catches up by itself when its brokers and registry answer; if it repeats, look at them",
    )
}

fn shutting_down() -> Problem {
    unreachable("the database server is shutting down")
}

fn ended() -> Problem {
    unreachable("the server ended the replication stream")
}

/// Why a session pauses.
#[derive(Debug)]
pub enum Pause {
    /// Somebody asks for something that the session does not do by itself.
    Request(Request),
    /// Nobody is left to be fed.
    Alone,
}

/// Feeds the members until something is asked for, none is left, or the source fails.
pub async fn run(
    context: &Arc<Context>,
    session: &mut Session,
    requests: &mut mpsc::UnboundedReceiver<Request>,
    watch: &mut Watch,
) -> Result<Pause, SourceError> {
    while !session.router.is_empty() {
        tokio::select! {
            request = requests.recv() => match request {
                Some(Request::Join(join)) => session.joining.push(*join),
                Some(request) => return Ok(Pause::Request(request)),
                None => return Ok(Pause::Alone),
            },
            seen = watch.next() => match seen {
                Seen::Due => watch.look(context, session.router.members()),
                Seen::Lost(lost) => lost.into_iter().for_each(|(sink, problem)| session.router.lose(sink, problem)),
            },
            taken_in = session.next(context) => taken_in?,
        }
        session.turn(context).await?;
        session.join_waiting(context);
    }
    Ok(Pause::Alone)
}

/// Tells the server on a timer what is committed; the timer does not depend on the reader.
async fn report(context: Arc<Context>, mut writer: StatusWriter, asked: Asked, acknowledge: bool) {
    let mut timer = tokio::time::interval(STATUS_INTERVAL);
    timer.tick().await;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = asked.wanted.notified() => {}
        }
        let lowest = if acknowledge { context.floors.lowest() } else { None };
        // A connection that does not take the status ends for the reader too, which tells of it.
        if writer.send(lowest.unwrap_or(Lsn(0)), false).await.is_err() {
            return;
        }
        if let Some(lsn) = lowest {
            context.status.acknowledged(lsn);
            if lsn > Lsn(0) {
                fault::point("confirmed");
            }
        }
    }
}

/// Keeps the end of the log known while the session is behind it: what lag is measured against.
async fn watch_log_end(context: Arc<Context>) {
    let mut timer = tokio::time::interval(LOG_END_INTERVAL);
    loop {
        timer.tick().await;
        // The session tells of a server that is gone; here it is only not known how far its log is.
        let Ok(client) = sql::connect(&context.plan.connection).await else { continue };
        while let Ok(end) = server::flushed(&client).await {
            context.status.heard_log_end(end);
            timer.tick().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::super::router::Member;
    use super::*;
    use crate::protocol::RelationIdentity;

    #[test]
    fn a_sink_joins_that_is_near_and_alive() {
        let table = TableName { schema: "public".into(), name: "t".into() };
        let relation = MemberRelation::new(table, RelationIdentity { oid: 7, entry: 1 }, Lsn(1));
        let member = Member::new(0, vec![relation]);
        let (queue, feed) = feed(1, Delivered::default());
        let (reply, _answer) = oneshot::channel();
        let request = JoinRequest { member, queue, boundary: Lsn(100), reply };
        assert!(may_join(&request, Lsn(99)) && may_join(&request, Lsn(100 + FAR)));
        assert!(!may_join(&request, Lsn(101 + FAR)), "the others would wait for it");
        drop(feed);
        assert!(!may_join(&request, Lsn(100)), "its next life may be there already");
    }
}
