//! Afterbay's runs: snapshot, changes while they are made, changes that have waited, one large transaction.

use std::path::PathBuf;
use std::sync::Arc;

use afterbay_e2e::afterbay::Options;
use afterbay_e2e::{Afterbay, Format, Manifests, Scenario, Sink};

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

/// What transactions cost: the same snapshot and backlog, carried by a worker that was built without them.
pub async fn run_without_transactions(settings: &Settings, format: Format, report: &mut Report) {
    let bench = Bench { runtime: settings.without_transactions.clone(), ..Bench::new(settings, format).await };
    let (figures, _) = bench.carried_by_a_new_worker(0, settings.rows).await;
    report.add("snapshot", format, Subject::WithoutTransactions, figures);
    let (figures, _) = bench.carried_later(settings.updates).await;
    report.add("stream, backlog", format, Subject::WithoutTransactions, figures);
}

/// What SQL costs: the same snapshot and backlog, with an expression for the partition, and with a query whose rows all pass.
pub async fn run_with_sql(settings: &Settings, format: Format, report: &mut Report) {
    for (subject, field, sql) in [
        // Of the key, as its old value is all that a deletion tells of the row.
        (Subject::PartitionBy, "spec.kafka.partitionBy", "kafka_murmur2('item ' || id::text)"),
        (
            Subject::Query,
            "spec.source",
            "SELECT id, upper(name) AS name, n + 1 AS n, amount * 100 AS amount, ts, ok, uid, doc FROM items WHERE id > 0",
        ),
    ] {
        let mut bench = Bench::new(settings, format).await;
        let value = match subject {
            Subject::Query => serde_json::json!({"name": "shop", "query": sql}),
            _ => sql.into(),
        };
        bench.manifests = bench.manifests.set("Sink/items", field, value);
        let (figures, _) = bench.carried_by_a_new_worker(0, settings.rows).await;
        report.add("snapshot", format, subject, figures);
        let (figures, _) = bench.carried_later(settings.updates).await;
        report.add("stream, backlog", format, subject, figures);
    }
}

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
