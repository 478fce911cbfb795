//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How often the condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until there is something to see, and gives it back. Fails the test at the deadline, telling what was awaited.
pub async fn await_condition<T>(what: &str, deadline: Duration, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(deadline, look).await.unwrap_or_else(|| panic!("{what}: not within {deadline:?}"))
}

/// Looks until there is something to see, and gives it back; nothing at the deadline, for those who can tell more about it.
pub async fn within<T>(deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        let seen = look().await;
        if seen.is_some() || Instant::now() >= end {
            return seen;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
