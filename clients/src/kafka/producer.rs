//! The transactional producer.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use afterbay_crds::plan::{Compression, KafkaConnectionPlan};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys::rd_kafka_AclOperation_t as AclOperation;

use super::client::{Client, is_dropped};
use super::config::Settings;
use super::error::{DELIVERING, ErrorClass, Flags, Identity, KafkaError, TransactionError};
use super::ffi::{NativeError, NativeTopic};

/// How long a wait goes on before it is looked whether it is of any use.
const SLICE: Duration = Duration::from_secs(1);
/// The same, where the answer may be that it is of none.
const SOON: Duration = Duration::from_millis(50);
/// What a producer looks up.
const LOOKING_UP_PARTITIONS: &str = "looking up the partitions of a topic";
/// How long it is asked for which topic a right is missing.
const ASKING: Duration = Duration::from_secs(5);
/// How long messages are waited for, until it is looked whether one has failed.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a full queue is waited for at a time.
const QUEUE_PAUSE: Duration = Duration::from_micros(500);
/// How long the failure of a message may be on its way to us, when the state that it left is seen already.
const HEARING: Duration = Duration::from_millis(500);
/// How long a full queue may stay full: after that the broker does not take anything.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(1);

/// What a message with two headers takes beside key and value, in bytes, as measured: librdkafka's record of it, a list of
/// headers, each header, and malloc's share of them.
const MESSAGE_BYTES: u64 = 640;
/// So that a request still carries more than one message.
const LEAST_MESSAGES: u64 = 500;
/// As many as a Sink hands over in 50 ms at its best.
const MANY_MESSAGES: u64 = 10_000;
/// librdkafka's default for `batch.size`, in bytes.
const LARGEST_BATCH: u64 = 1_000_000;
/// librdkafka's default for `message.max.bytes`.
const LARGEST_MESSAGE: u64 = 1_000_000;

/// Settings of a producer, beside those of its connection.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// `transactional.id`
    pub transactional_id: String,
    /// `transaction.timeout.ms`
    pub transaction_timeout_ms: u64,
    /// `compression.type`
    pub compression: Compression,
    /// Memory in bytes that messages may take while they wait for the broker. One message of the largest size that the
    /// connection allows always has room, whatever this says.
    pub queue_bytes: u64,
    /// Bytes of messages that one batch may hold (`batch.size`), where the memory allows as many. A larger message has a
    /// batch of its own.
    pub batch_bytes: u64,
}

impl ProducerSettings {
    /// Defaults for this transactional id.
    pub fn new(transactional_id: &str) -> Self {
        Self {
            transactional_id: transactional_id.to_owned(),
            transaction_timeout_ms: 15_000,
            compression: Compression::None,
            queue_bytes: 32 << 20,
            batch_bytes: LARGEST_BATCH,
        }
    }
}

/// How librdkafka's queue is bounded: it counts messages, and the bytes of keys and values, and so of small messages next
/// to nothing of what they take.
struct Queue {
    kilobytes: u64,
    messages: u64,
    batch_bytes: u64,
    linger_ms: u64,
}

impl Queue {
    /// Half for keys and values, half for what messages take beside them.
    fn of(bytes: u64, largest_message: u64) -> Self {
        let messages = (bytes / 2 / MESSAGE_BYTES).max(LEAST_MESSAGES);
        Self {
            // A message that is larger than the queue would wait for room for ever.
            kilobytes: (bytes / 2).max(largest_message + MESSAGE_BYTES).div_ceil(1_024),
            messages,
            // Larger batches than the default of 16 KB: one request carries more, for the same memory. Several are under way.
            batch_bytes: (bytes / 16).clamp(16_384, LARGEST_BATCH),
            // A commit waits for no batch, so nothing is seen later for it. While a batch is about to be due, librdkafka's
            // thread does not sleep (it counts in whole milliseconds): a short time would keep it awake throughout. But the
            // queue is not to be full before a batch is due.
            linger_ms: if messages < MANY_MESSAGES { 5 } else { 50 },
        }
    }
}

