//! What one call of `produce` costs: `cargo run --profile … --example produce_bench -- BROKER [MESSAGES]`.
//!
//! Messages of 200 bytes with a key and the two headers that each message of a Sink has, to one partition, committed at
//! the end of each round; told are nanoseconds per call, the same with the delivery, and how long the commits took.

use std::time::{Duration, Instant};

use afterbay_clients::kafka::admin::{Admin, TopicCreation};
use afterbay_clients::kafka::{ProducerSettings, TransactionalProducer};
use afterbay_crds::plan::KafkaConnectionPlan;

const TOPIC: &str = "afterbay-produce-bench";
const ROUNDS: u32 = 5;
const TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let broker = arguments.next().ok_or("which broker? (host:port)")?;
    let messages: u32 = arguments.next().map_or(Ok(200_000), |count| count.parse())?;
    let plan = KafkaConnectionPlan {
        name: "bench".into(),
        bootstrap_servers: broker,
        tls: None,
        authentication: None,
        principal: None,
        config: Vec::new(),
    };
    let topic = TopicCreation { name: TOPIC.into(), partitions: Some(1), ..TopicCreation::default() };
    Admin::new(&plan)?.create_topic(&topic).await?;
    let settings = ProducerSettings { queue_bytes: 1 << 30, ..ProducerSettings::new("afterbay-produce-bench") };
    let producer = TransactionalProducer::new(&plan, &settings)?;
    producer.init_transactions(TIMEOUT)?;
    let topic = producer.topic(TOPIC)?;
    let value = [b'v'; 200];
    let headers: [(&str, Option<&[u8]>); 2] =
        [("afterbay-timestamp", Some(b"1700000000000")), ("afterbay-position", Some(b"0/16B3748:12"))];
    for (name, headers) in [("no headers", &headers[..0]), ("two headers", &headers[..])] {
        for _ in 0..ROUNDS {
            producer.begin()?;
            let begun = Instant::now();
            for key in 0..messages {
                producer.produce(&topic, 0, Some(&key.to_be_bytes()), Some(&value), headers.iter().copied())?;
            }
            let handed_over = begun.elapsed();
            producer.flush(TIMEOUT)?;
            let delivered = begun.elapsed();
            let commit = Instant::now();
            producer.commit(TIMEOUT)?;
            println!(
                "{name}: {} ns per call, {} ns with delivery, commit {:?}",
                handed_over.as_nanos() / u128::from(messages),
                delivered.as_nanos() / u128::from(messages),
                commit.elapsed(),
            );
        }
    }
    Ok(())
}
