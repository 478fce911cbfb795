//! Sinks by patterns: which tables they carry, and that tables come and go while they run.

use afterbay_e2e::afterbay::{Options, PATIENCE, status};
use afterbay_e2e::{Afterbay, Format, Manifests, Scenario, Sink, await_condition};
use serde_json::{Value, json};

use crate::telling::check;

/// One Sink `all` of these patterns; the topics begin with what is the test's own.
pub fn manifests(scenario: &Scenario, patterns: &[&str]) -> Manifests {
    scenario
        .manifests()
        .with(Sink::new("all", "", &format!("{}.{{table}}", scenario.unique)))
        .set("Sink/all", "spec.source", json!({"name": "shop", "tables": patterns}))
        .set("Sink/all", "spec.key", json!({"primaryKey": true}))
}

/// The ids in a table's topic, in order of partitions and offsets.
pub async fn ids(scenario: &Scenario, table: &str) -> Vec<i64> {
    let messages = scenario.messages(&scenario.topic(table), Format::Json).await;
    messages.iter().map(|message| message.integer("id")).collect()
}

/// Waits until a table has joined; before, it may have no topic.
pub async fn joined(afterbay: &Afterbay, table: &str) {
    let is = |event: &Value| event["event"] == "tableJoins" && event["table"] == format!("public.{table}");
    afterbay.event(&format!("{table} joins"), is).await;
}

