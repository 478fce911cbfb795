//! What librdkafka says of its connections while it waits.
//!
//! A call that fails says "timed out", and what really happened was said before, in an event: that is kept here until
//! somebody asks why. The log tells of a cluster that is lost and found once each; the many lines between are for
//! debugging.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};

/// The last trouble of a client; copies share it.
#[derive(Clone, Debug)]
pub struct Trouble(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cause: Option<Cause>,
    /// No broker can be reached, and the log says so.
    down: bool,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// librdkafka's code.
    pub code: Code,
    /// Its words.
    pub words: String,
}

impl Cause {
    /// Of an event's or a log line's words: without how long it took and how often it was the same, which would make
    /// two of one.
    fn new(code: Code, words: &str) -> Self {
        let words = words.split_once(" (after ").map_or(words, |(words, _)| words).trim();
        Self { code, words: words.to_owned() }
    }

    /// Whether waiting longer cannot help: the broker answers, and says no.
    pub fn is_refusal(&self) -> bool {
        match self.code {
            // A handshake is also cut short by a broker that is ending.
            Code::SSL => !self.words.contains("Disconnected") && !self.words.contains("Connection reset"),
            Code::Authentication | Code::SaslAuthenticationFailed => true,
            _ => false,
        }
    }

    /// Whether the broker hung up in a way that speaks for TLS on its side and none on ours.
    pub(super) fn wants_tls(&self) -> bool {
        self.code == Code::BrokerTransportFailure && self.words.contains("security.protocol")
    }

    /// How much it tells.
    fn weight(&self) -> u8 {
        match self.code {
            Code::Authentication | Code::SaslAuthenticationFailed => 5,
            Code::SSL if self.is_refusal() => 4,
            Code::SSL => 3,
            Code::BrokerTransportFailure if self.wants_tls() => 3,
            Code::Resolve => 2,
            Code::BrokerTransportFailure => 1,
            _ => 0,
        }
    }
}

impl Trouble {
    /// None so far, with the connection of this name.
    pub fn new(connection: &str) -> Self {
        Self(Arc::new(Inner { connection: connection.to_owned(), state: Mutex::default() }))
    }

    /// Something happened. What says more stays, though something else comes after it.
    pub fn note(&self, code: Code, words: &str) {
        let mut state = self.state();
        let cause = Cause::new(code, words);
        if state.cause.as_ref().is_none_or(|known| cause.weight() >= known.weight()) {
            state.cause = Some(cause);
        }
    }

    /// The trouble that says most, if there was any.
    pub fn cause(&self) -> Option<Cause> {
        self.state().cause.clone()
    }

    /// A broker has answered: all is well again.
    pub fn clear(&self) {
        let mut state = self.state();
        state.cause = None;
        if std::mem::take(&mut state.down) {
            tracing::info!("Kafka connection {}: the brokers answer again", self.0.connection);
        }
    }

    /// librdkafka's event of an error.
    pub(super) fn error(&self, code: Code, words: &str, fatal: bool) {
        tracing::debug!(%code, fatal, "{words}");
        if code == Code::AllBrokersDown {
            let mut state = self.state();
            if !std::mem::replace(&mut state.down, true) {
                let cause = state.cause.as_ref().map_or(words, |cause| cause.words.as_str());
                tracing::warn!("Kafka connection {}: no broker can be reached: {cause}", self.0.connection);
            }
        } else {
            self.note(code, words);
        }
    }

    /// librdkafka's line for the log; of some troubles it tells there only.
    pub(super) fn log_line(&self, level: i32, facility: &str, words: &str) {
        tracing::debug!(level, facility, "{words}");
        if facility == "FAIL" && words.contains("SSL") {
            self.note(Code::SSL, words);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Trouble {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        self.log_line(level as i32, facility, words);
    }

    fn error(&self, error: RdKafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            Trouble::error(self, code, reason, false);
        }
    }
}

impl ConsumerContext for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_more_stays() {
        let trouble = Trouble::new("c");
        trouble.error(Code::Authentication, "wrong password (after 3ms in state AUTH)", false);
        trouble.error(Code::AllBrokersDown, "1/1 brokers are down", false);
        trouble.error(Code::BrokerTransportFailure, "connection refused", false);
        let cause = trouble.cause().unwrap();
        assert_eq!(cause.words, "wrong password");
        assert!(cause.is_refusal());
        trouble.clear();
        assert_eq!(trouble.cause(), None);
    }

    #[test]
    fn a_broker_that_ends_during_a_handshake_refuses_nobody() {
        assert!(!Cause::new(Code::SSL, "SSL handshake failed: Disconnected").is_refusal());
        assert!(Cause::new(Code::SSL, "SSL handshake failed: certificate verify failed").is_refusal());
    }
}
