//! What happens between the place of a chunk and its rows.

use std::collections::BTreeMap;

use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::{Afterbay, Format, History, Scenario, Sink, await_condition};

use super::{at_once, ledger};
use crate::chunks::in_chunks;
use crate::telling::check;

/// A worker with 20 rows of a hundred in its topic, that has the place of its next chunk, and not its rows.
async fn between_place_and_rows(test: &str) -> (Scenario, String, Afterbay) {
    let scenario = Scenario::new(test).await;
    History::begin(&scenario.database, 100).await;
    let topic = scenario.topic("ledger");
    let manifests = in_chunks(scenario.manifests().with(ledger(&topic)), 20);
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "chunk-begun", 2));
    afterbay.worker_stands_still().await;
    afterbay.sink("has the first rows", "ledger", |sink| sink.messages_committed >= 20).await;
    (scenario, topic, afterbay)
}

/// The Sink catches up, and its topic tells all that was done, once.
async fn tells_all(scenario: &Scenario, topic: &str, afterbay: &Afterbay) {
    afterbay.caught_up(scenario).await;
    History::of(&scenario.database).check(&scenario.messages(topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn case_03_a_chunk_that_the_stream_overtakes_is_thrown_away() {
    let (scenario, topic, afterbay) = between_place_and_rows("overtaken").await;
    // Of a row that the chunk is to bring, of one that is there, and across the cursor.
    for change in [
        "UPDATE ledger SET n = nextval('numbers') WHERE id IN (2, 30)",
        "UPDATE ledger SET id = 200, n = nextval('numbers') WHERE id = 3",
        "UPDATE ledger SET id = -4, n = nextval('numbers') WHERE id = 31",
        "DELETE FROM ledger WHERE id IN (5, 32)",
    ] {
        scenario.database.run(change).await;
    }
    // Nothing rests on how long changes are held for a chunk.
    afterbay.sink("goes on with the stream", "ledger", |sink| sink.messages_committed >= 24).await;
    scenario.lets_go();
    afterbay.logged("the chunk is thrown away", |line| line.contains("came too late")).await;
    tells_all(&scenario, &topic, &afterbay).await;
}

#[tokio::test]
async fn case_03_the_keys_of_a_chunk_change_before_its_rows_come() {
    let (scenario, topic, afterbay) = between_place_and_rows("keys-change").await;
    for change in [
        // Within the chunk, out of it in both directions, into it from both sides.
        "UPDATE ledger SET n = nextval('numbers') WHERE id IN (21, 40)",
        "UPDATE ledger SET id = 150, n = nextval('numbers') WHERE id = 22",
        "UPDATE ledger SET id = -23, n = nextval('numbers') WHERE id = 23",
        "UPDATE ledger SET id = 22, n = nextval('numbers') WHERE id = 90",
        "UPDATE ledger SET id = 23, n = nextval('numbers') WHERE id = 1",
        // Deleted and inserted again, at once and one after the other; a last row that goes.
        "DELETE FROM ledger WHERE id IN (24, 25, 40)",
        "INSERT INTO ledger VALUES (24, nextval('numbers'))",
        "BEGIN; DELETE FROM ledger WHERE id = 26; INSERT INTO ledger VALUES (26, nextval('numbers')); COMMIT",
        "BEGIN; INSERT INTO ledger VALUES (25, nextval('numbers')); DELETE FROM ledger WHERE id = 25; COMMIT",
    ] {
        scenario.database.run(change).await;
    }
    scenario.lets_go();
    tells_all(&scenario, &topic, &afterbay).await;
}

/// Two rows whose message keys move while neither chunk key does: in chunks, each would be judged in a place of its own.
#[tokio::test]
async fn case_04_a_message_key_that_is_no_chunk_key() {
    let scenario = Scenario::new("other-key").await;
    let database = &scenario.database;
    let sql = "CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY FULL; \
               INSERT INTO t SELECT i, i FROM generate_series(1, 100) i";
    database.run(sql).await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["u"]));
    let refused = scenario.run(&in_chunks(manifests.clone(), 10));
    let (message, _) = refused.stalled("t", "TableUnfit").await;
    assert!(message.contains("cannot be taken in chunks"), "{message}");
    refused.stop().await;
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "start-begun", 1));
    afterbay.worker_stands_still().await;
    database.run("UPDATE t SET u = 1000 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 90").await;
    scenario.lets_go();
    afterbay.caught_up(&scenario).await;
    let mut rows = BTreeMap::new();
    let mut places = Vec::new();
    for message in scenario.messages(&topic, Format::Json).await {
        places.extend(message.position().split_once(":s").map(|(place, _)| place.to_owned()));
        let key = message.key["u"].as_i64().expect("a number");
        if message.value.is_null() {
            rows.remove(&key)
        } else {
            rows.insert(key, message.integer("id"))
        };
    }
    assert!(places.len() == 100 && places.iter().all(|place| *place == places[0]), "not at once: {places:?}");
    let expected: BTreeMap<_, _> = (1..=100)
        .map(|id| {
            (
                if id == 1 {
                    1000
                } else if id == 90 {
                    1
                } else {
                    id
                },
                id,
            )
        })
        .collect();
    assert_eq!(rows, expected);
}

