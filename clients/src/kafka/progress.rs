//! Reading a Sink's progress record.
//!
//! To be called after `init_transactions`: before it, a predecessor could still commit. The topic is read as committed,
//! up to the end that an uncommitted reader sees at the beginning: all that can ever be committed below that end is then
//! decided.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_crds::plan::KafkaConnectionPlan;
use afterbay_crds::reason::Reason;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::config::Settings;
use super::error::{Identity, KafkaError, READING_PROGRESS};
use super::trouble::{Cause, Trouble};

/// Records from the end that are looked through first; ten times as many next, and so on.
const FIRST_WINDOW: i64 = 1_000;
const SLICE: Duration = Duration::from_secs(1);
/// What a call is given however late it is: less would make a time-out of any answer.
const SHORTEST: Duration = Duration::from_millis(500);
/// How long the consumers' events are listened to between two tries.
const EVENTS: Duration = Duration::from_millis(20);
/// How long a record is waited for, until it is looked whether there are any more.
const RECORD: Duration = Duration::from_millis(5);
/// How long an open transaction is given before it is looked at again.
const STABLE_PAUSE: Duration = Duration::from_millis(50);

/// The value of the last committed record under this key; none where there is none, or a tombstone. Blocks.
///
/// An open transaction of another Sink holds the reader up until it ends, which its timeout sees to.
pub fn read_progress(
    plan: &KafkaConnectionPlan,
    topic: &str,
    group_id: &str,
    key: &str,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, KafkaError> {
    let reader = Reader::new(plan, topic, group_id, Instant::now() + timeout)?;
    reader.is_fit()?;
    let (low, high) = reader.end()?;
    reader.wait_until_decided(high)?;
    if low == high {
        // Nothing is read, and so the right to is looked for: it would else be missed at the next start only.
        reader.may_read(high)?;
    }
    let mut window = FIRST_WINDOW;
    let mut end = high;
    // Windows from the end backwards, each read up to where the last one began: the newest record wins.
    while end > low {
        let start = (high - window).max(low);
        if let Some(found) = reader.last(key.as_bytes(), start, end)? {
            return Ok(found.value());
        }
        end = start;
        window = window.saturating_mul(10);
    }
    Ok(None)
}

/// A record under the key that is looked for.
enum Found {
    Value(Vec<u8>),
    Tombstone,
}

impl Found {
    fn of(payload: Option<&[u8]>) -> Self {
        payload.map_or(Self::Tombstone, |value| Self::Value(value.to_vec()))
    }

    fn value(self) -> Option<Vec<u8>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Tombstone => None,
        }
    }
}

struct Reader<'a> {
    /// Reads what is committed.
    consumer: BaseConsumer<Trouble>,
    /// Sees the true end, beyond open transactions.
    uncommitted: BaseConsumer<Trouble>,
    trouble: Trouble,
    identity: Arc<Identity>,
    topic: &'a str,
    group_id: &'a str,
    deadline: Instant,
}

impl<'a> Reader<'a> {
    fn new(
        plan: &'a KafkaConnectionPlan,
        topic: &'a str,
        group_id: &'a str,
        deadline: Instant,
    ) -> Result<Self, KafkaError> {
        let trouble = Trouble::new(&plan.name);
        let mut settings = Settings::new(plan)?;
        settings.set("group.id", group_id);
        settings.set("enable.auto.commit", "false");
        settings.set("enable.partition.eof", "true");
        settings.set("auto.offset.reset", "error");
        settings.set("fetch.wait.max.ms", "50");
        settings.set("queued.max.messages.kbytes", "1024");
        let consumer = |isolation: &str| {
            let mut config = settings.client_config();
            config.set("isolation.level", isolation).create_with_context(trouble.clone()).map_err(
                |error: RdKafkaError| KafkaError::Config { connection: plan.name.clone(), words: error.to_string() },
            )
        };
        let (consumer, uncommitted) = (consumer("read_committed")?, consumer("read_uncommitted")?);
        Ok(Self { consumer, uncommitted, trouble, identity: Identity::of(plan), topic, group_id, deadline })
    }

    /// The topic has one partition, and the group may be used: a right that would else be missed at the next start only.
    fn is_fit(&self) -> Result<(), KafkaError> {
        let metadata = self.patiently(READING_PROGRESS, self.topic, |timeout| {
            self.consumer.fetch_metadata(Some(self.topic), timeout)
        })?;
        let found = metadata.topics().first();
        if let Some(code) = found.and_then(MetadataTopic::error) {
            let error = RdKafkaError::MetadataFetch(code.into());
            return Err(KafkaError::call(&error, READING_PROGRESS, self.topic, &self.identity, None));
        }
        match found.map(|topic| topic.partitions().len()) {
            Some(1) => {}
            Some(0) | None => {
                let error = RdKafkaError::MetadataFetch(Code::UnknownTopicOrPartition);
                return Err(KafkaError::call(&error, READING_PROGRESS, self.topic, &self.identity, None));
            }
            Some(partitions) => {
                return Err(KafkaError::Told(Reason::ProgressTopicUnfit.problem(
                    format!("the progress topic {} has {partitions} partitions", self.topic),
                    "it must have one, or exactly-once cannot be kept: name another in spec.progressTopic of the \
                     KafkaConnection",
                )));
            }
        }
        let mut partition = TopicPartitionList::new();
        partition.add_partition(self.topic, 0);
        self.patiently(READING_PROGRESS, self.group_id, |timeout| {
            let committed = self.consumer.committed_offsets(partition.clone(), timeout)?;
            committed.elements().iter().try_for_each(TopicPartitionListElem::error)
        })
    }

