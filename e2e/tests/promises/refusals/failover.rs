//! A failover slot: standbys keep a copy of it, and the Sinks go on at the one that is promoted.

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Cluster, Format, History, Manifests, Scenario, Sink, await_condition};

use super::servers::received;
use super::{make_slot_of_standby, pair, resnapshot, scenario_on, told};
use crate::one_table::{TABLE, scenario};
use crate::telling::both_tell;

/// A primary that sends nothing from a failover slot before its standby has it, and that standby, which is not running.
async fn failover_pair() -> (Cluster, Cluster) {
    let of_primary = [("synchronized_standby_slots", "standby")];
    pair(Cluster::newest(&[]).await, &of_primary, &[("sync_replication_slots", "on")]).await
}

fn failover(manifests: Manifests) -> Manifests {
    manifests.set("SourceConnector/shop", "spec.postgres.slot.failover", true)
}

/// Waits until the standby has a copy of the slot that it will keep, with all that is acknowledged now.
async fn synchronized(scenario: &Scenario, standby: &Cluster) {
    let (client, connection) = standby.superuser().connect(tokio_postgres::NoTls).await.expect("it lets sessions in");
    tokio::spawn(connection);
    let kept = format!(
        "SELECT 1 FROM pg_replication_slots WHERE slot_name = '{}' AND synced AND failover AND NOT temporary",
        scenario.slot()
    );
    await_condition("the standby keeps a copy of the slot", PATIENCE, async || {
        (!client.query(&kept, &[]).await.expect("the standby answers").is_empty()).then_some(())
    })
    .await;
}

/// The primary dies while a writer is at work; the standby takes its place. What was committed and not received is gone from
/// the database, and was never in Kafka.
#[tokio::test]
async fn the_sinks_go_on_at_the_promoted_standby() {
    let (mut primary, mut standby) = failover_pair().await;
    let mut scenario = Scenario::on("failover", &[&primary, &standby]).await;
    make_slot_of_standby(&scenario.database).await;
    standby.start().await;
    let history = History::begin(&scenario.database, 200).await;
    let topics = [scenario.topic("one"), scenario.topic("two")];
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]).partitions(2);
    // Whatever is to be done where the slot is lost: it is not.
    let manifests = resnapshot(failover(scenario.manifests()));
    let manifests = manifests.with(sink("one", &topics[0])).with(sink("two", &topics[1]));
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    synchronized(&scenario, &standby).await;
    let writer = history.writer().await;
    let busy = |report: &afterbay_crds::report::SinkReport| report.messages_committed > 1_000;
    afterbay.sink("is at work", "one", busy).await;
    primary.crash();
    writer.stop().await;
    standby.promote().await;
    scenario.database.follow(standby.superuser()).await;
    let history = History::of(&scenario.database);
    history.work(200).await;
    afterbay.caught_up(&scenario).await;
    for topic in &topics {
        history.check(&scenario.messages(topic, Format::Json).await, true).await;
    }
    assert!(!afterbay.log().iter().any(|line| line.contains("sent again")), "nothing was lost");
    let file = scenario.database.text("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    assert!(file.starts_with("00000002"), "the standby writes timeline 2, not {file}");
    // The old primary comes back as what it was, and is the first of the hosts.
    primary.start().await;
    afterbay.kill_worker().await;
    afterbay.stalled("one", "SourceIdentityChanged").await;
    primary.crash();
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    for topic in &topics {
        history.check(&scenario.messages(topic, Format::Json).await, true).await;
    }
}

/// A change that no standby has is in Kafka never, or when one has it. So one that dies with the primary was in neither.
#[tokio::test]
async fn what_no_standby_has_is_not_carried() {
    let (mut primary, mut standby) = failover_pair().await;
    let (mut scenario, topic, manifests) = scenario_on("failover-held", &[&primary, &standby]).await;
    make_slot_of_standby(&scenario.database).await;
    standby.start().await;
    let afterbay = scenario.run(&failover(manifests));
    afterbay.caught_up(&scenario).await;
    synchronized(&scenario, &standby).await;
    for (statement, goes_down) in [("UPDATE t SET n = 2", false), ("UPDATE t SET n = 3", true)] {
        received(&scenario).await;
        afterbay.caught_up(&scenario).await;
        standby.crash();
        let before = told(&scenario, &topic).await;
        scenario.database.run(statement).await;
        let holds = format!(
            "SELECT 1 FROM pg_stat_activity a JOIN pg_replication_slots s ON s.active_pid = a.pid \
             WHERE s.slot_name = '{}' AND a.wait_event = 'WaitForStandbyConfirmation'",
            scenario.slot()
        );
        await_condition("the server holds the change back", PATIENCE, async || {
            (!scenario.database.rows(&holds).await.is_empty()).then_some(())
        })
        .await;
        assert_eq!(told(&scenario, &topic).await, before);
        if goes_down {
            primary.crash();
        }
        standby.start().await;
    }
    standby.promote().await;
    scenario.database.follow(standby.superuser()).await;
    scenario.database.run("UPDATE t SET n = 4").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "1=2", "1=4"]);
}

/// A slot that is there already gets its copies when the manifest asks for them; what may run ahead of them is told.
#[tokio::test]
async fn a_slot_becomes_one_with_copies() {
    let server = Cluster::newest(&[]).await;
    let (scenario, topic, manifests) = scenario_on("failover-later", &[&server]).await;
    let is = format!("SELECT failover FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    scenario.carry(&manifests).await;
    assert_eq!(scenario.database.text(&is).await, "f");
    let afterbay = scenario.run(&failover(manifests.clone()));
    afterbay.logged("what is not right", |line| line.contains("synchronized_standby_slots is empty")).await;
    scenario.database.run("UPDATE t SET n = 2").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(scenario.database.text(&is).await, "t");
    afterbay.stop().await;
    scenario.carry(&manifests).await;
    assert_eq!(scenario.database.text(&is).await, "t", "what protects is not taken away by leaving it out");
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "1=2"]);
}

#[tokio::test]
async fn a_server_without_failover_slots_is_told() {
    let (scenario, _, manifests) = scenario("failover-old", TABLE).await;
    if scenario.database.number("SELECT current_setting('server_version_num')").await < 170_000 {
        both_tell(
            &scenario,
            &failover(manifests),
            "SlotUnfit",
            &["needs Postgres 17 or newer", "leave slot.failover out"],
        )
        .await;
    } else {
        scenario.carry(&failover(manifests)).await;
    }
}
