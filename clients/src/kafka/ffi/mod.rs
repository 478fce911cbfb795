//! librdkafka, spoken to directly. The only module with `unsafe`.
//!
//! It does what the producer and the administration need and no more: settings, events (failed deliveries, errors, log
//! lines), messages with headers, the five calls of a transaction, and topics. The safe crate will not do: its commit
//! takes 100 ms whenever a message is outstanding, and its administration neither gives the broker's words nor says why
//! no broker answers. Events instead of callbacks, so that no C code calls Rust; and with them librdkafka waits for
//! outstanding messages without polling, so that a commit takes as long as the broker does.
#![allow(unsafe_code)]

mod acls;
mod admin;
mod client;
mod transactions;

use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t;

pub(super) use self::acls::{NativeAcl, NativeFoundAcl};
pub(super) use self::admin::NativeTopicDescription;
pub(super) use self::client::NativeClient;
pub(super) use self::transactions::NativeTopic;
use super::error::Flags;

/// Room for librdkafka's words about an error.
const WORDS_MAX: usize = 512;
const RETRIABLE: Flags = Flags { retriable: true, abortable: false, fatal: false };

/// An error as librdkafka gives it.
#[derive(Clone, Debug)]
pub(super) struct NativeError {
    pub(super) code: Code,
    pub(super) words: String,
    pub(super) flags: Flags,
}

impl NativeError {
    /// One that librdkafka does not give; trying again may help.
    pub(super) fn new(code: Code, words: &str) -> Self {
        Self { code, words: words.to_owned(), flags: RETRIABLE }
    }
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
    NativeError { code: code.into(), words, flags: RETRIABLE }
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

/// The string for C; what holds a NUL byte names nothing that Kafka knows.
fn c_string(string: &str) -> Result<CString, NativeError> {
    CString::new(string).map_err(|_| NativeError {
        code: Code::InvalidArgument,
        words: "a name or value holds a NUL byte".into(),
        flags: Flags { retriable: false, abortable: false, fatal: false },
    })
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
