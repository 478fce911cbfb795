//! A topic, as a read_committed consumer sees it.

use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use afterbay_e2e::{Rig, broker};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

/// How often it is looked how far the topic has come.
const LOOK: Duration = Duration::from_millis(10);
/// When nothing more has come for so long, a run that has enough records is over.
const QUIET: Duration = Duration::from_secs(2);
/// When nothing more has come for so long, something is wrong.
const STALLED: Duration = Duration::from_mins(2);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A topic of one partition, whose records have the time at which the broker appended them.
pub struct Topic {
    /// Its name.
    pub name: String,
    consumer: BaseConsumer,
}

impl Topic {
    /// Makes it.
    pub async fn create(rig: &Rig, name: String) -> Self {
        broker::create_topic(rig, &name, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", rig.broker())
            .set("group.id", "afterbay-bench")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "10")
            .create()
            .expect("librdkafka takes the configuration");
        Self { name, consumer }
    }

    /// The offset up to which records are visible.
    pub fn visible(&self) -> i64 {
        // With isolation level read_committed the upper one is the last stable offset.
        let (_, end) = self.consumer.fetch_watermarks(&self.name, 0, TIMEOUT).expect("the broker tells the offsets");
        end
    }

    /// Waits until so many records behind an offset are visible and nothing more comes; gives what `see` saw when the
    /// last of them had become visible.
    pub fn await_records<T>(&self, from: i64, records: u64, mut see: impl FnMut() -> T) -> T {
        let (mut end, mut since, mut seen) = (from, Instant::now(), None);
        loop {
            let now = self.visible();
            if now != end {
                (end, since) = (now, Instant::now());
                // There are at least as many offsets as records: ends of transactions have one too.
                seen = (end >= from + records as i64).then(&mut see);
            }
            if since.elapsed() >= QUIET
                && let Some(seen) = seen
            {
                return seen;
            }
            let far = end - from;
            assert!(since.elapsed() < STALLED, "{}: nothing comes behind {far} of {records} offsets", self.name);
            std::thread::sleep(LOOK);
        }
    }

    /// All committed records from an offset on; ends the program unless there are just so many.
    pub fn read(&self, from: i64, expected: u64) -> Records {
        let end = self.visible();
        let mut records = Records::default();
        self.listen(from, |message| {
            if let Some(message) = message {
                records.push(message);
                return message.offset() + 1 < end;
            }
            // Behind the last of them there may be ends of transactions.
            self.position() < end
        });
        assert_eq!(records.len() as u64, expected, "{}: records of the run", self.name);
        records
    }

    /// Reads from an offset on, as long as it is wanted; tells also when there is nothing for a moment.
    pub fn listen(&self, from: i64, mut more: impl FnMut(Option<&BorrowedMessage<'_>>) -> bool) {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.name, 0, Offset::Offset(from)).expect("an offset is one");
        self.consumer.assign(&place).expect("the consumer takes a partition");
        loop {
            let polled = self.consumer.poll(LOOK).map(|polled| polled.expect("the broker gives records"));
            if !more(polled.as_ref()) {
                break;
            }
        }
        self.consumer.unassign().expect("the consumer gives its partition back");
    }

    fn position(&self) -> i64 {
        let position = self.consumer.position().expect("the consumer knows its position");
        let place = position.find_partition(&self.name, 0).map(|element| element.offset());
        place.and_then(Offset::to_raw).unwrap_or_default()
    }
}

/// When the broker appended a record.
pub fn appended(message: &BorrowedMessage<'_>) -> SystemTime {
    let millis = message.timestamp().to_millis().unwrap_or_default();
    UNIX_EPOCH + Duration::from_millis(millis as u64)
}

/// Records as they were read, in memory.
#[derive(Default)]
pub struct Records {
    bytes: Vec<u8>,
    spans: Vec<Spans>,
    first_appended: Option<SystemTime>,
}

struct Spans {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: OwnedHeaders,
}

/// One of them.
pub struct Record<'a> {
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a OwnedHeaders,
}

impl Records {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// When the first of them was appended.
    pub fn first_appended(&self) -> SystemTime {
        self.first_appended.expect("there are records")
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let bytes = |span: &Option<Range<usize>>| span.clone().map(|span| &self.bytes[span]);
        self.spans.iter().map(move |spans| Record {
            key: bytes(&spans.key),
            value: bytes(&spans.value),
            headers: &spans.headers,
        })
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let mut keep = |bytes: Option<&[u8]>| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes?);
            Some(start..self.bytes.len())
        };
        let (key, value) = (keep(message.key()), keep(message.payload()));
        let mut headers = OwnedHeaders::new();
        for Header { key, value } in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            headers = headers.insert(Header { key, value });
        }
        self.spans.push(Spans { key, value, headers });
        self.first_appended.get_or_insert_with(|| appended(message));
    }
}
