//! Where the snapshot ends and the stream begins, nothing is lost and nothing is repeated.

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Format, History, Scenario, Sink, await_condition};

#[tokio::test]
async fn a_sink_that_starts_while_others_write_misses_and_repeats_nothing() {
    let scenario = Scenario::new("seam").await;
    let history = History::begin(&scenario.database, 5_000).await;
    let topic = scenario.topic("ledger");
    let writers = [history.writer().await, history.writer().await, history.writer().await];
    // One that was open before anything began, and commits in the middle.
    let long = scenario.database.session().await;
    long.run("BEGIN; INSERT INTO ledger VALUES (100000, nextval('numbers'))").await;
    let sink = Sink::new("ledger", "public.ledger", &topic).key(&["id"]).partitions(2);
    let afterbay = scenario.run(&scenario.manifests().with(sink));
    // The slot waits for the transactions that were open when it was asked for.
    await_condition("the worker asks for its slot", PATIENCE, async || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()";
        (scenario.database.number(sql).await > 0).then_some(())
    })
    .await;
    long.run("UPDATE ledger SET n = nextval('numbers') WHERE id = 100000; COMMIT").await;
    afterbay.sink("carries the stream", "ledger", |sink| sink.messages_committed > 6_000).await;
    for writer in writers {
        writer.stop().await;
    }
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn a_sink_that_comes_later_begins_afresh_and_the_others_go_on() {
    let scenario = Scenario::new("later").await;
    let history = History::begin(&scenario.database, 100).await;
    let (first, second) = (scenario.topic("first"), scenario.topic("second"));
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]);
    let manifests = scenario.manifests().with(sink("first", &first));
    scenario.carry(&manifests).await;
    let writer = history.writer().await;
    let afterbay = scenario.run(&manifests.with(sink("second", &second)));
    afterbay.sink("carries the stream", "second", |sink| sink.messages_committed > 300).await;
    writer.stop().await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&first, Format::Json).await, false).await;
    history.check(&scenario.messages(&second, Format::Json).await, true).await;
}

#[tokio::test]
async fn a_large_transaction_is_carried_in_parts_and_whole() {
    let scenario = Scenario::new("large").await;
    let history = History::begin(&scenario.database, 10).await;
    let topic = scenario.topic("ledger");
    let manifests = scenario
        .manifests()
        .with(Sink::new("ledger", "public.ledger", &topic).key(&["id"]).partitions(3))
        .set("SourceConnector/shop", "spec.worker.memory", "16Mi");
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    // More than a Kafka transaction takes, and more than the queues hold.
    scenario.database.run("INSERT INTO ledger SELECT i, nextval('numbers') FROM generate_series(1000, 121000) i").await;
    afterbay.sink("carries a part", "ledger", |sink| sink.messages_committed > 1_000).await;
    afterbay.kill_worker().await;
    history.work(10).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, false).await;
}

#[tokio::test]
async fn a_column_that_is_added_is_followed() {
    let scenario = Scenario::new("added-column").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)").await;
    let (json, avro) = (scenario.topic("json"), scenario.topic("avro"));
    let sink = |name: &str, topic: &str| Sink::new(name, "public.t", topic).key(&["id"]);
    let manifests = scenario.manifests().with(sink("plain", &json)).with(sink("binary", &avro).format(Format::Avro));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run("ALTER TABLE t ADD COLUMN more int DEFAULT 7; UPDATE t SET n = 2").await;
    afterbay.caught_up(&scenario).await;
    for (topic, format) in [(json, Format::Json), (avro, Format::Avro)] {
        let messages = scenario.messages(&topic, format).await;
        let values: Vec<_> = messages.iter().map(|message| message.value.to_string()).collect();
        assert_eq!(values, [r#"{"id":1,"n":1}"#, r#"{"id":1,"n":2,"more":7}"#]);
    }
}
