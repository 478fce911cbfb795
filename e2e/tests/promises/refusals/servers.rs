//! The server is another one, or not what it was.

use afterbay_crds::report::SinkReport;
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Cluster, Manifests, Scenario};

use super::{make_slot_of_standby, pair, resnapshot, scenario_on, told};
use crate::one_table::TABLE;
use crate::telling::check;

/// Refused for this reason, whatever is to be done where the slot is lost, and nothing is sent.
async fn is_refused(scenario: &Scenario, topic: &str, manifests: &Manifests, reason: &str, words: &[&str]) {
    let before = told(scenario, topic).await;
    for manifests in [manifests.clone(), resnapshot(manifests.clone())] {
        let afterbay = scenario.run(&manifests);
        let (message, hint) = afterbay.stalled("t", reason).await;
        check(&message, words);
        check(&hint, &["give the Sink a new name and topic"]);
        afterbay.stop().await;
    }
    assert_eq!(told(scenario, topic).await, before);
}

#[tokio::test]
async fn another_system_under_the_same_address() {
    let mut first = Cluster::new(&[]).await;
    let mut other = Cluster::new(&[]).await;
    let (mut scenario, topic, manifests) = scenario_on("other-system", &[&first]).await;
    scenario.carry(&manifests).await;
    let system = scenario.database.text("SELECT system_identifier FROM pg_control_system()").await;
    first.stop();
    other.stop();
    let mut other = other.at_address_of(&first);
    other.start().await;
    scenario.database.begin_again_at(other.superuser()).await;
    scenario.database.run(TABLE).await;
    is_refused(&scenario, &topic, &manifests, "SourceIdentityChanged", &[&system]).await;
    let slots = scenario.database.number("SELECT count(*) FROM pg_replication_slots").await;
    assert_eq!(slots, 0, "nothing is made on a server that is refused");
}

/// The server is stopped and copied; then it goes on, and its changes are carried; then the copy stands in its place.
async fn set_back(test: &str, restored: impl AsyncFnOnce(Cluster) -> Cluster, reason: &str, words: &[&str]) {
    let mut server = Cluster::new(&[]).await;
    let (mut scenario, topic, manifests) = scenario_on(test, &[&server]).await;
    scenario.carry(&manifests).await;
    server.stop();
    let copy = server.copy();
    server.start().await;
    scenario.database.reconnect().await;
    // So much that the log of the copy does not grow as long by its start alone.
    scenario.database.run("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 2000000))").await;
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    server.stop();
    let mut copy = restored(copy.at_address_of(&server)).await;
    copy.start().await;
    scenario.database.reconnect().await;
    is_refused(&scenario, &topic, &manifests, reason, words).await;
    if reason == "ProgressBeyondSource" {
        stays_refused_though_the_log_grows(&scenario, &manifests).await;
    }
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "2=2"]);
}

async fn stays_refused_though_the_log_grows(scenario: &Scenario, manifests: &Manifests) {
    let afterbay = scenario.run(&resnapshot(manifests.clone()));
    afterbay.stalled("t", "ProgressBeyondSource").await;
    scenario.database.run("INSERT INTO t VALUES (3, 3)").await;
    scenario.database.run("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 4000000))").await;
    let grown = |report: &SinkReport| report.error.as_ref().is_some_and(|it| it.message.contains("has grown past it"));
    afterbay.sink("sees that the log has grown", "t", grown).await;
    afterbay.stop().await;
}

#[tokio::test]
async fn a_disk_that_was_set_back() {
    set_back("disk-set-back", async |copy| copy, "ProgressBeyondSource", &["beyond the end of the log"]).await;
}

/// A base backup has no slots: that it is lost is not all, and all rows again would not make it right.
#[tokio::test]
async fn a_base_backup_that_was_restored() {
    let restored = async |copy: Cluster| copy.without_slots();
    set_back("backup-restored", restored, "ProgressBeyondSource", &["beyond the end of the log"]).await;
}

/// A recovery to a point in time begins a timeline of its own, which does not hold what came after that point.
#[tokio::test]
async fn a_recovery_to_an_earlier_point() {
    let recovered = async |copy: Cluster| copy.without_slots().as_recovered();
    set_back("recovered", recovered, "SourceIdentityChanged", &["timeline 1", "timeline 2 does not hold"]).await;
}

/// A primary and its standby, which has all that there is, and a Sink that has carried it.
async fn with_standby(test: &str) -> ([Cluster; 2], Scenario, String, Manifests) {
    let (primary, mut standby) = pair(Cluster::new(&[]).await, &[], &[]).await;
    let (scenario, topic, manifests) = scenario_on(test, &[&primary, &standby]).await;
    make_slot_of_standby(&scenario.database).await;
    standby.start().await;
    scenario.carry(&manifests).await;
    received(&scenario).await;
    ([primary, standby], scenario, topic, manifests)
}

/// A standby that is promoted without the last changes that are in Kafka.
#[tokio::test]
async fn a_promoted_standby_that_lacks_what_is_committed() {
    let ([mut primary, mut standby], mut scenario, topic, manifests) = with_standby("standby-behind").await;
    standby.crash();
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    primary.crash();
    standby.start().await;
    standby.promote().await;
    scenario.database.follow(standby.superuser()).await;
    is_refused(&scenario, &topic, &manifests, "SourceIdentityChanged", &["timeline 1", "timeline 2 does not hold"])
        .await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "2=2"]);
}

/// One that has all of it goes on, but for the slot, which was the old server's.
#[tokio::test]
async fn a_promoted_standby_without_the_slot() {
    let ([mut primary, standby], mut scenario, topic, manifests) = with_standby("standby-no-slot").await;
    primary.crash();
    standby.promote().await;
    scenario.database.follow(standby.superuser()).await;
    scenario.database.run("UPDATE t SET n = 2").await;
    let afterbay = scenario.run(&manifests);
    let (message, _) = afterbay.stalled("t", "SlotLost").await;
    check(&message, &["it does not exist, though there is progress"]);
    afterbay.stop().await;
    let afterbay = scenario.run(&resnapshot(manifests));
    afterbay.caught_up(&scenario).await;
    scenario.database.run("UPDATE t SET n = 3").await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(told(&scenario, &topic).await, ["s1=1", "s1=2", "1=3"]);
}

/// Waits until the standby has all that the primary has now.
pub async fn received(scenario: &Scenario) {
    let end = scenario.database.log_end().await;
    afterbay_e2e::await_condition("the standby has it all", afterbay_e2e::afterbay::PATIENCE, async || {
        let rows = scenario.database.rows("SELECT replay_lsn FROM pg_stat_replication WHERE state = 'streaming'").await;
        let replayed = rows.iter().filter_map(|row| row[0].as_deref()).map(lsn);
        replayed.into_iter().any(|replayed| replayed >= end).then_some(())
    })
    .await;
}
