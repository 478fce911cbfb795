//! What goes wrong, and how it becomes well again.

use std::time::Duration;

use afterbay_e2e::proxy::{Network, Proxy};
use afterbay_e2e::random::Random;
use afterbay_e2e::{Rig, processes};
use tokio::time::sleep;

use crate::view::JOINED;
use crate::worker::Second;
use crate::world::{TRANSACTION_TIMEOUT, World};

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    WorkerKilled,
    RunKilled,
    WorkerFrozen,
    WorkerFrozenWithSuccessor,
    TwoWorkers,
    TwoRuns,
    BrokerKilled,
    BrokerRestarted,
    BrokerCut,
    BrokerHung,
    BrokerSlow,
    PostgresCrashed,
    PostgresCut,
    PostgresHung,
    PostgresSlow,
    RegistryCut,
    RegistryHung,
    RegistrySlow,
    Paused,
    TopicGrown,
    ColumnJoined,
}

impl Fault {
    /// All.
    pub const ALL: [Self; 21] = [
        Self::WorkerKilled,
        Self::RunKilled,
        Self::WorkerFrozen,
        Self::WorkerFrozenWithSuccessor,
        Self::TwoWorkers,
        Self::TwoRuns,
        Self::BrokerKilled,
        Self::BrokerRestarted,
        Self::BrokerCut,
        Self::BrokerHung,
        Self::BrokerSlow,
        Self::PostgresCrashed,
        Self::PostgresCut,
        Self::PostgresHung,
        Self::PostgresSlow,
        Self::RegistryCut,
        Self::RegistryHung,
        Self::RegistrySlow,
        Self::Paused,
        Self::TopicGrown,
        Self::ColumnJoined,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkerKilled => "worker killed",
            Self::RunKilled => "`afterbay run` and its worker killed",
            Self::WorkerFrozen => "worker frozen beyond its transaction timeout",
            Self::WorkerFrozenWithSuccessor => "worker frozen, a second one meanwhile",
            Self::TwoWorkers => "a second worker of the same plan",
            Self::TwoRuns => "a second `afterbay run`",
            Self::BrokerKilled => "broker killed",
            Self::BrokerRestarted => "broker restarted",
            Self::BrokerCut => "network to the broker cut",
            Self::BrokerHung => "network to the broker hung",
            Self::BrokerSlow => "network to the broker slow",
            Self::PostgresCrashed => "Postgres crashed",
            Self::PostgresCut => "network to Postgres cut",
            Self::PostgresHung => "network to Postgres hung",
            Self::PostgresSlow => "network to Postgres slow",
            Self::RegistryCut => "registry away as the worker starts",
            Self::RegistryHung => "registry silent as the worker starts",
            Self::RegistrySlow => "registry slow as the worker starts",
            Self::Paused => "Sinks paused, and running again",
            Self::TopicGrown => "a partition more",
            Self::ColumnJoined => "a column more",
        }
    }

    /// Does it, and undoes it.
    pub async fn strike(self, world: &mut World, random: &mut Random) {
        let proxies = &world.proxies;
        match self {
            Self::WorkerKilled => kill_worker(world),
            Self::RunKilled => {
                if let Some(afterbay) = world.afterbay.take() {
                    afterbay.kill().await;
                }
                sleep(random.millis(0, 500)).await;
                world.run();
            }
            Self::WorkerFrozen => {
                let frozen = Frozen::of(world);
                sleep(TRANSACTION_TIMEOUT + random.millis(1_200, 2_500)).await;
                drop(frozen);
            }
            Self::WorkerFrozenWithSuccessor => {
                let frozen = Frozen::of(world);
                let second = frozen.as_ref().and_then(|frozen| Second::start(frozen.0, world.scenario.folder()));
                sleep(random.millis(500, 3_000)).await;
                drop(frozen);
                linger(second, random).await;
            }
            Self::TwoWorkers => {
                let worker = world.afterbay.as_ref().and_then(|afterbay| afterbay.workers().first().copied());
                let second = worker.and_then(|worker| Second::start(worker, world.scenario.folder()));
                linger(second, random).await;
            }
            Self::TwoRuns => {
                let elsewhere = world.run_elsewhere();
                sleep(random.millis(1_000, 4_000)).await;
                elsewhere.kill().await;
            }
            Self::BrokerKilled => away("kill", "broker", random).await,
            Self::BrokerRestarted => {
                // A broker that stops has its partitions without a leader for a moment, and takes those for deleted whose
                // transactions it commits in just this moment (docs/kafka.md, "A transaction that never ends"). So it
                // loses sight of the worker shortly before.
                proxies.broker.is(Network::Cut);
                sleep(random.millis(500, 1_000)).await;
                away("stop", "broker", random).await;
                proxies.broker.is(Network::Well);
            }
            Self::PostgresCrashed => {
                away("crash", "postgres", random).await;
                world.scenario.database.reconnect().await;
            }
            Self::BrokerCut => network(&proxies.broker, Network::Cut, random.millis(100, 3_000)).await,
            Self::BrokerHung => network(&proxies.broker, Network::Hung, random.millis(1_000, 8_000)).await,
            Self::BrokerSlow => network(&proxies.broker, Network::Slow, random.millis(2_000, 4_000)).await,
            Self::PostgresCut => network(&proxies.postgres, Network::Cut, random.millis(100, 3_000)).await,
            Self::PostgresHung => network(&proxies.postgres, Network::Hung, random.millis(1_000, 8_000)).await,
            Self::PostgresSlow => network(&proxies.postgres, Network::Slow, random.millis(2_000, 4_000)).await,
            Self::Paused => {
                world.end(random).await;
                world.run_with_pauses(random);
                sleep(random.millis(500, 3_000)).await;
                world.end(random).await;
                world.run();
            }
            Self::TopicGrown => {
                world.grow_a_topic(random).await;
                // It is looked for now and then, and where a life begins.
                if random.chance(50) {
                    kill_worker(world);
                }
            }
            Self::ColumnJoined => {
                let (name, owner) = (random.below(u64::MAX), random.below(11));
                // One after the other: writers lock them in another order.
                for table in ["word", "account"] {
                    let join = format!(
                        "SET lock_timeout = '60s'; \
                         ALTER TABLE {table} ADD COLUMN {JOINED}{name} int; \
                         UPDATE {table} SET {JOINED}{name} = n, n = nextval('numbers') WHERE owner = {owner}"
                    );
                    world.scenario.database.run(&join).await;
                }
                if random.chance(50) {
                    kill_worker(world);
                }
            }
            // Schemas are asked for at the begin of a life: one is made to begin.
            Self::RegistryCut | Self::RegistryHung | Self::RegistrySlow => {
                let how = match self {
                    Self::RegistryCut => Network::Cut,
                    Self::RegistryHung => Network::Hung,
                    _ => Network::Slow,
                };
                proxies.registry.is(how);
                kill_worker(world);
                sleep(random.millis(1_000, 3_000)).await;
                proxies.registry.is(Network::Well);
            }
        }
    }
}

