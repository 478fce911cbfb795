//! Messages and the transactions that hold them.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka_sys as sys;
use sys::{rd_kafka_resp_err_t, rd_kafka_vtype_t};

use super::client::NativeClient;
use super::{NativeError, millis, plain, take};

/// Nothing is exactly once then: for a benchmark of what transactions cost.
const WITHOUT_TRANSACTIONS: bool = cfg!(feature = "without-transactions");

impl NativeClient {
    pub(in super::super) fn init_transactions(&self, timeout: Duration) -> Result<(), NativeError> {
        if WITHOUT_TRANSACTIONS {
            return Ok(());
        }
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_init_transactions(self.client.as_ptr(), millis(timeout)) })
    }

    pub(in super::super) fn begin_transaction(&self) -> Result<(), NativeError> {
        if WITHOUT_TRANSACTIONS {
            return Ok(());
        }
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_begin_transaction(self.client.as_ptr()) })
    }

    /// Why the open transaction can only be aborted, if that is so. (There is no call to ask: but to begin another one is
    /// refused, with that reason.)
    pub(in super::super) fn transaction_error(&self) -> Option<NativeError> {
        self.begin_transaction().err().filter(|error| error.flags.abortable || error.flags.fatal)
    }

    pub(in super::super) fn commit_transaction(&self, timeout: Duration) -> Result<(), NativeError> {
        if WITHOUT_TRANSACTIONS {
            return Ok(());
        }
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_commit_transaction(self.client.as_ptr(), millis(timeout)) })
    }

    pub(in super::super) fn abort_transaction(&self, timeout: Duration) -> Result<(), NativeError> {
        // SAFETY: the client is alive.
        take(unsafe { sys::rd_kafka_abort_transaction(self.client.as_ptr(), millis(timeout)) })
    }

    /// Waits until no message is outstanding; whether that came in time.
    pub(in super::super) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: the client is alive.
        let code = unsafe { sys::rd_kafka_flush(self.client.as_ptr(), millis(timeout)) };
        code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Messages that are not delivered yet, and events that are not taken yet.
    pub(in super::super) fn outstanding(&self) -> c_int {
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_outq_len(self.client.as_ptr()) }
    }

    pub(in super::super) fn topic(&self, name: &CStr) -> Option<NativeTopic> {
        // SAFETY: the client is alive and the name ends with NUL; a null configuration means the defaults.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(NativeTopic)
    }

    /// How many partitions a topic has.
    pub(in super::super) fn partition_count(&self, topic: &NativeTopic, timeout: Duration) -> Result<i32, NativeError> {
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
    pub(in super::super) fn produce<'h>(
        &self,
        topic: &NativeTopic,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<(), NativeError> {
        // SAFETY: the headers are ours until `produceva` takes them, which it does only when it succeeds. Names and
        // values are copied, and their lengths are told.
        let native_headers = unsafe {
            let list = sys::rd_kafka_headers_new(headers.size_hint().0);
            for (name, value) in headers {
                sys::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.map_or(std::ptr::null(), <[u8]>::as_ptr).cast(),
                    value.map_or(0, <[u8]>::len) as isize,
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

type Tag = rd_kafka_vtype_t;
type Value = sys::rd_kafka_vu_s__bindgen_ty_1;

/// A topic of a producer. Must be dropped before it.
pub(in super::super) struct NativeTopic(NonNull<sys::rd_kafka_topic_t>);

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
