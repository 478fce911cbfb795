//! What a transaction promises.

use std::time::{Duration, Instant};

use afterbay_clients::kafka::{ErrorClass, ProducerSettings, TransactionalProducer};

use crate::cluster::{TIMEOUT, commit, committed, eventually, plain, producer, read, stage, topic, unique};

#[tokio::test]
async fn a_transaction_is_seen_when_it_is_committed() {
    let plan = plain();
    let topic = topic(&plan, "visible", 1, &[]).await;
    let producer = producer(&plan, &unique("id"));
    stage(&producer, &topic, &[("k", Some("v"))]);
    producer.flush(TIMEOUT).unwrap();
    assert_eq!(producer.in_flight(), 0);
    assert_eq!(read(&plan, &topic, "read_uncommitted").len(), 1);
    assert_eq!(committed(&plan, &topic), [""; 0]);
    producer.commit(TIMEOUT).unwrap();
    assert_eq!(committed(&plan, &topic), ["v"]);
}

#[tokio::test]
async fn an_aborted_transaction_is_never_seen() {
    let plan = plain();
    let topic = topic(&plan, "aborted", 1, &[]).await;
    let producer = producer(&plan, &unique("id"));
    stage(&producer, &topic, &[("k", Some("aborted"))]);
    producer.flush(TIMEOUT).unwrap();
    producer.abort(TIMEOUT).unwrap();
    commit(&producer, &topic, &[("k", Some("committed"))]);
    assert_eq!(committed(&plan, &topic), ["committed"]);
}

#[tokio::test]
async fn a_message_arrives_as_it_was_given() {
    let plan = plain();
    let name = topic(&plan, "exact", 1, &[]).await;
    let producer = producer(&plan, &unique("id"));
    let topic = producer.topic(&name).unwrap();
    producer.begin().unwrap();
    producer.produce(&topic, 0, None, Some(b"\0bytes\xff"), std::iter::empty()).unwrap();
    producer
        .produce(
            &topic,
            0,
            Some(b"key"),
            None,
            [("a", Some(&b"1"[..])), ("b", Some(b"")), ("a", Some(b"\0")), ("n", None)].into_iter(),
        )
        .unwrap();
    producer.produce(&topic, 0, Some(b""), Some(b""), std::iter::empty()).unwrap();
    producer.commit(TIMEOUT).unwrap();
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    let messages: Vec<_> = read(&plan, &name, "read_committed").into_iter().map(|(_, message)| message).collect();
    assert_eq!(
        messages,
        [
            (None, Some(b"\0bytes\xff".to_vec()), vec![]),
            (
                Some(b"key".to_vec()),
                None,
                vec![header("a", b"1"), header("b", b""), header("a", b"\0"), ("n".to_owned(), None)]
            ),
            (Some(vec![]), Some(vec![]), vec![]),
        ]
    );
}

#[tokio::test]
async fn a_successor_fences_and_ends_the_open_transaction() {
    let plan = plain();
    let topic = topic(&plan, "fenced", 1, &[]).await;
    let id = unique("id");
    let first = producer(&plan, &id);
    stage(&first, &topic, &[("k", Some("first"))]);
    first.flush(TIMEOUT).unwrap();
    let second = producer(&plan, &id);
    let error = first.commit(TIMEOUT).unwrap_err();
    assert_eq!(error.class, ErrorClass::Fenced, "{error:?}");
    assert_eq!(error.problem().reason, "Fenced");
    commit(&second, &topic, &[("k", Some("second"))]);
    assert_eq!(committed(&plan, &topic), ["second"]);
}

#[tokio::test]
async fn a_message_that_the_broker_refuses_stops_its_transaction() {
    let plan = plain();
    let topic = topic(&plan, "large", 1, &[("max.message.bytes", "1000")]).await;
    let id = unique("id");
    let refused = producer(&plan, &id);
    let large = "x".repeat(5_000);
    stage(&refused, &topic, &[("k", Some("small")), ("k", Some(&large))]);
    let error = refused.commit(TIMEOUT).unwrap_err();
    assert_eq!(error.class, ErrorClass::TooLarge, "{error:?}");
    let problem = error.problem();
    assert_eq!(problem.reason, "MessageTooLarge");
    assert!(problem.message.contains(&topic), "{}", problem.message);
    refused.abort(TIMEOUT).unwrap();
    drop(refused);
    commit(&producer(&plan, &id), &topic, &[("k", Some("after"))]);
    assert_eq!(committed(&plan, &topic), ["after"]);
}

