//! Topics and settings: one request each, answered on a queue of its own.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_AclOperation_t as AclOperation;
use sys::rd_kafka_ConfigSource_t as ConfigSource;
use sys::{rd_kafka_ResourceType_t, rd_kafka_admin_op_t, rd_kafka_resp_err_t};

use super::client::NativeClient;
use super::{NativeError, WORDS_MAX, c_string, millis, plain, take, text};

/// What the answer is waited for beyond its own timeout: librdkafka always answers, if only to say that time is over.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// A topic, as the cluster describes it.
#[derive(Clone, Debug)]
pub(in super::super) struct NativeTopicDescription {
    /// What tells it from another topic that had, or will have, its name (KIP-516); none of brokers before 2.8.
    pub(in super::super) id: Option<String>,
    pub(in super::super) partitions: usize,
    /// Replicas of the partition that has the fewest.
    pub(in super::super) replicas: usize,
    /// Whether each partition has a leader.
    pub(in super::super) led: bool,
    /// What the user may do with it; none where the cluster does not say.
    pub(in super::super) operations: Option<Vec<AclOperation>>,
}

/// The identity in words.
///
/// # Safety
/// `uuid` is alive, or null.
unsafe fn id(uuid: *const sys::rd_kafka_Uuid_t) -> Option<String> {
    if uuid.is_null() {
        return None;
    }
    // SAFETY: by the contract. The words live as long as the identity.
    unsafe {
        let none =
            sys::rd_kafka_Uuid_most_significant_bits(uuid) == 0 && sys::rd_kafka_Uuid_least_significant_bits(uuid) == 0;
        (!none).then(|| text(sys::rd_kafka_Uuid_base64str(uuid)))
    }
}

/// A setting: its value, and whether it was set for this resource.
pub(in super::super) type NativeSetting = (String, bool);

