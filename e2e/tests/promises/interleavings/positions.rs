//! Where a Sink stands, what its changes are called, and what the server may forget.

use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::{Format, await_condition};
use serde_json::json;

use crate::one_table::{TABLE, scenario};

#[tokio::test]
async fn case_08_the_slot_is_moved_on_between_the_look_and_the_start() {
    let (scenario, topic, manifests) = scenario("moved-on", TABLE).await;
    scenario.carry(&manifests).await;
    let database = &scenario.database;
    database.run("INSERT INTO t VALUES (2, 2)").await;
    let afterbay = scenario.run_with(&manifests, &Options::default().holds_at(&scenario, "slot-looked-at", 1));
    afterbay.worker_stands_still().await;
    let advance = format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", scenario.slot());
    database.run_as_superuser(&advance).await;
    scenario.lets_go();
    let (message, _) = afterbay.stalled("t", "SlotAheadOfProgress").await;
    assert!(message.contains(&scenario.slot()), "{message}");
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1, "nothing comes behind the gap");
}

/// One transaction in many Kafka transactions, with columns that change in its middle: what is told of the columns again
/// after a restart, and not before it, counts for nothing.
#[tokio::test]
async fn case_09_names_do_not_depend_on_what_was_told_of_columns() {
    let (scenario, topic, manifests) = scenario("names", TABLE).await;
    let manifests = manifests.set("Sink/t", "spec.kafka.commit", json!({"records": 7}));
    scenario.carry(&manifests).await;
    scenario
        .database
        .run(
            "BEGIN; INSERT INTO t SELECT i, i FROM generate_series(2, 21) i; \
             ALTER TABLE t ADD COLUMN more int; UPDATE t SET more = 1; UPDATE t SET id = -id; \
             ALTER TABLE t DROP COLUMN more; DELETE FROM t WHERE id > -8; COMMIT",
        )
        .await;
    // 20 insertions, 21 updates, 21 changed keys, 7 deletions.
    let mut expected: Vec<_> = (0..41).map(|ordinal| ordinal.to_string()).collect();
    expected.extend((41..62).flat_map(|ordinal| [format!("{ordinal}.0"), format!("{ordinal}.1")]));
    expected.extend((62..69).map(|ordinal| ordinal.to_string()));
    for nth in [2, 5, 6, 8] {
        let afterbay = scenario.run_with(&manifests, &Options::default().dies_at(&scenario, "committed", nth));
        await_condition("the worker dies, or all is carried", PATIENCE, async || {
            let done = scenario.messages(&topic, Format::Json).await.len() > expected.len();
            (done || !scenario.fuse().exists()).then_some(())
        })
        .await;
        afterbay.kill().await;
    }
    scenario.carry(&manifests).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let names: Vec<_> =
        messages[1..].iter().map(|message| message.position().split_once(':').expect("a name")).collect();
    assert!(names.iter().all(|(commit, _)| *commit == names[0].0), "one commit LSN: {names:?}");
    let ordinals: Vec<_> = names.iter().map(|(_, ordinal)| *ordinal).collect();
    assert_eq!(ordinals, expected);
    let cuts: Vec<_> =
        messages.windows(2).filter(|pair| pair[0].offset + 1 < pair[1].offset).map(|pair| pair[1].position()).collect();
    assert!(cuts.len() > 5 && cuts.iter().all(|name| !name.ends_with(".1")), "a changed key is not cut: {cuts:?}");
}
