//! What a run tells: lines for people, or a JSON object a line for machines.
//!
//! JSON: `{"event": "problem", "subject", "reason", "message", "hint"}`, `{"event": "warning", …the same}`, `{"event": "status", …a Sink's report}`,
//! `{"event": "worker", "worker", "state", "pid"}`, `{"event": "caughtUp"}`, `{"event": "timeout", "sinks"}`,
//! `{"event": "end", "code"}`; of manifests that are wrong `{"event": "invalid", …}` instead.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use afterbay_crds::report::{Problem, SinkReport, SinkState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::Output;
use crate::render;

/// How often a Sink's line is told again where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Tells; copies tell to the same place.
#[derive(Clone)]
pub struct Teller(Arc<Mutex<Inner>>);

struct Inner {
    output: Output,
    bars: Option<MultiProgress>,
    sinks: HashMap<String, Told>,
    problems: HashMap<String, Problem>,
    /// By subject and reason.
    warnings: HashMap<(String, String), Problem>,
}

/// What was last told of a Sink.
struct Told {
    bar: Option<ProgressBar>,
    state: SinkState,
    line: String,
    at: Instant,
    messages: u64,
    rate: f64,
}

impl Teller {
    /// Tells in this way.
    pub fn new(output: Output) -> Self {
        let terminal = output == Output::Text && std::io::stderr().is_terminal();
        let bars = terminal.then(MultiProgress::new);
        Self(Arc::new(Mutex::new(Inner {
            output,
            bars,
            sinks: HashMap::new(),
            problems: HashMap::new(),
            warnings: HashMap::new(),
        })))
    }

    /// A problem of a Sink, a source or a connection: told once, and again when there is something else to do about it.
    pub fn problem(&self, subject: &str, problem: &Problem) {
        let mut inner = self.lock();
        if !inner.learn(subject, problem) {
            return;
        }
        let json = json!({
            "event": "problem", "subject": subject,
            "reason": problem.reason, "message": problem.message, "hint": problem.hint,
        });
        inner.say(&render::problem(subject, problem), &json);
    }

    /// Something to know that stops nothing: told once, and again when it is another.
    pub fn warning(&self, subject: &str, problem: &Problem) {
        let mut inner = self.lock();
        let known = inner.warnings.insert((subject.to_owned(), problem.reason.clone()), problem.clone());
        if known.as_ref() == Some(problem) {
            return;
        }
        let json = json!({
            "event": "warning", "subject": subject,
            "reason": problem.reason, "message": problem.message, "hint": problem.hint,
        });
        inner.say(&format!("warning: {}", render::problem(subject, problem)), &json);
    }

    /// Of these subjects no warning of this reason is true any more but those: the others are news when they come again.
    pub fn forget_warnings(&self, reason: &str, of: impl Fn(&str) -> bool) {
        self.lock().warnings.retain(|(subject, its), _| its != reason || !of(subject));
    }

    /// The problem of a subject is over; told where there was one.
    pub fn solved(&self, subject: &str) {
        let mut inner = self.lock();
        if let Some(problem) = inner.problems.remove(subject) {
            let json = json!({"event": "solved", "subject": subject, "reason": problem.reason});
            inner.say(&format!("{subject}: {} is over", problem.reason), &json);
        }
    }

    /// What comes next about this subject is news, whatever it is.
    pub fn forget(&self, subject: &str) {
        self.lock().problems.remove(subject);
    }

    /// A worker's process.
    pub fn worker(&self, worker: &str, state: &str, pid: Option<u32>) {
        let text = match pid {
            Some(pid) => format!("worker {worker} {state} (process {pid})"),
            None => format!("worker {worker} {state}"),
        };
        self.lock().say(&text, &json!({"event": "worker", "worker": worker, "state": state, "pid": pid}));
    }

