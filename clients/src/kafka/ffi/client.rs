//! A client, and what it has to tell.

use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys as sys;
use sys::{rd_kafka_conf_res_t, rd_kafka_resp_err_t, rd_kafka_type_t};

use super::super::config::Settings;
use super::{NativeError, NativeEvent, WORDS_MAX, millis, plain, text};

/// A client that produces, or that asks the cluster and changes it.
pub(in super::super) struct NativeClient {
    pub(super) client: NonNull<sys::rd_kafka_t>,
    events: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's handles may be used by any thread, and by several at a time ("librdkafka is completely
// thread-safe", its INTRODUCTION.md).
unsafe impl Send for NativeClient {}
// SAFETY: as above.
unsafe impl Sync for NativeClient {}

impl NativeClient {
    /// A client with these settings; the error is librdkafka's words.
    pub(in super::super) fn new(settings: &Settings) -> Result<Self, String> {
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
    pub(in super::super) fn poll(&self, timeout: Duration, mut tell: impl FnMut(NativeEvent)) {
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

    /// Makes a `poll` that waits return.
    pub(in super::super) fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_yield(self.events.as_ptr()) };
    }

    /// Drops all messages that are not delivered.
    pub(in super::super) fn purge(&self) {
        let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is alive. An error says only that there is nothing to drop.
        let _ = unsafe { sys::rd_kafka_purge(self.client.as_ptr(), all) };
    }

    /// The brokers of the cluster: an answer shows that it can be reached and lets the user in.
    pub(in super::super) fn brokers(&self, timeout: Duration) -> Result<Vec<i32>, NativeError> {
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; a null topic means none. On success `metadata` is ours until it is destroyed, after
        // its last use, and holds `broker_cnt` brokers.
        unsafe {
            let code =
                sys::rd_kafka_metadata(self.client.as_ptr(), 0, ptr::null_mut(), &raw mut metadata, millis(timeout));
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(plain(code));
            }
            let count = usize::try_from((*metadata).broker_cnt).unwrap_or_default();
            let brokers = (0..count).map(|index| (*(*metadata).brokers.add(index)).id).collect();
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(brokers)
        }
    }

    /// The error that has ended the client, if one has.
    pub(in super::super) fn fatal_error(&self) -> Option<(Code, String)> {
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        // SAFETY: the client is alive, and `words` has the length that is told.
        let code = unsafe { sys::rd_kafka_fatal_error(self.client.as_ptr(), words.as_mut_ptr(), WORDS_MAX) };
        if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka has written a string.
        Some((code.into(), unsafe { text(words.as_ptr()) }))
    }
}

impl Drop for NativeClient {
    fn drop(&mut self) {
        self.purge();
        // SAFETY: nobody else has the handles any more: topics hold their client alive (see `producer::TopicHandle`).
        unsafe {
            sys::rd_kafka_queue_destroy(self.events.as_ptr());
            sys::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}
