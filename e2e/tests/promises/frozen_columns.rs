//! A Sink keeps the columns of its start, whatever the table gets; what it keeps and cannot have any more is told.

use afterbay_e2e::afterbay::Options;
use afterbay_e2e::{Format, History, Manifests, Message, Scenario, Sink};
use serde_json::{Value, json};

use crate::one_table::{TABLE, scenario, values};

fn frozen(manifests: Manifests, sink: &str) -> Manifests {
    manifests.set(&format!("Sink/{sink}"), "spec.schemaChanges", "Freeze")
}

/// The names of the fields of each value.
fn fields(messages: &[Message]) -> Vec<Vec<String>> {
    let names = |value: &Value| value.as_object().expect("a record").keys().cloned().collect();
    messages.iter().map(|message| names(&message.value)).collect()
}

#[tokio::test]
async fn columns_that_are_added_are_left_out_also_after_a_kill() {
    for format in [Format::Json, Format::Avro] {
        let (scenario, topic, manifests) = scenario("frozen", TABLE).await;
        let formats = match format {
            Format::Json => json!({"json": {}}),
            Format::Avro => json!({"avro": {"registry": "schemas"}}),
        };
        let manifests = frozen(manifests.set("Sink/t", "spec.kafka.format", formats), "t");
        let database = &scenario.database;
        // A column that could be stored out of line is no reason to ask for another replica identity, if it is left out.
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        database.run("ALTER TABLE t ADD COLUMN more text DEFAULT 'x'; INSERT INTO t VALUES (2, 2, 'y')").await;
        afterbay.caught_up(&scenario).await;
        afterbay.kill_worker().await;
        database.run("INSERT INTO t VALUES (3, 3, 'z'); UPDATE t SET more = 'w', n = 4 WHERE id = 3").await;
        afterbay.caught_up(&scenario).await;
        afterbay.stop().await;
        database.run("ALTER TABLE t ADD COLUMN yet int; INSERT INTO t VALUES (5, 5, 'v', 7)").await;
        scenario.carry(&manifests).await;
        let messages = scenario.messages(&topic, format).await;
        let n: Vec<_> = messages.iter().map(|message| message.integer("n")).collect();
        assert_eq!(n, [1, 2, 3, 4, 5]);
        assert!(fields(&messages).iter().all(|fields| fields == &["id", "n"]), "{messages:?}");
    }
}

/// Frozen on its way, with changes of before and after another column pending, and killed around the first record that says so.
#[tokio::test]
async fn a_sink_that_followed_keeps_what_it_has_from_the_next_life_on() {
    for point in ["progress-staged", "committed"] {
        let (scenario, topic, manifests) = scenario("freezes", TABLE).await;
        let database = &scenario.database;
        scenario.carry(&manifests).await;
        database.run("INSERT INTO t VALUES (2, 2)").await;
        database.run("ALTER TABLE t ADD COLUMN more int; INSERT INTO t VALUES (3, 3, 3)").await;
        let frozen = frozen(manifests.clone(), "t");
        let afterbay = scenario.run_with(&frozen, &Options::default().dies_at(&scenario, point, 1));
        afterbay.worker_has_died().await;
        database.run("ALTER TABLE t ADD COLUMN yet int; INSERT INTO t VALUES (4, 4, 4, 4)").await;
        afterbay.caught_up(&scenario).await;
        afterbay.stop().await;
        // By now the columns are known, whichever of them it met first.
        database.run("ALTER TABLE t ADD COLUMN last int; INSERT INTO t VALUES (5, 5, 5, 5, 5)").await;
        scenario.carry(&frozen).await;
        scenario.carry(&manifests).await;
        database.run("INSERT INTO t VALUES (6, 6, 6, 6, 6)").await;
        scenario.carry(&manifests).await;
        let messages = scenario.messages(&topic, Format::Json).await;
        let n: Vec<_> = messages.iter().map(|message| message.integer("n")).collect();
        assert_eq!(n, [1, 2, 3, 4, 5, 6], "{point}");
        let fields = fields(&messages);
        assert!(fields[..2].iter().all(|fields| fields == &["id", "n"]), "{point}: {fields:?}");
        assert!(!fields[4].contains(&"last".to_owned()), "{point}: {fields:?}");
        assert_eq!(fields[3], fields[4], "{point}");
        assert_eq!(fields[5], ["id", "n", "more", "yet", "last"], "{point}: it follows again");
    }
}

#[tokio::test]
async fn a_column_that_is_kept_and_cannot_be_had_stalls() {
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int, w varchar(5)); ALTER TABLE t REPLICA IDENTITY FULL; \
                 INSERT INTO t VALUES (1, 1, 'a')";
    for (change, row, what) in [
        ("DROP COLUMN n", "(3, 'cc')", "not there any more"),
        ("ALTER COLUMN n TYPE bigint", "(3, 3, 'cc')", "has another type"),
    ] {
        let (scenario, topic, manifests) = scenario("frozen-gone", table).await;
        let manifests = frozen(manifests, "t");
        let database = &scenario.database;
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        let wider = "ALTER TABLE t ALTER COLUMN w TYPE varchar(50); INSERT INTO t VALUES (2, 2, 'longer than before')";
        database.run(wider).await;
        afterbay.caught_up(&scenario).await;
        database.run(&format!("ALTER TABLE t {change}; INSERT INTO t VALUES {row}")).await;
        let (message, hint) = afterbay.stalled("t", "SchemaChanged").await;
        assert!(message.contains("column n of table public.t") && message.contains(what), "{message}");
        assert!(hint.contains("schemaChanges: Follow"), "{hint}");
        afterbay.kill_worker().await;
        afterbay.stalled("t", "SchemaChanged").await;
        afterbay.stop().await;
        scenario.carry(&manifests.set("Sink/t", "spec.schemaChanges", "Follow")).await;
        let messages = scenario.messages(&topic, Format::Json).await;
        let w: Vec<_> = values(&messages).iter().map(|value| value["w"].as_str().unwrap_or_default()).collect();
        assert_eq!(w, ["a", "longer than before", "cc"]);
    }
}

#[tokio::test]
async fn a_column_that_is_added_between_two_chunks_is_left_out() {
    let scenario = Scenario::new("frozen-chunks").await;
    let database = &scenario.database;
    let history = History::begin(database, 1_500).await;
    let topic = scenario.topic("ledger");
    let writer = history.writer().await;
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": "Chunked", "chunkRows": 30}))
        .with(Sink::new("ledger", "public.ledger", &topic).key(&["id"]).partitions(3));
    let afterbay = scenario.run(&frozen(manifests, "ledger"));
    afterbay.sink("is under way", "ledger", |sink| sink.snapshot_rows >= 100).await;
    database.run("ALTER TABLE ledger ADD COLUMN more int NOT NULL DEFAULT 7").await;
    afterbay.kill_worker().await;
    writer.stop().await;
    database.run("UPDATE ledger SET n = nextval('numbers') WHERE id % 100 = 0").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert!(messages.iter().all(|message| message.value.get("more").is_none()));
    history.check(&messages, true).await;
}
