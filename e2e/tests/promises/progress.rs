//! What a Sink has committed: where that is written, what it is worth, and what is refused where it is not to be trusted.

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::database::lsn;
use afterbay_e2e::scenario::unique;
use afterbay_e2e::{Database, Format, Message, Scenario, Sink, await_condition, broker, reference};
use serde_json::{Value, json};

use crate::one_table::{TABLE, scenario};
use crate::telling::{check, validate_tells};

/// The newest progress record of a Sink.
async fn record(scenario: &Scenario, sink: &str) -> Option<Value> {
    let topic = scenario.progress_topic();
    let lines = reference::consume(scenario.rig.broker(), &topic, ("text", "json"), &[]).await;
    let key = scenario.progress_key(sink);
    let mut records = lines.iter().map(|line| serde_json::from_str::<Message>(line).expect("a message"));
    records.rfind(|record| record.key == key).map(|record| record.value)
}

#[tokio::test]
async fn the_record_tells_what_is_committed_and_of_which_database() {
    let (scenario, _, manifests) = scenario("record", TABLE).await;
    scenario.carry(&manifests).await;
    let database = &scenario.database;
    let record = record(&scenario, "t").await.expect("there is a record");
    assert_eq!(record["version"], 1);
    assert_eq!(record["sink"], format!("{}/t", scenario.unique));
    assert_eq!(record["topic"], scenario.topic("t"));
    assert_eq!(record["relation"]["oid"], database.number("SELECT 't'::regclass::oid::bigint").await);
    let system = database.text("SELECT system_identifier FROM pg_control_system()").await;
    let timeline = database.number("SELECT timeline_id FROM pg_control_checkpoint()").await;
    let source = json!({"system": system, "timeline": timeline, "database": database.name, "slot": scenario.slot()});
    assert_eq!(record["source"], source);
    let done = lsn(record["position"]["done"].as_str().expect("a position between transactions"));
    assert!(done <= database.log_end().await);
}

#[tokio::test]
async fn a_progress_topic_that_would_break_the_guarantee_is_refused() {
    for (name, partitions, config) in
        [("partitions", 2, &[][..]), ("retention", 1, &[("cleanup.policy", "delete"), ("retention.ms", "3600000")])]
    {
        let (scenario, topic, manifests) = scenario(&format!("unfit-{name}"), TABLE).await;
        broker::create_topic(scenario.rig, &scenario.progress_topic(), partitions, config).await;
        let afterbay = scenario.run(&manifests);
        let (message, hint) = afterbay.problem("ProgressTopicUnfit").await;
        check(&message, &[&scenario.progress_topic()]);
        check(&hint, &["give it one partition, cleanup.policy=compact", "or name another in spec.progressTopic"]);
        drop(afterbay);
        validate_tells(&scenario, &manifests, "ProgressTopicUnfit", &[&scenario.progress_topic()]).await;
        assert!(!broker::has_topic(scenario.rig, &topic) || scenario.messages(&topic, Format::Json).await.is_empty());
    }
}

#[tokio::test]
async fn a_sink_that_has_committed_never_begins_afresh_by_itself() {
    let (scenario, topic, manifests) = scenario("missing", TABLE).await;
    scenario.carry(&manifests).await;
    broker::write(scenario.rig, &scenario.progress_topic(), &scenario.progress_key("t"), None);
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "ProgressMissing").await;
    check(&message, &[&scenario.progress_key("t")]);
    check(&hint, &["restore it, or give the Sink a new name and topic"]);
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

#[tokio::test]
async fn a_lost_slot_is_told_and_nothing_is_guessed() {
    let (scenario, topic, manifests) = scenario("slot-lost", TABLE).await;
    scenario.carry(&manifests).await;
    scenario.drop_slot().await;
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "SlotLost").await;
    check(&message, &[&scenario.slot()]);
    check(&hint, &["give the Sink a new name and topic to start afresh"]);
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

