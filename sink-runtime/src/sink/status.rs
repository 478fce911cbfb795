//! What the status says of a Sink.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::{SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{LeftOutReport, Problem, SinkReport, SinkState, TablesReport};

use crate::position::Position;

/// How many tables a Sink carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub carried: usize,
    /// Those whose snapshot is not through.
    pub waiting: usize,
}

/// Shared by the Sink's thread, which writes it, and the status page.
#[derive(Clone, Debug)]
pub struct SinkStatus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    table: String,
    topic: String,
    by_pattern: bool,
    messages_staged: AtomicU64,
    bytes_staged: AtomicU64,
    snapshot_rows: AtomicU64,
    /// Commit time of the oldest change that is not committed to Kafka, µs since 1970; 0: there is none.
    waiting_since_us: AtomicI64,
    settled: AtomicU64,
    slow: Mutex<Slow>,
}

#[derive(Debug, Default)]
struct Slow {
    state: SinkState,
    begun: bool,
    position: Option<Position>,
    lag_ms: Option<u64>,
    rows_estimated: Option<u64>,
    messages_committed: u64,
    bytes_committed: u64,
    error: Option<Problem>,
    /// At the most one of each reason.
    warnings: Vec<Problem>,
    keys_repeated: u64,
    tables: (Counts, Vec<(TableName, Problem)>),
    truncations: u64,
    retained_bytes: Option<u64>,
    /// The start that was obeyed, and is committed as that.
    obeyed: Option<String>,
    /// The position that was lost last, and how many were.
    lost: (Option<Position>, u64),
    /// What was told when the source's log was found to end before what is committed.
    set_back: Option<Problem>,
}

impl SinkStatus {
    /// Of a Sink that has done nothing yet.
    pub fn new(plan: &SinkPlan) -> Self {
        Self(Arc::new(Inner {
            name: plan.name.clone(),
            table: plan.table_in_words(),
            topic: plan.topic_in_words(),
            by_pattern: plan.by_pattern,
            messages_staged: AtomicU64::new(0),
            bytes_staged: AtomicU64::new(0),
            snapshot_rows: AtomicU64::new(0),
            waiting_since_us: AtomicI64::new(0),
            settled: AtomicU64::new(0),
            slow: Mutex::new(Slow { begun: plan.begun, ..Slow::default() }),
        }))
    }

    /// The Sink is in this state, and nothing stands against it; told once per change.
    pub fn is(&self, state: SinkState) {
        let mut slow = self.slow();
        // A new try after a problem is no news until it succeeds; that a snapshot is under way is, and the problem stays.
        if slow.error.is_some() && state != SinkState::Snapshotting {
            return;
        }
        if slow.state != state {
            tracing::info!(sink = %self.0.name, table = %self.0.table, topic = %self.0.topic, "{state}");
        }
        slow.state = state;
    }

    /// The Sink carries, in this state: what stood against it, if anything did, is over.
    pub fn works(&self, state: SinkState) {
        let mut slow = self.slow();
        if slow.error.take().is_some() || slow.state != state {
            tracing::info!(sink = %self.0.name, table = %self.0.table, topic = %self.0.topic, "{state}");
            slow.state = state;
        }
    }

    /// The Sink cannot go on; told once per change of the problem.
    pub fn stalled(&self, problem: &Problem) {
        let mut slow = self.slow();
        if slow.error.as_ref().is_none_or(|known| known.reason != problem.reason) {
            tracing::warn!(sink = %self.0.name, reason = %problem.reason, hint = %problem.hint, "{}", problem.message);
        }
        if problem.reason == Reason::ProgressBeyondSource.as_str() {
            slow.set_back.get_or_insert_with(|| problem.clone());
        }
        slow.state = SinkState::Stalled;
        slow.error = Some(problem.clone());
        self.0.waiting_since_us.store(0, Ordering::Relaxed);
    }

    /// What somebody should look at for this reason, or nothing any more; told once per change.
    pub fn warning(&self, reason: Reason, warning: Option<Problem>) {
        let mut slow = self.slow();
        let known = slow.warnings.iter().position(|known| known.reason == reason.as_str());
        let Some(warning) = warning else {
            slow.warnings.retain(|known| known.reason != reason.as_str());
            return;
        };
        if known.is_some_and(|known| slow.warnings[known] == warning) {
            return;
        }
        tracing::warn!(sink = %self.0.name, reason = %warning.reason, hint = %warning.hint, "{}", warning.message);
        match known {
            Some(known) => slow.warnings[known] = warning,
            None => slow.warnings.push(warning),
        }
    }

    /// How many tables it carries, and what it leaves out.
    pub fn tables(&self, counts: Counts, left_out: Vec<(TableName, Problem)>) {
        self.slow().tables = (counts, left_out);
    }

    /// How many tables it carries.
    pub fn counts(&self, counts: Counts) {
        self.slow().tables.0 = counts;
    }

    /// Keys came again that were there.
    pub fn keys_repeated(&self, times: u64) {
        self.slow().keys_repeated += times;
    }

    /// So many bytes of the log are kept behind what it has committed.
    pub fn retains(&self, bytes: Option<u64>) {
        self.slow().retained_bytes = bytes;
    }

