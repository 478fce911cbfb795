//! On a cluster with an authorizer: what a Sink needs is what the documentation lists and no more, what it lacks is named,
//! and it is given where that is wanted.

use afterbay_clients::kafka::acls::AclOperation::{Create, DescribeConfigs, Read, Write};
use afterbay_clients::kafka::acls::{AclOperation, AclResource, Right};
use afterbay_e2e::afterbay::{self, PATIENCE};
use afterbay_e2e::secure::{self, Rights};
use afterbay_e2e::{Format, Manifests, Scenario, await_condition};
use serde_json::{Value, json};

use crate::one_table::{TABLE, scenario};
use crate::telling::check;

/// What a progress topic is made with.
const PROGRESS: [(&str, &str); 3] = [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

/// A Sink `t` of one table on the secured broker, as the user who has no rights of itself.
async fn begin(test: &str) -> (Scenario, String, Manifests, Rights) {
    let (scenario, topic, manifests) = scenario(test, TABLE).await;
    scenario.rig.needs("secure-broker", scenario.rig.setting("SECURE_BROKER"));
    let manifests = secure::with_secrets(manifests, scenario.rig);
    let manifests = secure::kafka(manifests, scenario.rig, "scram-sha-512", "limited", "broker-limited");
    let rights = Rights::new(&scenario);
    (scenario, topic, manifests, rights)
}

/// The rights that the limited user has of what belongs to the scenario.
async fn own_rights(scenario: &Scenario) -> Vec<String> {
    let all = secure::rights(scenario.rig, "User:limited").await;
    all.into_iter().filter(|right| right.contains(&scenario.unique)).collect()
}

/// What is given for a Sink, but for the cluster.
fn managed(scenario: &Scenario, topic: &str) -> Vec<String> {
    let (progress, prefix) = (scenario.progress_topic(), prefix(scenario));
    let mut rights = vec![
        format!("READ GROUP PREFIXED {prefix}"),
        format!("READ TOPIC LITERAL {progress}"),
        format!("WRITE TOPIC LITERAL {progress}"),
        format!("WRITE TOPIC LITERAL {topic}"),
        format!("WRITE TRANSACTIONAL_ID PREFIXED {prefix}"),
    ];
    rights.sort();
    rights
}

/// How transactional ids and groups of the scenario's Sinks begin.
fn prefix(scenario: &Scenario) -> String {
    format!("afterbay-default-{}.events-", scenario.unique)
}

/// The rows of the documentation's table, and of that for automatic creation.
fn rows(scenario: &Scenario, topic: &str) -> Vec<(AclOperation, AclResource)> {
    let progress = AclResource::Topic(scenario.progress_topic());
    vec![
        (Read, progress.clone()),
        (Write, progress),
        (Write, AclResource::Topic(topic.to_owned())),
        (Write, AclResource::TransactionalIdPrefix(prefix(scenario))),
        (Read, AclResource::GroupPrefix(prefix(scenario))),
        (DescribeConfigs, AclResource::Cluster),
        (Create, AclResource::Topic(topic.to_owned())),
    ]
}

#[tokio::test]
async fn with_just_the_rights_of_the_table_a_sink_runs_and_restarts() {
    let (scenario, topic, manifests, rights) = begin("rights-all").await;
    rights.create_topic(&scenario.progress_topic(), &PROGRESS).await;
    for (operation, resource) in rows(&scenario, &topic) {
        rights.allow(&[operation], resource).await;
    }
    let manifests = manifests.set("Sink/t", "spec.kafka.topic.partitions", 2);
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    for round in 2..4 {
        scenario.database.run(&format!("INSERT INTO t VALUES ({round}, {round})")).await;
        afterbay.kill_worker().await;
        scenario.database.run(&format!("UPDATE t SET n = 0 WHERE id = {round}")).await;
        afterbay.caught_up(&scenario).await;
    }
    let messages = secure::messages(scenario.rig, &topic, Format::Json).await;
    assert_eq!(messages.len(), 5, "one row, and twice a row and its change: {messages:?}");
    let other: Vec<_> = afterbay.problems().into_iter().filter(|it| it["reason"] != "WorkerExited").collect();
    assert!(other.is_empty(), "{other:?}");
    // What the table does not ask for is not taken for granted, and not asked for either.
    let (message, hint) = afterbay.warning("TopicNotChecked").await;
    check(&message, &[&scenario.progress_topic(), "User:limited lacks DescribeConfigs on topic"]);
    check(&hint, &["--operation DescribeConfigs --topic"]);
    drop(afterbay);
    let finished = scenario.validate(&manifests, &["--online", "-o", "json"]).await;
    assert!(finished.success(), "{finished:?}");
    // That, and that the rig has one broker.
    assert_eq!(finished.events().last().expect("a summary")["warnings"], 2, "{finished:?}");
}

/// What `afterbay status` says stands against the Sink, once this is in it.
async fn status_tells(scenario: &Scenario, words: &str) -> Value {
    await_condition(&format!("the status tells {words:?}"), PATIENCE, async || {
        let finished = afterbay::status(&scenario.state_dir(), &["-o", "json"]).await;
        let workers: Value = serde_json::from_str(finished.output.first()?).ok()?;
        let error = workers[0]["sinks"][0]["error"].clone();
        error["message"].as_str().is_some_and(|message| message.contains(words)).then_some(error)
    })
    .await
}

/// Runs with all rights of the table but one, which the status names; then with that, too.
async fn without(test: &str, lacks: impl Fn(&Scenario, &str) -> (Right, AclResource), made: &[&str]) {
    let (scenario, topic, manifests, rights) = begin(test).await;
    if made.contains(&"progress") {
        rights.create_topic(&scenario.progress_topic(), &PROGRESS).await;
    } else {
        rights.allow(&[Create], AclResource::Topic(scenario.progress_topic())).await;
    }
    if made.contains(&"data") {
        rights.create_topic(&topic, &[]).await;
    }
    let (Right { operation, resource }, told) = lacks(&scenario, &topic);
    for (given, on) in rows(&scenario, &topic) {
        if (given, &on) != (operation, &resource) {
            rights.allow(&[given], on).await;
        }
    }
    rights.disallow(&[operation], resource.clone()).await;
    let afterbay = scenario.run(&manifests);
    let told = Right::new(operation, told);
    let problem = status_tells(&scenario, &format!("User:limited lacks {told}")).await;
    assert_eq!(problem["reason"], "KafkaNotAuthorized");
    check(problem["hint"].as_str().unwrap_or_default(), &[&told.arguments("User:limited")]);
    rights.allow(&[operation], resource).await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(secure::messages(scenario.rig, &topic, Format::Json).await.len(), 1, "{test}");
}

#[tokio::test]
async fn each_right_on_a_topic_that_is_missing_is_named() {
    let on = |topic: &str| AclResource::Topic(topic.to_owned());
    let both = ["progress", "data"];
    let progress = |operation| {
        move |scenario: &Scenario, _: &str| {
            let topic = AclResource::Topic(scenario.progress_topic());
            (Right::new(operation, topic.clone()), topic)
        }
    };
    without("lacks-read-progress", progress(Read), &both).await;
    without("lacks-write-progress", progress(Write), &both).await;
    without("lacks-write-data", |_, topic| (Right::new(Write, on(topic)), on(topic)), &both).await;
}

#[tokio::test]
async fn each_right_to_make_a_topic_that_is_missing_is_named() {
    let on = |topic: &str| AclResource::Topic(topic.to_owned());
    without("lacks-create-data", |_, topic| (Right::new(Create, on(topic)), on(topic)), &["progress"]).await;
    let progress = |scenario: &Scenario, _: &str| {
        let topic = on(&scenario.progress_topic());
        (Right::new(Create, topic.clone()), topic)
    };
    without("lacks-create-progress", progress, &["data"]).await;
}

#[tokio::test]
async fn each_right_on_names_that_is_missing_is_named() {
    let name = |scenario: &Scenario| format!("{}{}.t", prefix(scenario), scenario.unique);
    let id = |scenario: &Scenario, _: &str| {
        let right = Right::new(Write, AclResource::TransactionalIdPrefix(prefix(scenario)));
        (right, AclResource::TransactionalId(name(scenario)))
    };
    without("lacks-write-id", id, &["progress", "data"]).await;
    let group = |scenario: &Scenario, _: &str| {
        let right = Right::new(Read, AclResource::GroupPrefix(prefix(scenario)));
        (right, AclResource::Group(name(scenario)))
    };
    without("lacks-read-group", group, &["progress", "data"]).await;
}

#[tokio::test]
async fn rights_are_given_where_they_are_managed() {
    let (scenario, topic, manifests, _) = begin("rights-managed").await;
    let manifests = secure::with_administrator(manifests, scenario.rig);
    let manifests = manifests.set("KafkaConnection/events", "spec.acls", json!({"manage": true}));
    // They are not missed before they are given.
    let finished = scenario.validate(&manifests, &["--online"]).await;
    assert!(finished.success(), "{finished:?}");
    assert_eq!(own_rights(&scenario).await, Vec::<String>::new(), "to look is not to give");
    scenario.carry(&manifests).await;
    let expected = managed(&scenario, &topic);
    assert_eq!(own_rights(&scenario).await, expected);
    assert_eq!(secure::messages(scenario.rig, &topic, Format::Json).await.len(), 1);
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    scenario.carry(&manifests).await;
    assert_eq!(own_rights(&scenario).await, expected, "what is there is not given again, and not taken");
    assert_eq!(secure::messages(scenario.rig, &topic, Format::Json).await.len(), 2);
    // One that was taken is given again, while the others stay.
    Rights::new(&scenario).disallow(&[Write], AclResource::Topic(topic.clone())).await;
    scenario.database.run("INSERT INTO t VALUES (3, 3)").await;
    scenario.carry(&manifests).await;
    assert_eq!(own_rights(&scenario).await, expected);
    assert_eq!(secure::messages(scenario.rig, &topic, Format::Json).await.len(), 3);
}

#[tokio::test]
async fn the_owner_of_a_certificate_is_told_and_given_rights_as_the_manifest_names_it() {
    let (scenario, topic, manifests) = scenario("rights-tls", TABLE).await;
    scenario.rig.needs("secure-broker", scenario.rig.setting("SECURE_BROKER_MTLS"));
    let manifests = secure::kafka_with_own_certificate(secure::with_secrets(manifests, scenario.rig), &scenario);
    let id = AclResource::TransactionalId(format!("{}{}.t", prefix(&scenario), scenario.unique));
    let right = Right::new(Write, id);
    let principal = format!("User:{}", scenario.unique);
    for (told, who) in [(None, "the principal of the client certificate"), (Some(&principal), principal.as_str())] {
        let manifests = match told {
            Some(told) => manifests.clone().set("KafkaConnection/events", "spec.acls.principal", told.as_str()),
            None => manifests.clone(),
        };
        let afterbay = scenario.run(&manifests);
        let (message, hint) = afterbay.stalled("t", "KafkaNotAuthorized").await;
        check(&message, &[&format!("{who} lacks {right}")]);
        check(&hint, &["--operation Write --transactional-id"]);
    }
    let acls = json!({"manage": true, "principal": principal});
    scenario.carry(&manifests.set("KafkaConnection/events", "spec.acls", acls)).await;
    // It is the first right that this principal has on anything, so the one on the cluster shows, too.
    let mut expected =
        [managed(&scenario, &topic), vec!["DESCRIBE_CONFIGS BROKER LITERAL kafka-cluster".into()]].concat();
    expected.sort();
    assert_eq!(secure::rights(scenario.rig, &principal).await, expected);
    assert_eq!(secure::messages(scenario.rig, &topic, Format::Json).await.len(), 1);
}

#[tokio::test]
async fn who_may_not_give_rights_is_told_so() {
    let (scenario, _, manifests, _) = begin("rights-alter").await;
    let manifests = manifests.set("KafkaConnection/events", "spec.acls", json!({"manage": true}));
    let words = ["User:limited lacks Alter on the cluster", "--operation Alter --cluster"];
    let afterbay = scenario.run(&manifests);
    let is_it = |event: &Value| event["message"].as_str().is_some_and(|message| message.contains(words[0]));
    let event = afterbay.event("the right to give rights", is_it).await;
    assert_eq!((&event["event"], &event["reason"]), (&json!("problem"), &json!("KafkaNotAuthorized")));
    check(event["hint"].as_str().unwrap_or_default(), &words[1..]);
}

#[tokio::test]
async fn brokers_that_know_no_rights_are_told() {
    let (scenario, topic, manifests) = scenario("rights-none", TABLE).await;
    let acls = json!({"manage": true, "principal": "User:afterbay"});
    let manifests = manifests.set("KafkaConnection/events", "spec.acls", acls);
    let words = ["the brokers have no authorizer", "set spec.acls.manage: false"];
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.problem("KafkaAuthorizerMissing").await;
    check(&format!("{message} · {hint}"), &words);
    // There all may do everything, the Sink too.
    afterbay.caught_up(&scenario).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
}
