//! Changes at an even rate, and when each of them was committed and seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use afterbay_e2e::Database;
use tokio::task::JoinSet;

use crate::table;
use crate::topic::{Topic, appended};

/// Changes a second.
pub const RATE: u64 = 1_000;

/// Sessions that share the work, so that none has to wait for its disk.
const SESSIONS: u64 = 8;

/// A change that was committed.
#[derive(Clone, Copy, Debug)]
pub struct Committed {
    /// The row, which no other change of the run concerns.
    pub id: u64,
    /// When the server said that it is committed.
    pub at: SystemTime,
}

/// A record that was seen by a read_committed consumer.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The row.
    pub id: u64,
    /// When the broker appended it.
    pub appended: SystemTime,
    /// When the consumer had it.
    pub at: SystemTime,
}

/// Changes a row for each of these ids, each in a transaction of its own, at an even rate.
pub async fn write(database: &Database, ids: std::ops::Range<u64>) -> Vec<Committed> {
    let begun = tokio::time::Instant::now();
    let mut sessions = JoinSet::new();
    for first in ids.start..ids.start + SESSIONS {
        let session = database.session().await;
        let ids = ids.clone();
        sessions.spawn(async move {
            let mut committed = Vec::new();
            for id in (first..ids.end).step_by(SESSIONS as usize) {
                let due = begun + Duration::from_secs(1) * (id - ids.start) as u32 / RATE as u32;
                tokio::time::sleep_until(due).await;
                session.run(&table::update_one(id)).await;
                committed.push(Committed { id, at: SystemTime::now() });
            }
            committed
        });
    }
    sessions.join_all().await.into_iter().flatten().collect()
}

/// A consumer that notes what it sees, in a thread of its own.
pub struct Listener {
    seen: Arc<Mutex<Vec<Seen>>>,
    enough: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Listener {
    /// Listens from an offset on. Keys are JSON.
    pub fn start(topic: Arc<Topic>, from: i64) -> Self {
        let (seen, enough) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicBool>::default());
        let (noted, stop) = (Arc::clone(&seen), Arc::clone(&enough));
        let thread = std::thread::spawn(move || {
            topic.listen(from, |message| {
                if let Some(message) = message {
                    let seen = Seen { id: id(message), appended: appended(message), at: SystemTime::now() };
                    noted.lock().expect("no thread has panicked").push(seen);
                }
                // What is there already is still taken.
                message.is_some() || !stop.load(Ordering::Relaxed)
            });
        });
        Self { seen, enough, thread }
    }

    /// The first record that was appended after this moment.
    pub fn first_after(&self, moment: SystemTime) -> Option<Seen> {
        let seen = self.seen.lock().expect("no thread has panicked");
        let place = seen.partition_point(|seen| seen.appended <= moment);
        seen.get(place).copied()
    }

    /// Ends it, and gives what it has seen.
    pub fn stop(self) -> Vec<Seen> {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().expect("the consumer goes on to its end");
        std::mem::take(&mut self.seen.lock().expect("no thread has panicked"))
    }
}

/// From a key like `{"id":12}`.
fn id(message: &impl rdkafka::Message) -> u64 {
    let digits = message.key().unwrap_or_default().iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
