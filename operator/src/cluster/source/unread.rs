//! Pools without Sinks: nobody reads their slots any more, and a slot that nobody reads makes the database keep its log until its disk is
//! full. They are dropped, unless something waits for them.

use std::collections::BTreeSet;
use std::time::Duration;

use afterbay_crds::names::WorkerName;
use afterbay_crds::plan::DeletionPolicy;
use kube::ResourceExt as _;

use super::kept::Found;
use super::memory::Memory;
use super::{LOOK, Look, SOONEST, pools, rollout};
use crate::cluster::context::Failure;
use crate::cluster::retire::pool::{self, Begun, Left, Progress};
use crate::cluster::retire::retained;
use crate::cluster::status::kept::{KeptSlot, Why};
use crate::cluster::stores::{Key, name_of};

/// What is to become of the slot of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// There are Sinks for it, or may be, or a pod may read it.
    InUse,
    /// A Job drops it.
    Going,
    /// A Job has dropped it.
    Gone,
    /// It stays.
    Kept(Why),
    /// Nothing needs it.
    Spare,
}

/// What is known of a pool.
#[derive(Clone, Debug)]
struct Pool {
    /// Whether there are Sinks of it, in whatever state; or some that cannot be read, which may be of it.
    has_sinks: bool,
    /// Whether a pod may read the slot.
    may_be_read: bool,
    /// The Sinks whose progress records wait for it.
    retained: Vec<String>,
    /// How far the Job is that drops it.
    progress: Progress,
}

/// What the slot of a pool is for.
fn judge(pool: Pool, policy: DeletionPolicy) -> Fate {
    match pool.progress {
        // Who comes meanwhile waits.
        Progress::Working => Fate::Going,
        Progress::Done => Fate::Gone,
        _ if pool.has_sinks || pool.may_be_read => Fate::InUse,
        _ if policy == DeletionPolicy::Retain => Fate::Kept(Why::Policy),
        _ if !pool.retained.is_empty() => Fate::Kept(Why::Retained(pool.retained)),
        Progress::Failed(left) => Fate::Kept(Why::NotDropped(left.join("; "))),
        Progress::None => Fate::Spare,
    }
}

/// What came of a look at all pools.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// The slots that are kept.
    pub kept: Vec<KeptSlot>,
    /// When to look again, if nothing changes before.
    pub again: Option<Duration>,
}

