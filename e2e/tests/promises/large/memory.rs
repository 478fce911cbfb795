//! What a worker holds in memory does not depend on how much there is to carry.

use std::collections::BTreeSet;

use afterbay_e2e::{Format, Scenario, Sink, processes};

use super::PATIENCE;

/// So many that a worker which held them all, with what librdkafka has beside each, would be found out.
/// `AFTERBAY_LARGE_ROWS` asks for more.
const ROWS: u64 = 100_000;
/// Peak with 64Mi for queues and buffers, the default: they are not even filled.
const MEMORY_MAX: u64 = 80 << 20;

fn rows() -> u64 {
    std::env::var("AFTERBAY_LARGE_ROWS").map_or(ROWS, |rows| rows.parse().expect("a number"))
}

/// Small rows: what is held beside each weighs most.
const TABLE: &str = "CREATE TABLE much (id bigint PRIMARY KEY, n int NOT NULL, name text NOT NULL); ALTER TABLE much REPLICA IDENTITY FULL";

fn fill(from: u64, rows: u64) -> String {
    format!("INSERT INTO much SELECT i, i % 1000, 'row ' || i FROM generate_series({from}, {}) i", from + rows - 1)
}

async fn check(scenario: &Scenario, topic: &str, expected: u64) {
    let (mut ids, mut positions) = (BTreeSet::new(), BTreeSet::new());
    let messages = scenario.messages(topic, Format::Json).await;
    for message in &messages {
        ids.insert(message.value["id"].as_u64().expect("an id"));
        assert!(positions.insert(message.position()), "{} twice", message.position());
    }
    assert_eq!((messages.len() as u64, ids.len() as u64), (expected, expected));
}

#[tokio::test]
async fn a_snapshot_of_many_small_rows_and_one_transaction_of_as_many() {
    let scenario = Scenario::new("much").await;
    let database = &scenario.database;
    let rows = rows();
    database.run(TABLE).await;
    database.run(&fill(1, rows)).await;
    let topic = scenario.topic("much");
    let manifests = scenario.manifests().with(Sink::new("much", "public.much", &topic).key(&["id"]));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up_within(&scenario, PATIENCE).await;
    let of_snapshot = processes::peak_memory(afterbay.worker().await);
    // A worker of its own: the peak is that of its whole life.
    afterbay.kill_worker().await;
    database.run(&fill(rows + 1, rows)).await;
    afterbay.caught_up_within(&scenario, PATIENCE).await;
    let of_transaction = processes::peak_memory(afterbay.worker().await);
    eprintln!(
        "{rows} rows: {} MiB at the peak of the snapshot, {} MiB at that of the transaction",
        of_snapshot >> 20,
        of_transaction >> 20
    );
    check(&scenario, &topic, 2 * rows).await;
    assert!(of_snapshot <= MEMORY_MAX, "{} MiB for the snapshot", of_snapshot >> 20);
    assert!(of_transaction <= MEMORY_MAX, "{} MiB for the transaction", of_transaction >> 20);
}
