//! Tests run beside each other, but for those that do something to the cluster itself.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

static TURNS: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// The leave to use the cluster. A test has one only: a second would wait for somebody who waits for the first to be given back.
pub(super) enum Turn {
    /// Beside others.
    WithOthers { _held: OwnedRwLockReadGuard<()> },
    /// Nobody else has one.
    Alone { _held: OwnedRwLockWriteGuard<()> },
}

impl Turn {
    /// Waits for those who want to be alone.
    pub(super) async fn with_others() -> Self {
        Self::WithOthers { _held: Arc::clone(&TURNS).read_owned().await }
    }

    /// Waits for all others.
    pub(super) async fn alone() -> Self {
        Self::Alone { _held: Arc::clone(&TURNS).write_owned().await }
    }

    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Self::Alone { .. })
    }
}