    /// The start that was asked for is committed as obeyed.
    pub fn obeys(&self, asked: &str) {
        let mut slow = self.slow();
        if slow.obeyed.as_deref() != Some(asked) {
            slow.obeyed = Some(asked.to_owned());
        }
    }

    /// The start that this process has committed as obeyed.
    pub fn obeyed(&self) -> Option<String> {
        self.slow().obeyed.clone()
    }

    /// What commits from this place on is sent again.
    pub fn set_back_to(&self, lsn: Lsn) {
        self.0.settled.store(lsn.0, Ordering::Relaxed);
    }

    /// It has gone past so many truncations of its table.
    pub fn truncated(&self, times: u64) {
        self.slow().truncations += times;
    }

    /// The Sink begins anew, as what follows this position is lost; tells of it, once for each position.
    pub fn begins_anew(&self, problem: &Problem, position: Position) {
        self.stalled(problem);
        let mut slow = self.slow();
        if slow.lost.0 != Some(position) {
            slow.lost = (Some(position), slow.lost.1 + 1);
        }
    }

    /// Whether it has ever committed.
    pub fn begun(&self) -> bool {
        self.slow().begun
    }

    /// The problem, if the source's log was ever found to end before what is committed.
    pub fn set_back(&self) -> Option<Problem> {
        self.slow().set_back.clone()
    }

    /// The state and the problem, if any.
    pub fn state(&self) -> SinkState {
        self.slow().state
    }

    /// A snapshot begins, or goes on after so many rows.
    pub fn snapshot(&self, rows: u64, rows_estimated: Option<u64>) {
        self.0.snapshot_rows.store(rows, Ordering::Relaxed);
        let mut slow = self.slow();
        slow.rows_estimated = rows_estimated.or(slow.rows_estimated);
    }

    /// Messages are handed to Kafka.
    pub fn staged(&self, messages: u64, bytes: u64) {
        self.0.messages_staged.fetch_add(messages, Ordering::Relaxed);
        self.0.bytes_staged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A row of the snapshot is handed to Kafka.
    pub fn snapshot_row(&self) {
        self.0.snapshot_rows.fetch_add(1, Ordering::Relaxed);
    }

    /// The oldest change that waits for its commit has this commit time.
    pub fn waits_since(&self, time_us: i64) {
        self.0.waiting_since_us.store(time_us, Ordering::Relaxed);
    }

    /// A record was found, or is committed.
    pub fn committed(&self, position: Position, messages: u64, bytes: u64, oldest_us: Option<i64>) {
        self.settled(position.replay_from());
        self.0.waiting_since_us.store(0, Ordering::Relaxed);
        let mut slow = self.slow();
        slow.begun = true;
        slow.position = Some(position);
        slow.messages_committed += messages;
        slow.bytes_committed += bytes;
        if let Some(oldest) = oldest_us {
            slow.lag_ms = Some(age_ms(oldest));
        }
    }

    /// All of this Sink's changes that commit before `lsn` are committed to Kafka.
    pub fn settled(&self, lsn: Lsn) {
        self.0.settled.fetch_max(lsn.0, Ordering::Relaxed);
    }

    /// As the status page says it; lag is measured against this end of the source's log.
    pub fn report(&self, log_end: Lsn) -> SinkReport {
        let slow = self.slow();
        let settled = match self.0.settled.load(Ordering::Relaxed) {
            0 => None,
            lsn => Some(Lsn(lsn)),
        };
        let waiting = match self.0.waiting_since_us.load(Ordering::Relaxed) {
            0 => None,
            since => Some(age_ms(since)),
        };
        SinkReport {
            name: self.0.name.clone(),
            table: self.0.table.clone(),
            topic: self.0.topic.clone(),
            state: slow.state,
            begun: slow.begun,
            position: slow.position.map(|position| position.to_string()),
            settled: settled.map(|lsn| lsn.to_string()),
            lag_bytes: settled.map(|settled| log_end.0.saturating_sub(settled.0)),
            lag_ms: slow.lag_ms.max(waiting),
            snapshot_rows: self.0.snapshot_rows.load(Ordering::Relaxed),
            snapshot_rows_estimated: slow.rows_estimated,
            begun_anew: slow.lost.1,
            retained_bytes: slow.retained_bytes,
            messages_staged: self.0.messages_staged.load(Ordering::Relaxed),
            messages_committed: slow.messages_committed,
            bytes_staged: self.0.bytes_staged.load(Ordering::Relaxed),
            bytes_committed: slow.bytes_committed,
            error: slow.error.clone(),
            warnings: slow.warnings.clone(),
            keys_repeated: slow.keys_repeated,
            tables: self.0.by_pattern.then(|| {
                let (counts, left_out) = &slow.tables;
                let out = |(table, problem): &(TableName, Problem)| LeftOutReport {
                    table: table.to_string(),
                    problem: problem.clone(),
                };
                TablesReport {
                    carried: counts.carried as u64,
                    in_snapshot: counts.waiting as u64,
                    left_out: left_out.iter().map(out).collect(),
                }
            }),
            truncations: slow.truncations,
        }
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.0.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age_ms(time_us: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
    (now.saturating_sub(time_us).max(0) / 1_000) as u64
}
