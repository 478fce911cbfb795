//! The fire test: writers at work, and everything around the worker goes wrong, a fault a round. After each round the
//! topics must tell every committed change once, per key in commit order, and nothing else.
//!
//! The checker knows nothing of the programs: it reads the topics with the reference client, and compares them with the
//! tables and with what their triggers have noted. A seed decides what is done; it is printed, and
//! `AFTERBAY_FIRE_SEED` plays it again. `AFTERBAY_FIRE_ROUNDS` is the number of rounds.
//!
//! It stops the rig's parts under everybody's feet, so it is a test binary of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod campaign;
mod checker;
mod expectation;
mod faults;
mod ledger;
mod order;
mod round;
mod summary;
mod transactions;
mod view;
mod worker;
mod world;
mod writer;

use campaign::Campaign;

/// In every run of the tests; see `make fire` for more.
const ROUNDS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_stands_once_whatever_goes_wrong() {
    let campaign = Campaign::from_environment(ROUNDS);
    let failures = campaign.play().await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
