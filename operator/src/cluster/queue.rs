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
            let Some(at) = [again, later].into_iter().flatten().min() else {
                inner.entries.remove(name);
                return;
            };
            at
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

    /// What has been asked for, within the time that more of the same is waited for or later.
    #[cfg(test)]
    pub fn asked(&self, now: bool) -> Vec<ResourceName> {
        let bound = Instant::now() + self.debounce;
        let inner = self.lock();
        let mut names: Vec<_> =
            inner.due.iter().filter(|(due, _)| (*due <= bound) == now).map(|(_, name)| name.clone()).collect();
        names.sort();
        names
    }

    /// Forgets all that has been asked for.
    #[cfg(test)]
    pub fn clear(&self) {
        *self.lock() = Inner::default();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn name(name: &str) -> ResourceName {
        ResourceName::new("default", name)
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_differ() {
        let ms = |pauses: Pauses, failures, chance| pauses.after(failures, chance).as_millis();
        let doubled = [1, 2, 3, 6, 7, 1000].map(|failures| ms(OF_API, failures, 1.0));
        assert_eq!(doubled, [1000, 2000, 4000, 32_000, 60_000, 60_000]);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| ms(OF_SYSTEMS, 1, chance)), [2500, 3750, 5000]);
        assert_eq!(ms(OF_SYSTEMS, 40, 1.0), 120_000);
    }

    #[tokio::test]
    async fn what_is_asked_for_often_is_looked_at_once() {
        let queue = Queue::new(Duration::ZERO);
        queue.add(&name("a"));
        queue.add(&name("a"));
        queue.add_after(&name("a"), Duration::from_hours(1));
        assert_eq!(queue.next().await, name("a"));
        queue.done(&name("a"), Some(Next::Never), 0.0);
        assert!(queue.lock().due.is_empty() && queue.lock().entries.is_empty());
    }

    #[tokio::test]
    async fn what_is_asked_for_meanwhile_is_looked_at_again() {
        let queue = Queue::new(Duration::ZERO);
        queue.add(&name("a"));
        let taken = queue.next().await;
        queue.add(&name("a"));
        assert!(queue.take().is_none(), "it is being looked at");
        queue.done(&taken, Some(Next::Never), 0.0);
        assert_eq!(queue.next().await, taken);
    }

    #[tokio::test]
    async fn what_comes_later_can_be_brought_forward() {
        let queue = Queue::new(Duration::ZERO);
        queue.add_after(&name("late"), Duration::from_hours(1));
        queue.add_after(&name("a"), Duration::from_hours(2));
        queue.add(&name("a"));
        assert_eq!(queue.next().await, name("a"));
        assert_eq!(queue.lock().due.len(), 1);
    }

    #[tokio::test]
    async fn failures_are_counted_until_one_goes_well() {
        let queue = Queue::new(Duration::ZERO);
        let failures = |queue: &Queue| queue.lock().entries[&name("a")].failures;
        for (next, expected) in
            [(None, 1), (Some(Next::Unanswered), 2), (Some(Next::Settled), 0), (Some(Next::Unanswered), 1)]
        {
            queue.add(&name("a"));
            queue.next().await;
            queue.done(&name("a"), next, 0.0);
            assert_eq!(failures(&queue), expected, "{next:?}");
        }
    }

    #[tokio::test]
    async fn so_many_are_looked_at_at_once_and_none_twice() {
        let queue = Arc::new(Queue::new(Duration::ZERO));
        let (running, most, looked) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        for number in 0..20 {
            queue.add(&name(&number.to_string()));
        }
        let all = Arc::clone(&queue).run(4, |_| async {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            looked.fetch_add(1, Ordering::SeqCst);
            Some(Next::Never)
        });
        let through = async {
            while looked.load(Ordering::SeqCst) < 20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = all => {}
            () = through => {}
        }
        assert_eq!((most.load(Ordering::SeqCst), looked.load(Ordering::SeqCst)), (4, 20));
    }
}
