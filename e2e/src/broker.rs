//! What tests do at the broker by themselves: topics, and records of their own.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::{Rig, await_condition};

const TIMEOUT: Duration = Duration::from_secs(20);

fn admin(rig: &Rig) -> AdminClient<DefaultClientContext> {
    configuration(rig).create().expect("librdkafka takes the configuration")
}

fn configuration(rig: &Rig) -> ClientConfig {
    let mut configuration = ClientConfig::new();
    configuration.set("bootstrap.servers", rig.broker());
    configuration
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

/// Makes a topic.
pub async fn create_topic(rig: &Rig, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    await_condition("the topic is made", TIMEOUT, async || {
        let made = admin(rig).create_topics([&topic], &options()).await.expect("the broker answers").pop()?;
        match made {
            Ok(_) => Some(()),
            // The one broker is fenced for a moment where it had to wait for its machine.
            Err((_, RDKafkaErrorCode::InvalidReplicationFactor)) => None,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
}

/// Gives a topic more partitions, so many in all.
pub async fn add_partitions(rig: &Rig, topic: &str, count: usize) {
    let wanted = NewPartitions::new(topic, count);
    let done = admin(rig).create_partitions([&wanted], &options()).await.expect("the broker answers");
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

/// How many partitions a topic has.
pub fn partitions(rig: &Rig, topic: &str) -> usize {
    let metadata = admin(rig).inner().fetch_metadata(Some(topic), TIMEOUT).expect("the broker answers");
    metadata.topics().iter().map(|topic| topic.partitions().len()).sum()
}

/// Whether there is such a topic.
pub fn has_topic(rig: &Rig, name: &str) -> bool {
    let metadata = admin(rig).inner().fetch_metadata(None, TIMEOUT).expect("the broker answers");
    metadata.topics().iter().any(|topic| topic.name() == name)
}

/// Records that the partition was ever given, committed or not, and the marks of transactions.
pub fn end(rig: &Rig, topic: &str, partition: i32) -> i64 {
    end_as(rig, topic, partition, "read_uncommitted")
}

/// Up to where no transaction is open any more: the end, where none is.
pub fn stable_end(rig: &Rig, topic: &str, partition: i32) -> i64 {
    end_as(rig, topic, partition, "read_committed")
}

/// The end as a consumer of this isolation level sees it.
fn end_as(rig: &Rig, topic: &str, partition: i32, isolation_level: &str) -> i64 {
    let consumer: BaseConsumer = configuration(rig)
        .set("isolation.level", isolation_level)
        .create()
        .expect("librdkafka takes the configuration");
    consumer.fetch_watermarks(topic, partition, TIMEOUT).expect("the broker answers").1
}

/// Sets one setting of a topic, and takes back all others.
pub async fn configure_topic(rig: &Rig, name: &str, key: &str, value: &str) {
    let wanted = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
    let done = admin(rig).alter_configs([&wanted], &options()).await.expect("the broker answers");
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    // The controller has taken it; the broker learns of it a moment later.
    await_condition("the broker knows of the setting", TIMEOUT, async || {
        let asked = [ResourceSpecifier::Topic(name)];
        let told = admin(rig).describe_configs(&asked, &options()).await.expect("the broker answers").pop()?;
        let told = told.unwrap_or_else(|error| panic!("{name}: {error}"));
        told.get(key).is_some_and(|entry| entry.value.as_deref() == Some(value)).then_some(())
    })
    .await;
}

/// Deletes topics, where they are; as good as it can: this is for the end of a test.
pub fn delete_topics(rig: &'static Rig, names: Vec<String>) {
    let deleter = std::thread::spawn(move || {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(admin(rig).delete_topics(&names, &options())))
    });
    // What cannot be cleaned up must not hide why the test failed.
    let _ = deleter.join();
}

/// Writes one record, outside of any transaction; no value: a tombstone.
pub fn write(rig: &Rig, topic: &str, key: &str, value: Option<&str>) {
    let producer: ThreadedProducer<DefaultProducerContext> =
        configuration(rig).create().expect("librdkafka takes the configuration");
    let mut record = BaseRecord::<str, str>::to(topic).key(key);
    record.payload = value;
    producer.send(record).map_err(|(error, _)| error).expect("there is room for one record");
    producer.flush(TIMEOUT).expect("the broker takes the record");
}
