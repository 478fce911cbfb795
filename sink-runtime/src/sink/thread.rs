//! The thread of a Sink: life after life, with patience between.

use std::time::{Duration, Instant};

use afterbay_crds::report::SinkState;

use super::SinkContext;
use super::life::{self, Ending};
use super::patience::Patience;

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

fn wait(context: &SinkContext, wait: Duration) {
    let end = Instant::now() + wait;
    while !context.stop.is_set() {
        match end.checked_duration_since(Instant::now()) {
            Some(rest) if !rest.is_zero() => std::thread::sleep(rest.min(Duration::from_millis(100))),
            _ => return,
        }
    }
}
