//! The figures held against what is aimed at.

use std::time::Duration;

use afterbay_e2e::Format;

use crate::figures::Figures;
use crate::latency;
use crate::report::{Report, Subject, median_and_slowest};

/// CPU of the worker a row of the snapshot, and a change of the stream, in microseconds.
const SNAPSHOT_US: f64 = 3.0;
const STREAM_US: f64 = 3.5;
/// Snapshot rate as a share of the bare producer's, and as a multiple of the peer's.
const OF_BARE: f64 = 0.7;
const OF_PEER: f64 = 4.0;
/// Rate as a share of that without transactions.
const OF_PLAIN: f64 = 0.85;
/// Worker CPU a row where there is SQL, as a multiple of that where there is none.
const WITH_SQL: f64 = 1.25;
/// Peak memory in bytes.
const MEMORY: u64 = 100_000_000;
/// From commit to visible, with the default settings, and where every transaction is committed soon.
const P50: Duration = Duration::from_millis(100);
const P99: Duration = Duration::from_millis(300);
const P50_SOON: Duration = Duration::from_millis(25);
/// From the start of a process to its first record.
const START: Duration = Duration::from_secs(1);

/// One aim.
pub struct Aim {
    /// What is measured.
    pub measure: String,
    /// What is aimed at.
    pub wanted: String,
    /// What was reached.
    pub reached: String,
    /// Whether that is enough.
    pub is_met: bool,
}

/// All aims of which the report has figures.
pub fn of(report: &Report) -> Vec<Aim> {
    let avro = |run| report.figures(run, Format::Avro, Subject::Afterbay);
    let mut aims = Vec::new();
    let cpu = [("snapshot", SNAPSHOT_US), ("stream, live", STREAM_US), ("stream, backlog", STREAM_US)];
    for (run, aim) in cpu {
        aims.extend(avro(run).map(|figures| {
            at_most(format!("worker CPU a row, {run}, Avro"), figures.worker_us, aim, |us| format!("{us:.1} µs"))
        }));
    }
    for format in [Format::Avro, Format::Json] {
        let rate = |subject| report.figures("snapshot", format, subject).map(|figures: &Figures| figures.rate);
        let Some(ours) = rate(Subject::Afterbay) else { continue };
        let format = format.as_str();
        let measure = |of: &str| format!("snapshot rows/s against {of}, {format}");
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        aims.extend(
            rate(Subject::Bare).map(|bare| at_least(measure("the bare producer"), ours / bare, OF_BARE, percent)),
        );
        aims.extend(
            rate(Subject::Debezium)
                .map(|peer| at_least(measure("Debezium"), ours / peer, OF_PEER, |n| format!("{n:.1} ×"))),
        );
    }
    for run in ["snapshot", "stream, backlog"] {
        let [ours, plain] =
            [Subject::ByTurns, Subject::WithoutTransactions].map(|of| report.figures(run, Format::Avro, of));
        aims.extend(ours.zip(plain).map(|(ours, plain)| {
            let measure = format!("rows/s against no transactions, {run}, Avro");
            at_least(measure, ours.rate / plain.rate, OF_PLAIN, |share| format!("{:.0} %", share * 100.0))
        }));
    }
    for run in ["snapshot", "stream, backlog"] {
        for (subject, what) in [(Subject::PartitionBy, "partitionBy"), (Subject::Query, "query")] {
            let [plain, with_sql] = [Subject::ByTurns, subject].map(|of| report.figures(run, Format::Avro, of));
            aims.extend(plain.zip(with_sql).map(|(plain, with_sql)| {
                let measure = format!("worker CPU a row with {what} against none, {run}, Avro");
                at_most(measure, with_sql.worker_us / plain.worker_us, WITH_SQL, |n| format!("{n:.2} ×"))
            }));
        }
    }
    for run in ["snapshot", "one transaction"] {
        let megabytes = |bytes| format!("{:.0} MB", bytes as f64 / 1e6);
        aims.extend(
            avro(run)
                .map(|figures| at_most(format!("peak memory, {run}, Avro"), figures.peak_memory, MEMORY, megabytes)),
        );
    }
    let millis = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    for (setting, latency) in &report.latencies {
        let of_defaults = [("p50", 0.5, P50), ("p99", 0.99, P99)];
        let wanted = if *setting == latency::DEFAULTS { &of_defaults[..] } else { &[("p50", 0.5, P50_SOON)] };
        for &(name, share, aim) in wanted {
            aims.push(at_most(format!("commit → visible, {setting}, {name}"), latency.quantile(share), aim, millis));
        }
    }
    if !report.restarts.is_empty() {
        let (median, _) = median_and_slowest(report.restarts.iter().map(|restart| restart.from_start).collect());
        aims.push(at_most("start → first record after SIGKILL, median".to_owned(), median, START, millis));
    }
    aims
}

fn at_most<T: PartialOrd + Copy>(measure: String, reached: T, aim: T, write: impl Fn(T) -> String) -> Aim {
    Aim { measure, wanted: format!("≤ {}", write(aim)), reached: write(reached), is_met: reached <= aim }
}

fn at_least<T: PartialOrd + Copy>(measure: String, reached: T, aim: T, write: impl Fn(T) -> String) -> Aim {
    Aim { measure, wanted: format!("≥ {}", write(aim)), reached: write(reached), is_met: reached >= aim }
}