impl Look<'_> {
    /// The workers that nobody may begin now, as what they need is being dropped. Jobs that the stores have heard of need not be remembered.
    pub(super) fn held_up(&self, memory: &mut Memory) -> BTreeSet<WorkerName> {
        memory.jobs.retain(|job| self.context.stores.jobs.get(job).is_none());
        let left = pool::all(self.context, self.name);
        let takes_publication = left.iter().any(|left| left.takes_publication(self.context, &memory.jobs));
        let has_strays = pool::has_strays(self.context, self.name, &left);
        let is_held =
            |left: &&Left| matches!(left.progress(self.context, &memory.jobs), Progress::Working | Progress::Done);
        let mut held: BTreeSet<_> = left.iter().filter(is_held).map(|left| left.worker.clone()).collect();
        if takes_publication || has_strays {
            let own = self.gathered.manifests.sinks.values();
            let mut all: BTreeSet<_> = pools(self.context, self.name);
            all.extend(own.map(|sink| WorkerName { source: self.name.clone(), pool: sink.spec.pool.clone() }));
            // Whose worker is there already has its slot, which no Job takes that somebody reads.
            let runs = |name: &WorkerName| self.current.iter().any(|current| current.name == *name);
            held.extend(all.into_iter().filter(|name| takes_publication || !runs(name)));
        }
        held
    }

    /// Has what nobody needs be dropped, one pool after the other, so that the last one takes the publication along.
    pub(super) async fn unread(&self, memory: &mut Memory) -> Result<Unread, Failure> {
        let mut unread = Unread::default();
        let all = pool::all(self.context, self.name);
        let (mut spare, mut is_going) = (Vec::new(), false);
        let keep = |left: &Left, why| KeptSlot { slot: left.slot.clone(), why, held_bytes: None };
        for left in &all {
            match judge(self.pool(left, memory), self.source.spec.deletion_policy) {
                // What a Job was to read is of before.
                Fate::InUse => left.remove_papers(self.context).await?,
                Fate::Going => {
                    is_going = true;
                    if let Begun::Kept(why) = left.insist(self.context, self.source, &mut memory.jobs).await? {
                        unread.kept.push(keep(left, why));
                    }
                    unread.again = Some(LOOK);
                }
                Fate::Gone => {
                    is_going = true;
                    self.forget_pool(left, memory).await?;
                    unread.again = Some(SOONEST);
                }
                Fate::Kept(why) => {
                    left.remove_papers(self.context).await?;
                    unread.kept.push(keep(left, why));
                }
                Fate::Spare => spare.push(left),
            }
        }
        // What is wrong with the SourceConnector may be where its database is.
        if !is_going && self.verdict.source.invalid.is_empty() {
            let is_last = all.len() == 1
                && !self.context.stores.deployments.has(&Key::Source(self.name.clone()))
                && !self.has_sinks(|_| true);
            for left in spare {
                match left.begin(self.context, self.source, is_last, &mut memory.jobs).await {
                    // One after the other.
                    Ok(Begun::Going) => break,
                    Ok(Begun::NotNow) => unread.again = Some(LOOK),
                    Ok(Begun::Kept(why)) => unread.kept.push(keep(left, why)),
                    // All goes with it.
                    Err(failure) if failure.is_namespace_ending() => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        self.ask_for_kept(&all, &mut unread, memory).await?;
        Ok(unread)
    }

    /// How much is kept for what is kept; what somebody has dropped by hand is done with.
    async fn ask_for_kept(&self, all: &[Left], unread: &mut Unread, memory: &mut Memory) -> Result<(), Failure> {
        let slots: Vec<_> = unread.kept.iter().map(|kept| kept.slot.clone()).collect();
        let (found, again) = self.ask_for_slots(memory, &slots).await?;
        unread.again = [unread.again, again].into_iter().flatten().min();
        let is_gone = |slot: &String| found.get(slot) == Some(&Found::Gone);
        for left in all.iter().filter(|left| slots.contains(&left.slot) && is_gone(&left.slot)) {
            tracing::info!(slot = left.slot, worker = %left.worker, "somebody has dropped it, and no Sink needs it");
            self.forget_pool(left, memory).await?;
        }
        unread.kept.retain(|kept| !is_gone(&kept.slot));
        for kept in &mut unread.kept {
            if let Some(Found::Holds(bytes)) = found.get(&kept.slot) {
                kept.held_bytes = *bytes;
            }
        }
        Ok(())
    }

    fn pool(&self, left: &Left, memory: &Memory) -> Pool {
        Pool {
            has_sinks: self.has_sinks(|pool| pool == left.worker.pool),
            may_be_read: pool::may_be_read(self.context, &left.worker),
            retained: retained::of(&left.begun),
            progress: left.progress(self.context, &memory.jobs),
        }
    }

    /// Whether there are Sinks of such a pool: paused, wrong, waiting and going ones among them, and any that cannot be read.
    fn has_sinks(&self, of: impl Fn(&str) -> bool) -> bool {
        let sinks = &self.context.stores.sinks;
        sinks.has_unreadable(&self.name.namespace)
            || sinks.by(&Key::Source(self.name.clone())).iter().any(|sink| of(&sink.spec.pool))
    }

    /// Nothing is left of a pool: what the Job has read goes with the list that it was made for.
    async fn forget_pool(&self, left: &Left, memory: &mut Memory) -> Result<(), Failure> {
        rollout::forget(self.context, &left.worker, &left.begun).await?;
        memory.jobs.retain(|job| !left.has_job(job));
        self.context.recalled.dropped(&left.worker, &left.slot, left.begun.uid());
        tracing::debug!(begun = %name_of(&*left.begun), "nothing is left of its pool");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> Pool {
        Pool { has_sinks: false, may_be_read: false, retained: Vec::new(), progress: Progress::None }
    }

    fn check(pool: &Pool, policy: DeletionPolicy, expected: &Fate) {
        assert_eq!(judge(pool.clone(), policy), *expected, "{pool:?} {policy:?}");
    }

    #[test]
    fn a_slot_is_dropped_only_if_nothing_can_need_it() {
        use DeletionPolicy::{Delete, Retain};
        check(&spare(), Delete, &Fate::Spare);
        check(&spare(), Retain, &Fate::Kept(Why::Policy));
        check(&Pool { has_sinks: true, ..spare() }, Delete, &Fate::InUse);
        check(&Pool { may_be_read: true, ..spare() }, Delete, &Fate::InUse);
        let retained = vec!["a".to_owned()];
        check(&Pool { retained: retained.clone(), ..spare() }, Delete, &Fate::Kept(Why::Retained(retained.clone())));
        check(&Pool { retained: retained.clone(), ..spare() }, Retain, &Fate::Kept(Why::Policy));
        check(&Pool { retained, has_sinks: true, ..spare() }, Delete, &Fate::InUse);
    }

    #[test]
    fn who_comes_while_it_is_dropped_waits() {
        let progress = |progress, has_sinks| Pool { has_sinks, progress, ..spare() };
        for has_sinks in [false, true] {
            check(&progress(Progress::Working, has_sinks), DeletionPolicy::Delete, &Fate::Going);
            check(&progress(Progress::Done, has_sinks), DeletionPolicy::Delete, &Fate::Gone);
        }
        let failed = || Progress::Failed(vec!["it is in use".to_owned()]);
        check(&progress(failed(), true), DeletionPolicy::Delete, &Fate::InUse);
        let not_dropped = Fate::Kept(Why::NotDropped("it is in use".to_owned()));
        check(&progress(failed(), false), DeletionPolicy::Delete, &not_dropped);
    }
}
