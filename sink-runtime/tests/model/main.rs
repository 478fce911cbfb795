//! The commit protocol and its fencing, with every interleaving of two lives explored.
//!
//! The real state machine ([`sink_runtime::protocol::Protocol`]) runs in up to two instances of the Sink at once,
//! against a broker that decides, answers and shows in separate steps, loses answers and ends transactions, and a source
//! that goes on committing. A life can end between any two of its steps, and one that is overtaken comes back at any
//! later one. `docs/design/0004-model-of-the-protocol.md` says what this covers and what it leaves out.
#![allow(clippy::expect_used, missing_docs)]

mod broker;
mod life;
mod properties;
mod source;
mod world;

use std::collections::BTreeSet;

use properties::{ACKNOWLEDGED, ONCE, PROGRESS, RECORD};
use source::Log;
use stateright::{Checker, HasDiscoveries, Model as _};
use world::{Defect, Model};

/// A frozen life, a successor, and one fault anywhere: between two changes of one record of the log, too.
const MODEL: Model = Model {
    log: Log(&[2]),
    rows: 1,
    faults: 1,
    rivals: 1,
    late_starts: false,
    repeats: false,
    every_order: false,
    defect: Defect::None,
};

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Explores all of the model, and expects that every property holds and that each of these is met somewhere.
fn holds(model: Model, met: &[&'static str]) {
    let checker = model.checker().threads(threads()).spawn_bfs().join();
    let found = checker.discoveries();
    for property in model.properties() {
        let path = found.get(property.name);
        if property.expectation.discovery_is_failure() {
            assert!(path.is_none(), "{}: {}", property.name, path.expect("a counterexample"));
        } else {
            assert!(path.is_some() || !met.contains(&property.name), "never met: {}", property.name);
        }
    }
    // The end was reached, and the model is no empty one.
    assert!(checker.is_done() && checker.unique_state_count() > 5_000, "{} states", checker.unique_state_count());
}

/// Expects that the checker finds out what comes of a broken rule.
fn breaks(defect: Defect, property: &'static str) {
    let enough = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let model = Model { defect, ..MODEL };
    let checker = model.checker().threads(threads()).finish_when(enough).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "{defect:?} breaks nothing of \"{property}\"");
}

#[test]
fn a_life_is_overtaken_and_comes_back() {
    use properties::{BEFORE_MESSAGES, BEFORE_RECORD, BOTH_OPEN, LATE, UNTOLD, WITHIN};
    holds(MODEL, &[BEFORE_MESSAGES, BEFORE_RECORD, BOTH_OPEN, LATE, UNTOLD, WITHIN]);
}

#[test]
fn one_instance_fails_three_times() {
    let log = Log(&[2, 0, 1]);
    holds(Model { log, rows: 2, faults: 3, rivals: 0, late_starts: true, repeats: true, ..MODEL }, &[]);
}

#[test]
fn two_faults_and_a_rival() {
    holds(Model { log: Log(&[1]), faults: 2, late_starts: true, ..MODEL }, &[]);
}

#[test]
fn two_rivals_follow_each_other() {
    holds(Model { faults: 0, rivals: 2, ..MODEL }, &[]);
}

#[test]
fn a_rival_makes_the_source_forget() {
    use properties::OVERTAKEN_REFUSED;
    holds(Model { log: Log(&[2, 1]), faults: 0, ..MODEL }, &[OVERTAKEN_REFUSED]);
}

#[test]
fn a_rival_while_changes_come_twice() {
    holds(Model { faults: 0, late_starts: true, repeats: true, ..MODEL }, &[]);
}

#[test]
fn every_order_of_steps() {
    holds(Model { log: Log(&[1]), every_order: true, ..MODEL }, &[]);
}

#[test]
fn without_fencing_changes_come_twice() {
    breaks(Defect::OldEpochsAccepted, ONCE);
}

#[test]
fn a_fence_that_keeps_the_open_transaction_mixes_two_lives() {
    breaks(Defect::FenceKeepsTransaction, ONCE);
}

#[test]
fn a_fence_that_does_not_wait_hides_what_is_decided() {
    breaks(Defect::FenceDoesNotWait, ONCE);
}

#[test]
fn a_record_that_is_read_before_the_fence_is_old() {
    breaks(Defect::ReadBeforeFence, ONCE);
}

#[test]
fn an_unknown_outcome_that_is_taken_for_yes_loses_changes() {
    breaks(Defect::UnknownTakenForYes, ONCE);
}

#[test]
fn a_record_outside_the_transaction_speaks_of_what_is_not_there() {
    breaks(Defect::RecordOutsideTransaction, RECORD);
}

#[test]
fn an_acknowledgement_before_the_commit_loses_the_log() {
    breaks(Defect::AcknowledgedBeforeCommit, ACKNOWLEDGED);
}

#[test]
fn a_part_that_is_taken_for_nothing_comes_twice() {
    breaks(Defect::PartTakenForNothing, ONCE);
}

#[test]
fn a_part_that_is_taken_for_the_whole_is_a_record_of_what_is_not_there() {
    breaks(Defect::PartTakenForWhole, RECORD);
}

#[test]
fn messages_without_a_record_come_twice() {
    breaks(Defect::RecordLeftOut, ONCE);
}

#[test]
fn a_machine_that_takes_in_no_end_never_gets_there() {
    breaks(Defect::EndsNotTakenIn, PROGRESS);
}