#[tokio::test]
async fn a_message_that_the_client_refuses_says_so_at_once() {
    let plan = plain();
    let name = topic(&plan, "larger", 1, &[]).await;
    let producer = producer(&plan, &unique("id"));
    let topic = producer.topic(&name).unwrap();
    producer.begin().unwrap();
    let error = producer.produce(&topic, 0, None, Some(&vec![0; 2 << 20]), std::iter::empty()).unwrap_err();
    assert_eq!(error.class, ErrorClass::TooLarge, "{error:?}");
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named_and_not_made() {
    let plan = plain();
    let name = unique("missing");
    let producer = producer(&plan, &unique("id"));
    let error = producer.partition_count(&name, TIMEOUT).unwrap_err();
    assert_eq!(error.class, ErrorClass::Misconfigured, "{error:?}");
    let problem = error.problem();
    assert_eq!(problem.reason, "TopicNotFound");
    assert!(problem.message.contains(&name), "{}", problem.message);

    let topic = producer.topic(&name).unwrap();
    producer.begin().unwrap();
    let sent =
        producer.produce(&topic, 0, None, Some(b"v"), std::iter::empty()).and_then(|()| producer.commit(TIMEOUT));
    assert_eq!(sent.unwrap_err().problem().reason, "TopicNotFound");
    assert!(producer.partition_count(&name, TIMEOUT).is_err(), "it was made");
}

#[tokio::test]
async fn who_finds_an_open_transaction_may_leave_it_to_the_next() {
    let plan = plain();
    let topic = topic(&plan, "busy", 1, &[]).await;
    let id = unique("id");
    let killed = producer(&plan, &id);
    stage(&killed, &topic, &[("k", Some("killed"))]);
    killed.flush(TIMEOUT).unwrap();
    let new = || TransactionalProducer::new(&plan, &ProducerSettings::new(&id)).unwrap();
    let first = new();
    assert!(!first.init_transactions_at_once(TIMEOUT).unwrap(), "the broker has something to end");
    drop(first);
    let second = new();
    second.init_transactions(TIMEOUT).unwrap();
    commit(&second, &topic, &[("k", Some("next"))]);
    // A broker confirms a commit before it has marked the partitions, and has something to end until then.
    eventually("the commit is marked", || committed(&plan, &topic) == ["next"]).await;
    let third = new();
    assert!(third.init_transactions_at_once(TIMEOUT).unwrap(), "nothing is open");
    assert_eq!(killed.commit(TIMEOUT).unwrap_err().class, ErrorClass::Fenced);
    commit(&third, &topic, &[("k", Some("last"))]);
    assert_eq!(committed(&plan, &topic), ["next", "last"]);
}

#[tokio::test]
async fn partitions_are_counted() {
    let plan = plain();
    let topic = topic(&plan, "partitions", 3, &[]).await;
    assert_eq!(producer(&plan, &unique("id")).partition_count(&topic, TIMEOUT).unwrap(), 3);
}

#[tokio::test]
async fn a_transaction_that_outlives_its_timeout_is_fenced_by_the_broker() {
    let plan = plain();
    let topic = topic(&plan, "late", 1, &[]).await;
    let id = unique("id");
    let settings = ProducerSettings { transaction_timeout_ms: 10_000, ..ProducerSettings::new(&id) };
    let late = TransactionalProducer::new(&plan, &settings).unwrap();
    late.init_transactions(TIMEOUT).unwrap();
    stage(&late, &topic, &[("k", Some("late"))]);
    late.flush(TIMEOUT).unwrap();
    // The broker looks for such transactions every ten seconds: it has when a read to the end finds nothing open.
    let deadline = Instant::now() + Duration::from_secs(90);
    while afterbay_clients::kafka::progress::read_progress(&plan, &topic, &id, "k", Duration::from_secs(1)).is_err() {
        assert!(Instant::now() < deadline, "the transaction is still open");
    }
    let error = late.commit(TIMEOUT).unwrap_err();
    assert!(matches!(error.class, ErrorClass::Fenced | ErrorClass::Abort | ErrorClass::Fatal), "{error:?}");
    drop(late);
    commit(&producer(&plan, &id), &topic, &[("k", Some("successor"))]);
    assert_eq!(committed(&plan, &topic), ["successor"]);
}

#[tokio::test]
async fn a_dropped_producer_commits_nothing_and_waits_for_nothing() {
    let plan = plain();
    let topic = topic(&plan, "dropped", 1, &[]).await;
    let id = unique("id");
    let dropped = producer(&plan, &id);
    stage(&dropped, &topic, &[("k", Some("dropped"))]);
    let begun = Instant::now();
    drop(dropped);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    commit(&producer(&plan, &id), &topic, &[("k", Some("next"))]);
    assert_eq!(committed(&plan, &topic), ["next"]);
}

#[tokio::test]
async fn a_queue_that_is_full_is_waited_for_in_order() {
    let plan = plain();
    let name = topic(&plan, "full", 1, &[]).await;
    let settings = ProducerSettings { queue_bytes: 1 << 20, ..ProducerSettings::new(&unique("id")) };
    let producer = TransactionalProducer::new(&plan, &settings).unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    let topic = producer.topic(&name).unwrap();
    let padding = [0; 1_000];
    producer.begin().unwrap();
    for number in 0_u32..20_000 {
        let value = [&number.to_be_bytes()[..], &padding].concat();
        producer.produce(&topic, 0, None, Some(&value), std::iter::empty()).unwrap();
    }
    producer.commit(TIMEOUT).unwrap();
    let number =
        |(_, (_, value, _)): (_, (_, Option<Vec<u8>>, _))| u32::from_be_bytes(value.unwrap()[..4].try_into().unwrap());
    let numbers: Vec<u32> = read(&plan, &name, "read_committed").into_iter().map(number).collect();
    assert!(numbers.iter().copied().eq(0..20_000), "{} messages", numbers.len());
}

#[tokio::test]
async fn a_commit_takes_as_long_as_the_broker_does() {
    let plan = plain();
    let topic = topic(&plan, "latency", 1, &[]).await;
    let producer = producer(&plan, &unique("id"));
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            stage(&producer, &topic, &[("k", Some("v"))]);
            let begun = Instant::now();
            producer.commit(TIMEOUT).unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("commit: p50 {:?}, p90 {:?}, max {:?}", times[25], times[45], times[49]);
    assert_eq!(committed(&plan, &topic).len(), 50);
}
