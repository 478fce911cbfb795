//! "Upsert key selection".

use afterbay_e2e::{Scenario, Sink};
use serde_json::json;

/// `NOT ENFORCED`: no proof is asked for, every change is emitted, and a key that repeats is told.
#[tokio::test]
async fn a_key_that_is_not_enforced() {
    let scenario = Scenario::new("keys-not-enforced").await;
    scenario
        .database
        .run("CREATE TABLE t (k int, v int); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 1), (1, 2), (2, 3)")
        .await;
    let topic = scenario.topic("t");
    let sink = Sink::new("t", "public.t", &topic).key(&["k"]).partitions(1);
    let enforced = scenario.manifests().with(sink);
    let afterbay = scenario.run(&enforced);
    let (message, _) = afterbay.stalled("t", "KeyNotUnique").await;
    let words = "upsert key could not be validated as unique\nDETAIL: Afterbay could not prove that the specified upsert \
                 envelope key (\"k\") is a unique key of the upstream relation. There are no known valid unique keys for the \
                 upstream relation.";
    assert_eq!(message, words);
    afterbay.stop().await;
    let afterbay = scenario.run(&enforced.set("Sink/t", "spec.key.notEnforced", true));
    let sink = afterbay
        .sink("the repetition is told", "t", |sink| sink.warnings.iter().any(|it| it.reason == "KeyRepeated"))
        .await;
    assert_eq!(sink.keys_repeated, 1);
    scenario.database.run("DELETE FROM t WHERE v = 1").await;
    afterbay.caught_up(&scenario).await;
    let mut found = super::formats::pairs(&scenario, &topic, ("json", "json")).await;
    let row = |k: i64, v: i64| (json!({"k": k}), json!({"k": k, "v": v}));
    assert_eq!(found.pop(), Some((json!({"k": 1}), json!(null))));
    assert_eq!(found, [row(1, 1), row(1, 2), row(2, 3)]);
}
