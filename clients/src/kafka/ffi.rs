//! librdkafka's producer, spoken to directly. The only module with `unsafe`.
//!
//! It does what [`super::producer`] needs and no more: settings, events (failed deliveries, errors, log lines), messages
//! with headers, and the five calls of a transaction. Events instead of callbacks, so that no C code calls Rust; and
//! with them librdkafka waits for outstanding messages without polling, so that a commit takes as long as the broker
//! does.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys as sys;
use sys::{rd_kafka_conf_res_t, rd_kafka_resp_err_t, rd_kafka_type_t, rd_kafka_vtype_t};

use super::config::Settings;
use super::error::Flags;

const WORDS_MAX: usize = 512;

/// An error as librdkafka gives it.
#[derive(Clone, Debug)]
pub(super) struct NativeError {
    pub(super) code: Code,
    pub(super) words: String,
    pub(super) flags: Flags,
}

/// What librdkafka has to tell.
#[derive(Debug)]
pub(super) enum NativeEvent {
    /// A message was not delivered.
    DeliveryFailed { topic: String, code: Code },
    /// Something is wrong with a connection, or with the whole client.
    Error { code: Code, words: String, fatal: bool },
    /// A line for the log.
    Log { level: c_int, facility: String, words: String },
}

/// A producer.
pub(super) struct NativeProducer {
    client: NonNull<sys::rd_kafka_t>,
    events: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's handles may be used by any thread, and by several at a time ("librdkafka is completely
// thread-safe", its INTRODUCTION.md).
unsafe impl Send for NativeProducer {}
// SAFETY: as above.
unsafe impl Sync for NativeProducer {}

impl NativeProducer {
    /// A producer with these settings; the error is librdkafka's words.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        // SAFETY: no preconditions; librdkafka aborts when out of memory, so the pointer is not null.
        let conf = unsafe { sys::rd_kafka_conf_new() };
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        for (name, value) in settings.iter() {
            let (Ok(c_name), Ok(c_value)) = (CString::new(name), CString::new(value)) else {
                // SAFETY: `conf` is ours and not used after this.
                unsafe { sys::rd_kafka_conf_destroy(conf) };
                return Err(format!("the value of {name} holds a NUL byte"));
            };
            // SAFETY: `conf` is alive, the strings end with NUL, and `words` has the length that is told.
            let result = unsafe {
                sys::rd_kafka_conf_set(conf, c_name.as_ptr(), c_value.as_ptr(), words.as_mut_ptr(), WORDS_MAX)
            };
            if result != rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                // SAFETY: as above.
                unsafe { sys::rd_kafka_conf_destroy(conf) };
                // librdkafka's words would repeat the value, which may be a secret.
                return Err(format!("{name} is unknown or its value is not valid"));
            }
        }
        let events = sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR | sys::RD_KAFKA_EVENT_LOG;
        // SAFETY: `conf` is alive; `words` has the length that is told. On success `rd_kafka_new` owns `conf`.
        let client = unsafe {
            sys::rd_kafka_conf_set_events(conf, events);
            sys::rd_kafka_new(rd_kafka_type_t::RD_KAFKA_PRODUCER, conf, words.as_mut_ptr(), WORDS_MAX)
        };
        let Some(client) = NonNull::new(client) else {
            // SAFETY: `conf` is still ours where no client was made; librdkafka has written a string into `words`.
            return unsafe {
                sys::rd_kafka_conf_destroy(conf);
                Err(text(words.as_ptr()))
            };
        };
        // SAFETY: the client is alive. Its main queue is not null; the reference is given back in `drop`. A null queue
        // for the log means the main queue.
        let events = unsafe {
            sys::rd_kafka_set_log_queue(client.as_ptr(), ptr::null_mut());
            NonNull::new(sys::rd_kafka_queue_get_main(client.as_ptr()))
        };
        match events {
            Some(events) => Ok(Self { client, events }),
            None => Err("it has no queue".into()),
        }
    }

    /// What librdkafka has to tell, waiting for it as long as `timeout`; each is given to `tell`.
    pub(super) fn poll(&self, timeout: Duration, mut tell: impl FnMut(NativeEvent)) {
        // SAFETY: the queue is alive. The event is ours until it is destroyed, below, after its last use.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.events.as_ptr(), millis(timeout));
            if event.is_null() {
                return;
            }
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => {
                    while let Some(message) = sys::rd_kafka_event_message_next(event).as_ref() {
                        if message.err != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                            let topic = text(sys::rd_kafka_topic_name(message.rkt));
                            tell(NativeEvent::DeliveryFailed { topic, code: message.err.into() });
                        }
                    }
                }
                sys::RD_KAFKA_EVENT_ERROR => tell(NativeEvent::Error {
                    code: sys::rd_kafka_event_error(event).into(),
                    words: text(sys::rd_kafka_event_error_string(event)),
                    fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                }),
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut words, mut level) = (ptr::null(), ptr::null(), 0);
                    if sys::rd_kafka_event_log(event, &raw mut facility, &raw mut words, &raw mut level) == 0 {
                        tell(NativeEvent::Log { level, facility: text(facility), words: text(words) });
                    }
                }
                _ => {}
            }
            sys::rd_kafka_event_destroy(event);
        }
    }

    pub(super) fn init_transactions(&self, timeout: Duration) -> Result<(), NativeError> {
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_init_transactions(self.client.as_ptr(), millis(timeout)) })
    }

    pub(super) fn begin_transaction(&self) -> Result<(), NativeError> {
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_begin_transaction(self.client.as_ptr()) })
    }

    pub(super) fn commit_transaction(&self, timeout: Duration) -> Result<(), NativeError> {
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_commit_transaction(self.client.as_ptr(), millis(timeout)) })
    }

    pub(super) fn abort_transaction(&self, timeout: Duration) -> Result<(), NativeError> {
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_abort_transaction(self.client.as_ptr(), millis(timeout)) })
    }

    /// Waits until no message is outstanding; whether that came in time.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: the client is alive.
        let code = unsafe { sys::rd_kafka_flush(self.client.as_ptr(), millis(timeout)) };
        code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Drops all messages that are not delivered.
    pub(super) fn purge(&self) {
        let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is alive. An error says only that there is nothing to drop.
        let _ = unsafe { sys::rd_kafka_purge(self.client.as_ptr(), all) };
    }

    /// The error that has ended the client, if one has.
    pub(super) fn fatal_error(&self) -> Option<(Code, String)> {
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        // SAFETY: the client is alive, and `words` has the length that is told.
        let code = unsafe { sys::rd_kafka_fatal_error(self.client.as_ptr(), words.as_mut_ptr(), WORDS_MAX) };
        if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka has written a string.
        Some((code.into(), unsafe { text(words.as_ptr()) }))
    }

    pub(super) fn topic(&self, name: &CStr) -> Option<NativeTopic> {
        // SAFETY: the client is alive and the name ends with NUL; a null configuration means the defaults.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(NativeTopic)
    }

    /// How many partitions a topic has.
    pub(super) fn partition_count(&self, topic: &NativeTopic, timeout: Duration) -> Result<i32, NativeError> {
        let mut metadata = ptr::null();
        // SAFETY: client and topic are alive. On success `metadata` is ours until it is destroyed below, after its last
        // use, and holds `topic_cnt` topics.
        unsafe {
            let code =
                sys::rd_kafka_metadata(self.client.as_ptr(), 0, topic.0.as_ptr(), &raw mut metadata, millis(timeout));
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(plain(code));
            }
            let found = &*metadata;
            let outcome = if found.topic_cnt == 1 {
                let topic = &*found.topics;
                match topic.err {
                    rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(topic.partition_cnt),
                    code => Err(plain(code)),
                }
            } else {
                Err(plain(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART))
            };
            sys::rd_kafka_metadata_destroy(metadata);
            outcome
        }
    }

    /// Queues a message; its bytes are copied.
    pub(super) fn produce(
        &self,
        topic: &NativeTopic,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<(), NativeError> {
        // SAFETY: the headers are ours until `produceva` takes them, which it does only when it succeeds. Names and
        // values are copied, and their lengths are told.
        let native_headers = unsafe {
            let list = sys::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                sys::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
            }
            list
        };
        let mem = |bytes: Option<&[u8]>| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.map_or(ptr::null_mut(), |bytes| bytes.as_ptr().cast::<c_void>().cast_mut()),
                size: bytes.map_or(0, <[u8]>::len),
            },
        };
        type Tag = rd_kafka_vtype_t;
        type Value = sys::rd_kafka_vu_s__bindgen_ty_1;
        let arguments = [
            argument(Tag::RD_KAFKA_VTYPE_RKT, Value { rkt: topic.0.as_ptr() }),
            argument(Tag::RD_KAFKA_VTYPE_PARTITION, Value { i32_: partition }),
            argument(Tag::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: sys::RD_KAFKA_MSG_F_COPY }),
            argument(Tag::RD_KAFKA_VTYPE_KEY, mem(key)),
            argument(Tag::RD_KAFKA_VTYPE_VALUE, mem(value)),
            argument(Tag::RD_KAFKA_VTYPE_HEADERS, Value { headers: native_headers }),
        ];
        // SAFETY: client and topic are alive, each argument's value is of the kind that its tag says, and with F_COPY
        // key and value are copied before the call returns.
        let outcome =
            take(unsafe { sys::rd_kafka_produceva(self.client.as_ptr(), arguments.as_ptr(), arguments.len()) });
        if outcome.is_err() {
            // SAFETY: they were not taken.
            unsafe { sys::rd_kafka_headers_destroy(native_headers) };
        }
        outcome
    }
}

