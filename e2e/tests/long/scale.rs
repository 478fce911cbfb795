//! As many real workers as a small machine takes: 200 Sinks of 20 SourceConnectors, all on one database server, which has 40 slots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use afterbay_crds::report::WorkerReport;
use afterbay_e2e::kubernetes::{Operated, condition, labels};
use afterbay_e2e::{Database, Format, Manifests, Scenario, Sink, await_condition, reference};
use serde_json::Value;
use tokio::time::sleep;

const SOURCES: usize = 20;
/// Of each SourceConnector.
const SINKS: usize = 10;
/// Of each table, at the start.
const ROWS: usize = 20;
/// How long it may take until all are ready.
const PATIENCE: Duration = Duration::from_mins(15);
/// For how long an operator is watched that has nothing to do.
const REST: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sinks_are_carried_and_one_more_does_not_touch_them() {
    let operated = Operated::alone("scale").await;
    let scenario = &operated.scenario;
    let mut topics = BTreeSet::new();
    let mut manifests = scenario.manifests().without("SourceConnector/shop");
    for number in 0..SOURCES {
        manifests = add_source(&operated, manifests, number, &mut topics).await;
    }
    let begun = Instant::now();
    operated.apply(&manifests).await;
    all_are_ready(&operated, SOURCES).await;
    eprintln!("long: {} Sinks of {SOURCES} SourceConnectors are ready after {:.0?}", SOURCES * SINKS, begun.elapsed());

    change_all(&scenario.database, SOURCES).await;
    let changed = Instant::now();
    caught_up(&operated, SOURCES).await;
    eprintln!("long: a change of each table has come after {:.1?}", changed.elapsed());
    check(scenario, &topics, |_| ROWS + 1).await;

    rests(&operated, SOURCES).await;

    let before = pods(&operated, SOURCES).await;
    let more = add_source(&operated, Manifests::default(), SOURCES, &mut topics).await;
    let begun = Instant::now();
    operated.apply(&more).await;
    all_are_ready(&operated, SOURCES + 1).await;
    eprintln!("long: one SourceConnector more is ready after {:.0?}", begun.elapsed());
    change_all(&scenario.database, SOURCES + 1).await;
    caught_up(&operated, SOURCES + 1).await;
    let new = format!("{}.{}-", scenario.unique, source_name(SOURCES));
    check(scenario, &topics, |topic| if topic.starts_with(&new) { ROWS + 1 } else { ROWS + 2 }).await;
    assert_eq!(pods(&operated, SOURCES).await, before, "nobody else is touched");
}

fn source_name(number: usize) -> String {
    format!("source-{number:02}")
}

fn table(source: usize, sink: usize) -> String {
    format!("t{source:02}_{sink}")
}

/// Tables with rows, a SourceConnector, its Sinks.
async fn add_source(
    operated: &Operated,
    mut manifests: Manifests,
    number: usize,
    topics: &mut BTreeSet<String>,
) -> Manifests {
    let scenario = &operated.scenario;
    let (database, name) = (&scenario.database, source_name(number));
    manifests = manifests.with(scenario.source(&name, &format!("{}_{number}", scenario.slot())));
    for sink in 0..SINKS {
        let table = table(number, sink);
        let rows = format!("INSERT INTO {table} SELECT i, 0 FROM generate_series(1, {ROWS}) i");
        database.run(&format!("CREATE TABLE {table} (id int PRIMARY KEY, n int NOT NULL); {rows}")).await;
        let own = format!("{name}-{sink}");
        let topic = scenario.topic(&own);
        manifests = manifests.with(Sink::new(&own, &format!("public.{table}"), &topic).key(&["id"])).set(
            &format!("Sink/{own}"),
            "spec.source.name",
            name.as_str(),
        );
        topics.insert(topic);
    }
    manifests
}

/// Changes a row of every table of so many SourceConnectors, in one transaction.
async fn change_all(database: &Database, sources: usize) {
    let tables = (0..sources).flat_map(|source| (0..SINKS).map(move |sink| table(source, sink)));
    let updates: Vec<_> = tables.map(|table| format!("UPDATE {table} SET n = n + 1 WHERE id = 1;")).collect();
    database.run(&format!("BEGIN; {} COMMIT", updates.concat())).await;
}

