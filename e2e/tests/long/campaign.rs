//! Rounds, as a seed chooses them: something goes wrong under writes, all becomes well again, and every change stands once in every
//! topic, in order per key. `AFTERBAY_LONG_SEED` plays a campaign again, `AFTERBAY_LONG_ROUNDS` says of how many rounds, and
//! `AFTERBAY_LONG_FAULT` plays that fault only.

use std::time::{Instant, SystemTime};

use afterbay_e2e::History;
use afterbay_e2e::random::Random;
use tokio::time::sleep;

use crate::fault::Fault;
use crate::setting;
use crate::world::World;

const ROUNDS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_stands_once_whatever_goes_wrong_in_the_cluster() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let seed = setting("SEED").unwrap_or_else(|| Random::new(now).bits() >> 16);
    let rounds = setting("ROUNDS").unwrap_or(ROUNDS);
    let only: Option<String> = setting("FAULT");
    eprintln!("long: {rounds} rounds of AFTERBAY_LONG_SEED={seed}");
    let mut random = Random::new(seed);
    let mut world = World::make().await;
    let mut faults = Vec::new();
    for round in 1..=rounds {
        // Each comes once before one comes again.
        if faults.is_empty() {
            faults.extend(Fault::ALL.into_iter().filter(|fault| only.as_ref().is_none_or(|only| fault.name() == only)));
            assert!(!faults.is_empty(), "AFTERBAY_LONG_FAULT is none of {:?}", Fault::ALL.map(Fault::name));
        }
        let fault = faults.swap_remove(random.below(faults.len() as u64) as usize);
        // Its end is told by who has played it, if it ends.
        eprint!("long: round {round} of {rounds}: {}: ", fault.name());
        play(&mut world, fault, &mut random).await;
    }
}

async fn play(world: &mut World, fault: Fault, random: &mut Random) {
    let begun = Instant::now();
    let writer = History::of(&world.operated.scenario.database).lasting_writer();
    sleep(random.millis(200, 2_000)).await;
    fault.strike(world, random).await;
    sleep(random.millis(200, 1_000)).await;
    writer.stop().await;
    let written = Instant::now();
    world.is_well().await;
    let well = written.elapsed();
    let changes = world.check().await;
    if world.has_a_guest() {
        let writer = History::of(&world.operated.scenario.database).lasting_writer();
        world.remove_the_guest().await;
        writer.stop().await;
    }
    eprintln!(
        "{changes} changes so far, all right after {:.1} s, {:.1} s in all",
        well.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
}
