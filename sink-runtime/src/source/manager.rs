//! Gathers the Sinks that want to be fed, and runs one session after the other for them.
//!
//! It tries nothing again by itself: a Sink that is refused, or whose session is lost, asks again when its own patience
//! says so, and brings its position from its progress record. So there is one way to begin, after whatever end.

use std::sync::Arc;
use std::time::Duration;

use afterbay_clients::fault;
use afterbay_clients::postgres::catalogue::server::ServerFacts;
use afterbay_clients::postgres::catalogue::slot::SlotStatus;
use afterbay_clients::postgres::catalogue::{server, slot};
use afterbay_clients::postgres::wire::{ReplicationConnection, ReplicationReader, StatusWriter};
use afterbay_clients::postgres::{Lsn, PostgresError, SqlClient, sql};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::claim::{self, Claim, ClaimKind, Grant};
use super::loss::{self, Refusal};
use super::router::{Member, MemberRelation, Router};
use super::session::{self, Context, Queues, Session};
use super::turns::KEEP;
use super::watch::Watch;
use super::{Attached, Origin, Request, SourceError, catch_up, checks, own_thread, start};
use crate::feed::{Delivered, FeedSender, feed};
use crate::position::Position;
use crate::protocol::SourceIdentity;

/// How long a session waits for the next of the Sinks that have not asked yet, and how long for all of them, with something
/// for each; they can catch up later, one or two at a time, at a higher price.
const GATHER: Duration = Duration::from_secs(2);
const GATHER_ALL: Duration = Duration::from_secs(15);
const GATHER_EACH: Duration = Duration::from_millis(150);
/// How long an old reader of the slot may take to go.
const SLOT_RELEASE: Duration = Duration::from_secs(10);

/// A Sink that comes with a position.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// Which Sink of the plan.
    pub sink: usize,
    /// Its tables.
    pub claims: Vec<Claim>,
    /// What the router is to know of them, once they are looked at.
    pub relations: Vec<MemberRelation>,
    /// How far it has come.
    pub position: Position,
    /// Where that holds.
    pub identity: SourceIdentity,
}

impl Newcomer {
    /// As the router wants it.
    pub fn member(&self) -> Member {
        Member::new(self.sink, self.relations.clone())
    }
}

/// A newcomer that waits for its answer.
struct Waiting {
    newcomer: Newcomer,
    reply: oneshot::Sender<Result<Attached, Refusal>>,
}

impl Waiting {
    fn refuse(self, refusal: impl Into<Refusal>) {
        // A Sink that does not wait any more needs no answer.
        let _ = self.reply.send(Err(refusal.into()));
    }
}

/// Runs until the Sinks are gone.
pub struct Manager {
    context: Arc<Context>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// To give to those that catch up; weak, or the manager would keep itself alive.
    back: mpsc::WeakUnboundedSender<Request>,
    slot: Arc<Mutex<()>>,
    /// For what is not to wait while a session sleeps.
    shared: Handle,
    /// Whether each Sink may still be about to ask.
    expected: Vec<bool>,
    /// Who asked before the last session had ended.
    early: Vec<Waiting>,
}

impl Manager {
    /// A manager for this many Sinks.
    pub fn new(
        context: Arc<Context>,
        sinks: usize,
        requests: mpsc::UnboundedReceiver<Request>,
        back: mpsc::WeakUnboundedSender<Request>,
    ) -> Self {
        let shared = Handle::current();
        Self { context, requests, back, slot: Arc::default(), shared, expected: vec![true; sinks], early: Vec::new() }
    }