impl Drop for NativeProducer {
    fn drop(&mut self) {
        self.purge();
        // SAFETY: nobody else has the handles any more: topics hold the producer alive (see `producer::TopicHandle`).
        unsafe {
            sys::rd_kafka_queue_destroy(self.events.as_ptr());
            sys::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

/// A topic of a producer. Must be dropped before it.
pub(super) struct NativeTopic(NonNull<sys::rd_kafka_topic_t>);

// SAFETY: as for the producer.
unsafe impl Send for NativeTopic {}
// SAFETY: as for the producer.
unsafe impl Sync for NativeTopic {}

impl Drop for NativeTopic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and its producer is alive.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}

fn argument(vtype: rd_kafka_vtype_t, u: sys::rd_kafka_vu_s__bindgen_ty_1) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u }
}

/// The error behind the pointer, which is ours.
fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), NativeError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: it is not null, alive until it is destroyed, and destroyed once.
    unsafe {
        let native = NativeError {
            code: sys::rd_kafka_error_code(error).into(),
            words: text(sys::rd_kafka_error_string(error)),
            flags: Flags {
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            },
        };
        sys::rd_kafka_error_destroy(error);
        Err(native)
    }
}

/// An error that is a code only.
fn plain(code: rd_kafka_resp_err_t) -> NativeError {
    // SAFETY: no preconditions; the string is static.
    let words = unsafe { text(sys::rd_kafka_err2str(code)) };
    NativeError { code: code.into(), words, flags: Flags { retriable: true, abortable: false, fatal: false } }
}

/// # Safety
/// A string that ends with NUL, or null.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
