//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How often the condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until there is something to see, and gives it back. Fails the test at the deadline, telling what was awaited.
pub async fn await_condition<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        tokio::time::sleep(INTERVAL).await;
    }
}
