//! Afterbay's runs: snapshot, changes while they are made, changes that have waited, one large transaction.

use std::path::PathBuf;
use std::sync::Arc;

use afterbay_e2e::afterbay::Options;
use afterbay_e2e::{Afterbay, Format, Manifests, Scenario, Sink};
use serde_json::json;

use crate::figures::{Figures, Run};
use crate::report::{Report, Subject};
use crate::settings::Settings;
use crate::topic::{Records, Topic};
use crate::{bare, table};

/// A snapshot that does not count: the broker and the registry compile what they do often, and the first run would pay
/// for it.
pub async fn warm_up(settings: &Settings) {
    Bench::new(settings, Format::Avro).await.carried_by_a_new_worker(0, settings.rows).await;
}

/// All of one format.
pub async fn run(settings: &Settings, format: Format, report: &mut Report) {
    let bench = Bench::new(settings, format).await;
    let rows = settings.rows;

    let (figures, records) = bench.carried_by_a_new_worker(0, rows).await;
    report.add("snapshot", format, Subject::Afterbay, figures);
    report.add("snapshot", format, Subject::Bare, bench.bare("snapshot", records, true).await);

    let (figures, _) =
        bench.carried_live(settings.updates, table::update(&bench.scenario.database, settings.updates)).await;
    report.add("stream, live", format, Subject::Afterbay, figures);

    let (figures, records) = bench.carried_later(settings.updates).await;
    report.add("stream, backlog", format, Subject::Afterbay, figures);
    report.add("stream, backlog", format, Subject::Bare, bench.bare("backlog", records, false).await);

    table::send_old_rows(&bench.scenario.database).await;
    let (figures, _) = bench.carried_later(settings.updates).await;
    report.add("stream, backlog, old rows", format, Subject::Afterbay, figures);

    let (figures, _) = bench.carried_live(rows, table::insert(&bench.scenario.database, rows + 1, 2 * rows)).await;
    report.add("one transaction", format, Subject::Afterbay, figures);
}

/// Runs of each kind where kinds are compared: the one in the middle counts.
const ROUNDS: usize = 3;

/// What transactions cost, and SQL: the same snapshot and backlog as it is, by a worker that was built without transactions, with
/// an expression for the partition, and with a query whose rows all pass. By turns, since the machine is not the same from
/// minute to minute.
pub async fn run_by_turns(settings: &Settings, report: &mut Report) {
    let mut subjects = vec![Subject::ByTurns, Subject::PartitionBy, Subject::Query];
    subjects.extend(settings.without_transactions.is_some().then_some(Subject::WithoutTransactions));
    let mut measured = Vec::new();
    for _ in 0..ROUNDS {
        for &subject in &subjects {
            let bench = Bench::new(settings, Format::Avro).await.of_subject(subject, settings);
            let (figures, _) = bench.carried_by_a_new_worker(0, settings.rows).await;
            measured.push(("snapshot", subject, figures));
            let (figures, _) = bench.carried_later(settings.updates).await;
            measured.push(("stream, backlog", subject, figures));
        }
    }
    for subject in subjects {
        for run in ["snapshot", "stream, backlog"] {
            let mut rounds: Vec<_> = measured.extract_if(.., |(of, by, _)| *of == run && *by == subject).collect();
            rounds.sort_by(|(.., one), (.., other)| one.worker_us.total_cmp(&other.worker_us));
            let (.., middle) = rounds.swap_remove(ROUNDS / 2);
            report.add(run, Format::Avro, subject, middle);
        }
    }
}

const QUERY: &str =
    "SELECT id, upper(name) AS name, n + 1 AS n, amount * 100 AS amount, ts, ok, uid, doc FROM items WHERE id > 0";

/// A table, a Sink on it, and its topic.
pub struct Bench {
    /// What holds it all.
    pub scenario: Scenario,
    /// The topic.
    pub topic: Arc<Topic>,
    manifests: Manifests,
    /// Another worker's program than that beside `afterbay`.
    runtime: Option<PathBuf>,
}