impl NativeClient {
    /// Makes a topic, or only tries; -1 partitions or replicas: as many as the broker's default. The error has the broker's
    /// words.
    pub(in super::super) fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: i32,
        config: &BTreeMap<String, String>,
        only_try: bool,
        timeout: Duration,
    ) -> Result<(), NativeError> {
        let name = c_string(name)?;
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        // SAFETY: the name ends with NUL, and `words` has the length that is told.
        let topic =
            unsafe { sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replicas, words.as_mut_ptr(), WORDS_MAX) };
        // SAFETY: where there is no topic, librdkafka has written a string.
        let topic = NonNull::new(topic).ok_or_else(|| invalid(unsafe { text(words.as_ptr()) }))?;
        let topic = Owned(topic, sys::rd_kafka_NewTopic_destroy);
        for (name, value) in config {
            let (name, value) = (c_string(name)?, c_string(value)?);
            // SAFETY: the topic is alive, and the strings end with NUL.
            let code = unsafe { sys::rd_kafka_NewTopic_set_config(topic.0.as_ptr(), name.as_ptr(), value.as_ptr()) };
            no_error(code)?;
        }
        let options = self.options(rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout)?;
        if only_try {
            // SAFETY: the options are alive, and `words` has the length that is told.
            no_error(unsafe {
                sys::rd_kafka_AdminOptions_set_validate_only(options.0.as_ptr(), 1, words.as_mut_ptr(), WORDS_MAX)
            })?;
        }
        let answer = self.ask(timeout, |queue| {
            let mut topics = [topic.0.as_ptr()];
            let (topics, options) = (topics.as_mut_ptr(), options.0.as_ptr());
            // SAFETY: client, topic, options and queue are alive; what is needed of them is copied.
            unsafe { sys::rd_kafka_CreateTopics(self.client.as_ptr(), topics, 1, options, queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event is alive, and its results with it; there are `count` of them.
        unsafe {
            let result = sys::rd_kafka_event_CreateTopics_result(answer.0.as_ptr());
            let results = array(sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count), count);
            let Some(&topic) = results.first() else { return Err(no_answer()) };
            let code = sys::rd_kafka_topic_result_error(topic);
            if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Ok(());
            }
            let words = text(sys::rd_kafka_topic_result_error_string(topic));
            Err(NativeError { words, ..plain(code) })
        }
    }

    /// What the cluster says of a topic. Never makes one, whatever the broker does with those that it does not know.
    pub(in super::super) fn describe_topic(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<NativeTopicDescription, NativeError> {
        let name = c_string(name)?;
        let mut names = [name.as_ptr()];
        // SAFETY: the one name ends with NUL, and is copied.
        let names = NonNull::new(unsafe { sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1) });
        let names = Owned(names.ok_or_else(no_answer)?, sys::rd_kafka_TopicCollection_destroy);
        let options = self.options(rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout)?;
        // SAFETY: the options are alive.
        take(unsafe { sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.0.as_ptr(), 1) })?;
        let answer = self.ask(timeout, |queue| {
            // SAFETY: client, names, options and queue are alive; what is needed of them is copied.
            unsafe { sys::rd_kafka_DescribeTopics(self.client.as_ptr(), names.0.as_ptr(), options.0.as_ptr(), queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event is alive, and all that hangs on it, until the end of this function; arrays have the lengths
        // that are told with them.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
            let topics = array(sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count), count);
            let Some(&topic) = topics.first() else { return Err(no_answer()) };
            let error = sys::rd_kafka_TopicDescription_error(topic);
            // (The error is the topic's own, and lives and ends with it.)
            if !error.is_null() {
                let code = sys::rd_kafka_error_code(error);
                if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return Err(NativeError { words: text(sys::rd_kafka_error_string(error)), ..plain(code) });
                }
            }
            let partitions = array(sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count), count);
            let replicas = |partition: &*const _| {
                let mut count = 0;
                sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &raw mut count);
                count
            };
            let led = |partition: &*const _| !sys::rd_kafka_TopicPartitionInfo_leader(*partition).is_null();
            let mut description = NativeTopicDescription {
                id: id(sys::rd_kafka_TopicDescription_topic_id(topic)),
                partitions: partitions.len(),
                replicas: partitions.iter().map(replicas).min().unwrap_or_default(),
                led: partitions.iter().all(led),
                operations: None,
            };
            let operations = sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
            description.operations = (!operations.is_null()).then(|| array(operations, count).to_vec());
            Ok(description)
        }
    }

    /// The settings of a topic.
    pub(in super::super) fn topic_settings(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<BTreeMap<String, NativeSetting>, NativeError> {
        self.settings(rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, &c_string(name)?, timeout)
    }

    /// The settings of a broker.
    pub(in super::super) fn broker_settings(
        &self,
        id: i32,
        timeout: Duration,
    ) -> Result<BTreeMap<String, NativeSetting>, NativeError> {
        self.settings(rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, &c_string(&id.to_string())?, timeout)
    }

    fn settings(
        &self,
        kind: rd_kafka_ResourceType_t,
        name: &CStr,
        timeout: Duration,
    ) -> Result<BTreeMap<String, NativeSetting>, NativeError> {
        // SAFETY: the name ends with NUL, and is copied.
        let resource = NonNull::new(unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) });
        let resource = Owned(resource.ok_or_else(no_answer)?, sys::rd_kafka_ConfigResource_destroy);
        let options = self.options(rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout)?;
        let answer = self.ask(timeout, |queue| {
            let mut resources = [resource.0.as_ptr()];
            let (resources, options) = (resources.as_mut_ptr(), options.0.as_ptr());
            // SAFETY: client, resource, options and queue are alive; what is needed of them is copied.
            unsafe { sys::rd_kafka_DescribeConfigs(self.client.as_ptr(), resources, 1, options, queue) }
        })?;
        let mut count = 0;
        // SAFETY: as in `describe_topic`.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConfigs_result(answer.0.as_ptr());
            let resources = array(sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count), count);
            let Some(&resource) = resources.first() else { return Err(no_answer()) };
            let code = sys::rd_kafka_ConfigResource_error(resource);
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let words = text(sys::rd_kafka_ConfigResource_error_string(resource));
                return Err(NativeError { words, ..plain(code) });
            }
            let entries = array(sys::rd_kafka_ConfigResource_configs(resource, &raw mut count), count);
            let told = entries.iter().filter(|entry| !sys::rd_kafka_ConfigEntry_value(**entry).is_null());
            let setting = |entry: &*const _| {
                let source = sys::rd_kafka_ConfigEntry_source(*entry);
                let own = matches!(source, ConfigSource::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG);
                (text(sys::rd_kafka_ConfigEntry_name(*entry)), (text(sys::rd_kafka_ConfigEntry_value(*entry)), own))
            };
            Ok(told.map(setting).collect())
        }
    }

    pub(super) fn options(
        &self,
        operation: rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Owned<sys::rd_kafka_AdminOptions_t>, NativeError> {
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        // SAFETY: the client is alive.
        let options = NonNull::new(unsafe { sys::rd_kafka_AdminOptions_new(self.client.as_ptr(), operation) });
        let options = Owned(options.ok_or_else(no_answer)?, sys::rd_kafka_AdminOptions_destroy);
        // SAFETY: the options are alive, and `words` has the length that is told.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options.0.as_ptr(),
                millis(timeout),
                words.as_mut_ptr(),
                WORDS_MAX,
            )
        };
        no_error(code).map(|()| options)
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(
        &self,
        timeout: Duration,
        send: impl FnOnce(*mut sys::rd_kafka_queue_t),
    ) -> Result<Owned<sys::rd_kafka_event_t>, NativeError> {
        // SAFETY: the client is alive.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_new(self.client.as_ptr()) }).ok_or_else(no_answer)?;
        let queue = Owned(queue, sys::rd_kafka_queue_destroy);
        send(queue.0.as_ptr());
        // SAFETY: the queue is alive. The event is ours.
        let event = unsafe { sys::rd_kafka_queue_poll(queue.0.as_ptr(), millis(timeout + ANSWER_MARGIN)) };
        let event = Owned(NonNull::new(event).ok_or_else(no_answer)?, sys::rd_kafka_event_destroy);
        // SAFETY: the event is alive.
        unsafe {
            let code = sys::rd_kafka_event_error(event.0.as_ptr());
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let words = text(sys::rd_kafka_event_error_string(event.0.as_ptr()));
                return Err(NativeError { words, ..plain(code) });
            }
        }
        Ok(event)
    }
}

/// Something of librdkafka's, with the function that destroys it.
pub(super) struct Owned<T>(pub(super) NonNull<T>, pub(super) unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours, alive, destroyed here only, and this is the function for it.
        unsafe { (self.1)(self.0.as_ptr()) };
    }
}

/// # Safety
/// `count` elements are at `first`, or it is null; they live as long as the answer that they are of.
pub(super) unsafe fn array<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(first, count) }
}

fn no_error(code: rd_kafka_resp_err_t) -> Result<(), NativeError> {
    if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(plain(code)) }
}

pub(super) fn no_answer() -> NativeError {
    plain(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT)
}

pub(super) fn invalid(words: String) -> NativeError {
    NativeError { words, ..plain(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG) }
}
