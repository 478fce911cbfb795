//! The bare producer: it sends records that are encoded already, and does nothing else. What it reaches is what broker
//! and librdkafka let anybody reach on this machine.

use std::time::{Duration, Instant};

use afterbay_e2e::Rig;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::figures::{Done, Run};
use crate::topic::{Records, Topic};

const TIMEOUT: Duration = Duration::from_mins(1);
/// How often it commits.
const INTERVAL: Duration = Duration::from_secs(1);
/// Records after which it looks at the clock.
const RECORDS_PER_LOOK: usize = 256;
/// How long it waits for room at a time.
const PAUSE: Duration = Duration::from_millis(1);

/// Sends them to a topic with one thread, in transactions. The process that carries is this one.
pub fn send(rig: &Rig, topic: &Topic, records: &Records) -> Done {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", rig.broker())
        .set("transactional.id", &topic.name)
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("delivery.report.only.error", "true")
        .create()
        .expect("librdkafka takes the configuration");
    producer.init_transactions(TIMEOUT).expect("the broker takes the producer");
    producer.client().fetch_metadata(Some(&topic.name), TIMEOUT).expect("the broker knows the topic");
    let run = Run::begin_with(std::process::id());
    producer.begin_transaction().expect("a transaction can be begun");
    let mut begun = Instant::now();
    for (place, record) in records.iter().enumerate() {
        let mut message = BaseRecord::<[u8], [u8]>::to(&topic.name).partition(0).headers(record.headers.clone());
        (message.key, message.payload) = (record.key, record.value);
        while let Err((error, unsent)) = producer.send(message) {
            let is_full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(is_full, "the producer takes no record: {error}");
            producer.poll(PAUSE);
            message = unsent;
        }
        if place % RECORDS_PER_LOOK == 0 && begun.elapsed() >= INTERVAL {
            commit(&producer);
            producer.begin_transaction().expect("a transaction can be begun");
            begun = Instant::now();
        }
    }
    commit(&producer);
    run.end(std::process::id())
}

fn commit(producer: &BaseProducer) {
    // The crate's own commit waits 100 ms at a time for what is on its way.
    while producer.in_flight_count() > 0 {
        producer.poll(PAUSE);
    }
    producer.commit_transaction(TIMEOUT).expect("the broker commits");
}