fn kill_worker(world: &World) {
    // Where none runs, one is about to be started; that it is not there is trouble enough.
    if let Some(worker) = world.afterbay.as_ref().and_then(|afterbay| afterbay.workers().first().copied()) {
        processes::signal(worker, "KILL");
    }
}

/// A worker that stands still, until this is dropped.
struct Frozen(u32);

impl Frozen {
    fn of(world: &World) -> Option<Self> {
        let worker = world.afterbay.as_ref()?.workers().first().copied()?;
        processes::signal(worker, "STOP");
        Some(Self(worker))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        processes::signal(self.0, "CONT");
    }
}

/// The second worker may stay for a while, and then dies if it is still there.
async fn linger(second: Option<Second>, random: &mut Random) {
    let Some(mut second) = second else { return };
    for _ in 0..random.below(80) {
        if second.has_left() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn network(proxy: &Proxy, how: Network, time: Duration) {
    proxy.is(how);
    sleep(time).await;
    proxy.is(Network::Well);
}

/// A part of the rig goes, and comes back.
async fn away(how: &'static str, part: &'static str, random: &mut Random) {
    rig(how, part).await;
    sleep(random.millis(0, 1_500)).await;
    rig("start", part).await;
}

async fn rig(verb: &'static str, part: &'static str) {
    let done = tokio::task::spawn_blocking(move || Rig::get().run(&[verb, part])).await;
    let words = done.expect("the rig's script can be run");
    // A part that does not stop in time is killed, and that is said: here it is one fault more.
    assert!(words.lines().all(|line| line.ends_with("it is killed")), "{words}");
}
