//! The figures as tables, in `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::time::Duration;

use afterbay_e2e::Format;
use afterbay_e2e::programs::repository;

use crate::aims::{self, Aim};
use crate::figures::Figures;
use crate::latency::Latency;
use crate::restart::Restart;
use crate::settings::Settings;

const FILE: &str = "docs/benchmarks.md";
/// What stands between these lines is written by this program, all else by hand.
const BEGIN: &str = "<!-- figures: written by make bench -->\n";
const END: &str = "<!-- end of the figures -->\n";

/// Processors that strangers may keep busy before the figures are in doubt.
const QUIET: f64 = 0.1;

/// Who carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Afterbay's worker.
    Afterbay,
    /// Afterbay's worker, built without transactions.
    WithoutTransactions,
    /// Afterbay's worker, by turns with those that it is compared with.
    ByTurns,
    /// Afterbay's worker, with an expression that chooses the partition.
    PartitionBy,
    /// Afterbay's worker, with a query.
    Query,
    /// The bare producer.
    Bare,
    /// Debezium on Kafka Connect, exactly once.
    Debezium,
}

impl Subject {
    fn as_str(self) -> &'static str {
        match self {
            Self::Afterbay => "Afterbay",
            Self::WithoutTransactions => "Afterbay, without transactions",
            Self::ByTurns => "Afterbay, by turns",
            Self::PartitionBy => "Afterbay, partitionBy",
            Self::Query => "Afterbay, query",
            Self::Bare => "bare producer",
            Self::Debezium => "Debezium",
        }
    }
}

/// All that was measured.
pub struct Report {
    is_full: bool,
    header: Vec<String>,
    lines: Vec<Line>,
    /// By settings.
    pub latencies: Vec<(&'static str, Latency)>,
    /// All restarts.
    pub restarts: Vec<Restart>,
}

struct Line {
    run: &'static str,
    format: Format,
    subject: Subject,
    figures: Figures,
}

impl Report {
    /// Nothing yet.
    pub fn new(settings: &Settings, header: Vec<String>) -> Self {
        let (lines, latencies, restarts) = (Vec::new(), Vec::new(), Vec::new());
        Self { is_full: settings.is_full(), header, lines, latencies, restarts }
    }

    /// A run.
    pub fn add(&mut self, run: &'static str, format: Format, subject: Subject, figures: Figures) {
        let line = Line { run, format, subject, figures };
        eprintln!("{}", line.row());
        self.lines.push(line);
    }

    /// A run at an even rate.
    pub fn latency(&mut self, setting: &'static str, latency: Latency) {
        eprintln!("{}", latency_row(setting, &latency));
        self.latencies.push((setting, latency));
    }

    /// Restarts.
    pub fn restarts(&mut self, restarts: Vec<Restart>) {
        self.restarts = restarts;
    }

    /// The figures of a run.
    pub fn figures(&self, run: &str, format: Format, subject: Subject) -> Option<&Figures> {
        let is_it = |line: &&Line| line.run == run && line.format == format && line.subject == subject;
        self.lines.iter().find(is_it).map(|line| &line.figures)
    }

    /// Prints all; a run of full size is put into the file.
    pub fn publish(&self) {
        let text = self.text();
        println!("{text}");
        if !self.is_full {
            println!("This run was not of full size: {FILE} is left as it is.");
            return;
        }
        let path = repository().join(FILE);
        let old = std::fs::read_to_string(&path).expect("the file can be read");
        let (before, rest) = old.split_once(BEGIN).expect("the file says where the figures begin");
        let (_, after) = rest.split_once(END).expect("the file says where they end");
        std::fs::write(&path, format!("{before}{BEGIN}\n{text}\n{END}{after}")).expect("the file can be written");
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.header {
            let _ = writeln!(text, "- {line}");
        }
        let strangers = self.lines.iter().map(|line| line.figures.strangers).fold(0.0, f64::max);
        if strangers > QUIET {
            let _ = writeln!(
                text,
                "- **Not a quiet machine**: strangers kept up to {strangers:.1} processors busy meanwhile, which halves rates \
                 and more, and makes every row cost more CPU too (caches, switches). Compare lines of this table with each \
                 other, not with other machines."
            );
        }
        text += "\n| measure | aim | reached | |\n|---|--:|--:|---|\n";
        for Aim { measure, wanted, reached, is_met } in aims::of(self) {
            let _ =
                writeln!(text, "| {measure} | {wanted} | {reached} | {} |", if is_met { "met" } else { "**not met**" });
        }
        text += "\n| run | rows | format | carried by | rows/s | whole run | CPU, µs/row | Postgres, µs/row \
                 | broker, µs/row | peak memory | record | strangers |\n|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
        for line in &self.lines {
            let _ = writeln!(text, "{}", line.row());
        }
        text += "\n| changes at an even rate | changes/s | p50 | p99 | slowest | CPU, µs/change | strangers |\n\
                 |---|--:|--:|--:|--:|--:|--:|\n";
        for (setting, latency) in &self.latencies {
            let _ = writeln!(text, "{}", latency_row(setting, latency));
        }
        text += "\n| restart after SIGKILL | median | slowest |\n|---|--:|--:|\n";
        for (what, of) in RESTARTS {
            let (median, slowest) = median_and_slowest(self.restarts.iter().map(of).collect());
            let _ = writeln!(text, "| {what} | {} | {} |", millis(median), millis(slowest));
        }
        text
    }
}

type Part = fn(&Restart) -> Duration;

const RESTARTS: [(&str, Part); 2] = [
    ("start of the process → first record visible", |restart| restart.from_start),
    ("kill → first record visible", |restart| restart.from_kill),
];

impl Line {
    fn row(&self) -> String {
        let Self { run, format, subject, figures } = self;
        // The bare producer's process holds all records before it begins.
        let memory = match subject {
            Subject::Bare => String::new(),
            _ => format!("{:.0} MB", figures.peak_memory as f64 / 1e6),
        };
        format!(
            "| {run} | {} | {} | {} | {} | {:.1} s | {:.2} | {:.2} | {:.2} | {memory} | {:.0} B | {:.2} |",
            thousands(figures.rows),
            format.as_str(),
            subject.as_str(),
            thousands(figures.rate.round() as u64),
            figures.seconds,
            figures.worker_us,
            figures.postgres_us,
            figures.broker_us,
            figures.record_bytes,
            figures.strangers,
        )
    }
}

fn latency_row(setting: &str, latency: &Latency) -> String {
    let [p50, p99, slowest] = [0.5, 0.99, 1.0].map(|share| millis(latency.quantile(share)));
    let Figures { worker_us, strangers, .. } = latency.figures;
    format!("| {setting} | {:.0} | {p50} | {p99} | {slowest} | {worker_us:.1} | {strangers:.2} |", latency.rate)
}

/// Of times in any order.
pub fn median_and_slowest(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let slowest = times.last().copied().unwrap_or_default();
    (times.get(times.len() / 2).copied().unwrap_or_default(), slowest)
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// `1,000,000`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
