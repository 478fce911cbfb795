//! What the status says of the source.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::report::{Problem, SourceReport};

/// Shared by the session, which writes it, and the status page.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    log_end: AtomicU64,
    acknowledged: AtomicU64,
    link: Mutex<Link>,
}

#[derive(Debug, Default)]
struct Link {
    connected: bool,
    error: Option<Problem>,
    warning: Option<&'static str>,
}

impl SourceStatus {
    /// The end of the log, as far as heard.
    pub fn log_end(&self) -> Lsn {
        Lsn(self.0.log_end.load(Ordering::Relaxed))
    }

    /// The log reaches at least that far.
    pub fn heard_log_end(&self, lsn: Lsn) {
        self.0.log_end.fetch_max(lsn.0, Ordering::Relaxed);
    }

    /// The source was told that all before this is committed.
    pub fn acknowledged(&self, lsn: Lsn) {
        self.0.acknowledged.fetch_max(lsn.0, Ordering::Relaxed);
    }

    /// A session stands. Says so once per change of state.
    pub fn up(&self, name: &str) {
        let mut link = self.link();
        if !link.connected {
            tracing::info!(source = name, "replication session established");
        }
        (link.connected, link.error) = (true, None);
    }

    /// Whether a session stands.
    pub fn is_up(&self) -> bool {
        self.link().connected
    }

    /// There is no session. Says so once per change of state or of cause.
    pub fn down(&self, name: &str, problem: &Problem) {
        let mut link = self.link();
        if link.connected || link.error.as_ref().is_none_or(|known| known.reason != problem.reason) {
            tracing::warn!(source = name, reason = %problem.reason, hint = %problem.hint, "{}", problem.message);
        }
        (link.connected, link.error) = (false, Some(problem.clone()));
    }

    /// What is not as it should be, though it stands against nothing. Says so once per change.
    pub fn warns(&self, name: &str, warning: Option<&'static str>) {
        let mut link = self.link();
        if let Some(words) = warning.filter(|words| link.warning != Some(words)) {
            tracing::warn!(source = name, "{words}");
        }
        link.warning = warning;
    }

    /// The session ended as nobody is to be fed.
    pub fn idle(&self) {
        self.link().connected = false;
    }

    /// As the status page says it.
    pub fn report(&self) -> SourceReport {
        let at = |value: &AtomicU64| match value.load(Ordering::Relaxed) {
            0 => None,
            lsn => Some(Lsn(lsn).to_string()),
        };
        let link = self.link();
        SourceReport {
            connected: link.connected,
            log_end: at(&self.0.log_end),
            acknowledged: at(&self.0.acknowledged),
            error: link.error.clone(),
        }
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
