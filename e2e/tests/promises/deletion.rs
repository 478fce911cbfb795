//! What goes with Sinks and SourceConnectors that are deleted, what stays, and that no slip deletes anything.

use afterbay_e2e::afterbay::{Finished, Options};
use afterbay_e2e::{Format, Manifests, Scenario};

use crate::one_table::{TABLE, scenario};

const SINK: &str = "Sink/t";
const SOURCE: &str = "SourceConnector/shop";

/// `afterbay run --until-caught-up --prune`, up to its end.
async fn prune(scenario: &Scenario, manifests: &Manifests) -> Finished {
    let options = Options::default().argument("--until-caught-up").argument("--prune");
    let finished = scenario.run_with(manifests, &options).wait().await;
    assert!(finished.success(), "{finished:?}");
    finished
}

/// The subjects of the events of this kind.
fn subjects(finished: &Finished, event: &str) -> Vec<String> {
    let events = finished.events().into_iter().filter(|found| found["event"] == event);
    events.map(|found| found["subject"].as_str().unwrap_or_default().to_owned()).collect()
}

/// How many slots and publications there are of this scenario.
async fn held(scenario: &Scenario) -> (String, String) {
    let slots = format!("SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = '{}'", scenario.slot());
    (scenario.database.text(&slots).await, scenario.database.text("SELECT count(*)::text FROM pg_publication").await)
}

async fn ids(scenario: &Scenario, topic: &str) -> Vec<i64> {
    scenario.messages(topic, Format::Json).await.iter().map(|message| message.integer("id")).collect()
}

#[tokio::test]
async fn what_is_not_declared_any_more_stays_and_is_told() {
    let (scenario, topic, manifests) = scenario("undeclared", TABLE).await;
    scenario.carry(&manifests).await;
    // Another database's Sink goes on.
    let other = manifests
        .clone()
        .set(SOURCE, "spec.postgres.slot.name", format!("{}_other", scenario.slot()))
        .set(SOURCE, "metadata.name", "other")
        .set(SINK, "spec.source.name", "other")
        .set(SINK, "spec.kafka.topic.name", scenario.topic("other"))
        .set(SINK, "metadata.name", "other");
    for _ in 0..2 {
        let finished = scenario.run_with(&other, &Options::default().argument("--until-caught-up")).wait().await;
        let warnings: Vec<_> = finished.events().into_iter().filter(|event| event["reason"] == "Undeclared").collect();
        let told: Vec<_> = warnings.iter().map(|event| event["message"].as_str().unwrap_or_default()).collect();
        assert_eq!(told.len(), 2, "{finished:?}");
        assert!(told[0].contains(&scenario.progress_topic()) && told[1].contains(&scenario.slot()), "{told:?}");
        assert!(warnings[1]["hint"].as_str().unwrap_or_default().contains("--prune"));
    }
    assert_eq!(held(&scenario).await.0, "1");
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    assert_eq!(ids(&scenario, &topic).await, [1, 2], "it went on where it was");
}

#[tokio::test]
async fn what_is_deleted_leaves_its_topic_alone_and_starts_afresh() {
    let (scenario, topic, manifests) = scenario("deleted", TABLE).await;
    scenario.carry(&manifests).await;
    let finished = prune(&scenario, &manifests.clone().without(SINK).without(SOURCE)).await;
    let name = |kind: &str, name: &str| format!("{kind} {}/{name}", scenario.unique);
    assert_eq!(subjects(&finished, "pruned"), [name("sink", "t"), name("source", "shop")]);
    assert_eq!(held(&scenario).await, ("0".to_owned(), "0".to_owned()));
    assert_eq!(ids(&scenario, &topic).await, [1]);
    // There is nothing more to be told of, and a Sink of the same name takes the rows once more.
    let finished = prune(&scenario, &manifests.clone().without(SINK).without(SOURCE)).await;
    assert!(subjects(&finished, "pruned").is_empty() && subjects(&finished, "warning").is_empty(), "{finished:?}");
    scenario.carry(&manifests).await;
    assert_eq!(ids(&scenario, &topic).await, [1, 1]);
}

