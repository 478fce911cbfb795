//! A Sink that comes back reads on a temporary copy of the slot until it is where the session of all is.
//!
//! The others are not rewound, and the slot's own position is not touched: the copy lives as long as its connection.

use std::sync::Arc;
use std::time::Duration;

use afterbay_clients::postgres::Lsn;
use afterbay_clients::postgres::error::unreachable;
use afterbay_clients::postgres::quote::literal;
use afterbay_clients::postgres::wire::ReplicationConnection;
use afterbay_crds::report::Problem;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::manager::Newcomer;
use super::router::Router;
use super::session::{Context, Queues, Session};
use super::snapshot::temporary_name;
use super::{JoinRequest, Request, SourceError, checks};
use crate::feed::{Delivered, Delivery, Feed, FeedSender};

/// How often the server is asked how far it has come.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// How near, in bytes of log, a Sink must be before the session of all is asked to take it up: what lies between is
/// held in its queue.
const NEAR: u64 = 1 << 20;

/// Feeds one Sink until the session of all has taken it up. `main` is how far that session has delivered.
pub async fn run(
    context: Arc<Context>,
    connection: ReplicationConnection,
    newcomer: Newcomer,
    (sender, delivered): (FeedSender, Delivered),
    main: Delivered,
    requests: mpsc::WeakUnboundedSender<Request>,
) {
    let outcome = tokio::select! {
        outcome = follow(&context, connection, &newcomer, (&sender, delivered), &main, &requests) => outcome,
        // Its life is over, and the next one catches up for itself.
        () = sender.left() => return,
    };
    let delivery = match outcome {
        Ok(Some(feed)) => Delivery::Continue(feed),
        Ok(None) => return,
        Err(error) => Delivery::Lost(error.problem()),
    };
    // As above.
    let _ = sender.send(delivery);
}

async fn follow(
    context: &Arc<Context>,
    mut connection: ReplicationConnection,
    newcomer: &Newcomer,
    (sender, delivered): (&FeedSender, Delivered),
    main: &Delivered,
    requests: &mpsc::WeakUnboundedSender<Request>,
) -> Result<Option<Feed>, SourceError> {
    let plan = &context.plan;
    let start = newcomer.position.replay_from();
    // Since the newcomer was looked at, somebody else may have read from the slot: what counts is what is read here.
    let server = connection.identify_system().await?;
    let history = checks::history(&mut connection, &server, [newcomer.identity.timeline]).await?;
    checks::identity_fits(&newcomer.identity, &newcomer.position, &server, &history).map_err(SourceError::Refused)?;
    let name = temporary_name("copy");
    let confirmed = copy_slot(&mut connection, &plan.slot, &name).await?;
    checks::slot_is_not_ahead(&plan.slot, confirmed, &newcomer.position).map_err(SourceError::Refused)?;
    let stream = connection.start_replication(&name, start, &[&plan.publication]).await?;
    // Others wait for its turn.
    let mut queues = Queues::new(context.batch_bytes, delivered, true);
    queues.add(newcomer.sink, sender.clone());
    let mut session = Session::new(context, stream, start, Router::new(vec![newcomer.member()]), queues, false);

    let mut joining: Option<oneshot::Receiver<(Feed, Lsn)>> = None;
    let mut joined: Option<(Feed, Lsn)> = None;
    let mut impatience = tokio::time::interval(IMPATIENCE);
    impatience.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !session.router.is_empty() {
        let at_boundary = session.router.is_at_boundary();
        if at_boundary && let Some((feed, from)) = joined.take_if(|(_, from)| session.boundary() >= *from) {
            tracing::debug!(sink = newcomer.sink, %from, "caught up");
            return Ok(Some(feed));
        }
        if at_boundary && joining.is_none() && joined.is_none() && session.boundary().0 + NEAR >= main.get().0 {
            joining = ask(newcomer, sender, session.boundary(), requests);
            if joining.is_none() {
                return Ok(None);
            }
        }
        tokio::select! {
            answer = async { joining.as_mut()?.await.ok() }, if joining.is_some() => {
                joining = None;
                match answer {
                    Some(answer) => joined = Some(answer),
                    // The session of all is over: the next one is asked for anew.
                    None => return Err(SourceError::Refused(over(context))),
                }
            }
            taken_in = session.next(context) => taken_in?,
            // Where nothing is to be sent the server tells how far it has come when it is asked, else every now and then.
            _ = impatience.tick() => session.ask(),
        }
        session.turn(context).await?;
    }
    Ok(None)
}

/// A copy of a slot that lives as long as the connection; gives up to where it is acknowledged.
async fn copy_slot(connection: &mut ReplicationConnection, slot: &str, copy: &str) -> Result<Option<Lsn>, SourceError> {
    let rows = connection
        .query(&format!(
            "SELECT lsn FROM pg_catalog.pg_copy_logical_replication_slot({}, {}, true)",
            literal(slot),
            literal(copy)
        ))
        .await?;
    let lsn = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
    Ok(lsn.and_then(|lsn| lsn.parse().ok()))
}

fn ask(
    newcomer: &Newcomer,
    queue: &FeedSender,
    boundary: Lsn,
    requests: &mpsc::WeakUnboundedSender<Request>,
) -> Option<oneshot::Receiver<(Feed, Lsn)>> {
    let (reply, answer) = oneshot::channel();
    let request = JoinRequest { member: newcomer.member(), queue: queue.clone(), boundary, reply };
    requests.upgrade()?.send(Request::Join(Box::new(request))).ok()?;
    Some(answer)
}

fn over(context: &Context) -> Problem {
    context.status.report().error.unwrap_or_else(|| unreachable("the replication session ended"))
}