    /// A line of a worker's log.
    pub fn log(&self, worker: &str, line: &str) {
        let inner = self.lock();
        let line = format!("[{worker}] {line}");
        match &inner.bars {
            // Above the bars, which stay below.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// Where a Sink is.
    pub fn sink(&self, sink: &SinkReport) {
        match &sink.error {
            // Also while it is tried again: between two tries a Sink may be stalled for less time than passes between two looks.
            Some(problem) if sink.state != SinkState::Running => self.problem(&format!("sink {}", sink.name), problem),
            _ if matches!(sink.state, SinkState::Running | SinkState::Paused) => {
                self.solved(&format!("sink {}", sink.name));
            }
            _ => {}
        }
        for warning in &sink.warnings {
            self.warning(&format!("sink {}", sink.name), warning);
        }
        self.lock().sink(sink);
    }

    /// Something for people and machines.
    pub fn say(&self, text: &str, json: &serde_json::Value) {
        self.lock().say(text, json);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Keeps the problem of a subject; whether it is news. Of one cause the message's words can differ from try to try
    /// (refused, reset, closed), and that is no news. A hint has no such words: with another one, or another reason, it is
    /// another problem.
    fn learn(&mut self, subject: &str, problem: &Problem) -> bool {
        let known = self.problems.insert(subject.to_owned(), problem.clone());
        known.is_none_or(|known| known.reason != problem.reason || known.hint != problem.hint)
    }

    fn say(&self, text: &str, json: &serde_json::Value) {
        match (self.output, &self.bars) {
            (Output::Json, _) => {
                let mut out = std::io::stdout().lock();
                // A reader that is gone needs no more lines.
                let _ = writeln!(out, "{json}").and_then(|()| out.flush());
            }
            (Output::Text, Some(bars)) => drop(bars.println(text)),
            (Output::Text, None) => eprintln!("{text}"),
        }
    }

    fn sink(&mut self, sink: &SinkReport) {
        let now = Instant::now();
        let known = self.sinks.remove(&sink.name);
        let rate = known.as_ref().map_or(0.0, |told| {
            let seconds = now.duration_since(told.at).as_secs_f64();
            if seconds < 0.05 {
                return told.rate;
            }
            carried(sink).saturating_sub(told.messages) as f64 / seconds
        });
        let line = render::sink_line(sink, rate);
        let due = known.as_ref().is_none_or(|told| {
            told.state != sink.state || (told.line != line && now.duration_since(told.at) >= LINE_INTERVAL)
        });
        let bar = match (&self.bars, known.as_ref().and_then(|told| told.bar.clone())) {
            (Some(_), Some(bar)) => Some(bar),
            (Some(bars), None) => Some(bars.add(ProgressBar::new(0))),
            (None, _) => None,
        };
        if let Some(bar) = &bar {
            show(bar, sink, &line);
        } else if due {
            let json = serde_json::to_value(sink).unwrap_or_default();
            self.say(&line, &with(json, "event", "status"));
        }
        let told = match known {
            Some(told) if !due && bar.is_none() => told,
            _ => Told { bar, state: sink.state, line, at: now, messages: carried(sink), rate },
        };
        self.sinks.insert(sink.name.clone(), told);
    }
}

/// What a rate counts: rows while a snapshot is under way, as nothing of it is committed before its end.
fn carried(sink: &SinkReport) -> u64 {
    if sink.state == SinkState::Snapshotting { sink.snapshot_rows } else { sink.messages_committed }
}

/// A line, with a bar in front of it while rows of a snapshot are to come.
fn show(bar: &ProgressBar, sink: &SinkReport, line: &str) {
    let template = match (sink.state, sink.snapshot_rows_estimated) {
        (SinkState::Snapshotting, Some(rows)) if rows > 0 => {
            bar.set_length(rows.max(sink.snapshot_rows));
            bar.set_position(sink.snapshot_rows);
            "{bar:30} {percent:>3}% {msg}"
        }
        _ => "{msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(line.to_owned());
}

fn with(mut value: serde_json::Value, field: &str, word: &str) -> serde_json::Value {
    value[field] = word.into();
    value
}

#[cfg(test)]
mod tests {
    use afterbay_crds::reason::Reason;

    use super::*;

    #[test]
    fn a_problem_is_news_when_there_is_something_else_to_do() {
        let teller = Teller::new(Output::Json);
        let news = |reason: Reason, message: &str, hint: &str| {
            teller.lock().learn("source default/shop", &reason.problem(message, hint))
        };
        assert!(news(Reason::SourceNotPermitted, "role \"shop\" may not replicate", "run ALTER ROLE"));
        assert!(!news(Reason::SourceNotPermitted, "in other words", "run ALTER ROLE"));
        assert!(news(Reason::SourceNotPermitted, "may not select from table t", "run GRANT SELECT"));
        assert!(news(Reason::SourceUnreachable, "connection refused", "run GRANT SELECT"));
        assert!(!news(Reason::SourceUnreachable, "connection reset", "run GRANT SELECT"));
        assert!(teller.lock().learn("sink default/orders", &Reason::SourceUnreachable.problem("", "")));
        teller.solved("source default/shop");
        assert!(news(Reason::SourceUnreachable, "connection reset", "run GRANT SELECT"));
    }
}
