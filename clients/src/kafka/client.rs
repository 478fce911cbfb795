//! A client of librdkafka's with a thread that listens to what it has to tell.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::config::Settings;
use super::ffi::{NativeClient, NativeEvent};
use super::trouble::Trouble;

/// How long the thread waits before it looks whether it is still needed; it is woken when it is not.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for those that still hold the client, when its owner has let it go.
const GOODBYE: Duration = Duration::from_millis(20);

/// What owner, topics and the thread share. The thread lets it go last: to destroy the native client can take long (a
/// look-up of a host's name cannot be cut short), and no owner is to wait for that.
pub(super) struct Client {
    pub(super) native: NativeClient,
    pub(super) trouble: Trouble,
    failures: Failures,
    stop: AtomicBool,
}

/// Messages that were not delivered.
#[derive(Default)]
struct Failures {
    count: AtomicU64,
    first: Mutex<Option<(String, Code)>>,
}

impl Client {
    /// A client; no broker is spoken to yet. The error is librdkafka's words.
    pub(super) fn start(connection: &str, settings: &mut Settings) -> Result<Arc<Self>, String> {
        settings.set("log.queue", "true");
        settings.set("log_level", "6");
        let client = Arc::new(Self {
            native: NativeClient::new(settings)?,
            trouble: Trouble::new(connection),
            failures: Failures::default(),
            stop: AtomicBool::new(false),
        });
        let listener = Arc::clone(&client);
        let listen = move || {
            loop {
                let stopped = listener.stop.load(Ordering::SeqCst);
                if stopped && Arc::strong_count(&listener) == 1 {
                    return;
                }
                listener.native.poll(if stopped { GOODBYE } else { PATIENCE }, |event| listener.take(event));
            }
        };
        let thread = std::thread::Builder::new().name("kafka-events".into()).spawn(listen);
        thread.map(|_| client).map_err(|error| error.to_string())
    }

    /// Drops what is not delivered, and lets the thread end; waits for nothing.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.native.purge();
        self.native.wake();
    }

    /// Forgets the messages that failed.
    pub(super) fn forget_failures(&self) {
        self.failures.count.store(0, Ordering::SeqCst);
    }

    /// The topic and the error of the first message that failed, if any did.
    pub(super) fn first_failure(&self) -> Option<(String, Code)> {
        if self.failures.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.failures.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, event: NativeEvent) {
        match event {
            NativeEvent::DeliveryFailed { topic, code } => {
                let mut first = self.failures.first.lock().unwrap_or_else(PoisonError::into_inner);
                let is_first = self.failures.count.fetch_add(1, Ordering::SeqCst) == 0;
                // Where one fails the others are dropped: that tells less than why it failed.
                let tells_more = |known: &(String, Code)| is_dropped(known.1) && !is_dropped(code);
                if is_first || first.as_ref().is_none_or(tells_more) {
                    tracing::debug!(topic, %code, "a message was not delivered");
                    *first = Some((topic, code));
                }
            }
            NativeEvent::Error { code, words, fatal } => self.trouble.error(code, &words, fatal),
            NativeEvent::Log { level, facility, words } => self.trouble.log_line(level, &facility, &words),
        }
    }
}

/// Whether a message failed only because others did.
pub(super) fn is_dropped(code: Code) -> bool {
    matches!(code, Code::PurgeQueue | Code::PurgeInflight)
}
