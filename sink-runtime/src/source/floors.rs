//! How far the source may forget: the smallest of what the Sinks have committed.

use std::sync::{Arc, Mutex, PoisonError};

use afterbay_clients::postgres::Lsn;

/// The floor of each Sink of a worker. One that is not known yet holds all back.
#[derive(Clone, Debug)]
pub struct Floors(Arc<Mutex<Vec<Option<Lsn>>>>);

impl Floors {
    /// Floors of this many Sinks, none of them known.
    pub fn new(sinks: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![None; sinks])))
    }

    /// A Sink has committed all transactions that commit before `lsn`; never taken back.
    pub fn raise(&self, sink: usize, lsn: Lsn) {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(floor) = floors.get_mut(sink) {
            *floor = Some(floor.map_or(lsn, |known| known.max(lsn)));
        }
    }

    /// What can be acknowledged; none while a Sink's place is not known.
    pub fn lowest(&self) -> Option<Lsn> {
        let floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        floors.iter().copied().min().flatten()
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
}