    /// Runs session after session; on a thread of its own.
    pub async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let _housekeeping = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEEP).await;
                context.turns.close_idle();
            }
        }));
        while let Some(newcomers) = self.gather().await {
            if let Err(error) = self.serve(newcomers).await {
                self.context.status.down(&self.context.plan.name, &error.problem());
            } else {
                self.context.status.idle();
            }
        }
    }

    /// Those who want to be fed from a position; none when all Sinks are gone.
    async fn gather(&mut self) -> Option<Vec<Waiting>> {
        let mut waiting = std::mem::take(&mut self.early);
        let now = Instant::now();
        let (mut first, mut last) = (now, now);
        let all = GATHER_ALL + GATHER_EACH * u32::try_from(self.expected.len()).unwrap_or(u32::MAX);
        loop {
            if !waiting.is_empty() && !self.expected.contains(&true) {
                return Some(waiting);
            }
            let request = if waiting.is_empty() {
                self.requests.recv().await?
            } else {
                let deadline = (last + GATHER).min(first + all);
                match tokio::time::timeout_at(deadline, self.requests.recv()).await {
                    Ok(request) => request?,
                    Err(_) => return Some(waiting),
                }
            };
            last = Instant::now();
            if waiting.is_empty() {
                first = last;
            }
            if let Some(next) = self.admit(request) {
                waiting.retain(|other| other.newcomer.sink != next.newcomer.sink);
                waiting.push(next);
            }
        }
    }

    /// Serves what needs no session; gives back who wants one.
    fn admit(&mut self, request: Request) -> Option<Waiting> {
        let request = match request {
            Request::Away(sink) => {
                self.expected[sink] = false;
                return None;
            }
            // There is no session to join: dropping the request says so.
            Request::Join(_) => return None,
            Request::Attach(request) => request,
        };
        // One that begins without rows is back in a moment.
        self.expected[request.sink] = request.origin == Origin::Fresh { snapshot: false };
        match request.origin {
            Origin::Fresh { snapshot } => {
                let (context, slot) = (Arc::clone(&self.context), Arc::clone(&self.slot));
                self.shared.spawn(start::run(context, request, snapshot, slot));
                None
            }
            Origin::Record { position, identity } => Some(Waiting {
                newcomer: Newcomer {
                    sink: request.sink,
                    claims: request.claims,
                    relations: Vec::new(),
                    position,
                    identity,
                },
                reply: request.reply,
            }),
        }
    }

    async fn serve(&mut self, waiting: Vec<Waiting>) -> Result<(), SourceError> {
        let context = Arc::clone(&self.context);
        let Some(Opened { stream, start, fit }) = open(&context, waiting).await? else { return Ok(()) };
        // Also Sinks that are not among the members wait: they ask for what only this session gives.
        let mut queues = Queues::new(context.batch_bytes, Delivered::default(), context.sinks.len() > 1);
        let mut members = Vec::new();
        for fit in fit {
            let member = fit.newcomer.member();
            if let Some(sender) = fit.attach(&context, queues.delivered().clone()) {
                queues.add(member.sink, sender);
                members.push(member);
            }
        }
        context.status.up(&context.plan.name);
        let mut session = Session::new(&context, stream, start, Router::new(members), queues, true);
        let mut watch = Watch::default();
        loop {
            match session::run(&context, &mut session, &mut self.requests, &mut watch).await {
                Ok(session::Pause::Alone) => return Ok(()),
                Ok(session::Pause::Request(request)) => self.meanwhile(&mut session, request),
                Err(error) => {
                    // They will all come back at once: the next session is to wait for them.
                    for member in session.router.members() {
                        self.expected[member.sink] = true;
                    }
                    session.queues.close(&error.problem());
                    return Err(error);
                }
            }
        }
    }

    /// Serves a request that comes while a session runs. Who asks anew has left the session.
    fn meanwhile(&mut self, session: &mut Session, request: Request) {
        match &request {
            Request::Away(sink) => session.leave(*sink),
            Request::Attach(request) => session.leave(request.sink),
            Request::Join(_) => {}
        }
        let Some(waiting) = self.admit(request) else { return };
        if session.router.is_empty() {
            // Nobody is there that a session for all would have to wait for.
            self.early.push(waiting);
            return;
        }
        let main = session.queues.delivered().clone();
        let (context, back) = (Arc::clone(&self.context), self.back.clone());
        self.shared.spawn(async move {
            let _turn = context.turns.copy().await;
            match own_thread::spawn("catch-up", attach_late(Arc::clone(&context), waiting, main, back)) {
                // A panic is a defect, and has ended the Sink's queue; the Sink comes again.
                Ok(done) => done.await.unwrap_or_default(),
                // As above.
                Err(error) => tracing::warn!("no thread for a Sink that catches up: {error}"),
            }
        });
    }
}

/// A newcomer that can be fed.
struct Fit {
    newcomer: Newcomer,
    reply: oneshot::Sender<Result<Attached, Refusal>>,
    sound: Sound,
}

impl Fit {
    /// Gives the Sink its queue; none when it does not wait any more.
    fn attach(self, context: &Context, delivered: Delivered) -> Option<FeedSender> {
        context.floors.serve(self.newcomer.sink);
        let (sender, feed) = feed(context.queue_bytes, delivered);
        let attached = Attached {
            feed,
            grants: self.sound.grants,
            start: self.newcomer.position.replay_from(),
            identity: self.sound.identity,
            log_end: self.sound.log_end,
            rows_estimated: None,
            snapshot_time_us: 0,
        };
        self.reply.send(Ok(attached)).ok()?;
        Some(sender)
    }

    fn back(self) -> Waiting {
        Waiting { newcomer: self.newcomer, reply: self.reply }
    }
}

struct Opened {
    stream: (ReplicationReader, StatusWriter),
    /// Where it was started: at the lowest of the positions.
    start: Lsn,
    fit: Vec<Fit>,
}

