//! The thread of a Sink: life after life, with patience between.

use std::time::{Duration, Instant};

use afterbay_crds::reason::Reason;
use afterbay_crds::report::SinkState;

use super::life::{self, Ending};
use super::patience::Patience;
use super::{SinkContext, begin};
use crate::position::Position;
use crate::source::loss::Refusal;

/// How often a paused Sink looks whether the slot still has what it will need.
const SLOT_INTERVAL: Duration = Duration::from_secs(10);

/// How a Sink's thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to.
    Stopped,
    /// Another worker owns its transactional id: the whole worker is to leave.
    Fenced,
}

/// Lives until told to stop, or fenced.
pub fn run(context: &SinkContext) -> Outcome {
    if context.plan.paused {
        return stand_still(context);
    }
    let mut patience = Patience::default();
    loop {
        if context.stop.is_set() {
            return Outcome::Stopped;
        }
        context.status.is(if context.status.begun() { SinkState::Starting } else { SinkState::Created });
        let (ending, committed) = life::live(context);
        if committed {
            patience.renew();
        }
        match ending {
            Ending::Again => {}
            Ending::Stopped => return Outcome::Stopped,
            Ending::Fenced(problem) => {
                context.status.stalled(&problem);
                return Outcome::Fenced;
            }
            Ending::Parked(problem) => {
                context.source.away(context.index);
                context.status.stalled(&problem);
                wait(context, patience.wait());
            }
            // The next session is to wait for it, so nothing is said of being away.
            Ending::Lost(problem) => {
                context.status.stalled(&problem);
                wait(context, patience.wait());
            }
        }
    }
}

/// A paused Sink: fences who may still carry, reads how far it has come, so that the log is kept for it from there on, and
/// does nothing more.
fn stand_still(context: &SinkContext) -> Outcome {
    let mut patience = Patience::default();
    context.source.away(context.index);
    while !context.stop.is_set() {
        match begin::place(context) {
            Ok(place) => {
                context.status.works(SinkState::Paused);
                while !context.stop.is_set() {
                    if let Some(position) = &place {
                        look_at_slot(context, position);
                    }
                    wait(context, SLOT_INTERVAL);
                }
            }
            Err(Ending::Fenced(problem)) => {
                context.status.stalled(&problem);
                return Outcome::Fenced;
            }
            Err(Ending::Parked(problem) | Ending::Lost(problem)) => {
                context.status.stalled(&problem);
                wait(context, patience.wait());
            }
            Err(Ending::Again | Ending::Stopped) => {}
        }
    }
    Outcome::Stopped
}

/// A log that is kept for a Sink that it has nothing for any more costs the others the slot, too.
fn look_at_slot(context: &SinkContext, position: &Position) {
    let lost = match context.source.serves(context.index, position) {
        Some(Ok(())) => {
            context.floors.serve(context.index);
            None
        }
        Some(Err(Refusal::Lost(problem) | Refusal::BeginAnew(problem))) => {
            context.floors.lose(context.index);
            Some(problem)
        }
        Some(Err(Refusal::Problem(_))) | None => return,
    };
    for reason in [Reason::SlotLost, Reason::SlotAheadOfProgress] {
        context.status.warning(reason, lost.clone().filter(|lost| lost.reason == reason.as_str()));
    }
}

fn wait(context: &SinkContext, wait: Duration) {
    let begun = Instant::now();
    while !context.stop.is_set() {
        match wait.saturating_sub(begun.elapsed()) {
            Duration::ZERO => return,
            rest => std::thread::sleep(rest.min(Duration::from_millis(100))),
        }
    }
}
