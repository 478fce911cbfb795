//! What goes wrong in a round of the campaign, and how it becomes well again.

use std::time::Duration;

use afterbay_e2e::kubernetes::carrying::SOURCE;
use afterbay_e2e::kubernetes::{OPERATOR, labels};
use afterbay_e2e::random::Random;
use tokio::time::sleep;

use crate::world::{Part, TRANSACTION_TIMEOUT, World};

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    PodDeletedByForce,
    PodDeleted,
    WorkerKilled,
    WorkerFrozen,
    OperatorDeletedByForce,
    OperatorKilled,
    Component(Part),
    BrokerKilled,
    PostgresCrashed,
    Paused,
    SinkAdded,
}

impl Fault {
    /// All.
    pub const ALL: [Self; 14] = [
        Self::PodDeletedByForce,
        Self::PodDeleted,
        Self::WorkerKilled,
        Self::WorkerFrozen,
        Self::OperatorDeletedByForce,
        Self::OperatorKilled,
        Self::Component(Part::Kubelet),
        Self::Component(Part::Containerd),
        Self::Component(Part::ApiServer),
        Self::Component(Part::Etcd),
        Self::BrokerKilled,
        Self::PostgresCrashed,
        Self::Paused,
        Self::SinkAdded,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::PodDeletedByForce => "worker's pod deleted by force",
            Self::PodDeleted => "worker's pod deleted",
            Self::WorkerKilled => "worker killed",
            Self::WorkerFrozen => "worker frozen beyond its transaction timeout",
            Self::OperatorDeletedByForce => "operator's pod deleted by force",
            Self::OperatorKilled => "operator killed",
            Self::Component(Part::Kubelet) => "kubelet killed",
            Self::Component(Part::Containerd) => "containerd killed",
            Self::Component(Part::ApiServer) => "API server killed",
            Self::Component(Part::Etcd) => "etcd killed",
            Self::BrokerKilled => "broker killed",
            Self::PostgresCrashed => "Postgres crashed",
            Self::Paused => "a Sink paused, and running again",
            Self::SinkAdded => "a Sink more",
        }
    }

    /// Does it, and undoes it.
    pub async fn strike(self, world: &mut World, random: &mut Random) {
        match self {
            Self::PodDeletedByForce => delete(world, &labels(SOURCE), true).await,
            Self::PodDeleted => delete(world, &labels(SOURCE), false).await,
            Self::OperatorDeletedByForce => delete(world, OPERATOR, true).await,
            Self::WorkerKilled => signal(world, &labels(SOURCE), "sink-runtime", "KILL").await,
            Self::OperatorKilled => signal(world, OPERATOR, "afterbay", "KILL").await,
            Self::WorkerFrozen => {
                signal(world, &labels(SOURCE), "sink-runtime", "STOP").await;
                sleep(TRANSACTION_TIMEOUT + random.millis(1_200, 2_500)).await;
                signal(world, &labels(SOURCE), "sink-runtime", "CONT").await;
            }
            Self::Component(part) => {
                let component = world.component(part);
                component.kill();
                sleep(random.millis(0, 5_000)).await;
                component.start();
                world.operated.api_server_is_back().await;
            }
            Self::BrokerKilled => away(world, "kill", "broker", random.millis(0, 3_000)).await,
            Self::PostgresCrashed => {
                away(world, "crash", "postgres", random.millis(0, 3_000)).await;
                world.operated.scenario.database.reconnect().await;
            }
            Self::Paused => {
                let sink = world.one_of_all(random);
                world.set_state(&sink, "paused").await;
                sleep(random.millis(0, 3_000)).await;
                world.set_state(&sink, "running").await;
            }
            Self::SinkAdded => world.add_a_sink(random).await,
        }
    }
}

/// Where there is no pod one is about to come; that it is not there is trouble enough.
async fn delete(world: &World, labels: &str, by_force: bool) {
    let namespace = &world.operated.namespace;
    for pod in namespace.pods(labels).await {
        let name = pod.metadata.name.expect("a pod has a name");
        if by_force {
            namespace.force_delete(&name).await;
        } else {
            namespace.delete(&format!("Pod/{name}")).await;
        }
    }
}

/// As above.
async fn signal(world: &World, labels: &str, program: &str, signal: &str) {
    let namespace = &world.operated.namespace;
    for pod in namespace.pods(labels).await {
        namespace.signal(&pod, program, signal);
    }
}

/// A part of the rig goes, and comes back.
async fn away(world: &World, how: &str, part: &str, time: Duration) {
    let rig = world.operated.scenario.rig;
    rig.run(&[how, part]);
    sleep(time).await;
    rig.run(&["start", part]);
}