/// The line that tells why the rows are looked at again. It is over so soon that a report may not tell of it.
async fn begins_again(afterbay: &Afterbay) -> String {
    afterbay.logged("why the rows are looked at again", |line| line.contains("reason=SourceFailed")).await
}

/// `case_05`: a rewrite keeps no rows for older snapshots, which then show an empty table.
async fn rewritten(scenario: &Scenario, topic: &str, afterbay: Afterbay) {
    afterbay.worker_stands_still().await;
    scenario.database.run("ALTER TABLE ledger ALTER COLUMN n TYPE int USING n + 0").await;
    scenario.lets_go();
    check(&begins_again(&afterbay).await, &["public.ledger was rewritten or truncated", "nothing is lost"]);
    History::of(&scenario.database).work(50).await;
    tells_all(scenario, topic, &afterbay).await;
}

#[tokio::test]
async fn case_05_a_table_is_rewritten_between_the_start_and_its_rows() {
    let scenario = Scenario::new("rewritten-start").await;
    History::begin(&scenario.database, 100).await;
    let topic = scenario.topic("ledger");
    let manifests = at_once(scenario.manifests().with(ledger(&topic)));
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "start-begun", 1));
    rewritten(&scenario, &topic, afterbay).await;
}

#[tokio::test]
async fn case_05_a_table_is_rewritten_between_a_chunk_and_its_rows() {
    let (scenario, topic, afterbay) = between_place_and_rows("rewritten-chunk").await;
    rewritten(&scenario, &topic, afterbay).await;
}

/// The rows would have a column that the changes behind their place lack.
#[tokio::test]
async fn case_05_a_column_is_added_between_a_chunk_and_its_rows() {
    let (scenario, topic, afterbay) = between_place_and_rows("added-chunk").await;
    afterbay.worker_stands_still().await;
    let change = "UPDATE ledger SET n = nextval('numbers') WHERE id % 7 = 0";
    scenario.database.run(&format!("{change}; ALTER TABLE ledger ADD COLUMN more int DEFAULT 7; {change}")).await;
    scenario.lets_go();
    check(&begins_again(&afterbay).await, &["public.ledger got other columns", "nothing is lost"]);
    History::of(&scenario.database).work(50).await;
    tells_all(&scenario, &topic, &afterbay).await;
}

/// The rows of before are not shown, and those of behind are not missed.
#[tokio::test]
async fn case_05_a_table_is_truncated_between_the_start_and_its_rows() {
    let scenario = Scenario::new("truncated-start").await;
    let database = &scenario.database;
    database.run(crate::one_table::TABLE).await;
    let topic = scenario.topic("t");
    let manifests = at_once(scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])));
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "start-begun", 1));
    afterbay.worker_stands_still().await;
    database.run("TRUNCATE t; INSERT INTO t VALUES (2, 2)").await;
    scenario.lets_go();
    begins_again(&afterbay).await;
    afterbay.caught_up(&scenario).await;
    await_condition("the Sink has its row", PATIENCE, async || {
        (scenario.messages(&topic, Format::Json).await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(scenario.messages(&topic, Format::Json).await[0].integer("id"), 2);
}
