//! A Sink by patterns that keeps columns: each table those that it began with, whatever becomes of it, and wherever the worker
//! dies.

use std::collections::BTreeSet;

use afterbay_crds::plan::SchemaChanges;
use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Database, Message, Scenario};

use crate::many_tables::{Worker, Writer, scenario};

fn frozen<'a>(scenario: &'a Scenario, snapshot: bool, tables: &[&str]) -> Worker<'a> {
    let mut worker = Worker::new(scenario, snapshot, tables);
    worker.plan.sinks[0].schema_changes = SchemaChanges::Freeze;
    worker
}

/// The fields that the values of these messages have, each set once.
fn fields(messages: &[Message]) -> BTreeSet<Vec<&str>> {
    let values = messages.iter().filter_map(|message| message.value.as_object());
    values.map(|value| value.keys().map(String::as_str).collect()).collect()
}

/// All messages of a table have these columns, and hold what happened to it.
async fn keeps(worker: &Worker<'_>, table: &str, columns: &[&str]) {
    worker.check(table).await;
    let messages = worker.messages(table).await;
    assert_eq!(fields(&messages), BTreeSet::from([columns.to_vec()]), "{table}");
}

async fn publish(database: &Database, table: &str) {
    let add = format!("ALTER PUBLICATION pub ADD TABLE {table}");
    database.run(&format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; {add}; COMMIT")).await;
}

#[tokio::test]
async fn each_table_keeps_what_it_joined_with_also_after_kills() {
    let scenario = scenario("many-frozen", &[("a", 90), ("b", 50)], &["a", "b", "c", "d"]).await;
    let database = &scenario.database;
    let mut worker = frozen(&scenario, true, &["a", "b"]).run();
    worker.caught_up().await;
    let writer = Writer::begin(database, "a,b").await;
    database.run("ALTER TABLE a ADD COLUMN more text NOT NULL DEFAULT 'x'").await;
    worker.kill();
    database.run("ALTER TABLE b ADD COLUMN other int, ALTER COLUMN other SET DEFAULT 7").await;
    // One that joins with rows, and one without any: both begin with what they have then.
    database.run("CALL make('c', 60); ALTER TABLE c ADD COLUMN third int DEFAULT 3; CALL make('d', 0)").await;
    publish(database, "c").await;
    publish(database, "d").await;
    worker.carries(&["a", "b", "c", "d"]);
    let through = |report: &SinkReport| report.tables.as_ref().is_some_and(|it| (it.carried, it.in_snapshot) == (4, 0));
    worker.until("all have joined", through).await;
    // That they have is committed.
    let end = database.log_end().await;
    let is_behind = |report: &SinkReport| report.settled.as_deref().is_some_and(|settled| lsn(settled) >= end);
    worker.until("has committed that", is_behind).await;
    database.run("ALTER TABLE c ADD COLUMN fourth int DEFAULT 4; ALTER TABLE d ADD COLUMN second int DEFAULT 2").await;
    database.run("INSERT INTO c VALUES (1000, 0, 0, 0); INSERT INTO d VALUES (1, 0, 0)").await;
    worker.carries(&["a", "b", "c", "d"]);
    database.run("UPDATE c SET n = -n; UPDATE d SET n = 5").await;
    writer.stop().await;
    let report = worker.caught_up().await;
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    for (table, columns) in
        [("a", &["id", "n"][..]), ("b", &["id", "n"]), ("c", &["id", "n", "third"]), ("d", &["id", "n"])]
    {
        keeps(&worker, table, columns).await;
    }
}

/// The worker dies by this point for the nth time, while columns are added to tables whose snapshots are through, under way and to
/// come. Whatever columns a table is found with first, its topic shows no others.
async fn dies_at(point: &str, nth: u32) {
    let tables = ["a", "b", "c"];
    let scenario = scenario(&format!("many-frozen-{point}"), &tables.map(|table| (table, 100)), &tables).await;
    let database = &scenario.database;
    let writer = Writer::begin(database, "a,b,c").await;
    let mut worker = frozen(&scenario, true, &tables).dies_at(point, nth).run();
    for column in 0..4 {
        for table in tables {
            database.run(&format!("ALTER TABLE {table} ADD COLUMN x{column} int DEFAULT {column}")).await;
        }
    }
    worker.dies_and_runs_again().await;
    for table in tables {
        database.run(&format!("ALTER TABLE {table} ADD COLUMN last int DEFAULT 9")).await;
    }
    let through = |report: &SinkReport| report.tables.as_ref().is_some_and(|it| (it.carried, it.in_snapshot) == (3, 0));
    worker.until("is through", |report| through(report) && report.messages_committed > 150).await;
    for table in tables {
        database.run(&format!("ALTER TABLE {table} ADD COLUMN later int DEFAULT 10")).await;
    }
    writer.stop().await;
    worker.caught_up().await;
    for table in tables {
        worker.check(table).await;
        let messages = worker.messages(table).await;
        let fields = fields(&messages);
        assert_eq!(fields.len(), 1, "{table}: {fields:?}");
        assert!(fields.iter().all(|fields| !fields.contains(&"later")), "{table}: {fields:?}");
    }
}

dies! {
    with_the_first_chunk_of_a_table_at_hand: "chunk", 4;
    with_the_first_row_of_all_staged: "staged", 1;
    with_the_record_staged: "progress-staged", 2;
    before_a_commit: "flushed", 3;
    behind_a_commit: "committed", 3;
}

/// Frozen on its way, with columns that were added while nobody carried, between changes of one batch: what comes first is kept.
#[tokio::test]
async fn a_sink_that_followed_keeps_what_comes_first() {
    for point in ["progress-staged", "committed"] {
        let scenario =
            scenario(&format!("many-freezes-{point}"), &[("a", 5), ("b", 5), ("c", 5)], &["a", "b", "c"]).await;
        let database = &scenario.database;
        let mut worker = Worker::new(&scenario, true, &["a", "b", "c"]).run();
        worker.caught_up().await;
        worker.kill();
        database
            .run(
                "INSERT INTO a VALUES (10, 10); ALTER TABLE a ADD COLUMN more int; INSERT INTO a VALUES (11, 11, 11); \
                 ALTER TABLE b ADD COLUMN more int; INSERT INTO b VALUES (10, 10, 10); ALTER TABLE a DROP COLUMN more; \
                 INSERT INTO a VALUES (12, 12); ALTER TABLE b ADD COLUMN yet int; INSERT INTO b VALUES (12, 12, 12, 12)",
            )
            .await;
        let mut worker = frozen(&scenario, true, &["a", "b", "c"]).dies_at(point, 1).run();
        worker.dies_and_runs_again().await;
        worker.caught_up().await;
        // Of one that did not change the catalogue's are kept, when all that was there before has passed.
        database.run("INSERT INTO a VALUES (13, 13)").await;
        worker.caught_up().await;
        database.run("ALTER TABLE c ADD COLUMN more int; INSERT INTO c VALUES (10, 10, 10)").await;
        database.run("ALTER TABLE b ADD COLUMN last int; INSERT INTO b VALUES (13, 13, 13, 13, 13)").await;
        worker.caught_up().await;
        worker.kill();
        for (table, columns) in [("a", &["id", "n"][..]), ("c", &["id", "n"])] {
            keeps(&worker, table, columns).await;
        }
        worker.check("b").await;
        let messages = worker.messages("b").await;
        let (before, after): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.integer("id") < 10);
        assert_eq!(fields(&before), BTreeSet::from([vec!["id", "n"]]), "{point}");
        assert_eq!(fields(&after), BTreeSet::from([vec!["id", "n", "more"]]), "{point}");
        // And it follows again.
        let mut worker = Worker::new(&scenario, true, &["a", "b", "c"]).run();
        database.run("INSERT INTO b VALUES (14, 14, 14, 14, 14)").await;
        worker.caught_up().await;
        worker.kill();
        let messages = worker.messages("b").await;
        let last: Vec<_> = messages.into_iter().filter(|message| message.integer("id") == 14).collect();
        assert_eq!(fields(&last), BTreeSet::from([vec!["id", "n", "more", "yet", "last"]]), "{point}");
    }
}

