//! The brokers, topics of their own for each test, and readers of what stands in them.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use afterbay_clients::kafka::admin::{Admin, TopicCreation};
use afterbay_clients::kafka::{ProducerSettings, TransactionalProducer};
use afterbay_crds::plan::{KafkaAuthenticationPlan, KafkaConnectionPlan, KafkaTlsPlan};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as RdKafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::NamedTempFile;

/// What no call should need here.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A setting of the rig: of the environment, or else as its script tells it.
pub fn setting(name: &str) -> String {
    static RIG: OnceLock<String> = OnceLock::new();
    let name = format!("AFTERBAY_RIG_{name}");
    if let Ok(value) = env::var(&name) {
        return value;
    }
    let lines = RIG.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/rig/rig");
        let output = Command::new(script).arg("env").output();
        let output = output.unwrap_or_else(|error| panic!("{name} is not set, and {script} does not run: {error}"));
        String::from_utf8(output.stdout).expect("text")
    });
    let assignments = lines.lines().filter_map(|line| line.trim_start_matches("export ").split_once('='));
    let found = assignments.into_iter().find(|(known, _)| *known == name);
    let (_, value) = found.unwrap_or_else(|| panic!("e2e/rig/rig env does not tell {name}"));
    value.trim_matches(['\'', '"']).to_owned()
}

/// The broker without security.
pub fn plain() -> KafkaConnectionPlan {
    unsecured(&setting("BROKER"))
}

/// Without TLS and user.
pub fn unsecured(address: &str) -> KafkaConnectionPlan {
    KafkaConnectionPlan {
        name: "tests/events".into(),
        bootstrap_servers: address.into(),
        tls: None,
        authentication: None,
        principal: None,
        config: Vec::new(),
    }
}

/// The secure broker's listener for passwords, by the host's name, which its certificate holds.
pub fn secure(ca_file: &Path, username: &str, password_file: &Path) -> KafkaConnectionPlan {
    KafkaConnectionPlan {
        tls: Some(KafkaTlsPlan { ca_file: Some(ca_file.to_owned()) }),
        authentication: Some(KafkaAuthenticationPlan::ScramSha512 {
            username: username.into(),
            password_file: password_file.to_owned(),
        }),
        ..unsecured(&setting("SECURE_BROKER"))
    }
}

/// A user of the secure broker, with the file of the password.
pub struct User {
    pub name: String,
    pub plan: KafkaConnectionPlan,
    _password: NamedTempFile,
}

impl User {
    /// May do everything.
    pub fn admin() -> Self {
        Self::of(&setting("BROKER_ADMIN_USER"), &setting("BROKER_ADMIN_PASSWORD"))
    }

    /// May do nothing unless a test allows it.
    pub fn limited() -> Self {
        Self::of(&setting("BROKER_LIMITED_USER"), &setting("BROKER_LIMITED_PASSWORD"))
    }

    /// Some user.
    pub fn of(name: &str, password: &str) -> Self {
        let password = secret(password);
        let plan = secure(&ca_file(), name, password.path());
        Self { name: name.to_owned(), plan, _password: password }
    }
}

/// The authority of the secure broker's certificate.
pub fn ca_file() -> PathBuf {
    setting("CA_FILE").into()
}

/// A file that holds a secret.
pub fn secret(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content.as_bytes()).expect("a writable temporary file");
    file
}

/// A name that no other test uses, nor another run.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock that is set");
    format!("afterbay-test-{what}-{}-{}", now.as_millis(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A new topic.
pub async fn topic(plan: &KafkaConnectionPlan, what: &str, partitions: i32, config: &[(&str, &str)]) -> String {
    let name = unique(what);
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let creation =
        TopicCreation { name: name.clone(), partitions: Some(partitions), replication_factor: Some(1), config };
    Admin::new(plan).expect("settings").create_topic(&creation).await.expect("a new topic");
    name
}

/// A producer that has fenced. Its transactions may stay open for as long as a test needs.
pub fn producer(plan: &KafkaConnectionPlan, id: &str) -> TransactionalProducer {
    let settings = ProducerSettings { transaction_timeout_ms: 300_000, ..ProducerSettings::new(id) };
    let producer = TransactionalProducer::new(plan, &settings).expect("settings");
    producer.init_transactions(TIMEOUT).expect("a coordinator");
    producer
}

/// Commits messages (keys and values) of one topic's first partition.
pub fn commit(producer: &TransactionalProducer, topic: &str, messages: &[(&str, Option<&str>)]) {
    stage(producer, topic, messages);
    producer.commit(TIMEOUT).expect("a commit");
}

/// Begins a transaction, and stages messages in it.
pub fn stage(producer: &TransactionalProducer, topic: &str, messages: &[(&str, Option<&str>)]) {
    let topic = producer.topic(topic).expect("a topic");
    producer.begin().expect("a transaction");
    for (key, value) in messages {
        let value = value.map(str::as_bytes);
        producer.produce(&topic, 0, Some(key.as_bytes()), value, std::iter::empty()).expect("room");
    }
}

/// Key and value of a message, and its headers.
pub type Read = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

/// All that stands in the first partition now, with the offsets.
pub fn read(plan: &KafkaConnectionPlan, topic: &str, isolation: &str) -> Vec<(i64, Read)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &plan.bootstrap_servers)
        .set("group.id", "afterbay-tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .expect("a consumer");
    let mut partition = TopicPartitionList::new();
    partition.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    consumer.assign(&partition).expect("an assignment");
    let mut messages = Vec::new();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        assert!(Instant::now() < deadline, "{topic} could not be read to its end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let headers = message.headers().map(|headers| {
                    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                        (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                    };
                    headers.iter().map(header).collect()
                });
                let (key, value) = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
                messages.push((message.offset(), (key, value, headers.unwrap_or_default())));
            }
            Some(Err(RdKafkaError::PartitionEOF(_))) => return messages,
            Some(Err(error)) => panic!("{topic}: {error}"),
            None => {}
        }
    }
}

/// The values that a reader of committed messages sees.
pub fn committed(plan: &KafkaConnectionPlan, topic: &str) -> Vec<String> {
    let text = |(_, (_, value, _)): (i64, Read)| String::from_utf8(value.unwrap_or_default()).expect("text");
    read(plan, topic, "read_committed").into_iter().map(text).collect()
}

/// Looks a few times a second until it is so; fails after a minute and a half, telling what was awaited.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