#[tokio::test]
async fn a_slot_that_somebody_else_has_read_is_told() {
    let (scenario, topic, manifests) = scenario("slot-ahead", TABLE).await;
    scenario.carry(&manifests).await;
    let database = &scenario.database;
    database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.advance_slot().await;
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("t", "SlotAheadOfProgress").await;
    check(&message, &[&scenario.slot()]);
    check(&hint, &["give the Sink a new name and topic to start afresh"]);
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

#[tokio::test]
async fn a_slot_made_anew_is_not_taken_for_the_old_one() {
    let (scenario, _, manifests) = scenario("slot-anew", TABLE).await;
    scenario.carry(&manifests).await;
    let (database, slot) = (&scenario.database, scenario.slot());
    scenario.drop_slot().await;
    database.run("INSERT INTO t VALUES (2, 2)").await;
    database.run_as_superuser(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    scenario.run(&manifests).stalled("t", "SlotAheadOfProgress").await;
}

/// The log is the server's, and grows by what is done in other databases: of that nothing is ever sent, so without word of
/// the worker the slot would hold all of it.
#[tokio::test]
async fn an_idle_database_beside_a_busy_one_holds_no_log_back() {
    let (scenario, topic, manifests) = scenario("idle", TABLE).await;
    let busy = Database::create(scenario.rig, &unique("busy")).await;
    busy.run("CREATE TABLE much (n int, t text)").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let slot = |place: &str| {
        let slot = format!("SELECT {place} FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
        let busy = &busy;
        async move { lsn(&busy.text(&slot).await) }
    };
    let mut ends = Vec::new();
    for _ in 0..2 {
        let before = busy.log_end().await;
        busy.run("INSERT INTO much SELECT i, repeat('x', 1000) FROM generate_series(1, 4000) i").await;
        let end = busy.log_end().await;
        assert!(end > before + 4_000_000, "the log has hardly grown");
        await_condition("the confirmed position follows the log", PATIENCE, async || {
            (slot("confirmed_flush_lsn").await >= end).then_some(())
        })
        .await;
        ends.push(end);
    }
    // From here on the server keeps its log.
    await_condition("the log is given free", PATIENCE * 2, async || {
        (slot("restart_lsn").await >= ends[0]).then_some(())
    })
    .await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1, "nothing was sent for it");
}

#[tokio::test]
async fn what_a_sink_has_not_committed_is_not_acknowledged() {
    let (scenario, topic, manifests) = scenario("acknowledged", TABLE).await;
    let well = scenario.topic("well");
    let afterbay = scenario.run(&manifests.with(Sink::new("well", "public.t", &well).key(&["id"])));
    afterbay.caught_up(&scenario).await;
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "100").await;
    let database = &scenario.database;
    let before = database.log_end().await;
    database.run("INSERT INTO t VALUES (10, 0)").await;
    afterbay.stalled("t", "MessageTooLarge").await;
    afterbay.sink_caught_up(&scenario, "well").await;
    // Where the transaction commits that the Sink cannot: other databases fill the log, too.
    let messages = scenario.messages(&well, Format::Json).await;
    let refused = messages.iter().find(|message| message.key["id"] == 10).expect("the other Sink has the row");
    let held = lsn(refused.position().split(':').next().expect("a position"));
    let confirmed =
        format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    for n in 0..10 {
        database.run(&format!("INSERT INTO t VALUES ({}, {n})", n + 20)).await;
        afterbay.sink_caught_up(&scenario, "well").await;
        acknowledged_anew(&scenario).await;
        let confirmed = lsn(&database.text(&confirmed).await);
        assert!(confirmed <= held, "the slot stands at {confirmed:X}, a Sink before {held:X}");
    }
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "1000000").await;
    afterbay.caught_up(&scenario).await;
    await_condition("the slot follows the Sink", PATIENCE, async || {
        (lsn(&database.text(&confirmed).await) > before).then_some(())
    })
    .await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 12);
}

