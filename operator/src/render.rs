//! Reports as people read them. Pure.

use std::collections::BTreeSet;

use afterbay_crds::report::{Problem, SinkReport, SinkState, WorkerReport};

/// A problem in one line.
pub fn problem(subject: &str, problem: &Problem) -> String {
    let message = problem.message.lines().collect::<Vec<_>>().join(" ");
    format!("{subject}: {}: {message} · what to do: {}", problem.reason, problem.hint)
}

/// A Sink in one line; `rate` in messages per second.
pub fn sink_line(sink: &SinkReport, rate: f64) -> String {
    let rows = match (sink.state, sink.snapshot_rows_estimated) {
        (SinkState::Snapshotting, Some(all)) => format!("{} of about {all} rows", sink.snapshot_rows),
        _ => format!("{} committed", sink.messages_committed),
    };
    format!("{} {} {rows} {rate:.0}/s lag {}", sink.name, sink.state, lag(sink))
}

fn lag(sink: &SinkReport) -> String {
    let bytes = sink.lag_bytes.map_or("?".to_owned(), bytes);
    match sink.lag_ms {
        Some(ms) => format!("{bytes} {:.1}s", ms as f64 / 1_000.0),
        None => bytes,
    }
}

fn bytes(amount: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (amount as f64, 0);
    while amount >= 1_024.0 && unit + 1 < UNITS.len() {
        amount /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{amount} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// Why a Sink has not caught up, in a few words.
pub fn behind(sink: &SinkReport) -> String {
    match &sink.error {
        Some(problem) => format!("{} is {} ({})", sink.name, sink.state, problem.reason),
        None => format!("{} is {} (lag {})", sink.name, sink.state, lag(sink)),
    }
}

/// The same for machines: `{"name", "state"}`, and `"reason"` where there is one.
pub fn behind_json(sink: &SinkReport) -> serde_json::Value {
    let mut json = serde_json::json!({"name": sink.name, "state": sink.state});
    if let Some(problem) = &sink.error {
        json["reason"] = problem.reason.as_str().into();
    }
    json
}

/// A table of Sinks, as `kubectl get` shows one. Rates are messages per second by the Sink's name.
pub fn table(workers: &[WorkerReport], rates: &dyn Fn(&str) -> f64) -> String {
    const HEADINGS: [&str; 9] =
        ["NAME", "SOURCE", "DESTINATION", "STATUS", "POSITION", "LAG", "RATE", "COMMITTED", "ERROR"];
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    for worker in workers {
        for sink in &worker.sinks {
            let error = sink.error.as_ref();
            rows.push(vec![
                sink.name.clone(),
                format!("{}/{}", worker.worker, sink.table),
                sink.topic.clone(),
                sink.state.to_string(),
                sink.position.clone().unwrap_or_else(|| "-".to_owned()),
                lag(sink),
                format!("{:.0}/s", rates(&sink.name)),
                sink.messages_committed.to_string(),
                error.map_or("-".to_owned(), |problem| problem.reason.clone()),
            ]);
        }
    }
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let sinks = || workers.iter().flat_map(|worker| &worker.sinks);
    let errors = sinks().filter_map(|sink| Some(problem(&format!("sink {}", sink.name), sink.error.as_ref()?)));
    // What all Sinks of a connection share is told once; the messages name the topics.
    let warnings: BTreeSet<_> = sinks().flat_map(|sink| &sink.warnings).map(|it| problem("warning", it)).collect();
    for line in errors.chain(warnings) {
        text.push('\n');
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> SinkReport {
        SinkReport {
            name: "default/orders".into(),
            table: "public.orders".into(),
            topic: "orders".into(),
            state: SinkState::Running,
            position: Some("0/10".into()),
            lag_bytes: Some(2_048),
            lag_ms: Some(40),
            messages_committed: 7,
            ..SinkReport::default()
        }
    }

    #[test]
    fn a_sink_in_one_line() {
        assert_eq!(sink_line(&sink(), 3.4), "default/orders running 7 committed 3/s lag 2.0 KiB 0.0s");
        let snapshotting = SinkReport {
            state: SinkState::Snapshotting,
            snapshot_rows: 5,
            snapshot_rows_estimated: Some(10),
            lag_bytes: None,
            lag_ms: None,
            ..sink()
        };
        assert_eq!(sink_line(&snapshotting, 0.0), "default/orders snapshotting 5 of about 10 rows 0/s lag ?");
    }

    #[test]
    fn a_stalled_sink_tells_why_below_the_table() {
        let problem = Problem { reason: "TopicNotFound".into(), message: "no topic".into(), hint: "make it".into() };
        let stalled = SinkReport { state: SinkState::Stalled, error: Some(problem), ..sink() };
        let worker = WorkerReport { worker: "default/shop".into(), sinks: vec![stalled], ..WorkerReport::default() };
        let text = table(&[worker], &|_| 0.0);
        assert!(text.starts_with("NAME"), "{text}");
        assert!(text.contains("TopicNotFound"), "{text}");
        assert!(text.ends_with("sink default/orders: TopicNotFound: no topic · what to do: make it\n"), "{text}");
        let warning = Problem { reason: "TopicDiffers".into(), message: "2 and 5".into(), hint: "alter it".into() };
        let warned = SinkReport { warnings: vec![warning], ..sink() };
        let sinks = vec![warned.clone(), warned];
        let worker = WorkerReport { worker: "default/shop".into(), sinks, ..WorkerReport::default() };
        let text = table(&[worker], &|_| 0.0);
        let line = "\nwarning: TopicDiffers: 2 and 5 · what to do: alter it\n";
        assert!(text.ends_with(line) && text.matches("TopicDiffers").count() == 1, "{text}");
    }
}
