//! The thread of a Sink: life after life, with patience between.

use std::time::{Duration, Instant};

use afterbay_crds::report::SinkState;

use super::life::{self, Ending};
use super::patience::Patience;
use super::{SinkContext, begin};

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
            Ok(()) => {
                context.status.works(SinkState::Paused);
                wait(context, Duration::MAX);
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

fn wait(context: &SinkContext, wait: Duration) {
    let begun = Instant::now();
    while !context.stop.is_set() {
        match wait.saturating_sub(begun.elapsed()) {
            Duration::ZERO => return,
            rest => std::thread::sleep(rest.min(Duration::from_millis(100))),
        }
    }
}
