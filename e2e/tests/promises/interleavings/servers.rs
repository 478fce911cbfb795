//! Standbys, and who waits for whom.

use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::{Cluster, Format, History, Scenario, await_condition};

use super::ledger;
use crate::chunks::in_chunks;

/// In recovery a snapshot knows of nothing that runs; and when it is over, the log goes on under another timeline.
#[tokio::test]
async fn case_06_and_14_nothing_is_read_in_recovery_and_a_promoted_server_goes_on() {
    let mut server = Cluster::new(&[]).await;
    let mut scenario = Scenario::on("recovery", &[&server]).await;
    let topic = scenario.topic("ledger");
    let manifests = in_chunks(scenario.manifests().with(ledger(&topic)), 20);
    let history = History::begin(&scenario.database, 1_000).await;
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "chunk-begun", 6));
    afterbay.worker_stands_still().await;
    history.work(50).await;
    afterbay.kill().await;
    server.stop();
    let mut standby = server.copy().at_address_of(&server).as_standby_of(&server, "nobodys");
    standby.start().await;
    let afterbay = scenario.run(&manifests);
    afterbay.problem("SourceNotPrimary").await;
    standby.promote().await;
    scenario.database.reconnect().await;
    let history = History::of(&scenario.database);
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    let file = scenario.database.text("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    assert!(file.starts_with("00000002"), "the standby writes timeline 2, not {file}");
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// Whom commits wait for.
async fn wait_for(scenario: &Scenario, standbys: &str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standbys}'");
    scenario.database.run_as_superuser(&set).await;
    scenario.database.run_as_superuser("SELECT pg_reload_conf()").await;
}

/// A transaction would wait until it stands in Kafka, and who reads it until it is committed.
#[tokio::test]
async fn case_17_commits_do_not_wait_for_kafka() {
    // Commits of the test itself are not to wait, whoever is named.
    let server = Cluster::new(&[("synchronous_commit", "local")]).await;
    let scenario = Scenario::on("synchronous", &[&server]).await;
    let history = History::begin(&scenario.database, 20).await;
    let topic = scenario.topic("ledger");
    let manifests = scenario.manifests().with(ledger(&topic));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    wait_for(&scenario, "*").await;
    let (message, hint) = afterbay.stalled("ledger", "SynchronousStandby").await;
    assert!(message.contains("commits would wait for it") && hint.contains("without '*'"), "{message} · {hint}");
    afterbay.stop().await;
    let afterbay = scenario.run(&manifests);
    afterbay.stalled("ledger", "SynchronousStandby").await;
    history.work(20).await;
    wait_for(&scenario, "").await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn case_17_the_server_hears_of_a_worker_whose_queue_is_full() {
    let scenario = Scenario::new("full").await;
    let database = &scenario.database;
    let history = History::begin(database, 20).await;
    let topic = scenario.topic("ledger");
    let manifests = scenario.manifests().with(ledger(&topic)).set("SourceConnector/shop", "spec.worker.memory", "16Mi");
    scenario.carry(&manifests).await;
    database.run_as_superuser(&format!("ALTER ROLE {} SET wal_sender_timeout = '20s'", database.role)).await;
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "staged", 1));
    database.run("INSERT INTO ledger SELECT i, nextval('numbers') FROM generate_series(1000, 71000) i").await;
    afterbay.worker_stands_still().await;
    let reader = format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    let pid = database.text(&reader).await;
    let begun = database.text("SELECT clock_timestamp()").await;
    let heard = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE pid = {pid} AND reply_time > timestamptz '{begun}' + interval '45s'"
    );
    await_condition("the server hears of the worker for longer than it would wait", PATIENCE, async || {
        (database.number(&heard).await > 0).then_some(())
    })
    .await;
    assert_eq!(database.text(&reader).await, pid, "it is the same reader still");
    scenario.lets_go();
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, false).await;
}
