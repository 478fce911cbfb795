//! Sinks of one source in two pools: each has a worker and a slot of its own, and the two share a publication.

use afterbay_e2e::afterbay::{PATIENCE, status};
use afterbay_e2e::waiting::await_condition;
use afterbay_e2e::{Format, History, Manifests, Scenario, Sink, processes};
use serde_json::Value;

/// Two Sinks: `quick` of pool `default`, `bulk` of pool `bulk`.
fn manifests(scenario: &Scenario, quick: &str, bulk: &str) -> Manifests {
    let sink = |name: &str, table: &str, topic: &str| Sink::new(name, table, topic).key(&["id"]);
    scenario
        .manifests()
        .with(sink("quick", "public.ledger", quick))
        .with(sink("bulk", "public.ledger", bulk))
        .with(sink("apart", "public.other", &scenario.topic("apart")))
        .set("Sink/bulk", "spec.pool", "bulk")
        .set("Sink/apart", "spec.pool", "bulk")
}

#[tokio::test]
async fn pools_have_workers_and_slots_of_their_own() {
    let scenario = Scenario::new("pools").await;
    scenario.database.run("CREATE TABLE other (id int PRIMARY KEY)").await;
    let history = History::begin(&scenario.database, 50).await;
    let (quick, bulk) = (scenario.topic("quick"), scenario.topic("bulk-topic"));
    let manifests = manifests(&scenario, &quick, &bulk);
    let afterbay = scenario.run(&manifests);
    let name = format!("{}/shop", scenario.unique);
    let (of_default, of_bulk) =
        (afterbay.worker_named(&name).await, afterbay.worker_named(&format!("{name}/bulk")).await);
    assert_ne!(of_default, of_bulk);
    afterbay.caught_up(&scenario).await;
    let slots = format!(
        "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name IN ('{0}', '{0}_bulk')",
        scenario.slot()
    );
    assert_eq!(scenario.database.number(&slots).await, 2);
    let published = "SELECT count(*) FROM pg_publication_tables WHERE tablename IN ('ledger', 'other')";
    assert_eq!(scenario.database.number(published).await, 2, "one publication holds the tables of both");

    for _ in 0..3 {
        let writer = history.writer().await;
        let killed = afterbay.worker_named(&format!("{name}/bulk")).await;
        processes::signal(killed, "KILL");
        await_condition("another worker of the pool runs", PATIENCE, async || {
            let next = afterbay.worker_named(&format!("{name}/bulk")).await;
            (next != killed).then_some(())
        })
        .await;
        writer.stop().await;
        afterbay.caught_up(&scenario).await;
        assert_eq!(afterbay.worker_named(&name).await, of_default, "the other pool's worker is not touched");
    }
    history.check(&scenario.messages(&quick, Format::Json).await, false).await;
    history.check(&scenario.messages(&bulk, Format::Json).await, false).await;

    let told = status(&scenario.state_dir(), &["--output", "json"]).await;
    let told: Value = serde_json::from_str(&told.output.concat()).expect("the status is JSON");
    let workers: Vec<_> = told.as_array().into_iter().flatten().map(|worker| worker["worker"].as_str()).collect();
    assert_eq!(workers.len(), 2, "{told}");
    assert!(workers.contains(&Some(name.as_str())) && workers.contains(&Some(format!("{name}/bulk").as_str())));
    assert!(afterbay.stop().await.success());

    // What is moved to a pool of which no slot has kept the log says so, and the others go on.
    let moved = manifests.set("Sink/apart", "spec.pool", "late");
    let afterbay = scenario.run(&moved);
    afterbay.stalled("apart", "SlotLost").await;
    afterbay.sink_caught_up(&scenario, "quick").await;
    afterbay.sink_caught_up(&scenario, "bulk").await;
}
