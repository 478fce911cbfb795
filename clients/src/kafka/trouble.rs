//! What librdkafka says of its connections while it waits.
//!
//! A call that fails says "timed out", and what really happened was said before, in an event: that is kept here until
//! somebody asks why.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode};

/// The last trouble of a client; copies share it.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<Cause>>>);

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// Its words.
    pub words: String,
}

impl Cause {
    /// Whether waiting longer cannot help: the broker answers, and says no.
    pub fn is_refusal(&self) -> bool {
        weight(self.code) >= 3
    }
}

impl Trouble {
    /// Something happened. What says more stays, though something else comes after it.
    pub fn note(&self, code: RDKafkaErrorCode, words: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| weight(code) >= weight(known.code)) {
            *known = Some(Cause { code, words: words.to_owned() });
        }
    }

    /// What was said, for a log line too: librdkafka tells of some troubles there only.
    pub fn note_log(&self, facility: &str, words: &str) {
        if facility == "FAIL" && words.contains("SSL") {
            self.note(RDKafkaErrorCode::SSL, words);
        }
    }

    /// The trouble that says most, if there was any.
    pub fn cause(&self) -> Option<Cause> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All is well again.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn weight(code: RDKafkaErrorCode) -> u8 {
    match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => 4,
        RDKafkaErrorCode::SSL => 3,
        RDKafkaErrorCode::Resolve => 2,
        RDKafkaErrorCode::BrokerTransportFailure => 1,
        _ => 0,
    }
}

impl ClientContext for Trouble {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, words: &str) {
        self.note_log(facility, words);
        tracing::debug!(facility, "{words}");
    }

    fn error(&self, error: RdKafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.note(code, reason);
        }
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_more_stays() {
        let trouble = Trouble::default();
        trouble.note(RDKafkaErrorCode::Authentication, "wrong password");
        trouble.note(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let cause = trouble.cause().unwrap();
        assert_eq!(cause.words, "wrong password");
        assert!(cause.is_refusal());
        trouble.clear();
        assert_eq!(trouble.cause(), None);
    }
}
