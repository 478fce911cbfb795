//! How far the source may forget: the smallest of what the Sinks have committed.

use std::sync::{Arc, Mutex, PoisonError};

use afterbay_clients::postgres::Lsn;

/// The floors of the Sinks of a worker.
#[derive(Clone, Debug)]
pub struct Floors(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    floors: Vec<Floor>,
    /// From where on each Sink wants the log retained, though it has committed more.
    retained: Vec<Option<Lsn>>,
    /// What was acknowledged last.
    told: Lsn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    /// What the Sink has committed is not known yet: nothing can be acknowledged.
    Unknown,
    /// It has not begun: it needs nothing that lies in the past.
    Free,
    /// It begins: nothing beyond this is acknowledged until it has.
    Held(Lsn),
    /// It has committed what commits before this, and needs all from here on.
    At(Lsn),
    /// As [`Self::At`], but the slot has lost what it needs: to keep the log for it is of no use to anybody.
    Lost(Lsn),
}

impl Floors {
    /// Floors of this many Sinks, none of them known.
    pub fn new(sinks: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            floors: vec![Floor::Unknown; sinks],
            retained: vec![None; sinks],
            told: Lsn(0),
        })))
    }

    /// A Sink has committed all transactions that commit before `lsn`; never taken back.
    pub fn raise(&self, sink: usize, lsn: Lsn) {
        self.change(sink, |floor, _| match floor {
            Floor::Lost(known) if lsn <= known => Floor::Lost(known),
            Floor::At(known) | Floor::Lost(known) => Floor::At(known.max(lsn)),
            // What was committed before it began anew, and is gone.
            Floor::Held(known) if lsn < known => Floor::Held(known),
            Floor::Held(_) | Floor::Unknown | Floor::Free => Floor::At(lsn),
        });
    }

    /// A Sink has not begun, and is not about to: what it lacks is no reason to keep the log for it.
    pub fn free(&self, sink: usize) {
        self.change(sink, |_, _| Floor::Free);
    }

    /// A Sink begins: from now on nothing more is acknowledged until its start is committed ([`Self::raise`]), or given
    /// up ([`Self::free`]). Its start must be taken after this call.
    pub fn hold(&self, sink: usize) {
        self.change(sink, |_, told| Floor::Held(told));
    }

    /// The slot cannot give what follows the place of a Sink: the others are not to pay for it with a log that is never
    /// acknowledged, and that costs them the slot as well. Until it is served after all ([`Self::serve`]), or has committed
    /// more.
    pub fn lose(&self, sink: usize) {
        self.change(sink, |floor, _| match floor {
            Floor::At(known) => Floor::Lost(known),
            floor => floor,
        });
    }

    /// The slot gives what follows the place of a Sink. To be called before anything is acknowledged for it.
    pub fn serve(&self, sink: usize) {
        self.change(sink, |floor, _| match floor {
            Floor::Lost(known) => Floor::At(known),
            floor => floor,
        });
    }

    /// A Sink that has committed wants the log retained from there on; none: no more than it needs.
    pub fn retain(&self, sink: usize, from: Option<Lsn>) {
        if let Some(retained) = self.inner().retained.get_mut(sink) {
            *retained = from;
        }
    }

    /// A Sink is to be fed from `lsn` on, wherever it stood; false where the server may have forgotten that by now.
    pub fn set_back(&self, sink: usize, lsn: Lsn) -> bool {
        let mut inner = self.inner();
        if lsn < inner.told {
            return false;
        }
        if let Some(floor) = inner.floors.get_mut(sink) {
            *floor = Floor::At(lsn);
        }
        true
    }

    /// It is not, after all: it stands where it had committed, if it had.
    pub fn give_up(&self, sink: usize, committed: Option<Lsn>) {
        self.change(sink, |_, _| committed.map_or(Floor::Free, Floor::At));
    }

    /// What a Sink has committed, as far as this process knows.
    pub fn of(&self, sink: usize) -> Option<Lsn> {
        match self.inner().floors.get(sink) {
            Some(Floor::At(lsn) | Floor::Lost(lsn)) => Some(*lsn),
            _ => None,
        }
    }

    /// The server knows that all before this is committed.
    pub fn told(&self, lsn: Lsn) {
        let mut inner = self.inner();
        inner.told = inner.told.max(lsn);
    }

    /// What can be acknowledged; none while a Sink's place is not known, none needs anything, or one stands before what the
    /// server has been told. Never less than that: a server may take a slot back to it, and would then seem to have what it
    /// has forgotten.
    pub fn lowest(&self) -> Option<Lsn> {
        let mut inner = self.inner();
        if inner.floors.contains(&Floor::Unknown) {
            return None;
        }
        let places = inner.floors.iter().zip(&inner.retained).filter_map(|(floor, retained)| match floor {
            // What the server has been told is forgotten, whatever somebody wants.
            Floor::At(lsn) => Some(retained.map_or(*lsn, |from| from.max(inner.told).min(*lsn))),
            Floor::Held(lsn) => Some(*lsn),
            _ => None,
        });
        let lowest = places.min().filter(|lowest| *lowest >= inner.told)?;
        inner.told = lowest;
        Some(lowest)
    }

    fn change(&self, sink: usize, change: impl FnOnce(Floor, Lsn) -> Floor) {
        let mut inner = self.inner();
        let told = inner.told;
        if let Some(floor) = inner.floors.get_mut(sink) {
            *floor = change(*floor, told);
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_without_a_place_holds_all_back() {
        let floors = Floors::new(2);
        floors.raise(0, Lsn(7));
        assert_eq!(floors.lowest(), None);
        floors.raise(1, Lsn(5));
        assert_eq!(floors.lowest(), Some(Lsn(5)));
        floors.raise(1, Lsn(3));
        assert_eq!(floors.lowest(), Some(Lsn(5)), "a floor never sinks");
    }

    #[test]
    fn a_sink_that_could_not_begin_anew_has_committed_nothing_more() {
        let floors = Floors::new(1);
        floors.told(Lsn(8));
        floors.raise(0, Lsn(5));
        floors.free(0);
        floors.hold(0);
        assert_eq!(floors.of(0), None);
        floors.raise(0, Lsn(5));
        assert_eq!((floors.of(0), floors.lowest()), (None, Some(Lsn(8))), "its old record, once more");
        floors.raise(0, Lsn(9));
        assert_eq!((floors.of(0), floors.lowest()), (Some(Lsn(9)), Some(Lsn(9))));
    }

    #[test]
    fn what_is_retained_is_not_acknowledged() {
        let floors = Floors::new(2);
        floors.raise(0, Lsn(9));
        floors.retain(1, Some(Lsn(3)));
        floors.raise(1, Lsn(8));
        assert_eq!((floors.lowest(), floors.of(1)), (Some(Lsn(3)), Some(Lsn(8))));
        floors.retain(1, Some(Lsn(5)));
        assert_eq!(floors.lowest(), Some(Lsn(5)));
        floors.retain(1, Some(Lsn(4)));
        assert_eq!(floors.lowest(), Some(Lsn(5)), "it is forgotten, and holds up nobody");
        assert!(!floors.set_back(0, Lsn(4)) && floors.set_back(0, Lsn(5)));
        floors.retain(1, None);
        assert_eq!(floors.lowest(), Some(Lsn(5)));
        floors.give_up(0, Some(Lsn(9)));
        assert_eq!(floors.lowest(), Some(Lsn(8)));
    }

    #[test]
    fn a_slot_is_never_taken_back() {
        let floors = Floors::new(2);
        floors.told(Lsn(8));
        floors.raise(0, Lsn(9));
        floors.raise(1, Lsn(5));
        assert_eq!(floors.lowest(), None, "what the second Sink lacks is gone, and must not seem to be there");
        floors.raise(1, Lsn(8));
        assert_eq!(floors.lowest(), Some(Lsn(8)));
    }

    #[test]
    fn a_sink_that_is_lost_holds_nothing() {
        let floors = Floors::new(2);
        floors.told(Lsn(8));
        floors.raise(0, Lsn(9));
        floors.raise(1, Lsn(5));
        floors.lose(1);
        assert_eq!((floors.of(1), floors.lowest()), (Some(Lsn(5)), Some(Lsn(9))));
        floors.raise(1, Lsn(5));
        assert_eq!(floors.lowest(), Some(Lsn(9)), "its record, once more");
        floors.serve(1);
        assert_eq!(floors.lowest(), None, "there is another slot by now, which has what it needs");
        floors.lose(1);
        floors.raise(1, Lsn(10));
        assert_eq!(floors.lowest(), Some(Lsn(9)), "it has begun anew");
        floors.lose(0);
        floors.lose(1);
        assert_eq!(floors.lowest(), None, "nobody needs anything");
    }

    #[test]
    fn a_sink_that_begins_holds_what_is_acknowledged_where_it_is() {
        let floors = Floors::new(2);
        floors.free(1);
        assert_eq!(floors.lowest(), None, "nobody has begun");
        floors.raise(0, Lsn(5));
        assert_eq!(floors.lowest(), Some(Lsn(5)), "what has not begun holds nothing");
        floors.hold(1);
        floors.raise(0, Lsn(9));
        assert_eq!(floors.lowest(), Some(Lsn(5)), "its start lies after what was acknowledged");
        floors.free(1);
        assert_eq!(floors.lowest(), Some(Lsn(9)), "it was given up");
        floors.hold(1);
        floors.raise(1, Lsn(10));
        floors.raise(0, Lsn(12));
        assert_eq!(floors.lowest(), Some(Lsn(10)), "its start is committed");
    }
}
