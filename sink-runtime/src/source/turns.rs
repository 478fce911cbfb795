//! How much of the server the Sinks of a worker take at once.
//!
//! Each start, chunk and catch-up takes a temporary slot, a walsender and connections of the server's, of which it has
//! few: ten slots and ten walsenders by default, for all that read from it. So the Sinks take turns, in the order of
//! their asking. With the worker's own slot that makes [`PLACES`] + [`WHOLE_TABLES`] + [`COPIES`] + 1 = 8 at the most.
//!
//! Nobody who holds a turn waits for another one, so all are given back: a Sink asks for the next thing when it has the
//! last. Each kind has turns of its own where one may keep them for long: to read a whole table takes hours, and to make
//! a slot for a place of the log waits for the transactions that write, while a catch-up waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use afterbay_clients::postgres::wire::ReplicationConnection;
use afterbay_clients::postgres::{PostgresError, SqlClient, sql};
use afterbay_crds::plan::PostgresConnectionPlan;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::context::TokioContext;

/// Looks at a place of the log that do not last: chunks, and starts that take no rows along.
const PLACES: usize = 3;
/// Starts that take all rows of a table along.
const WHOLE_TABLES: usize = 2;
/// Sinks that catch up on a copy of the slot.
const COPIES: usize = 2;
/// Short questions to the catalogue, each with a connection of its own.
const QUESTIONS: usize = 4;
/// How long connections are kept for the next turn: to log in costs both sides milliseconds of a processor.
pub(super) const KEEP: Duration = Duration::from_secs(10);

const LOOK_AT_THE_CONNECTION: &str = "SELECT pg_catalog.set_config(name, '5s', false) \
     FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'";

/// The turns of a worker.
#[derive(Debug)]
pub struct Turns {
    shared: Handle,
    places: Semaphore,
    whole_tables: Semaphore,
    copies: Semaphore,
    questions: Semaphore,
    /// Readers that wait for the next place. Each has a walsender: with the places that are taken they are never more than
    /// there are places.
    readers: Mutex<Vec<(Reader, Instant)>>,
    /// Connections that wait for the next question, never more of both than there are questions.
    clients: Mutex<Vec<(Arc<SqlClient>, Instant)>>,
}

/// What looks at a place of the log: a session with a snapshot, and one beside it.
#[derive(Debug)]
pub struct Reader {
    /// Where the snapshot is, and the rows come from.
    pub connection: ReplicationConnection,
    /// For the catalogue of now.
    pub client: SqlClient,
}

impl Reader {
    /// The one that was kept, or one that is connected anew.
    pub async fn ready(kept: Option<Self>, plan: &PostgresConnectionPlan) -> Result<Self, PostgresError> {
        if let Some(reader) = kept {
            return Ok(reader);
        }
        let client = sql::connect(plan).await?;
        // While the other session holds a lock on the table, this one must not wait for long behind somebody who waits for
        // that: the server does not see that the two belong together.
        client.execute("SET lock_timeout = '2s'").await?;
        let mut connection = ReplicationConnection::connect(plan).await?;
        // A process of the server's that makes a slot waits for transactions, however long they take, and does not see by
        // itself that nobody waits for the slot any more. Servers before 14, and some systems, cannot be told to look.
        if let Err(error) = connection.query(LOOK_AT_THE_CONNECTION).await {
            tracing::debug!("{error}");
        }
        Ok(Self { connection, client })
    }
}

/// A connection for a short question; at its end it waits for the next one.
#[derive(Debug)]
pub struct Question<'a> {
    client: Arc<SqlClient>,
    turns: &'a Turns,
    _turn: Turn<'a>,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        keep(&self.turns.clients, Arc::clone(&self.client));
    }
}

impl std::ops::Deref for Question<'_> {
    type Target = SqlClient;

    fn deref(&self) -> &SqlClient {
        &self.client
    }
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'a>(#[allow(dead_code, reason = "held for its end")] Option<SemaphorePermit<'a>>);

impl Turns {
    /// Turns of a worker whose tasks share this runtime: what is kept for others is not to end with a thread of its own.
    pub fn new(shared: Handle) -> Self {
        Self {
            shared,
            places: Semaphore::new(PLACES),
            whole_tables: Semaphore::new(WHOLE_TABLES),
            copies: Semaphore::new(COPIES),
            questions: Semaphore::new(QUESTIONS),
            readers: Mutex::default(),
            clients: Mutex::default(),
        }
    }

    /// For a start that takes the rows of a whole table along.
    pub async fn whole_table(&self) -> Turn<'_> {
        turn(&self.whole_tables).await
    }

    /// For a chunk, or a start without rows; with a reader that is connected already, if there is one.
    pub async fn place(&self) -> (Turn<'_>, Option<Reader>) {
        let turn = turn(&self.places).await;
        (turn, take(&self.readers).filter(|reader| !reader.client.is_closed()))
    }

    /// For a catch-up.
    pub async fn copy(&self) -> Turn<'_> {
        turn(&self.copies).await
    }

    /// A connection for a short question.
    pub async fn ask(&self, plan: &PostgresConnectionPlan) -> Result<Question<'_>, PostgresError> {
        let turn = turn(&self.questions).await;
        let client = match take(&self.clients).filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => Arc::new(TokioContext::new(sql::connect(plan), self.shared.clone()).await?),
        };
        Ok(Question { client, turns: self, _turn: turn })
    }

    /// Keeps a reader for the next place, at the end of its turn.
    pub fn give_back(&self, turn: Turn<'_>, reader: Reader) {
        keep(&self.readers, reader);
        drop(turn);
    }

    /// Lets connections go that nobody has wanted for long. To be called now and then.
    pub fn close_idle(&self) {
        let recent = |since: Instant| since.elapsed() < KEEP;
        locked(&self.readers).retain(|(_, since)| recent(*since));
        locked(&self.clients).retain(|(_, since)| recent(*since));
    }
}

fn take<T>(idle: &Mutex<Vec<(T, Instant)>>) -> Option<T> {
    locked(idle).pop().map(|(kept, _)| kept)
}

fn keep<T>(idle: &Mutex<Vec<(T, Instant)>>, kept: T) {
    locked(idle).push((kept, Instant::now()));
}

fn locked<T>(idle: &Mutex<T>) -> MutexGuard<'_, T> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The semaphores are fair, and never closed.
async fn turn(turns: &Semaphore) -> Turn<'_> {
    Turn(turns.acquire().await.ok())
}
