//! Fault points: named places at which a test makes the process end at once, as `kill -9` would, or stand still.
//!
//! Compiled in with the feature `fault-points` only. `AFTERBAY_FAULT=name` ends the process the first time it comes by
//! the point of that name, `AFTERBAY_FAULT=name:3` the third time. With `AFTERBAY_FAULT_ONCE=FILE` it ends only if it can
//! remove that file: so a process that is started again with the same environment lives. `AFTERBAY_HOLD=name` in the same
//! way makes it stand still at the point for as long as the file of `AFTERBAY_HOLD_FILE` is there; it writes the point's
//! name into that file.

#[cfg(feature = "fault-points")]
pub use wanted::{hold, point};

/// Nothing, outside of tests.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_name: &str) {}

/// Nothing, outside of tests.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn hold(_name: &str) -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(feature = "fault-points")]
mod wanted {
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// How often a process that stands still looks whether it may go on.
    const LOOK: Duration = Duration::from_millis(10);

    /// What a test wants to happen at a point.
    struct Wanted {
        name: String,
        nth: u64,
        passed: AtomicU64,
    }

    static FAULT: LazyLock<Option<Wanted>> = LazyLock::new(|| Wanted::of("AFTERBAY_FAULT"));
    static HOLD: LazyLock<Option<Wanted>> = LazyLock::new(|| Wanted::of("AFTERBAY_HOLD"));

    impl Wanted {
        fn of(variable: &str) -> Option<Self> {
            let value = std::env::var(variable).ok()?;
            let (name, nth) = value.split_once(':').unwrap_or((&value, "1"));
            Some(Self { name: name.to_owned(), nth: nth.parse().unwrap_or(1), passed: AtomicU64::new(0) })
        }

        fn is_here(&self, name: &str) -> bool {
            self.name == name && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.nth
        }
    }

    /// Ends the process here if a test wants it to, or makes this thread stand still.
    pub fn point(name: &str) {
        if let Some(fault) = &*FAULT
            && fault.is_here(name)
            && std::env::var_os("AFTERBAY_FAULT_ONCE").is_none_or(|file| std::fs::remove_file(file).is_ok())
        {
            std::process::abort();
        }
        if let Some(file) = held(name) {
            while file.exists() {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Makes this task stand still here if a test wants it to.
    pub async fn hold(name: &str) {
        if let Some(file) = held(name) {
            while file.exists() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// The file by which a test says that the process is to stand still here, told that it does.
    fn held(name: &str) -> Option<PathBuf> {
        let wanted = HOLD.as_ref().filter(|wanted| wanted.is_here(name))?;
        let file = PathBuf::from(std::env::var_os("AFTERBAY_HOLD_FILE")?);
        let told = file.exists() && std::fs::write(&file, &wanted.name).is_ok();
        told.then_some(file)
    }
}
