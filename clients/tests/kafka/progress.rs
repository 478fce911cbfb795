//! Reading a progress record, whatever the topic's tail looks like.

use std::thread::JoinHandle;
use std::time::Duration;

use afterbay_clients::kafka::KafkaError;
use afterbay_clients::kafka::progress::read_progress;
use afterbay_crds::plan::KafkaConnectionPlan;

use crate::cluster::{TIMEOUT, commit, eventually, plain, producer, read, stage, topic, unique};

const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact")];
const KEY: &str = "afterbay-sink-ours";

fn progress(plan: &KafkaConnectionPlan, topic: &str) -> Result<Option<String>, KafkaError> {
    let found = read_progress(plan, topic, &unique("group"), KEY, TIMEOUT)?;
    Ok(found.map(|value| String::from_utf8(value).unwrap()))
}

#[track_caller]
fn check(plan: &KafkaConnectionPlan, topic: &str, expected: Option<&str>) {
    assert_eq!(progress(plan, topic).unwrap().as_deref(), expected);
}

#[tokio::test]
async fn an_empty_topic_holds_none() {
    let plan = plain();
    check(&plan, &topic(&plan, "empty", 1, COMPACTED).await, None);
}

#[tokio::test]
async fn the_last_record_wins_and_a_tombstone_counts_as_none() {
    let plan = plain();
    let topic = topic(&plan, "last", 1, COMPACTED).await;
    let producer = producer(&plan, &unique("id"));
    commit(&producer, &topic, &[(KEY, Some("1")), ("other", Some("x"))]);
    check(&plan, &topic, Some("1"));
    commit(&producer, &topic, &[(KEY, Some("2"))]);
    commit(&producer, &topic, &[("afterbay-sink-ours-too", Some("x"))]);
    check(&plan, &topic, Some("2"));
    commit(&producer, &topic, &[(KEY, None)]);
    check(&plan, &topic, None);
    commit(&producer, &topic, &[(KEY, Some("3"))]);
    check(&plan, &topic, Some("3"));
}

#[tokio::test]
async fn control_records_at_the_tail_do_not_end_the_search() {
    let plan = plain();
    let topic = topic(&plan, "control", 1, COMPACTED).await;
    let producer = producer(&plan, &unique("id"));
    commit(&producer, &topic, &[(KEY, Some("1"))]);
    // Aborted ones leave a record that nobody sees and a marker each: two offsets.
    for _ in 0..600 {
        stage(&producer, &topic, &[(KEY, Some("aborted"))]);
        producer.flush(TIMEOUT).unwrap();
        producer.abort(TIMEOUT).unwrap();
    }
    check(&plan, &topic, Some("1"));
}

#[tokio::test]
async fn many_records_of_others_behind_ours_are_looked_through() {
    let plan = plain();
    let topic = topic(&plan, "others", 1, COMPACTED).await;
    let producer = producer(&plan, &unique("id"));
    commit(&producer, &topic, &[(KEY, Some("ours"))]);
    let keys: Vec<String> = (0..20_000).map(|number| format!("other-{number}")).collect();
    let others: Vec<(&str, Option<&str>)> = keys.iter().map(|key| (key.as_str(), Some("theirs"))).collect();
    commit(&producer, &topic, &others);
    check(&plan, &topic, Some("ours"));
}

#[tokio::test]
async fn a_compacted_topic_is_read_over_its_gaps() {
    let plan = plain();
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
    ];
    let topic = topic(&plan, "compacted", 1, &eager).await;
    let producer = producer(&plan, &unique("id"));
    commit(&producer, &topic, &[(KEY, Some("first"))]);
    commit(&producer, &topic, &[(KEY, Some("ours"))]);
    let mut written = 2;
    // The open segment is never compacted, so more is written until what is before it has become less.
    eventually("something is compacted", || {
        let is_compacted = read(&plan, &topic, "read_committed").len() < written;
        if !is_compacted {
            commit(&producer, &topic, &[("other", Some("theirs")), ("other", Some("theirs"))]);
            written += 2;
        }
        is_compacted
    })
    .await;
    check(&plan, &topic, Some("ours"));
}

/// Reads a topic in which a transaction is open, until that is decided. It has begun before others that nothing keeps
/// waiting were through twice.
async fn waiting_reader(plan: &KafkaConnectionPlan, held_up: &str) -> JoinHandle<Option<String>> {
    let free = topic(plan, "free", 1, COMPACTED).await;
    commit(&producer(plan, &unique("id")), &free, &[(KEY, Some("free"))]);
    let reader = {
        let (plan, held_up) = (plan.clone(), held_up.to_owned());
        std::thread::spawn(move || progress(&plan, &held_up).unwrap())
    };
    for _ in 0..2 {
        check(plan, &free, Some("free"));
    }
    assert!(!reader.is_finished(), "it did not wait");
    reader
}

#[tokio::test]
async fn an_open_transaction_of_another_is_waited_for() {
    let plan = plain();
    let topic = topic(&plan, "open", 1, COMPACTED).await;
    commit(&producer(&plan, &unique("id")), &topic, &[(KEY, Some("ours"))]);
    let other = producer(&plan, &unique("id"));
    stage(&other, &topic, &[("other", Some("theirs"))]);
    other.flush(TIMEOUT).unwrap();

    let error = read_progress(&plan, &topic, &unique("group"), KEY, Duration::from_secs(5)).unwrap_err();
    assert!(error.problem().hint.contains("transaction of another Sink"), "{:?}", error.problem());
    assert!(error.transient());

    let reader = waiting_reader(&plan, &topic).await;
    other.commit(TIMEOUT).unwrap();
    assert_eq!(reader.join().unwrap().as_deref(), Some("ours"));
}

#[tokio::test]
async fn what_is_decided_while_reading_is_seen() {
    let plan = plain();
    let topic = topic(&plan, "decided", 1, COMPACTED).await;
    let producer = producer(&plan, &unique("id"));
    commit(&producer, &topic, &[(KEY, Some("old"))]);
    stage(&producer, &topic, &[(KEY, Some("new"))]);
    producer.flush(TIMEOUT).unwrap();
    let reader = waiting_reader(&plan, &topic).await;
    producer.commit(TIMEOUT).unwrap();
    assert_eq!(reader.join().unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn a_topic_with_more_than_one_partition_is_unfit() {
    let plan = plain();
    let topic = topic(&plan, "unfit", 2, COMPACTED).await;
    let problem = progress(&plan, &topic).unwrap_err().problem();
    assert_eq!(problem.reason, "ProgressTopicUnfit");
    assert!(problem.message.contains("2 partitions"), "{}", problem.message);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named() {
    let topic = unique("missing");
    let problem = progress(&plain(), &topic).unwrap_err().problem();
    assert_eq!(problem.reason, "TopicNotFound");
    assert!(problem.message.contains(&topic), "{}", problem.message);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_as_such() {
    let plan = crate::cluster::unsecured("127.0.0.1:9");
    let error = read_progress(&plan, "t", "g", KEY, Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.problem().reason, "KafkaUnreachable");
    assert!(error.transient());
    assert!(error.problem().message.contains("127.0.0.1:9"), "{}", error.problem().message);
}
