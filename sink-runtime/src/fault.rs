//! Fault points: named places at which a test makes the process end at once, as `kill -9` would.
//!
//! Compiled in with the feature `fault-points` only. `AFTERBAY_FAULT=name` ends the process the first time it comes by
//! the point of that name, `AFTERBAY_FAULT=name:3` the third time. With `AFTERBAY_FAULT_ONCE=FILE` it ends only if it can
//! remove that file: so a process that is started again with the same environment lives.

/// Ends the process here if a test wants it to.
#[cfg(feature = "fault-points")]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let value = std::env::var("AFTERBAY_FAULT").ok()?;
        let (name, nth) = value.split_once(':').unwrap_or((&value, "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1)))
    });
    if let Some((wanted, nth)) = wanted
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
        && std::env::var_os("AFTERBAY_FAULT_ONCE").is_none_or(|file| std::fs::remove_file(file).is_ok())
    {
        std::process::abort();
    }
}

/// Nothing, outside of tests.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_name: &str) {}