/// The events of this kind so far: their tables, in order.
fn tables_told(output: &[String], event: &str) -> Vec<String> {
    let events = output.iter().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let told = events.filter(|it| it["event"] == event);
    told.map(|it| it["table"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn patterns_pick_their_tables_and_each_has_a_topic() {
    let scenario = Scenario::new("patterns").await;
    for table in ["orders", "order_lines", "\"Orders\"", "orders_log", "customers"] {
        let sql =
            format!("CREATE TABLE {table} (id int PRIMARY KEY, n int); INSERT INTO {table} VALUES (1, 1), (2, 2)");
        scenario.database.run(&sql).await;
    }
    let parted = "CREATE TABLE order_parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id); \
                  CREATE TABLE order_parts_1 PARTITION OF order_parts FOR VALUES FROM (0) TO (100); \
                  INSERT INTO order_parts VALUES (1, 1), (2, 2); \
                  CREATE UNLOGGED TABLE order_cache (id int PRIMARY KEY); CREATE VIEW order_view AS SELECT * FROM orders";
    scenario.database.run(parted).await;
    let manifests = manifests(&scenario, &["public.order*", "public.\"Ord\"*", "!public.*_log"]).set(
        "Sink/all",
        "spec.kafka.topic.partitions",
        3,
    );
    let carried = ["Orders", "order_lines", "order_parts", "orders"];

    let validated = scenario.validate(&manifests, &["--online"]).await;
    assert!(validated.success(), "{validated:?}");
    for table in carried {
        let topic = scenario.topic(table);
        let line = format!("table public.{table} goes into topic {topic}, its key is id");
        assert!(validated.output.iter().any(|said| said.ends_with(&line)), "{line}: {validated:?}");
    }
    let finished = scenario.run_with(&manifests, &Options::default().argument("--until-caught-up")).wait().await;
    assert!(finished.success(), "{finished:?}");
    assert_eq!(
        tables_told(&finished.output, "tableJoins"),
        carried.map(|table| format!("public.{table}")),
        "no others"
    );
    for table in carried {
        let mut ids = ids(&scenario, table).await;
        ids.sort_unstable();
        assert_eq!(ids, [1, 2], "{table}");
    }
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE \"Orders\" SET n = 3 WHERE id = 1; DELETE FROM orders WHERE id = 2").await;
    scenario.database.run("INSERT INTO order_parts VALUES (3, 3); INSERT INTO orders_log VALUES (3, 3)").await;
    afterbay.caught_up(&scenario).await;
    for (table, messages) in [("Orders", 3), ("orders", 3), ("order_parts", 3), ("order_lines", 2)] {
        let found = scenario.messages(&scenario.topic(table), Format::Json).await;
        assert_eq!(found.len(), messages, "{table}");
        assert!(found.iter().all(|message| message.partition < 3));
    }
    assert!(tables_told(&afterbay.output(), "tableJoins").is_empty(), "they have joined in the run before");
}

#[tokio::test]
async fn what_cannot_be_carried_is_left_out_and_told_and_the_others_run() {
    let scenario = Scenario::new("left-out").await;
    let taken = scenario.topic("taken");
    let sql = "CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1), (2); \
               CREATE TABLE keyless (id int); INSERT INTO keyless VALUES (1), (2); \
               CREATE TABLE \"odd name\" (id int PRIMARY KEY); \
               CREATE TABLE noted (id int PRIMARY KEY, note text); INSERT INTO noted VALUES (1, 'a'), (2, 'b'); \
               CREATE TABLE floats (id float8 PRIMARY KEY); CREATE TABLE taken (id int PRIMARY KEY); \
               CREATE TABLE elsewhere (id int PRIMARY KEY)";
    scenario.database.run(sql).await;
    let manifests = manifests(&scenario, &["public.*", "!public.elsewhere"])
        .with(Sink::new("other", "public.elsewhere", &taken).key(&["id"]));
    let reasons = [
        ("public.keyless", "KeyNotUnique", "ADD PRIMARY KEY"),
        ("public.odd name", "TopicCreationRefused", "a Sink of its own"),
        ("public.noted", "ReplicaIdentityInsufficient", "REPLICA IDENTITY FULL"),
        ("public.floats", "TableUnfit", "snapshot: false"),
        ("public.taken", "TopicCreationRefused", "another one"),
    ];
    let validated = scenario.validate(&manifests, &["--online", "--output", "json"]).await;
    assert!(validated.success(), "{validated:?}");
    let said = validated.events();
    for (table, reason, _) in reasons {
        let told = |it: &&Value| {
            let what = it["what"].as_str().unwrap_or_default();
            it["severity"] == "warning" && what.contains(table) && what.contains(reason)
        };
        assert_eq!(said.iter().filter(told).count(), 1, "{table}: {said:#?}");
    }

    let afterbay = scenario.run(&manifests);
    for (table, reason, hint) in reasons {
        let subject = format!("sink {}/all, table {table}", scenario.unique);
        let event = afterbay.event(table, |event| event["event"] == "warning" && event["subject"] == *subject).await;
        assert_eq!(event["reason"], "TablesLeftOut");
        check(event["message"].as_str().unwrap_or_default(), &[&format!("table {table} is left out: {reason}: ")]);
        check(event["hint"].as_str().unwrap_or_default(), &[hint, "to spec.source.tables"]);
    }
    afterbay.caught_up(&scenario).await;
    assert_eq!(ids(&scenario, "good").await, [1, 2]);
    assert_eq!(tables_told(&afterbay.output(), "tableJoins"), ["public.good"]);
    let shown = status(&scenario.state_dir(), &[]).await.output.join("\n");
    assert!(shown.contains("warning: TablesLeftOut: table public.keyless is left out"), "{shown}");

    // What is mended joins by itself, each with its rows; what was told is over.
    scenario.database.run("ALTER TABLE keyless ADD PRIMARY KEY (id); ALTER TABLE noted REPLICA IDENTITY FULL").await;
    for table in ["keyless", "noted"] {
        joined(&afterbay, table).await;
        await_condition(&format!("{table} joins with its rows"), PATIENCE, async || {
            (ids(&scenario, table).await == [1, 2]).then_some(())
        })
        .await;
    }
    await_condition("the status tells no more of them", PATIENCE, async || {
        let shown = status(&scenario.state_dir(), &[]).await.output.join("\n");
        (!shown.contains("public.keyless is left out") && shown.contains("public.floats is left out")).then_some(())
    })
    .await;
    scenario.database.run("INSERT INTO good VALUES (3); INSERT INTO noted VALUES (3, 'c')").await;
    afterbay.caught_up(&scenario).await;
    for table in ["good", "noted"] {
        assert_eq!(ids(&scenario, table).await, [1, 2, 3], "{table}");
    }
}

#[tokio::test]
async fn tables_come_and_go_while_it_runs() {
    let scenario = Scenario::new("come-and-go").await;
    let manifests = manifests(&scenario, &["public.t_*"]);
    let afterbay = scenario.run(&manifests);
    let (message, _) = afterbay.warning("TableNotFound").await;
    check(&message, &["no table matches"]);
    for number in 1..=2 {
        let table = format!("t_{number}");
        let sql = format!("CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1), (2), (3)");
        scenario.database.run(&sql).await;
        joined(&afterbay, &table).await;
        await_condition(&format!("{table} joins with its rows"), PATIENCE, async || {
            (ids(&scenario, &table).await == [1, 2, 3]).then_some(())
        })
        .await;
        scenario.database.run(&format!("INSERT INTO {table} VALUES (4)")).await;
        afterbay.caught_up(&scenario).await;
        assert_eq!(ids(&scenario, &table).await, [1, 2, 3, 4]);
    }
    let workers = |output: &[String]| {
        let is_start = |line: &&String| line.contains("\"worker\"") && line.contains("\"started\"");
        output.iter().filter(is_start).count()
    };
    scenario.database.run("DROP TABLE t_1; INSERT INTO t_2 VALUES (5)").await;
    let left = afterbay.event("the table leaves", |event| event["event"] == "tableLeaves").await;
    assert_eq!(left["table"], "public.t_1");
    await_condition("the other goes on", PATIENCE, async || (ids(&scenario, "t_2").await.len() == 5).then_some(()))
        .await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(ids(&scenario, "t_1").await, [1, 2, 3, 4]);
    let output = afterbay.output();
    assert_eq!(tables_told(&output, "tableJoins"), ["public.t_1", "public.t_2"]);
    assert_eq!(tables_told(&output, "tableLeaves"), ["public.t_1"]);
    // One for the start and one for each change: nothing is started again for nothing.
    assert_eq!(workers(&output), 4, "{output:#?}");
}
