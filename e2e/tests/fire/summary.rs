//! What the rounds came to: a table for people, and a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use afterbay_e2e::Rig;
use afterbay_e2e::programs::repository;
use serde::{Deserialize, Serialize};

use crate::faults::Fault;
use crate::round::{Outcome, Phase, Round};

/// A round that was played.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Played {
    seed: u64,
    fault: String,
    phase: String,
    right: bool,
    /// From the end of all writing to the last message, milliseconds.
    took_ms: u64,
    transactions: u64,
}

impl Played {
    /// What came of it.
    pub fn new(round: &Round, outcome: &Result<Outcome, String>) -> Self {
        let (phase, took, transactions) = match outcome {
            Ok(outcome) => (outcome.phase, outcome.took.as_millis() as u64, outcome.transactions),
            Err(_) => (round.phase, 0, 0),
        };
        Self {
            seed: round.seed,
            fault: round.fault.name().to_owned(),
            phase: phase.name().to_owned(),
            right: outcome.is_ok(),
            took_ms: took,
            transactions,
        }
    }

    /// Adds it to a file, a line a round.
    pub fn append_to(&self, file: &Path) {
        let line = serde_json::to_string(self).expect("it is plain data");
        let folder = file.parent().expect("a file stands in a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let written = opened.and_then(|mut file| writeln!(file, "{line}"));
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// All rounds of such a file.
    pub fn all_of(file: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("the file holds rounds")).collect()
    }
}

/// Rounds by fault and phase.
pub struct Summary<'a>(&'a [Played]);

impl<'a> Summary<'a> {
    /// Of these.
    pub fn of(played: &'a [Played]) -> Self {
        Self(played)
    }

    /// As Markdown: rounds of each fault in each phase (and failures, where there are any), and how long it took until
    /// everything stood in the topics.
    pub fn table(&self) -> String {
        let mut table =
            String::from("| fault | snapshot | seam | stream | failures | until all was there: median, longest |\n");
        table.push_str("|---|---|---|---|---|---|\n");
        let mut total = BTreeMap::<&str, usize>::new();
        for fault in Fault::ALL {
            let rounds: Vec<_> = self.0.iter().filter(|round| round.fault == fault.name()).collect();
            let _ = write!(table, "| {} ", fault.name());
            for phase in Phase::ALL {
                let count = rounds.iter().filter(|round| round.phase == phase.name()).count();
                *total.entry(phase.name()).or_default() += count;
                let _ = write!(table, "| {count} ");
            }
            let failures = rounds.iter().filter(|round| !round.right).count();
            let mut took: Vec<_> = rounds.iter().filter(|round| round.right).map(|round| round.took_ms).collect();
            took.sort_unstable();
            let seconds = |ms: Option<&u64>| ms.map_or("–".into(), |ms| format!("{:.1} s", *ms as f64 / 1_000.0));
            let _ = writeln!(table, "| {failures} | {}, {} |", seconds(took.get(took.len() / 2)), seconds(took.last()));
        }
        let failures = self.0.iter().filter(|round| !round.right).count();
        let of = |phase: Phase| total.get(phase.name()).copied().unwrap_or_default();
        let _ = writeln!(
            table,
            "| **{} rounds** | {} | {} | {} | **{failures}** | |",
            self.0.len(),
            of(Phase::Snapshot),
            of(Phase::Seam),
            of(Phase::Stream)
        );
        table
    }

    /// Puts it into the page, between the marks.
    pub fn write_into(&self, page: &Path) {
        let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let (begin, end) = ("<!-- results -->\n", "<!-- end of results -->\n");
        let (head, rest) = text.split_once(begin).expect("the page has a mark where the results begin");
        let (_, tail) = rest.split_once(end).expect("the page has a mark where the results end");
        let transactions: u64 = self.0.iter().map(|round| round.transactions).sum();
        let results = format!("{}, {transactions} source transactions.\n\n{}", versions(), self.table());
        std::fs::write(page, format!("{head}{begin}{results}{end}{tail}")).expect("the page can be written");
    }
}

/// Date and versions.
fn versions() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(repository()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    format!(
        "{}, Afterbay {} (commit {}), Kafka {}, Postgres {}",
        said("date", &["-u", "+%Y-%m-%d"]),
        env!("CARGO_PKG_VERSION"),
        said("git", &["rev-parse", "--short", "HEAD"]),
        Rig::get().setting("KAFKA_VERSION"),
        Rig::get().setting("POSTGRES_VERSION"),
    )
}