/// Opens the replication stream for those that fit; refuses the others, and all where there is no stream. None when
/// nobody fits.
async fn open(context: &Context, waiting: Vec<Waiting>) -> Result<Option<Opened>, SourceError> {
    let newcomers = waiting.iter().map(|waiting| &waiting.newcomer);
    let (connection, fit) = match prepare(context, newcomers, false).await {
        Ok((connection, verdicts)) => (connection, sort(waiting, verdicts)),
        Err(error) => return Err(refuse_all(waiting, error)),
    };
    let Some(start) = fit.iter().map(|fit| fit.newcomer.position.replay_from()).min() else { return Ok(None) };
    fault::hold("slot-looked-at").await;
    let opened = async {
        let stream = start_stream(context, connection, start).await?;
        // Between the first look and START somebody else may have read from the slot. Nothing is acknowledged before
        // this look.
        let slot = looked_at(context).await?;
        context.floors.told(slot.confirmed_flush.unwrap_or_default());
        Ok((stream, slot))
    };
    let (stream, slot) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return Err(refuse_all(fit.into_iter().map(Fit::back).collect(), error)),
    };
    let mut still_fit = Vec::new();
    for fit in fit {
        let Newcomer { sink, position, .. } = &fit.newcomer;
        match loss::slot_serves(&context.plan, context.sinks.get(*sink), Some(&slot), true, position) {
            Ok(()) => still_fit.push(fit),
            Err(refusal) => fit.back().refuse(refusal),
        }
    }
    Ok(if still_fit.is_empty() { None } else { Some(Opened { stream, start, fit: still_fit }) })
}

fn refuse_all(waiting: Vec<Waiting>, error: SourceError) -> SourceError {
    let problem = error.problem();
    for waiting in waiting {
        waiting.refuse(problem.clone());
    }
    error
}

/// What speaks for a newcomer.
struct Sound {
    grants: Vec<Grant>,
    relations: Vec<MemberRelation>,
    identity: SourceIdentity,
    log_end: Lsn,
}

type Verdict = Result<Sound, Refusal>;

fn sort(waiting: Vec<Waiting>, verdicts: Vec<Verdict>) -> Vec<Fit> {
    let mut fit = Vec::new();
    for (waiting, verdict) in waiting.into_iter().zip(verdicts) {
        match verdict {
            Ok(mut sound) => {
                let mut newcomer = waiting.newcomer;
                newcomer.relations = std::mem::take(&mut sound.relations);
                fit.push(Fit { newcomer, reply: waiting.reply, sound });
            }
            Err(refusal) => waiting.refuse(refusal),
        }
    }
    fit
}

/// Looks at server, slot and tables: what stands against all is an error, what stands against one is its verdict. `ours`:
/// this worker reads the slot.
async fn prepare(
    context: &Context,
    newcomers: impl Iterator<Item = &Newcomer> + Clone + Send,
    ours: bool,
) -> Result<(ReplicationConnection, Vec<Verdict>), SourceError> {
    let plan = &context.plan;
    let client = context.ask().await?;
    let mut connection = ReplicationConnection::connect(&plan.connection).await?;
    let server = connection.identify_system().await?;
    let timelines = newcomers.clone().map(|newcomer| newcomer.identity.timeline);
    let history = checks::history(&mut connection, &server, timelines).await?;
    let facts = server::facts(&client).await?;
    let unfit = || plan.failover_slot.then(|| facts.failover(&client)).flatten();
    if let Some(problem) = facts.synchronous().or_else(unfit) {
        return Err(SourceError::Refused(problem));
    }
    context.status.warns(&plan.name, facts.failover_may_lose().filter(|_| plan.failover_slot));
    let slot = slot::status(&client, &plan.slot).await?;
    let mut granted = Vec::new();
    for newcomer in newcomers.clone() {
        granted.push(grant(context, &client, &facts, newcomer).await?);
    }
    let verdict = |(newcomer, standing): (&Newcomer, Result<Vec<Grant>, Problem>)| {
        checks::identity_fits(&newcomer.identity, &newcomer.position, &server, &history)?;
        let sink = context.sinks.get(newcomer.sink);
        match (standing, loss::slot_serves(plan, sink, slot.as_ref(), ours, &newcomer.position)) {
            (Ok(grants), Ok(())) => {
                let from = newcomer.position.replay_from();
                let relations = claim::relations(&newcomer.claims, &grants, from, server.wal_end);
                let identity = start::identity(plan, &server);
                Ok(Sound { grants, relations, identity, log_end: server.wal_end })
            }
            (Ok(_), Err(refusal)) => Err(refusal),
            // First things first; but the others are not to keep a log for it that has lost what it needs.
            (Err(problem), Err(Refusal::Lost(_) | Refusal::BeginAnew(_))) => Err(Refusal::Lost(problem)),
            (Err(problem), _) => Err(problem.into()),
        }
    };
    let verdicts = newcomers.zip(granted).map(verdict).collect();
    Ok((connection, verdicts))
}