/// The size of the largest message that the connection's own settings allow.
fn largest_message(plan: &KafkaConnectionPlan) -> u64 {
    let set = plan.config.iter().find(|(name, _)| name == "message.max.bytes");
    set.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(LARGEST_MESSAGE)
}

/// A producer with a transactional id. Its calls block; those of a transaction belong to one thread.
///
/// When it is dropped, what is not committed is dropped too, and nothing is waited for.
pub struct TransactionalProducer {
    client: Arc<Client>,
    identity: Arc<Identity>,
    transactional_id: String,
    /// Those that were asked for.
    topics: Mutex<BTreeSet<String>>,
}

/// A topic to produce to. Keeps its producer's client alive.
#[derive(Clone)]
pub struct TopicHandle(Arc<Topic>);

/// Fields are dropped in this order: the topic before its client.
struct Topic {
    native: NativeTopic,
    name: String,
    _client: Arc<Client>,
}

impl std::fmt::Debug for TopicHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TopicHandle").field(&self.0.name).finish()
    }
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("transactional_id", &self.transactional_id)
            .finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// A producer; no broker is spoken to yet.
    pub fn new(plan: &KafkaConnectionPlan, settings: &ProducerSettings) -> Result<Self, KafkaError> {
        let config = |words: String| KafkaError::Config { connection: plan.name.clone(), words };
        let mut native = Settings::new(plan)?;
        let queue = Queue::of(settings.queue_bytes, largest_message(plan));
        let batch_bytes = settings.batch_bytes.min(queue.batch_bytes);
        if cfg!(not(feature = "without-transactions")) {
            native.set("transactional.id", settings.transactional_id.clone());
            native.set("transaction.timeout.ms", settings.transaction_timeout_ms.to_string());
        }
        native.set("enable.idempotence", "true");
        native.set("compression.type", settings.compression.as_str());
        native.set("linger.ms", queue.linger_ms.to_string());
        native.set("batch.size", batch_bytes.to_string());
        native.set("queue.buffering.max.kbytes", queue.kilobytes.to_string());
        native.set("queue.buffering.max.messages", queue.messages.to_string());
        // Failures only: a million successes are not worth a million events.
        native.set("delivery.report.only.error", "true");
        let client = Client::start(&plan.name, &mut native).map_err(config)?;
        Ok(Self {
            client,
            identity: Identity::of(plan),
            transactional_id: settings.transactional_id.clone(),
            topics: Mutex::default(),
        })
    }

    /// Fences every other producer of this transactional id, ends its open transaction, and waits for both.
    pub fn init_transactions(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.init(timeout, SLICE, |_| false).map(|_| ())
    }

    /// The same, if there is no open transaction to be ended; whether it is done. Where there is one, the broker has begun to
    /// end it: librdkafka asks again only after half a second, a new producer at once. This one has nothing under way then.
    pub fn init_transactions_at_once(&self, timeout: Duration) -> Result<bool, TransactionError> {
        self.init(timeout, SOON, |error| error.code == Code::ConcurrentTransactions)
    }

    /// Asks in slices of `slice`; false where an answer tells to leave it.
    fn init(
        &self,
        timeout: Duration,
        slice: Duration,
        leave: impl Fn(&NativeError) -> bool,
    ) -> Result<bool, TransactionError> {
        let deadline = Instant::now() + timeout;
        // Before it is connected librdkafka does not find the coordinator, and looks again only after half a second. What
        // stands against a connection is told below.
        let _ = self.client.native.brokers(timeout.min(SLICE));
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.client.native.init_transactions(rest.min(slice)) {
                Ok(()) => {
                    self.client.trouble.clear();
                    return Ok(true);
                }
                Err(error) if leave(&error) => return Ok(false),
                Err(error) => {
                    // A broker that refuses user or certificate will do so as long as it is asked.
                    let refused = self.client.trouble.cause().is_some_and(|cause| cause.is_refusal());
                    if !error.flags.retriable || refused || Instant::now() >= deadline {
                        let error = self.error("fencing", &self.transactional_id, error);
                        let class = if refused { ErrorClass::Misconfigured } else { error.class };
                        return Err(TransactionError { class, ..error });
                    }
                }
            }
        }
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Result<(), TransactionError> {
        self.client.forget_failures();
        let begun = self.client.native.begin_transaction();
        begun.map_err(|error| self.error("beginning a transaction", &self.transactional_id, error))
    }

    /// A topic to produce to; whether it exists shows when something is produced.
    pub fn topic(&self, name: &str) -> Result<TopicHandle, TransactionError> {
        let native = CString::new(name).ok().and_then(|name| self.client.native.topic(&name));
        let Some(native) = native else {
            let flags = Flags { retriable: false, abortable: false, fatal: true };
            let words = "this is no name of a topic".to_owned();
            return Err(self.error("opening a topic", name, NativeError { code: Code::InvalidTopic, words, flags }));
        };
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        Ok(TopicHandle(Arc::new(Topic { native, name: name.to_owned(), _client: Arc::clone(&self.client) })))
    }

    /// How many partitions a topic has now.
    pub fn partition_count(&self, name: &str, timeout: Duration) -> Result<i32, TransactionError> {
        let topic = self.topic(name)?;
        let count = self.client.native.partition_count(&topic.0.native, timeout);
        count.map_err(|error| self.error(LOOKING_UP_PARTITIONS, name, error))
    }

    /// What tells a topic from another one that had its name before; none where the brokers do not tell.
    pub fn topic_id(&self, name: &str, timeout: Duration) -> Result<Option<String>, TransactionError> {
        let found = self.client.native.describe_topic(name, timeout);
        found.map(|found| found.id).map_err(|error| self.error(LOOKING_UP_PARTITIONS, name, error))
    }

    /// Hands over a message; its bytes are copied. Waits while the queue is full.
    // Cloned for each try, and there is mostly one.
    #[allow(clippy::needless_pass_by_value)]
    pub fn produce<'h>(
        &self,
        topic: &TopicHandle,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) -> Result<(), TransactionError> {
        let mut deadline = None;
        loop {
            match self.client.native.produce(&topic.0.native, partition, key, value, headers.clone()) {
                Ok(()) => return Ok(()),
                Err(error) if error.code == Code::QueueFull => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + QUEUE_TIMEOUT);
                    self.delivered_so_far()?;
                    if Instant::now() >= deadline {
                        return Err(self.error("producing", &topic.0.name, error));
                    }
                    std::thread::sleep(QUEUE_PAUSE);
                }
                // The transaction has failed already: what became of the messages before this one tells why.
                Err(error) if error.code == Code::State => {
                    self.client.native.flush(HEARING);
                    self.delivered_so_far()?;
                    let error = self.client.native.transaction_error().unwrap_or(error);
                    return Err(self.error(DELIVERING, &topic.0.name, error));
                }
                Err(error) => return Err(self.error("producing", &topic.0.name, error)),
            }
        }
    }

    /// Commits: all messages are delivered and visible together, or an error says what is to be done. One of class
    /// [`ErrorClass::Unknown`] leaves open which.
    pub fn commit(&self, timeout: Duration) -> Result<(), TransactionError> {
        let deadline = Instant::now() + timeout;
        self.flush(timeout)?;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let error = match self.client.native.commit_transaction(rest) {
                Ok(()) => {
                    self.client.trouble.clear();
                    return Ok(());
                }
                Err(error) => self.error("committing", &self.transactional_id, error),
            };
            if error.class != ErrorClass::Retriable {
                return Err(error);
            }
            if Instant::now() >= deadline {
                return Err(TransactionError { class: ErrorClass::Unknown, ..error });
            }
        }
    }

    /// Rolls the transaction back. Where a message has failed, librdkafka fails the next transaction too, for the gap in
    /// the sequence of messages: a new producer is the way on.
    pub fn abort(&self, timeout: Duration) -> Result<(), TransactionError> {
        let deadline = Instant::now() + timeout;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let error = match self.client.native.abort_transaction(rest) {
                Ok(()) => {
                    self.client.forget_failures();
                    return Ok(());
                }
                Err(error) => self.error("aborting", &self.transactional_id, error),
            };
            if error.class != ErrorClass::Retriable || Instant::now() >= deadline {
                return Err(error);
            }
        }
    }

    /// Waits until all messages so far are delivered, or one has failed.
    pub fn flush(&self, timeout: Duration) -> Result<(), TransactionError> {
        let deadline = Instant::now() + timeout;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let delivered = self.client.native.flush(rest.min(GLANCE));
            // A message that failed must not be missing in silence. Those behind it are not even sent any more.
            self.delivered_so_far()?;
            if delivered {
                return Ok(());
            }
            if rest.is_zero() {
                break;
            }
        }
        let flags = Flags { retriable: false, abortable: true, fatal: false };
        let words = "messages are not delivered in time".to_owned();
        let late = NativeError { code: Code::OperationTimedOut, words, flags };
        Err(self.error(DELIVERING, &self.transactional_id, late))
    }

    /// Messages that are handed over and not delivered yet (with what librdkafka has to tell and was not heard yet).
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.client.native.outstanding()).unwrap_or_default()
    }

    /// Whether a message of the transaction has failed.
    fn delivered_so_far(&self) -> Result<(), TransactionError> {
        let Some((topic, code)) = self.client.first_failure() else { return Ok(()) };
        if !is_dropped(code) {
            return Err(self.failed(&topic, code));
        }
        // Messages that were dropped when the transaction failed do not tell why it did.
        if let Some((topic, code)) = self.telling_failure() {
            return Err(self.failed(&topic, code));
        }
        match self.client.native.transaction_error() {
            Some(error) => Err(self.error(DELIVERING, &topic, error)),
            None => Err(self.failed(&topic, code)),
        }
    }

    /// The first message that failed for a reason of its own, if one is heard of soon.
    fn telling_failure(&self) -> Option<(String, Code)> {
        let deadline = Instant::now() + HEARING;
        loop {
            let failure = self.client.first_failure().filter(|(_, code)| !is_dropped(*code));
            if failure.is_some() || Instant::now() >= deadline {
                return failure;
            }
            std::thread::sleep(QUEUE_PAUSE);
        }
    }

    fn failed(&self, topic: &str, code: Code) -> TransactionError {
        let flags = Flags { retriable: false, abortable: true, fatal: false };
        self.error(DELIVERING, topic, NativeError { code, words: code.to_string(), flags })
    }

    /// The first topic that the user may not write, by the brokers' own account.
    fn refused_topic(&self) -> Option<String> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_refused = |topic: &String| match self.client.native.describe_topic(topic, ASKING) {
            Ok(found) => found.operations.is_some_and(|may| !may.contains(&AclOperation::RD_KAFKA_ACL_OPERATION_WRITE)),
            Err(error) => error.code == Code::TopicAuthorizationFailed,
        };
        topics.into_iter().find(is_refused)
    }

    fn error(&self, operation: &'static str, subject: &str, error: NativeError) -> TransactionError {
        // A fatal error hides behind the state that it leaves: that is what is to be told.
        let NativeError { mut code, words: mut text, flags } = error;
        if (flags.fatal || code == Code::Fatal)
            && let Some((fatal, words)) = self.client.native.fatal_error()
        {
            (code, text) = (fatal, words);
        }
        // Partitions join a transaction together, and fail together: which of their topics it was is not told.
        let refused = code == Code::TopicAuthorizationFailed && operation != LOOKING_UP_PARTITIONS;
        let refused = if refused { self.refused_topic() } else { None };
        let subject = refused.as_deref().unwrap_or(subject);
        TransactionError {
            class: ErrorClass::of(code, flags),
            code,
            text,
            operation,
            subject: subject.to_owned(),
            identity: Arc::clone(&self.identity),
            cause: self.client.trouble.cause().map(Box::new),
        }
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        self.client.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_stays_within_its_memory_and_has_room_for_the_largest_message() {
        for bytes in [1_u64 << 20, 32 << 20, 256 << 20] {
            let queue = Queue::of(bytes, 100_000);
            assert!(queue.kilobytes * 1_024 + queue.messages * MESSAGE_BYTES <= bytes + 1_024, "{bytes}");
            assert!(queue.batch_bytes * 5 <= bytes, "{bytes}: several batches are under way");
            assert!(Queue::of(bytes, 8_000_000).kilobytes * 1_024 >= 8_000_000, "{bytes}");
        }
    }
}