/// Waits until all Sinks and SourceConnectors say that they are ready.
async fn all_are_ready(operated: &Operated, sources: usize) {
    let wanted = [("Sink", sources * SINKS), ("SourceConnector", sources)];
    let mut last = BTreeMap::new();
    let ready = afterbay_e2e::waiting::within(PATIENCE, async || {
        sleep(Duration::from_secs(1)).await;
        last.clear();
        let mut all = true;
        for (kind, count) in wanted {
            let objects = operated.namespace.list(kind, "").await;
            let reasons = objects.iter().map(|object| match condition(object, "Ready") {
                Some(ready) if ready["status"] == "True" => "ready".to_owned(),
                Some(ready) => format!("{} {}", ready["reason"], ready["message"]),
                None => "nothing is said".to_owned(),
            });
            let mut ready = 0;
            for reason in reasons {
                ready += usize::from(reason == "ready");
                *last.entry((kind, reason)).or_insert(0) += 1;
            }
            all = all && ready == count;
        }
        all.then_some(())
    });
    assert!(ready.await.is_some(), "they are not ready within {PATIENCE:?}: {last:#?}");
}

/// Waits until all Sinks of so many SourceConnectors have committed all that the database held when this was called.
async fn caught_up(operated: &Operated, sources: usize) {
    for source in 0..sources {
        operated.caught_up(&source_name(source), SINKS).await;
    }
}

/// Each topic has so many messages.
async fn check(scenario: &Scenario, topics: &BTreeSet<String>, expected: impl Fn(&str) -> usize) {
    let all: Vec<_> = topics.iter().cloned().collect();
    let mut found = BTreeMap::<String, usize>::new();
    for message in reference::read_all(scenario.rig, &all, Format::Json).await {
        *found.entry(message.topic).or_default() += 1;
    }
    for topic in topics {
        assert_eq!(found.get(topic).copied().unwrap_or_default(), expected(topic), "messages of {topic}");
    }
}

/// What identifies the worker's pod of each SourceConnector, and how often its container was started again.
async fn pods(operated: &Operated, sources: usize) -> BTreeMap<String, (String, i32)> {
    let mut pods = BTreeMap::new();
    for source in (0..sources).map(source_name) {
        let found = operated.namespace.pods(&labels(&source)).await;
        let [pod] = &found[..] else { panic!("not one worker of {source}: {found:?}") };
        let containers = pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
        let uid = pod.metadata.uid.clone().expect("a pod has a uid");
        pods.insert(source, (uid, containers.map(|container| container.restart_count).sum()));
    }
    pods
}

/// While nothing changes nothing is written. The database's log may grow by itself meanwhile, by a checkpoint for instance: that is a
/// figure, and it is watched once more.
async fn rests(operated: &Operated, sources: usize) {
    for _ in 0..5 {
        let figures = await_condition("the last figures are written", PATIENCE, async || {
            sleep(Duration::from_secs(1)).await;
            let now = figures(operated, sources).await?;
            is_written(operated, &now).await.then_some(now)
        })
        .await;
        let before = operated.writes().len();
        sleep(REST).await;
        let after = operated.writes();
        if self::figures(operated, sources).await == Some(figures) {
            assert_eq!(after[before..], [], "nothing has changed");
            eprintln!("long: nothing is written while nothing changes");
            return;
        }
    }
    panic!("the log never stood still");
}

/// What each worker says of itself now, by its SourceConnector.
type Figures = BTreeMap<String, WorkerReport>;

async fn figures(operated: &Operated, sources: usize) -> Option<Figures> {
    let mut figures = Figures::new();
    for name in (0..sources).map(source_name) {
        let report = operated.report(&name).await?;
        figures.insert(name, report);
    }
    Some(figures)
}

/// Whether the statuses have them.
async fn is_written(operated: &Operated, figures: &Figures) -> bool {
    let named = |objects: Vec<Value>| -> BTreeMap<String, Value> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        objects.into_iter().map(|object| (name(&object), object)).collect()
    };
    let sources = named(operated.namespace.list("SourceConnector", "").await);
    let sinks = named(operated.namespace.list("Sink", "").await);
    figures.iter().all(|(source, report)| {
        let worker = &sources[source]["status"]["workers"][0];
        let end = report.source.log_end.as_deref().unwrap_or_default();
        let acknowledged = report.source.acknowledged.as_deref().unwrap_or_default();
        let are_written = report.sinks.iter().all(|sink| {
            let own = sink.name.rsplit('/').next().unwrap_or_default();
            let status = &sinks[own]["status"];
            status["messages"]["committed"] == sink.messages_committed && status["lagBytes"] == 0
        });
        worker["logEnd"] == end && worker["acknowledged"] == acknowledged && are_written
    })
}