/// Looks at the tables of a newcomer; what stands against a table that it has begun with stands against all of it.
async fn grant(
    context: &Context,
    client: &SqlClient,
    facts: &ServerFacts,
    newcomer: &Newcomer,
) -> Result<Result<Vec<Grant>, Problem>, PostgresError> {
    let publication = &context.plan.publication;
    let begun = newcomer.claims.iter().filter_map(|claim| match claim.kind {
        ClaimKind::Begun(identity) => Some((&claim.table, identity)),
        _ => None,
    });
    let begun: Vec<_> = begun.collect();
    let joins = newcomer.claims.iter().filter(|claim| claim.kind == ClaimKind::Joins);
    let joins: Vec<_> = joins.map(|claim| (&claim.table, context.relation(newcomer.sink, &claim.table))).collect();
    let mut standing = checks::standing(client, publication, &begun).await?.into_iter();
    let mut joining = checks::joining(client, facts, publication, &joins).await?.into_iter();
    let by_pattern = context.is_by_pattern(newcomer.sink);
    // Of a name that leads nowhere, or to another table, there will be no change any more.
    let is_gone = |problem: &Problem| {
        by_pattern && [Reason::TableNotFound, Reason::SchemaChanged].iter().any(|it| it.as_str() == problem.reason)
    };
    let grants = newcomer.claims.iter().filter_map(|claim| {
        Some(match claim.kind {
            ClaimKind::Begun(identity) => match standing.next()? {
                Ok(table) => Ok(Grant::Carried(Box::new(table), identity)),
                Err(problem) if is_gone(&problem) => Ok(Grant::Gone(problem)),
                Err(problem) => Err(problem),
            },
            ClaimKind::Joins => Ok(match joining.next()? {
                Ok((table, identity)) => Grant::Carried(Box::new(table), identity),
                Err(problem) => Grant::LeftOut(problem),
            }),
            ClaimKind::Leaves(_) => Ok(Grant::Leaves),
        })
    });
    Ok(grants.collect())
}

/// Starts the stream; ends a predecessor that still reads the slot: the Sinks that wait have fenced its producers.
async fn start_stream(
    context: &Context,
    mut connection: ReplicationConnection,
    from: Lsn,
) -> Result<(ReplicationReader, StatusWriter), SourceError> {
    let plan = &context.plan;
    release_slot(context).await?;
    if plan.failover_slot && !looked_at(context).await?.failover {
        connection.make_failover_slot(&plan.slot).await?;
        tracing::info!(slot = %plan.slot, "standbys keep a copy of the slot from now on");
    }
    Ok(connection.start_replication(&plan.slot, from, &[&plan.publication]).await?)
}

async fn release_slot(context: &Context) -> Result<(), SourceError> {
    let plan = &context.plan;
    let client = sql::connect(&plan.connection).await?;
    let deadline = Instant::now() + SLOT_RELEASE;
    let mut asked = None;
    loop {
        let reader = slot::status(&client, &plan.slot).await?.and_then(|slot| slot.active_pid);
        let Some(pid) = reader else { return Ok(()) };
        if asked != Some(pid) {
            tracing::info!(slot = %plan.slot, pid, "ending the old reader of the slot");
            slot::terminate_backend(&client, pid).await?;
            asked = Some(pid);
        }
        if Instant::now() >= deadline {
            return Err(SourceError::Refused(Reason::SlotInUse.problem(
                format!("replication slot {} is in use by the server process {pid}, which does not end", plan.slot),
                "end its client, or choose another spec.postgres.slot.name",
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The slot as it is now, when it is, or is about to be, this worker's.
async fn looked_at(context: &Context) -> Result<SlotStatus, SourceError> {
    let client = sql::connect(&context.plan.connection).await?;
    let slot = slot::status(&client, &context.plan.slot).await?;
    slot.ok_or_else(|| SourceError::Refused(checks::slot_lost(&context.plan.slot, "it was dropped just now")))
}

/// Feeds a Sink that came after the session of all had begun.
async fn attach_late(
    context: Arc<Context>,
    waiting: Waiting,
    main: Delivered,
    requests: mpsc::WeakUnboundedSender<Request>,
) {
    let (connection, verdicts) = match prepare(&context, std::iter::once(&waiting.newcomer), true).await {
        Ok(prepared) => prepared,
        Err(error) => return waiting.refuse(error.problem()),
    };
    if let Some(fit) = sort(vec![waiting], verdicts).pop() {
        let delivered = Delivered::default();
        let newcomer = fit.newcomer.clone();
        if let Some(sender) = fit.attach(&context, delivered.clone()) {
            catch_up::run(Arc::clone(&context), connection, newcomer, (sender, delivered), main, requests).await;
        }
    }
}
