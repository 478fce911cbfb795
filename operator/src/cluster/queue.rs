//! The work of a reconciler: which resources are to be looked at, and when.
//!
//! A resource stands in it once, however often it is asked for, and is never looked at twice at a time. The times of
//! repetition are those of `docs/design/0011-operator.md`.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afterbay_crds::names::ResourceName;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;

/// After what time an unchanged resource is looked at again (± 10 %).
const REPAIR: Duration = Duration::from_mins(5);

/// When to look at a resource again, if nothing asks for it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is as it is to be: after 5 minutes (± 10 %), to repair what drifted.
    Settled,
    /// After this time.
    After(Duration),
    /// A system does not answer, or refuses: after 5 s, doubling up to 2 min.
    Unanswered,
    /// It is gone, or nothing but a change can help.
    Never,
}

/// The pauses after failures of one class.
#[derive(Clone, Copy)]
struct Pauses {
    first: Duration,
    longest: Duration,
}

const OF_API: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_mins(1) };
const OF_SYSTEMS: Pauses = Pauses { first: Duration::from_secs(5), longest: Duration::from_mins(2) };

impl Pauses {
    /// The pause before the next try, from half of what is due to all of it: many that fail together do not try together.
    fn after(self, failures: u32, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest).mul_f64(0.5 + chance / 2.0)
    }
}

/// What is to be looked at by one reconciler.
pub struct Queue {
    inner: Mutex<Inner>,
    woken: Notify,
    /// How long to wait for more of the same: `kubectl apply` of many manifests is many changes.
    debounce: Duration,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<ResourceName, Entry>,
    due: BTreeSet<(Instant, ResourceName)>,
}

#[derive(Default)]
struct Entry {
    due: Option<Instant>,
    is_running: bool,
    /// Asked for while it was looked at.
    again: Option<Instant>,
    failures: u32,
}

impl Queue {
    /// An empty queue that gives out nothing before it has been asked for so long ago.
    pub fn new(debounce: Duration) -> Self {
        Self { inner: Mutex::default(), woken: Notify::new(), debounce }
    }

    /// Asks for a resource.
    pub fn add(&self, name: &ResourceName) {
        self.add_at(name, Instant::now() + self.debounce);
    }

    /// Asks for a resource after a while, if it is not asked for earlier.
    pub fn add_after(&self, name: &ResourceName, pause: Duration) {
        self.add_at(name, Instant::now() + pause);
    }

    fn add_at(&self, name: &ResourceName, at: Instant) {
        {
            let inner = &mut *self.lock();
            let entry = inner.entries.entry(name.clone()).or_default();
            if entry.is_running {
                entry.again = Some(entry.again.map_or(at, |other| other.min(at)));
                return;
            }
            if entry.due.is_some_and(|due| due <= at) {
                return;
            }
            if let Some(due) = entry.due.replace(at) {
                inner.due.remove(&(due, name.clone()));
            }
            inner.due.insert((at, name.clone()));
        }
        self.woken.notify_one();
    }

    /// The next resource that is due, once one is.
    async fn next(&self) -> ResourceName {
        loop {
            let first = self.lock().due.first().map(|(due, _)| *due);
            let due = async {
                match first {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.woken.notified() => {}
                () = due => {
                    if let Some(name) = self.take() {
                        return name;
                    }
                }
            }
        }
    }

    fn take(&self) -> Option<ResourceName> {
        let inner = &mut *self.lock();
        if inner.due.first()?.0 > Instant::now() {
            return None;
        }
        let (_, name) = inner.due.pop_first()?;
        if let Some(entry) = inner.entries.get_mut(&name) {
            entry.due = None;
            entry.is_running = true;
        }
        Some(name)
    }

    /// A resource has been looked at; `None`: the API server failed.
    fn done(&self, name: &ResourceName, next: Option<Next>, chance: f64) {
        let again = {
            let inner = &mut *self.lock();
            let Some(entry) = inner.entries.get_mut(name) else { return };
            entry.is_running = false;
            let again = entry.again.take();
            entry.failures = match next {
                None | Some(Next::Unanswered) => entry.failures.saturating_add(1),
                _ => 0,
            };
            let pause = match next {
                None => Some(OF_API.after(entry.failures, chance)),
                Some(Next::Unanswered) => Some(OF_SYSTEMS.after(entry.failures, chance)),
                Some(Next::After(pause)) => Some(pause),
                Some(Next::Settled) => Some(REPAIR.mul_f64(0.9 + chance / 5.0)),
                Some(Next::Never) => None,
            };
            let later = pause.map(|pause| Instant::now() + pause);
            match [again, later].into_iter().flatten().min() {
                Some(at) => at,
                None => {
                    inner.entries.remove(name);
                    return;
                }
            }
        };
        self.add_at(name, again);
    }

    /// Looks at what is due, up to `at_once` resources at a time, for ever. Of an error, which is the API server's, the
    /// reconciler has told.
    pub async fn run<F>(self: Arc<Self>, at_once: usize, reconcile: impl Fn(ResourceName) -> F)
    where
        F: Future<Output = Option<Next>>,
    {
        let random = RandomState::new();
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                name = self.next(), if running.len() < at_once => {
                    let looking = reconcile(name.clone());
                    running.push(async move { (name, looking.await) });
                }
                Some((name, next)) = running.next() => {
                    let hash = random.hash_one((&name, Instant::now()));
                    self.done(&name, next, hash as f64 / u64::MAX as f64);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
