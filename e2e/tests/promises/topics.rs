//! Topics that are there are used as they are, and what is not as wanted is told.

use afterbay_crds::report::SinkState;
use afterbay_e2e::afterbay::{self, PATIENCE};
use afterbay_e2e::{Format, Manifests, Scenario, Sink, await_condition, broker, reference};
use serde_json::json;

use crate::one_table::{TABLE, scenario};
use crate::telling::check;

/// `afterbay run` warns of this once and runs, and `afterbay validate --online` warns and has nothing against it.
async fn both_warn(scenario: &Scenario, manifests: &Manifests, reason: &str, words: &[&str]) {
    let finished = scenario.validate(manifests, &["--online"]).await;
    assert!(finished.success(), "{finished:?}");
    let warned = format!("{reason}: ");
    let line = finished.log.iter().find(|line| line.starts_with("warning: ") && line.contains(&warned));
    check(line.unwrap_or_else(|| panic!("no warning of {reason}: {finished:?}")), words);
    let afterbay = scenario.run(manifests);
    let (message, hint) = afterbay.warning(reason).await;
    check(&format!("{message} · {hint}"), words);
    afterbay.caught_up(scenario).await;
    assert_eq!(afterbay.warnings().iter().filter(|warning| *warning == reason).count(), 1);
    assert_eq!(afterbay.problems(), Vec::<serde_json::Value>::new(), "a warning is no problem");
    let status = afterbay::status(&scenario.state_dir(), &[]).await;
    let line = status.output.iter().find(|line| line.starts_with(&format!("warning: {warned}")));
    check(line.unwrap_or_else(|| panic!("the status does not warn of {reason}: {status:?}")), words);
}

#[tokio::test]
async fn a_topic_that_differs_is_used_as_it_is_and_told() {
    let (scenario, topic, manifests) = scenario("differs", TABLE).await;
    broker::create_topic(scenario.rig, &topic, 2, &[("cleanup.policy", "delete")]).await;
    let manifests = manifests.set(
        "Sink/t",
        "spec.kafka.topic",
        json!({"name": topic, "partitions": 5, "replicationFactor": 3, "config": {"cleanup.policy": "compact"}}),
    );
    let is_there = format!("topic {topic} is there");
    let words = [
        is_there.as_str(),
        "2 partitions instead of 5",
        "replication factor 1 instead of 3",
        "cleanup.policy=delete instead of compact",
        "it is used as it is; change the topic, or spec.kafka.topic",
    ];
    both_warn(&scenario, &manifests, "TopicDiffers", &words).await;
    let told = scenario.validate(&manifests, &["--online", "-o", "json"]).await.events();
    let is_it = |line: &&serde_json::Value| line["what"].as_str().is_some_and(|what| what.contains("TopicDiffers"));
    assert_eq!(told.iter().find(is_it).expect("it is told again: nothing was changed")["severity"], "warning");
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

/// Somebody deletes the topic, and makes another one of its name.
async fn replace(scenario: &Scenario, topic: &str) {
    broker::delete_topics(scenario.rig, vec![topic.to_owned()]);
    await_condition("the topic is gone", PATIENCE, async || (!broker::has_topic(scenario.rig, topic)).then_some(()))
        .await;
    broker::create_topic(scenario.rig, topic, 1, &[]).await;
}

/// Its rows are gone with the topic that held them: to go on in another one of its name would hide that.
#[tokio::test]
async fn a_topic_that_somebody_makes_again_is_not_filled_from_the_middle() {
    let (scenario, topic, manifests) = scenario("replaced", TABLE).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    replace(&scenario, &topic).await;
    afterbay.stop().await;
    scenario.database.run("INSERT INTO t VALUES (2)").await;
    for _ in 0..2 {
        let afterbay = scenario.run(&manifests);
        let (message, hint) = afterbay.stalled("t", "TopicReplaced").await;
        check(&message, &[topic.as_str(), "was deleted and made again"]);
        check(&hint, &["give the Sink a new name"]);
        afterbay.stop().await;
    }
    assert_eq!(scenario.messages(&topic, Format::Json).await, []);
    let anew = manifests.without("Sink/t").with(Sink::new("anew", "public.t", &topic).key(&["id"]));
    scenario.carry(&anew).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 2);
}

/// It need not begin anew to see it.
#[tokio::test]
async fn a_topic_that_is_made_again_under_a_running_sink_is_seen() {
    let (scenario, topic, manifests) = scenario("replaced-running", TABLE).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    replace(&scenario, &topic).await;
    let is_stalled = async || {
        scenario.database.run("UPDATE t SET n = 2").await;
        let report = afterbay.report().await?;
        (report.sinks[0].state == SinkState::Stalled).then_some(())
    };
    await_condition("the Sink sees that its topic is another one", PATIENCE, is_stalled).await;
    afterbay.stalled("t", "TopicReplaced").await;
}

#[tokio::test]
async fn a_topic_as_it_is_wanted_is_not_told() {
    let (scenario, topic, manifests) = scenario("as-wanted", TABLE).await;
    let config = json!({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"});
    let wanted = json!({"name": topic, "partitions": 3, "replicationFactor": 1, "config": config});
    let manifests = manifests.set("Sink/t", "spec.kafka.topic", wanted);
    // It is made so, and found so.
    for _ in 0..2 {
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        assert!(!afterbay.warnings().contains(&"TopicDiffers".to_owned()), "{:?}", afterbay.output());
        assert!(afterbay.stop().await.success());
    }
}

#[tokio::test]
async fn a_progress_topic_that_is_less_than_it_should_be_is_told() {
    let (scenario, topic, manifests) = scenario("weak", TABLE).await;
    let config = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("unclean.leader.election.enable", "true"),
    ];
    broker::create_topic(scenario.rig, &scenario.progress_topic(), 1, &config).await;
    let replicas = format!("the progress topic {} has replication factor 1", scenario.progress_topic());
    let words = [
        replicas.as_str(),
        "cleanup.policy=delete instead of compact",
        "unclean.leader.election.enable=true",
        "it works like this; with three replicas",
        "cleanup.policy=compact would keep it small",
        "without unclean leader election no committed record is lost",
    ];
    both_warn(&scenario, &manifests, "ProgressTopicWeak", &words).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}

#[tokio::test]
async fn the_progress_topic_is_made_as_it_must_be_and_shared() {
    let (scenario, topic, manifests) = scenario("made", TABLE).await;
    let second = afterbay_e2e::Sink::new("second", "public.t", &scenario.topic("second")).key(&["id"]);
    let manifests = manifests.with(second).set("KafkaConnection/events", "spec.progressTopic.replicationFactor", 1);
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    // The rig has one broker: that is told of the topic that was just made, too, and nothing else.
    let (message, _) = afterbay.warning("ProgressTopicWeak").await;
    assert!(message.ends_with(&format!("{} has replication factor 1", scenario.progress_topic())), "{message}");
    assert_eq!(afterbay.warnings(), ["ProgressTopicWeak"]);
    drop(afterbay);
    let records = reference::consume(scenario.rig.broker(), &scenario.progress_topic(), ("text", "json"), &[]).await;
    for sink in ["second", "t"] {
        let key = scenario.progress_key(sink);
        assert!(records.iter().any(|record| record.contains(&key)), "{key}: {records:?}");
    }
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}
