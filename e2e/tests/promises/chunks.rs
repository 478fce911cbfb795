//! A snapshot in chunks beside the stream: every row once, as it was at the place of its chunk, and every change behind.

use std::collections::BTreeMap;

use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::{Afterbay, Format, History, Manifests, Scenario, Sink, await_condition};
use serde_json::json;

/// One Sink of the history's table, whose chunks have so many rows.
fn manifests(scenario: &Scenario, topic: &str, chunk_rows: u32) -> Manifests {
    let sink = Sink::new("ledger", "public.ledger", topic).key(&["id"]).partitions(3);
    in_chunks(scenario.manifests().with(sink), chunk_rows)
}

/// Its rows are taken beside the stream, so many at a time.
pub fn in_chunks(manifests: Manifests, rows: u32) -> Manifests {
    manifests.set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": "Chunked", "chunkRows": rows}))
}

/// The worker dies when it comes by this point for the nth time, with changes on both sides of the cursor.
async fn dies_at(point: &str, nth: u32) {
    let scenario = Scenario::new(&format!("chunk-{point}")).await;
    let history = History::begin(&scenario.database, 400).await;
    let topic = scenario.topic("ledger");
    let options = Options::default().dies_at(&scenario, point, nth);
    let writer = history.writer().await;
    let afterbay = scenario.run_with(&manifests(&scenario, &topic, 20), &options);
    afterbay.worker_has_died().await;
    // On a fast machine the worker that died may have been through the snapshot: what counts is that the writer goes on behind it.
    let is_through = |sink: &SinkReport| sink.state == SinkState::Running && sink.messages_committed > 150;
    afterbay.sink("is through", "ledger", is_through).await;
    writer.stop().await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

dies! {
    when_the_start_is_committed: "committed", 1;
    when_fenced_for_its_rows: "fenced", 2;
    when_attached_for_its_rows: "attached", 2;
    with_a_chunk_at_hand: "chunk", 3;
    with_a_row_staged: "staged", 70;
    with_a_transaction_begun: "begun", 3;
    before_the_progress_record: "before-progress", 3;
    with_the_record_staged: "progress-staged", 3;
    before_the_commit: "flushed", 3;
    behind_a_commit: "committed", 3;
    when_acknowledged: "acknowledged", 2;
    when_the_database_knows: "confirmed", 1;
}

#[tokio::test]
async fn the_worker_is_killed_again_and_again_and_goes_on_behind_its_last_chunk() {
    let scenario = Scenario::new("chunks-killed").await;
    let rows = 4_000;
    let history = History::begin(&scenario.database, rows).await;
    let topic = scenario.topic("ledger");
    let writers = [history.writer().await, history.writer().await];
    let afterbay = scenario.run(&manifests(&scenario, &topic, 50));
    let mut within = 0;
    for round in 1..=5_u64 {
        let is_through = |sink: &SinkReport| sink.state == SinkState::Running;
        let goes_on = |sink: &SinkReport| sink.snapshot_rows >= round * 200 || is_through(sink);
        let seen = afterbay.sink("goes on", "ledger", goes_on).await;
        within += u64::from(!is_through(&seen) && seen.snapshot_rows < 3_900);
        afterbay.kill_worker().await;
    }
    assert!(within > 1, "the snapshot was through before the worker could be killed");
    afterbay.sink("is through", "ledger", |sink| sink.messages_committed > 1_500).await;
    for writer in writers {
        writer.stop().await;
    }
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// Waits until the snapshot stands still at a row, as it does while a transaction keeps the next chunk from being read.
pub async fn stands(afterbay: &Afterbay) -> u64 {
    let (mut last, mut same) = (0, 0);
    await_condition("the snapshot stands still", PATIENCE, async || {
        let report = afterbay.report().await?;
        let rows = report.sinks.first()?.snapshot_rows;
        same = if rows == last && rows > 0 { same + 1 } else { 0 };
        last = rows;
        (same > 5).then_some(rows)
    })
    .await
}

/// Rows that leave and come across the cursor, deletion and insertion again, and a
/// transaction that has written before the chunk and commits behind it. The stream goes on while the chunk waits.
#[tokio::test]
async fn rows_that_cross_the_cursor_are_neither_lost_nor_repeated() {
    let scenario = Scenario::new("chunks-cross").await;
    let database = &scenario.database;
    let history = History::begin(database, 2_000).await;
    let topic = scenario.topic("ledger");
    let holds = Options::default().holds_at(&scenario, "chunk-begun", 3);
    let afterbay = scenario.run_with(&manifests(&scenario, &topic, 25), &holds);
    afterbay.worker_stands_still().await;
    let long = database.session().await;
    long.run(
        "BEGIN; UPDATE ledger SET n = nextval('numbers') WHERE id IN (2, 1990); \
         UPDATE ledger SET id = 3001, n = nextval('numbers') WHERE id = 4; \
         UPDATE ledger SET id = -4, n = nextval('numbers') WHERE id = 1980",
    )
    .await;
    // The chunk after this one, the third, waits.
    scenario.lets_go();
    afterbay.sink("has the chunk that was held", "ledger", |sink| sink.snapshot_rows >= 75).await;
    let rows = stands(&afterbay).await;
    assert!(rows < 1_900, "the snapshot is through already");
    let before = afterbay.report().await.expect("the worker answers").sinks[0].messages_committed;
    for statement in [
        "UPDATE ledger SET n = nextval('numbers') WHERE id IN (7, 1950)",
        "UPDATE ledger SET id = 3000, n = nextval('numbers') WHERE id = 5",
        "UPDATE ledger SET id = -5, n = nextval('numbers') WHERE id = 1995",
        "DELETE FROM ledger WHERE id IN (3, 1960)",
        "INSERT INTO ledger VALUES (3, nextval('numbers')), (1960, nextval('numbers'))",
    ] {
        database.run(statement).await;
    }
    afterbay.sink("goes on with the stream", "ledger", |sink| sink.messages_committed > before + 2).await;
    assert_eq!(stands(&afterbay).await, rows, "no chunk can be read while a transaction of before it is open");
    long.run("COMMIT").await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// The order of keys here is that of the server, for every type of key that chunks are taken by.
#[tokio::test]
async fn keys_of_every_order() {
    let keys = [
        ("small", "k smallint PRIMARY KEY", "i - 150"),
        ("big", "k bigint PRIMARY KEY", "(i - 150) * 10000000000000"),
        ("number", "k numeric PRIMARY KEY", "(i - 150) * 0.37"),
        ("uuid", "k uuid PRIMARY KEY", "md5(i::text)::uuid"),
        ("bytes", "k bytea PRIMARY KEY", "decode(substr(md5(i::text), 1, 2 + i % 8 * 2), 'hex') || int4send(i)"),
        (
            "day",
            "k date PRIMARY KEY",
            "CASE i WHEN 1 THEN '-infinity' WHEN 2 THEN 'infinity' ELSE '0001-01-01 BC'::date + i * 9000 END",
        ),
        ("moment", "k timestamptz PRIMARY KEY", "'2024-03-30 22:00+00'::timestamptz + i * interval '1h 0.01s'"),
        ("word", "k text COLLATE \"C\" PRIMARY KEY", "substr(md5(i::text), 1, 1 + i % 5) || chr(60 + i) || i"),
        ("two", "k text COLLATE \"C\", l int, PRIMARY KEY (k, l)", "chr(65 + i % 5), i"),
    ];
    let scenario = Scenario::new("chunk-keys").await;
    let mut manifests = in_chunks(scenario.manifests(), 40);
    for (name, key, values) in keys {
        let sql = format!(
            "CREATE TABLE {name} ({key}, n int NOT NULL, name text NOT NULL, UNIQUE (name)); \
             ALTER TABLE {name} REPLICA IDENTITY FULL; \
             INSERT INTO {name} SELECT {values}, 0, 'row ' || i FROM generate_series(1, 300) i"
        );
        scenario.database.run(&sql).await;
        let columns: &[&str] = if name == "two" { &["k", "l"] } else { &["k"] };
        let sink = Sink::new(name, &format!("public.{name}"), &scenario.topic(name)).key(columns);
        manifests = manifests.with(sink);
    }
    let afterbay = scenario.run(&manifests);
    let rounds = 12;
    for round in 1..=rounds {
        for (name, ..) in keys {
            let some =
                format!("UPDATE {name} SET n = n + 1 WHERE {round} % 3 = 0 OR ctid::text LIKE '%{}%'", round % 10);
            scenario.database.run(&some).await;
        }
    }
    afterbay.caught_up(&scenario).await;
    for (name, ..) in keys {
        let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for message in scenario.messages(&scenario.topic(name), Format::Json).await {
            let row = found.entry(message.value["name"].as_str().expect("a name").to_owned()).or_default();
            assert_eq!(message.position().contains(":s"), row.is_empty(), "{name}: the row first, then its changes");
            row.push(message.value["n"].as_i64().expect("a number"));
        }
        assert_eq!(found.len(), 300, "{name}");
        for row in scenario.database.rows(&format!("SELECT name, n FROM {name}")).await {
            let last: i64 = row[1].as_deref().expect("n is not null").parse().expect("n is a number");
            let seen = &found[row[0].as_deref().expect("name is not null")];
            let expected: Vec<_> = (seen[0]..=last).collect();
            assert_eq!(*seen, expected, "{name} {row:?}");
        }
    }
}

#[tokio::test]
async fn a_column_that_is_added_between_two_chunks_is_followed() {
    let scenario = Scenario::new("chunks-altered").await;
    let database = &scenario.database;
    let history = History::begin(database, 1_500).await;
    let topic = scenario.topic("ledger");
    let writer = history.writer().await;
    let afterbay = scenario.run(&manifests(&scenario, &topic, 30));
    afterbay.sink("is under way", "ledger", |sink| sink.snapshot_rows >= 100).await;
    database.run("ALTER TABLE ledger ADD COLUMN more int NOT NULL DEFAULT 7").await;
    writer.stop().await;
    database.run("UPDATE ledger SET n = nextval('numbers') WHERE id % 100 = 0").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let last = messages.iter().rfind(|message| message.value["id"] == 1_500).expect("the last row");
    assert_eq!(last.value["more"], 7);
    history.check(&messages, true).await;
}

#[tokio::test]
async fn a_key_without_an_order_of_bytes_is_taken_at_once_or_refused() {
    let scenario = Scenario::new("chunks-collation").await;
    let sql = "CREATE TABLE t (k text COLLATE \"en-x-icu\" PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; \
               INSERT INTO t SELECT i::text FROM generate_series(1, 50) i";
    scenario.database.run(sql).await;
    let topic = scenario.topic("t");
    let plain = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["k"]));
    let afterbay = scenario.run(&in_chunks(plain.clone(), 10));
    let (message, hint) = afterbay.stalled("t", "TableUnfit").await;
    assert!(message.contains("cannot be taken in chunks") && hint.contains("Auto or Consistent"), "{message}; {hint}");
    afterbay.stop().await;
    scenario.carry(&plain).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 50);
}

/// Rows that are sent have no place in the order of another key: it is noticed also by a worker that was away meanwhile.
#[tokio::test]
async fn a_primary_key_that_is_changed_under_way_stalls() {
    let scenario = Scenario::new("chunks-key-changed").await;
    let database = &scenario.database;
    let sql =
        "CREATE TABLE t (a int, b int, PRIMARY KEY (a, b)); INSERT INTO t SELECT i, -i FROM generate_series(1, 2000) i";
    database.run(sql).await;
    let topic = scenario.topic("t");
    let manifests = in_chunks(scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["a", "b"])), 20);
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "chunk-begun", 4));
    afterbay.worker_stands_still().await;
    afterbay.sink("is under way", "t", |sink| sink.messages_committed >= 40).await;
    afterbay.kill().await;
    database.run("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b, a)").await;
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "SchemaChanged").await;
    assert!(message.contains("the primary key of table public.t was changed"), "{message}");
    assert!(hint.contains("change it back"), "{hint}");
    database.run("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a, b)").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 2_000);
}
