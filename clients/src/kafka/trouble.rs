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
    /// A broker has answered before, so it is not the way of speaking that is wrong.
    answered: bool,
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
    kind: Kind,
}

/// Kinds of trouble; a later one says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Other,
    /// A connection is refused, or lost.
    Lost,
    /// The host's name is not known.
    Name,
    /// The broker hung up on the first request: it probably speaks TLS.
    NoTls,
    /// The TLS handshake was cut short, as it also is by a broker that is ending.
    CutShort,
    /// It was cut short by one that probably speaks no TLS.
    PlainText,
    /// The TLS handshake failed.
    Tls,
    /// The broker refuses the user.
    User,
}

impl Cause {
    fn new(code: Code, words: &str) -> Self {
        let disconnected = words.contains("Disconnected") || words.contains("Connection reset");
        let kind = match code {
            Code::Authentication | Code::SaslAuthenticationFailed => Kind::User,
            Code::SSL | Code::BrokerTransportFailure if words.contains("SSL") => match disconnected {
                true if words.contains("PLAINTEXT") => Kind::PlainText,
                true => Kind::CutShort,
                false => Kind::Tls,
            },
            Code::BrokerTransportFailure if disconnected && words.contains("APIVERSION_QUERY") => Kind::NoTls,
            Code::BrokerTransportFailure => Kind::Lost,
            Code::Resolve => Kind::Name,
            _ => Kind::Other,
        };
        let code = if matches!(kind, Kind::CutShort | Kind::PlainText | Kind::Tls) { Code::SSL } else { code };
        // Without how long it took, and without the thread that lines of the log begin with.
        let words = words.split_once(" (after ").map_or(words, |(words, _)| words);
        let words = match words.split_once("]: ") {
            Some((thread, words)) if thread.starts_with("[thrd:") => words,
            _ => words,
        };
        Self { code, words: words.trim().to_owned(), kind }
    }

    /// Whether waiting longer cannot help: the broker answers, and says no.
    pub fn is_refusal(&self) -> bool {
        self.kind >= Kind::Tls
    }

    /// Whether the broker hung up in a way that speaks for TLS on its side and none on ours.
    pub(super) fn wants_tls(&self) -> bool {
        self.kind == Kind::NoTls
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
        let mut cause = Cause::new(code, words);
        if state.answered && cause.kind == Kind::NoTls {
            cause.kind = Kind::Lost;
        }
        if state.cause.as_ref().is_none_or(|known| cause.kind >= known.kind) {
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
        state.answered = true;
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
        if facility == "TXNERR" {
            // Once for each transaction that fails.
            tracing::warn!("Kafka connection {}: {words}", self.0.connection);
            return;
        }
        tracing::debug!(level, facility, "{words}");
        if facility == "FAIL" {
            self.note(Code::BrokerTransportFailure, words);
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
    fn words_tell_what_the_code_does_not() {
        for (code, words, kind) in [
            (
                Code::SSL,
                "b: SSL handshake failed: certificate verify failed (after 3ms in state SSL_HANDSHAKE)",
                Kind::Tls,
            ),
            (Code::BrokerTransportFailure, "b: Receive failed: error:0A000412:SSL routines::alert", Kind::Tls),
            (Code::BrokerTransportFailure, "b: SSL handshake failed: Disconnected: closed by peer", Kind::CutShort),
            (Code::BrokerTransportFailure, "b: Disconnected (after 1ms in state APIVERSION_QUERY)", Kind::NoTls),
            (Code::BrokerTransportFailure, "b: Connect to b failed: Connection refused", Kind::Lost),
            (Code::Authentication, "b: SASL authentication error", Kind::User),
        ] {
            assert_eq!(Cause::new(code, words).kind, kind, "{words}");
        }
    }

    #[test]
    fn a_broker_that_has_answered_is_not_taken_for_one_that_wants_tls() {
        let trouble = Trouble::new("c");
        let hung_up = "b: Disconnected (after 1ms in state APIVERSION_QUERY)";
        trouble.error(Code::BrokerTransportFailure, hung_up, false);
        assert!(trouble.cause().unwrap().wants_tls());
        trouble.clear();
        trouble.error(Code::BrokerTransportFailure, hung_up, false);
        assert!(!trouble.cause().unwrap().wants_tls(), "it is only restarting");
    }

    #[test]
    fn words_are_told_without_threads_and_times() {
        let cause =
            Cause::new(Code::BrokerTransportFailure, "[thrd:b]: b: Connection refused (after 0ms in state CONNECT)");
        assert_eq!(cause.words, "b: Connection refused");
    }
}
