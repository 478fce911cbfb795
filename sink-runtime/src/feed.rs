//! The bounded queue between a source's session and a Sink.
//!
//! The session is asynchronous, the Sink is a thread that blocks in Kafka's calls. What lies between them is bounded
//! in bytes: a full queue makes the session wait, and with it the source.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::report::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::change::ChangeBatch;

/// After this time without a sign of life a Sink with a full queue is not waited for any more where others wait with it.
pub const HELD_UP: Duration = Duration::from_secs(10);
/// How often it is looked for signs of life.
const GLANCE: Duration = Duration::from_millis(100);

/// What a session hands to a Sink.
#[derive(Debug)]
pub enum Delivery {
    /// Changes; the permit gives their bytes back to the queue when they are worked off.
    Changes(ChangeBatch, OwnedSemaphorePermit),
    /// The snapshot is whole, and the stream starts at this LSN.
    SnapshotEnd(Lsn),
    /// What follows comes from here.
    Continue(Feed),
    /// The session is over.
    Lost(Problem),
}

/// How far a session has delivered: everything of the transactions that commit before it stands in the queues.
#[derive(Clone, Debug, Default)]
pub struct Delivered(Arc<AtomicU64>);

impl Delivered {
    /// Moves it; only after all queues have what it speaks of.
    pub fn set(&self, lsn: Lsn) {
        self.0.store(lsn.0, Ordering::Release);
    }

    /// Where it stands. Read it before the queue: what it speaks of is then in the queue or worked off.
    pub fn get(&self) -> Lsn {
        Lsn(self.0.load(Ordering::Acquire))
    }
}

/// The Sink's end of the queue.
#[derive(Debug)]
pub struct Feed {
    deliveries: mpsc::Receiver<Delivery>,
    alive: Alive,
    /// How far the session behind it has delivered.
    pub delivered: Delivered,
    _held: DropGuard,
}

/// The session's end of the queue.
#[derive(Clone, Debug)]
pub struct FeedSender {
    deliveries: mpsc::Sender<Delivery>,
    budget: Arc<Semaphore>,
    budget_bytes: u32,
    alive: Alive,
    left: CancellationToken,
}

/// When a Sink was last seen to do something else than to wait for others.
#[derive(Clone, Debug)]
struct Alive(Arc<Mutex<Instant>>);

impl Alive {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// The Sink has left its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left;

/// Why a Sink was not handed its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfed {
    /// It has left.
    Left,
    /// Its queue is full, and it has shown no sign of life for [`HELD_UP`].
    HeldUp,
}

/// A queue that holds up to `budget_bytes`; a larger batch passes alone.
pub fn feed(budget_bytes: u32, delivered: Delivered) -> (FeedSender, Feed) {
    let (sender, receiver) = mpsc::channel();
    let budget = Arc::new(Semaphore::new(budget_bytes as usize));
    let left = CancellationToken::new();
    let alive = Alive(Arc::new(Mutex::new(Instant::now())));
    let feed = Feed { deliveries: receiver, alive: alive.clone(), delivered, _held: left.clone().drop_guard() };
    (FeedSender { deliveries: sender, budget, budget_bytes, alive, left }, feed)
}

impl FeedSender {
    /// Hands over changes, when there is room.
    pub async fn changes(&self, batch: ChangeBatch) -> Result<(), Left> {
        let permit = self.room(batch.size()).await?;
        self.send(Delivery::Changes(batch, permit))
    }

    /// As [`Self::changes`], but waits only for a Sink that does something.
    pub async fn changes_if_alive(&self, batch: ChangeBatch) -> Result<(), Unfed> {
        let room = self.room(batch.size());
        tokio::pin!(room);
        let permit = loop {
            // The first look is at the room alone: where there is some, nothing else matters.
            match tokio::time::timeout(GLANCE, &mut room).await {
                Ok(permit) => break permit.map_err(|Left| Unfed::Left)?,
                Err(_) if self.has_left() => return Err(Unfed::Left),
                Err(_) if self.alive.elapsed() >= HELD_UP => return Err(Unfed::HeldUp),
                Err(_) => {}
            }
        };
        self.send(Delivery::Changes(batch, permit)).map_err(|Left| Unfed::Left)
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Left> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.budget_bytes);
        Arc::clone(&self.budget).acquire_many_owned(bytes).await.map_err(|_| Left)
    }

    /// Hands over something that takes no room.
    pub fn send(&self, delivery: Delivery) -> Result<(), Left> {
        self.deliveries.send(delivery).map_err(|_| Left)
    }

    /// Whether the Sink has left.
    pub fn has_left(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Waits until the Sink has left.
    pub async fn left(&self) {
        self.left.cancelled().await;
    }
}

/// Nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// In time.
    Yet,
    /// And nothing will: the session was dropped.
    Anymore,
}

impl Feed {
    /// The Sink lives, though it takes nothing: it does not wait for a system that does not answer.
    pub fn alive(&self) {
        self.alive.now();
    }

    /// The next delivery, waiting for it as long as `timeout`.
    pub fn next(&self, timeout: Duration) -> Result<Delivery, Nothing> {
        self.alive();
        let received = if timeout.is_zero() {
            self.deliveries.try_recv().map_err(|error| match error {
                mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
                mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        } else {
            self.deliveries.recv_timeout(timeout)
        };
        received.map_err(|error| match error {
            RecvTimeoutError::Timeout => Nothing::Yet,
            RecvTimeoutError::Disconnected => Nothing::Anymore,
        })
    }
}
