//! What is asked for, from the environment: `make bench ROWS=100000 PEERS=1`.

use std::path::PathBuf;

/// Rows of a run whose figures are recorded.
pub const RECORDED_ROWS: u64 = 1_000_000;

/// How much is done.
pub struct Settings {
    /// `ROWS`: rows of the table, and of the one large transaction.
    pub rows: u64,
    /// `UPDATES`: changes of a stream; half the rows, unless told otherwise.
    pub updates: u64,
    /// `SECONDS_STEADY`: how long changes come at an even rate.
    pub seconds: u64,
    /// `KILLS`: how often the worker is killed.
    pub kills: u64,
    /// `PEERS`: whether the peer is measured too.
    pub peers: bool,
    /// `WITHOUT_TRANSACTIONS`: a worker's program that was built without transactions.
    pub without_transactions: Option<PathBuf>,
}

impl Settings {
    /// From the environment.
    pub fn read() -> Self {
        let rows = number("ROWS", RECORDED_ROWS);
        Self {
            rows,
            updates: number("UPDATES", rows / 2),
            seconds: number("SECONDS_STEADY", 20),
            kills: number("KILLS", 5),
            peers: number("PEERS", 0) > 0,
            without_transactions: std::env::var_os("WITHOUT_TRANSACTIONS").map(PathBuf::from),
        }
    }

    /// Whether the figures are of the size that is recorded.
    pub fn is_full(&self) -> bool {
        self.rows == RECORDED_ROWS && self.updates == RECORDED_ROWS / 2
    }
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number"))
        }
        _ => default,
    }
}