/// Waits until the worker has told the server again how far it is.
async fn acknowledged_anew(scenario: &Scenario) {
    let now = scenario.database.text("SELECT clock_timestamp()").await;
    let told = format!(
        "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
         WHERE s.slot_name = '{}' AND r.reply_time > '{now}'",
        scenario.slot()
    );
    await_condition("the worker tells the server of its progress", PATIENCE, async || {
        (scenario.database.number(&told).await > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn until_caught_up_ends_when_all_is_carried_and_says_so() {
    let (scenario, topic, manifests) = scenario("caught-up", TABLE).await;
    scenario.database.run("INSERT INTO t SELECT i, i FROM generate_series(2, 5000) i").await;
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 5000);
    scenario.database.run("UPDATE t SET n = n + 1").await;
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 10_000);
    // With nothing to do it ends as well.
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 10_000);
}

/// How many messages each Kafka transaction of a topic of one partition holds. At the end of a transaction stands its
/// marker, so that the offset after it is no message's.
async fn transactions(scenario: &Scenario, topic: &str) -> Vec<usize> {
    let messages = scenario.messages(topic, Format::Json).await;
    messages.chunk_by(|message, next| message.offset + 1 == next.offset).map(<[Message]>::len).collect()
}

#[tokio::test]
async fn a_transaction_ends_at_the_number_of_messages_that_the_sink_says() {
    let (scenario, topic, manifests) = scenario("commit-records", TABLE).await;
    let usual_topic = scenario.topic("usual");
    let manifests = manifests
        .set("Sink/t", "spec.kafka.commit", json!({"records": 10}))
        .with(Sink::new("usual", "public.t", &usual_topic).key(&["id"]));
    scenario.carry(&manifests).await;
    // Many small source transactions that wait together, so that they would share a Kafka transaction.
    let many = "DO $$ BEGIN FOR i IN 1..300 LOOP UPDATE t SET n = i; COMMIT; END LOOP; END $$";
    scenario.database.run(many).await;
    scenario.carry(&manifests).await;
    let (limited, usual) = (transactions(&scenario, &topic).await, transactions(&scenario, &usual_topic).await);
    assert_eq!((limited.iter().sum::<usize>(), usual.iter().sum::<usize>()), (301, 301));
    assert!(limited.iter().all(|messages| *messages <= 10), "{limited:?}");
    assert!(limited.contains(&10), "transactions are shared up to the limit: {limited:?}");
    assert!(usual.iter().any(|messages| *messages > 10), "without the limit they are larger: {usual:?}");
}

#[tokio::test]
async fn a_transaction_ends_after_the_interval_that_the_sink_says() {
    let (scenario, topic, manifests) = scenario("commit-interval", TABLE).await;
    let usual_topic = scenario.topic("usual");
    let manifests = manifests
        .set("Sink/t", "spec.kafka.commit", json!({"interval": "10ms", "timeout": "5s"}))
        .with(Sink::new("usual", "public.t", &usual_topic).key(&["id"]));
    scenario.carry(&manifests).await;
    // One source transaction, which is kept whole if it can be: for twice the interval at the most, 100 ms at the least.
    scenario.database.run("INSERT INTO t SELECT i, i FROM generate_series(2, 40001) i").await;
    scenario.carry(&manifests).await;
    let (quick, usual) = (transactions(&scenario, &topic).await, transactions(&scenario, &usual_topic).await);
    assert_eq!((quick.iter().sum::<usize>(), usual.iter().sum::<usize>()), (40_001, 40_001));
    // A busy machine holds up a commit now and then: so the mean against the largest.
    let mean = 40_001 / quick.len();
    let largest = usual.iter().max().copied().unwrap_or_default();
    assert!(mean * 3 < largest, "with 10 ms: {quick:?}, with a second: {usual:?}");
}