/// Killed on its way, it is done by the next one.
#[tokio::test]
async fn a_deletion_that_is_killed_is_done_again() {
    for point in ["retire-fenced", "retire-staged", "retire-slot-dropped"] {
        let (scenario, topic, manifests) = scenario("deleted-killed", TABLE).await;
        scenario.carry(&manifests).await;
        let nothing = manifests.clone().without(SINK).without(SOURCE);
        let options = Options::default().argument("--until-caught-up").argument("--prune");
        let options = options.dies_at(&scenario, point, 1);
        let finished = scenario.run_with(&nothing, &options).wait().await;
        assert!(subjects(&finished, "problem").contains(&"prune".to_owned()), "{point}: {finished:?}");
        let finished = prune(&scenario, &nothing).await;
        assert_eq!(subjects(&finished, "pruned").len(), 2, "{point}: {finished:?}");
        assert_eq!(held(&scenario).await, ("0".to_owned(), "0".to_owned()), "{point}");
        scenario.carry(&manifests).await;
        assert_eq!(ids(&scenario, &topic).await, [1, 1], "{point}");
    }
}

#[tokio::test]
async fn what_is_retained_goes_on_where_it_was() {
    let (scenario, topic, manifests) = scenario("retained", TABLE).await;
    let manifests = manifests.set(SINK, "spec.deletionPolicy", "Retain").set(SOURCE, "spec.deletionPolicy", "Retain");
    scenario.carry(&manifests).await;
    let finished = prune(&scenario, &manifests.clone().without(SINK).without(SOURCE)).await;
    assert_eq!(subjects(&finished, "retained").len(), 2, "{finished:?}");
    assert_eq!(held(&scenario).await, ("1".to_owned(), "1".to_owned()));
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    assert_eq!(ids(&scenario, &topic).await, [1, 2]);
}

/// A worker that still runs elsewhere is fenced first, so that it writes no record after the deletion.
#[tokio::test]
async fn a_worker_that_still_runs_writes_nothing_after_the_deletion() {
    let (scenario, topic, manifests) = scenario("deleted-elsewhere", TABLE).await;
    let zombie = scenario.run(&manifests);
    zombie.caught_up(&scenario).await;
    let elsewhere = scenario.folder().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::copy(scenario.state_dir().join("known.json"), elsewhere.join("known.json")).unwrap();
    let options = Options::default().argument("--until-caught-up").argument("--prune").state_dir(elsewhere);
    let finished = scenario.run_with(&manifests.clone().without(SINK), &options).wait().await;
    assert_eq!(subjects(&finished, "pruned").len(), 1, "{finished:?}");
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    zombie.stalled("t", "ProgressMissing").await;
    assert_eq!(ids(&scenario, &topic).await, [1]);
}

/// What cannot be reached any more is told with what is to be done, and the others run.
#[tokio::test]
async fn what_cannot_be_reached_stays_behind_and_is_told() {
    let (scenario, topic, manifests) = scenario("left-behind", TABLE).await;
    scenario.carry(&manifests).await;
    let nothing = manifests.clone().without(SINK).without(SOURCE);
    let finished =
        prune(&scenario, &nothing.without("Secret/shop-db").set("KafkaConnection/events", "metadata.name", "others"))
            .await;
    let left: Vec<_> = finished.events().into_iter().filter(|event| event["reason"] == "LeftBehind").collect();
    assert_eq!(left.len(), 2, "{finished:?}");
    let message = |index: usize| left[index]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message(0).contains("KafkaConnection"), "{left:?}");
    assert!(message(1).contains(&scenario.slot()) && message(1).contains("Secret shop-db"), "{left:?}");
    assert_eq!(held(&scenario).await.0, "1");
    prune(&scenario, &manifests.without(SINK).without(SOURCE)).await;
    assert_eq!(held(&scenario).await.0, "0");
    assert_eq!(ids(&scenario, &topic).await, [1]);
}
