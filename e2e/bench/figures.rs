//! What is measured of a run.

use std::time::{Duration, SystemTime};

use crate::topic::Records;
use crate::usage::{cpu, cpu_of_machine, cpu_of_tree, part, parts, peak_memory};

/// A run that is being measured.
pub struct Run {
    /// The process that carries, where it ran before.
    worker: Option<u32>,
    begun: Times,
}

/// A run that is over; its records are to be read back.
pub struct Done {
    begun: Times,
    ended: Times,
    peak_memory: u64,
}

/// What a run has cost. CPU times are microseconds a row.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Rows that were carried.
    pub rows: u64,
    /// Mean size of a record's key and value, in bytes.
    pub record_bytes: f64,
    /// Rows a second, from the first record in the topic to all of them visible.
    pub rate: f64,
    /// Seconds of the whole run, with what came before the first record.
    pub seconds: f64,
    /// CPU of the process that carries.
    pub worker_us: f64,
    /// CPU of the database server.
    pub postgres_us: f64,
    /// CPU of the broker.
    pub broker_us: f64,
    /// The most memory of the process that carries, in bytes.
    pub peak_memory: u64,
    /// Processors that strangers kept busy meanwhile.
    pub strangers: f64,
}

#[derive(Clone, Copy)]
struct Times {
    at: SystemTime,
    worker: Duration,
    postgres: Duration,
    broker: Duration,
    /// All that belongs to the benchmark.
    ours: Duration,
    machine: Duration,
}

impl Times {
    fn now(worker: Option<u32>) -> Self {
        let of_part = |name| part(name).map(cpu_of_tree).unwrap_or_default();
        Self {
            at: SystemTime::now(),
            worker: worker.map(cpu).unwrap_or_default(),
            postgres: of_part("postgres"),
            broker: of_part("broker"),
            ours: cpu_of_tree(std::process::id()) + parts().into_iter().map(cpu_of_tree).sum::<Duration>(),
            machine: cpu_of_machine(),
        }
    }
}

impl Run {
    /// Begins, before there is a process that carries.
    pub fn begin() -> Self {
        Self { worker: None, begun: Times::now(None) }
    }

    /// Begins, with a process that waits for something to carry.
    pub fn begin_with(worker: u32) -> Self {
        Self { worker: Some(worker), begun: Times::now(Some(worker)) }
    }

    /// Ends now; what the process used before the run does not count.
    pub fn end(&self, worker: u32) -> Done {
        assert!(self.worker.is_none_or(|began| began == worker), "another process carries than at the beginning");
        Done { begun: self.begun, ended: Times::now(Some(worker)), peak_memory: peak_memory(worker) }
    }
}

impl Done {
    /// The figures, with what is in the topic.
    pub fn figures(&self, records: &Records) -> Figures {
        let Self { begun, ended, .. } = self;
        let rows = records.len() as u64;
        let seconds = |from: SystemTime| ended.at.duration_since(from).unwrap_or_default().as_secs_f64();
        let used = |of: fn(&Times) -> Duration| of(ended).saturating_sub(of(begun));
        let a_row = |of| used(of).as_secs_f64() * 1e6 / rows as f64;
        let strangers = used(|times| times.machine).saturating_sub(used(|times| times.ours));
        Figures {
            rows,
            record_bytes: records.bytes() as f64 / rows as f64,
            rate: rows as f64 / seconds(records.first_appended()),
            seconds: seconds(begun.at),
            worker_us: a_row(|times| times.worker),
            postgres_us: a_row(|times| times.postgres),
            broker_us: a_row(|times| times.broker),
            peak_memory: self.peak_memory,
            strangers: strangers.as_secs_f64() / seconds(begun.at),
        }
    }
}
