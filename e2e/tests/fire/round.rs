//! A round: writers, a fault, silence, a check.

use std::time::{Duration, Instant};

use afterbay_crds::report::SinkState;
use afterbay_e2e::random::Random;
use tokio::time::sleep;

use crate::faults::Fault;
use crate::transactions::markers;
use crate::world::World;
use crate::writer::Writer;

/// When the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A Sink has begun and sends the rows of its table.
    Snapshot,
    /// A Sink has just sent them, and goes over to changes.
    Seam,
    /// All Sinks carry changes.
    Stream,
}

impl Phase {
    /// All.
    pub const ALL: [Self; 3] = [Self::Snapshot, Self::Seam, Self::Stream];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Seam => "seam",
            Self::Stream => "stream",
        }
    }
}

/// What a seed chooses for a round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub seed: u64,
    pub fault: Fault,
    pub phase: Phase,
}

/// What came of a round that was right.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// When the fault did strike: a snapshot may be over before it could.
    pub phase: Phase,
    /// From the end of all writing to the last message.
    pub took: Duration,
    /// Transactions that were committed.
    pub transactions: u64,
}

/// How long a Sink may take to come to where the fault is to strike.
const PATIENCE: Duration = Duration::from_secs(30);

impl Round {
    /// The choices of this seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // A Sink that begins costs a restart: half of the rounds do without.
        let phase = *random.pick(&[Phase::Snapshot, Phase::Seam, Phase::Stream, Phase::Stream]);
        Self { seed, fault: *random.pick(&Fault::ALL), phase }
    }

    /// The round; an error says what the topics have that they must not, or have not that they must.
    pub async fn play(&self, world: &mut World) -> Result<Outcome, String> {
        let mut random = Random::new(self.seed).fork();
        let database = world.database();
        let writer = Writer::start(&database, &mut random);
        if self.phase == Phase::Stream {
            world.run();
        } else {
            world.begin_a_sink(&mut random).await;
        }
        let phase = self.moment(world, &mut random).await;
        self.fault.strike(world, &mut random).await;
        world.is_well();
        sleep(random.millis(0, 500)).await;
        // Some of what is written is written behind the snapshot, and has to come as changes.
        world.snapshot_is_over(Duration::from_secs(20)).await;
        sleep(random.millis(100, 300)).await;
        let transactions = writer.stop().await;
        world.scenario.database.run(&markers()).await;
        let took = world.check().await?;
        Ok(Outcome { phase, took, transactions })
    }

    /// Waits for the moment at which the fault is to strike, as well as it can be met; which it has become.
    async fn moment(&self, world: &World, random: &mut Random) -> Phase {
        let rows = random.below(900);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(report) = world.report().await {
                match (self.phase, report.state) {
                    (Phase::Snapshot, SinkState::Snapshotting) if report.snapshot_rows >= rows => return self.phase,
                    (Phase::Snapshot, SinkState::Running) => return Phase::Seam,
                    (Phase::Seam, _) if report.begun => {
                        sleep(random.millis(0, 60)).await;
                        return self.phase;
                    }
                    (Phase::Stream, SinkState::Running) => {
                        sleep(random.millis(50, 900)).await;
                        return self.phase;
                    }
                    _ => {}
                }
            }
            sleep(Duration::from_millis(4)).await;
        }
        self.phase
    }
}
