//! Hundreds of Sinks on one slot, on a server that is set up as servers are.
//!
//! They take most of a machine, and how fast they come is a part of what is looked at: they are a test binary of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use afterbay_e2e::{Database, Format, Message, Scenario, Sink, await_condition, processes, reference};

const SINKS: usize = 300;
const ROWS: i64 = 4;
/// How long they may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(10);
/// A worker with so many Sinks is given so much for its queues and buffers.
const MEMORY: &str = "600Mi";
/// Slots and walsenders that one worker may take: the default of Postgres is ten of each for all that read from it.
const SLOTS_MAX: i64 = 8;
/// Connections that one worker may take: the default of Postgres is a hundred for all.
const CONNECTIONS_MAX: i64 = 40;
/// Memory of the worker for each Sink, beside 64 MiB for itself: mostly what the allocator keeps for each of its threads.
const MEMORY_PER_SINK_MAX: u64 = 4 << 20;

/// The most that a worker has taken of the server, seen by looking again and again.
#[derive(Default)]
struct Peak {
    slots: AtomicI64,
    walsenders: AtomicI64,
    connections: AtomicI64,
    /// Since when the server's processes count, in milliseconds of Unix time.
    since_ms: AtomicI64,
}

impl Peak {
    /// Looks until it is dropped by all others. What a worker took that has been killed is not that of the next one: the
    /// server's processes outlive it for a moment, the longer the busier the machine is.
    fn watch(scenario: &Scenario) -> Arc<Self> {
        let peak = Arc::<Self>::default();
        let seen = Arc::downgrade(&peak);
        let (database, role) = (&scenario.database.name, &scenario.database.role);
        let sql = format!(
            "WITH own AS (SELECT * FROM pg_stat_activity WHERE usename = '{role}' AND application_name = 'afterbay' \
               AND backend_start >= to_timestamp($1)) \
             SELECT (SELECT count(*) FROM pg_replication_slots AS slot WHERE database = '{database}' \
                 AND (active_pid IS NULL OR active_pid IN (SELECT pid FROM own))), \
               count(*) FILTER (WHERE backend_type = 'walsender'), count(*) FROM own"
        );
        let mut config = scenario.rig.postgres();
        config.dbname(database);
        tokio::spawn(async move {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("Postgres is up");
            tokio::spawn(connection);
            while let Some(peak) = seen.upgrade() {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
                let since = peak.since_ms.load(Ordering::Relaxed) as f64 / 1_000.0;
                let row = client.query_one(&sql, &[&since]).await.expect("the server tells");
                for (index, most) in [&peak.slots, &peak.walsenders, &peak.connections].into_iter().enumerate() {
                    most.fetch_max(row.get(index), Ordering::Relaxed);
                }
                drop(peak);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        peak
    }

    /// From now on only what is begun from now on counts.
    async fn of_the_next_worker(&self, database: &Database) {
        let now = database.number("SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)::int8").await;
        self.since_ms.store(now, Ordering::Relaxed);
    }
}

fn table(number: usize) -> String {
    format!("t{number:03}")
}

async fn make_tables(database: &Database) {
    database
        .run(&format!(
            "DO $$ BEGIN FOR i IN 0..{} LOOP \
             EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, n int NOT NULL)', lpad(i::text, 3, '0')); \
             EXECUTE format('INSERT INTO t%s SELECT i, 0 FROM generate_series(1, {ROWS}) i', lpad(i::text, 3, '0')); \
             END LOOP; END $$",
            SINKS - 1
        ))
        .await;
}

/// Changes a row of every table in one transaction.
async fn change_all(database: &Database, round: i64) {
    let id = round % ROWS + 1;
    database
        .run(&format!(
            "DO $$ BEGIN FOR i IN 0..{} LOOP \
             EXECUTE format('UPDATE t%s SET n = n + 1 WHERE id = {id}', lpad(i::text, 3, '0')); END LOOP; END $$",
            SINKS - 1
        ))
        .await;
}

#[tokio::test]
async fn three_hundred_sinks_share_a_slot_and_come_back_after_a_kill() {
    let scenario = Scenario::new("three-hundred").await;
    let database = &scenario.database;
    make_tables(database).await;
    let peak = Peak::watch(&scenario);
    let topics: Vec<String> = (0..SINKS).map(|number| scenario.topic(&table(number))).collect();
    let mut manifests = scenario.manifests().set("SourceConnector/shop", "spec.worker.memory", MEMORY);
    for (number, topic) in topics.iter().enumerate() {
        manifests = manifests.with(Sink::new(&table(number), &format!("public.{}", table(number)), topic).key(&["id"]));
    }
    let begun = Instant::now();
    let afterbay = scenario.run(&manifests);
    await_condition("the topics are made", PATIENCE, async || afterbay.workers().first().copied()).await;
    let provisioned = begun.elapsed();
    let begun = Instant::now();
    afterbay.caught_up_within(&scenario, PATIENCE).await;
    let started = begun.elapsed();
    let worker = afterbay.worker().await;
    let (memory, threads) = (processes::memory(worker), processes::threads(worker));
    for round in 0..4 {
        change_all(database, round).await;
    }
    afterbay.kill_worker().await;
    peak.of_the_next_worker(database).await;
    let killed = Instant::now();
    for round in 4..8 {
        change_all(database, round).await;
    }
    afterbay.caught_up_within(&scenario, PATIENCE).await;
    let again = killed.elapsed();
    let worker = afterbay.worker().await;
    let peak_memory = processes::peak_memory(worker);
    eprintln!(
        "{SINKS} Sinks: topics made in {provisioned:.1?}, then all run after {started:.1?} and, killed, after {again:.1?}; \
         {} MiB of memory ({} MiB at the peak of the second worker), {threads} threads; \
         at the most {} slots, {} walsenders, {} connections",
        memory >> 20,
        peak_memory >> 20,
        peak.slots.load(Ordering::Relaxed),
        peak.walsenders.load(Ordering::Relaxed),
        peak.connections.load(Ordering::Relaxed),
    );
    check(&reference::read_all(scenario.rig, &topics, Format::Json).await, &topics);
    assert!(peak_memory <= (64 << 20) + SINKS as u64 * MEMORY_PER_SINK_MAX, "{} MiB of memory", peak_memory >> 20);
    assert!(peak.slots.load(Ordering::Relaxed) <= SLOTS_MAX);
    assert!(peak.walsenders.load(Ordering::Relaxed) <= SLOTS_MAX);
    assert!(peak.connections.load(Ordering::Relaxed) <= CONNECTIONS_MAX);
}

/// Every row of every table once, as it was at its chunk, and every change behind.
fn check(messages: &[Message], topics: &[String]) {
    let mut found: BTreeMap<(&str, i64), Vec<i64>> = BTreeMap::new();
    for message in messages {
        let number = |name: &str| message.value[name].as_i64().expect("a number");
        found.entry((&message.topic, number("id"))).or_default().push(number("n"));
    }
    assert_eq!(found.len(), topics.len() * ROWS as usize);
    for ((topic, id), values) in found {
        let expected: Vec<_> = (values[0]..=8 / ROWS).collect();
        assert_eq!(values, expected, "row {id} of {topic}");
        assert_eq!(values[0], 0, "the changes came when all were running");
    }
}
