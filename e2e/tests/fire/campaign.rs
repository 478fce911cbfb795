//! Round after round.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use afterbay_e2e::Rig;
use afterbay_e2e::programs::repository;
use afterbay_e2e::random::Random;
use futures::FutureExt as _;

use crate::faults::Fault;
use crate::round::{Outcome, Round};
use crate::summary::{Played, Summary};
use crate::world::World;

/// After so many rounds a new database and new topics take the place of those that have grown.
const ROUNDS_PER_WORLD: u32 = 15;

/// A round that takes longer than this has come to a standstill.
const LONGEST: Duration = Duration::from_mins(5);

/// Rounds, as a seed chooses them.
pub struct Campaign {
    seed: u64,
    rounds: u32,
    faults: Vec<Fault>,
    results: Option<PathBuf>,
    page: Option<PathBuf>,
}

impl Campaign {
    /// What the environment asks for; so many rounds if it does not.
    pub fn from_environment(rounds: u32) -> Self {
        let variable = |name: &str| std::env::var(format!("AFTERBAY_FIRE_{name}")).ok().filter(|text| !text.is_empty());
        let number = |name, text: String| text.parse().unwrap_or_else(|_| panic!("AFTERBAY_FIRE_{name} is no number"));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        let path = |name| variable(name).map(|path| repository().join(path));
        let fault = |name: String| {
            let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
            fault.unwrap_or_else(|| panic!("AFTERBAY_FIRE_FAULT is none of {:?}", Fault::ALL.map(Fault::name)))
        };
        Self {
            seed: variable("SEED").map_or_else(|| Random::new(now).bits() >> 16, |text| number("SEED", text)),
            rounds: variable("ROUNDS").map_or(rounds, |text| number("ROUNDS", text) as u32),
            faults: variable("FAULT").map_or_else(|| Fault::ALL.into(), |name| vec![fault(name)]),
            results: path("RESULTS"),
            page: path("PAGE"),
        }
    }

    /// Plays it; what failed, for people.
    pub async fn play(&self) -> Vec<String> {
        eprintln!("fire: {} rounds of seed {}", self.rounds, self.seed);
        let mut failures = Vec::new();
        let mut played = Vec::new();
        let mut world: Option<World> = None;
        for (number, round) in (0..self.rounds).zip(self.rounds()) {
            if number.is_multiple_of(ROUNDS_PER_WORLD) {
                world = None;
            }
            let begun = SystemTime::now();
            let outcome = play(&mut world, &round).await;
            let name = format!("{number}: {} in the {}", round.fault.name(), round.phase.name());
            match &outcome {
                Ok(outcome) => eprintln!(
                    "fire: {name}: {} transactions, right after {:.1} s, {:.1} s in all",
                    outcome.transactions,
                    outcome.took.as_secs_f64(),
                    begun.elapsed().unwrap_or_default().as_secs_f64(),
                ),
                Err(error) => {
                    let again = format!("AFTERBAY_FIRE_SEED={} AFTERBAY_FIRE_ROUNDS=1", round.seed);
                    let failure = format!("round {name} (seed {}; again alone: {again}): {error}", self.seed);
                    eprintln!("fire: {failure}");
                    keep(&round, &failure, world.take());
                    failures.push(failure);
                }
            }
            played.push(Played::new(&round, &outcome));
            if let Some(results) = &self.results {
                played.last().expect("one was just played").append_to(results);
            }
        }
        drop(world);
        let all = self.results.as_deref().map_or(played, Played::all_of);
        let summary = Summary::of(&all);
        eprintln!("{}", summary.table());
        if let Some(page) = &self.page {
            summary.write_into(page);
        }
        failures
    }

    /// Rounds without end. The first has the campaign's own seed, so that any round can be played alone; from then on
    /// each fault comes once before one comes again.
    fn rounds(&self) -> impl Iterator<Item = Round> {
        let mut random = Random::new(self.seed);
        let first = Round::of(self.seed);
        let mut faults = Vec::new();
        std::iter::once(first).filter(|first| self.faults.contains(&first.fault)).chain(std::iter::from_fn(move || {
            if faults.is_empty() {
                faults.clone_from(&self.faults);
            }
            let fault = faults.swap_remove(random.below(faults.len() as u64) as usize);
            let mut seeds = std::iter::repeat_with(|| Round::of(random.bits() >> 16));
            seeds.find(|round| round.fault == fault)
        }))
    }
}

/// One round, whatever becomes of it.
async fn play(world: &mut Option<World>, round: &Round) -> Result<Outcome, String> {
    let play = async {
        if world.is_none() {
            *world = Some(World::make(round.seed).await);
        }
        round.play(world.as_mut().expect("it was just made")).await
    };
    match tokio::time::timeout(LONGEST, AssertUnwindSafe(play).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(words), _) => words.clone(),
            (_, Some(words)) => (*words).to_owned(),
            _ => "a panic without words".to_owned(),
        }),
        Err(_) => Err(format!("it is not over within {LONGEST:?}")),
    }
}

/// Keeps what a failure left behind.
fn keep(round: &Round, failure: &str, world: Option<World>) {
    let folder = repository().join("target/fire").join(format!("seed-{}", round.seed));
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let write = |name: &str, text: &str| {
        std::fs::write(Path::new(&folder).join(name), text).expect("the file can be written");
    };
    write("failure.txt", failure);
    if let Some(afterbay) = world.and_then(|mut world| world.afterbay.take()) {
        write("log.txt", &afterbay.log().join("\n"));
        write("output.txt", &afterbay.output().join("\n"));
    }
    let logs = Path::new(Rig::get().setting("STATE")).join("log");
    for part in ["broker", "broker-controller", "postgres"] {
        let name = format!("{part}.log");
        // A part that has written nothing has no log.
        let _ = std::fs::copy(logs.join(&name), folder.join(&name));
    }
    eprintln!("fire: what is left of it is in {}", folder.display());
}