impl Bench {
    /// All made, nothing running.
    pub async fn new(settings: &Settings, format: Format) -> Self {
        let scenario = Scenario::new("bench").await;
        table::create(&scenario.database, settings.rows).await;
        let topic = Arc::new(Topic::create(scenario.rig, scenario.topic("items")).await);
        let sink = Sink::new("items", table::TABLE, &topic.name).key(&["id"]).format(format);
        let manifests = scenario.manifests().with(sink);
        Self { scenario, topic, manifests, runtime: None }
    }

    /// With this interval between commits.
    #[must_use]
    pub fn commit_interval(mut self, interval: &str) -> Self {
        self.manifests = self.manifests.set("Sink/items", "spec.kafka.commit.interval", interval);
        self
    }

    /// As this subject has it.
    fn of_subject(mut self, subject: Subject, settings: &Settings) -> Self {
        let sql = match subject {
            // Of the key, as its old value is all that a deletion tells of the row.
            Subject::PartitionBy => Some(("spec.kafka.partitionBy", json!("kafka_murmur2('item ' || id::text)"))),
            Subject::Query => Some(("spec.source", json!({"name": "shop", "query": QUERY}))),
            _ => None,
        };
        if let Some((field, value)) = sql {
            self.manifests = self.manifests.set("Sink/items", field, value);
        }
        if subject == Subject::WithoutTransactions {
            self.runtime.clone_from(&settings.without_transactions);
        }
        self
    }

    /// `afterbay run`.
    pub fn start(&self) -> Afterbay {
        let runtime = self.runtime.iter().flat_map(|path| ["--runtime", path.to_str().expect("a path is text")]);
        self.scenario.run_with(&self.manifests, &runtime.fold(Options::default(), Options::argument))
    }

    /// What waits for a worker when it starts.
    async fn carried_by_a_new_worker(&self, from: i64, rows: u64) -> (Figures, Records) {
        let run = Run::begin();
        let afterbay = self.start();
        let worker = afterbay.worker().await;
        let done = self.topic.await_records(from, rows, || run.end(worker));
        end(afterbay).await;
        let records = self.topic.read(from, rows);
        (done.figures(&records), records)
    }

    /// Updates that are written while no worker runs.
    async fn carried_later(&self, updates: u64) -> (Figures, Records) {
        let from = self.topic.visible();
        table::update(&self.scenario.database, updates).await;
        self.carried_by_a_new_worker(from, updates).await
    }

    /// What is written while a worker waits for it.
    async fn carried_live(&self, rows: u64, writing: impl Future<Output = ()>) -> (Figures, Records) {
        let afterbay = self.start();
        afterbay.caught_up(&self.scenario).await;
        let (from, worker) = (self.topic.visible(), afterbay.worker().await);
        let run = Run::begin_with(worker);
        writing.await;
        let done = self.topic.await_records(from, rows, || run.end(worker));
        end(afterbay).await;
        let records = self.topic.read(from, rows);
        (done.figures(&records), records)
    }

    /// The same records, sent by the bare producer; beside a snapshot's the table is read, as the snapshot has to.
    async fn bare(&self, run: &str, records: Records, copy: bool) -> Figures {
        let topic = Topic::create(self.scenario.rig, self.scenario.topic(&format!("bare-{run}"))).await;
        let (rig, records) = (self.scenario.rig, Arc::new(records));
        let sent = Arc::clone(&records);
        let (topic, done) = {
            let sending = tokio::task::spawn_blocking(move || {
                let done = bare::send(rig, &topic, &sent);
                (topic, done)
            });
            if copy {
                table::copy_to_nowhere(&self.scenario.database).await;
            }
            sending.await.expect("the producer sends all")
        };
        done.figures(&topic.read(0, records.len() as u64))
    }
}

/// Ends a run; one that has ended badly was no run.
pub async fn end(afterbay: Afterbay) {
    let finished = afterbay.stop().await;
    assert!(finished.success(), "afterbay run ended with {finished:?}");
}