#[tokio::test]
async fn a_column_that_is_kept_and_gone_is_told_with_its_table() {
    let scenario = scenario("many-frozen-gone", &[("a", 5), ("b", 5)], &["a", "b"]).await;
    let database = &scenario.database;
    database.run("ALTER TABLE b ADD COLUMN more int DEFAULT 1").await;
    let mut worker = frozen(&scenario, true, &["a", "b"]).run();
    worker.caught_up().await;
    database.run("INSERT INTO a VALUES (10, 10); ALTER TABLE b DROP COLUMN more; INSERT INTO b VALUES (10, 10)").await;
    let told = |report: &SinkReport| {
        let error = report.error.as_ref().filter(|error| error.reason == "SchemaChanged");
        error.is_some_and(|error| error.message.contains("column more of table public.b"))
    };
    let report = worker.until("is stalled", told).await;
    assert_eq!(report.state, SinkState::Stalled);
    worker.kill();
    worker.begin();
    worker.until("is stalled in the next worker", told).await;
    // Without the table the others go on; with the column it comes back, as what it was.
    worker.carries(&["a"]);
    worker.caught_up().await;
    keeps(&worker, "a", &["id", "n"]).await;
    worker.carries(&["a", "b"]);
    assert!(worker.warning("TablesLeftOut").await.contains("column more of table public.b"));
    database.run("ALTER TABLE b ADD COLUMN yet int, ADD COLUMN more int").await;
    worker.carries(&["a", "b"]);
    assert!(worker.warning("TablesReturned").await.contains("public.b"));
    worker.caught_up().await;
    let messages = worker.messages("b").await;
    assert_eq!(fields(&messages), BTreeSet::from([vec!["id", "n", "more"]]), "{messages:?}");
    assert_eq!(messages.len(), 5 + 6, "all rows once more");
}

#[tokio::test]
async fn without_a_snapshot_the_first_change_tells_what_is_kept() {
    let scenario = scenario("many-frozen-stream", &[("a", 5), ("b", 5)], &["a", "b"]).await;
    let database = &scenario.database;
    let mut worker = frozen(&scenario, false, &["a", "b"]).run();
    worker.caught_up().await;
    database
        .run(
            "ALTER TABLE a ADD COLUMN more int; INSERT INTO a VALUES (10, 10, 1); ALTER TABLE a ADD COLUMN yet int; \
             UPDATE a SET n = 11 WHERE id = 10",
        )
        .await;
    worker.caught_up().await;
    worker.kill();
    worker.begin();
    database.run("INSERT INTO a VALUES (11, 11, 1, 1)").await;
    worker.caught_up().await;
    let messages = worker.messages("a").await;
    assert_eq!(messages.len(), 3);
    let fields = fields(&messages);
    assert_eq!(fields.len(), 1, "{fields:?}");
    assert!(fields.iter().all(|fields| !fields.contains(&"yet")), "{fields:?}");
}