    /// The first offset, and the one behind the last, committed or not.
    fn end(&self) -> Result<(i64, i64), KafkaError> {
        self.patiently(READING_PROGRESS, self.topic, |timeout| {
            self.uncommitted.fetch_watermarks(self.topic, 0, timeout)
        })
    }

    /// Waits until every transaction that has written before `end` is committed or aborted. (Watermarks are those of the
    /// asking consumer's isolation level: for one that reads what is committed, the upper one is the last stable offset.)
    fn wait_until_decided(&self, end: i64) -> Result<(), KafkaError> {
        loop {
            let (_, stable) = self.patiently(READING_PROGRESS, self.topic, |timeout| {
                self.consumer.fetch_watermarks(self.topic, 0, timeout)
            })?;
            if stable >= end {
                return Ok(());
            }
            if Instant::now() >= self.deadline {
                return Err(self.late());
            }
            std::thread::sleep(STABLE_PAUSE);
        }
    }

    /// The last record under the key within the offsets `start..end`, all of which are decided: its value, or that it is
    /// a tombstone.
    fn last(&self, key: &[u8], start: i64, end: i64) -> Result<Option<Found>, KafkaError> {
        let mut partition = TopicPartitionList::new();
        let failed = |error: &RdKafkaError| self.failed(error, READING_PROGRESS, self.topic);
        partition.add_partition_offset(self.topic, 0, Offset::Offset(start)).map_err(|error| failed(&error))?;
        self.consumer.assign(&partition).map_err(|error| failed(&error))?;
        let mut found = None;
        loop {
            match self.consumer.poll(RECORD) {
                Some(Ok(message)) if message.offset() >= end => return Ok(found),
                Some(Ok(message)) if message.key() == Some(key) => found = Some(Found::of(message.payload())),
                // Nothing more, also where the rest is compacted away.
                Some(Err(RdKafkaError::PartitionEOF(_))) => return Ok(found),
                // The rest was control records. (That the partition ends there is told only a tenth of a second later.)
                None if self.position() >= Some(end) => return Ok(found),
                Some(Ok(_)) | None => {}
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(failed(&error)),
            }
            if Instant::now() >= self.deadline {
                return Err(self.late());
            }
        }
    }

    /// Whether the user may fetch, tried at the end of the topic.
    fn may_read(&self, end: i64) -> Result<(), KafkaError> {
        let mut partition = TopicPartitionList::new();
        let failed = |error: &RdKafkaError| self.failed(error, READING_PROGRESS, self.topic);
        partition.add_partition_offset(self.topic, 0, Offset::Offset(end)).map_err(|error| failed(&error))?;
        self.consumer.assign(&partition).map_err(|error| failed(&error))?;
        loop {
            match self.consumer.poll(RECORD) {
                Some(Ok(_) | Err(RdKafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if !is_passing(&error) => return Err(failed(&error)),
                Some(Err(_)) | None => {}
            }
            if Instant::now() >= self.deadline {
                return Err(self.late());
            }
        }
    }

    /// The offset behind all that was read, from the last `assign` on: librdkafka forgets the old one when its main thread
    /// has seen that, and the crate asks that thread first which partitions are assigned.
    fn position(&self) -> Option<i64> {
        self.consumer.position().ok()?.find_partition(self.topic, 0)?.offset().to_raw()
    }

    fn late(&self) -> KafkaError {
        match self.trouble.cause() {
            Some(cause) => {
                let error = RdKafkaError::MessageConsumption(Code::OperationTimedOut);
                KafkaError::call(&error, READING_PROGRESS, self.topic, &self.identity, Some(cause))
            }
            None => {
                KafkaError::Undecided { connection: self.identity.connection.clone(), topic: self.topic.to_owned() }
            }
        }
    }

    /// Calls until it succeeds, the deadline comes, or the broker says no.
    fn patiently<T>(
        &self,
        operation: &'static str,
        subject: &str,
        call: impl Fn(Duration) -> Result<T, RdKafkaError>,
    ) -> Result<T, KafkaError> {
        loop {
            let rest = self.deadline.saturating_duration_since(Instant::now());
            match call(rest.clamp(SHORTEST, SLICE)) {
                Ok(value) => {
                    self.trouble.clear();
                    return Ok(value);
                }
                Err(error) => {
                    // Events are served by polling; nothing is assigned yet, so no message is lost.
                    let _ = self.consumer.poll(EVENTS);
                    let _ = self.uncommitted.poll(EVENTS);
                    // The group's coordinator is refused in an event, and asked for again all the same.
                    let is_no = |cause: Cause| cause.is_refusal() || cause.code == Code::GroupAuthorizationFailed;
                    let refused = self.trouble.cause().is_some_and(is_no);
                    if refused || !is_passing(&error) || Instant::now() >= self.deadline {
                        return Err(self.failed(&error, operation, subject));
                    }
                }
            }
        }
    }

    fn failed(&self, error: &RdKafkaError, operation: &'static str, subject: &str) -> KafkaError {
        KafkaError::call(error, operation, subject, &self.identity, self.trouble.cause())
    }
}

/// Whether the same may work a moment later.
fn is_passing(error: &RdKafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::WaitingForCoordinator
                | Code::Resolve
                | Code::SSL
                | Code::Authentication
        )
    )
}
