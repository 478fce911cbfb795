//! What a Sink retains of its source's log behind what it has committed (`retainHistory`), and which places of it belong to
//! which times.
//!
//! Pure: it is told the time. A sample says that all transactions before its place had committed in the source by its time.
//! That stays true whatever becomes of the Sink, so samples need no order; a few over the whole length are enough.

use afterbay_clients::postgres::Lsn;
use serde::{Deserialize, Serialize};

/// Into how many parts the length is divided: so coarse is what is forgotten.
const PARTS: u64 = 30;
/// By how much the clocks of the worker and of the database may differ, in milliseconds, without a place that lies behind its
/// time.
const CLOCKS_MS: u64 = 60_000;

/// The samples; empty where nothing is retained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Sample>);

/// Milliseconds since 1970, and the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sample(u64, Lsn);

impl History {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All before `place` is committed now; of what is older than `keep_ms` one sample stays, from which on all is retained.
    pub fn note(&mut self, now_ms: u64, place: Lsn, keep_ms: u64) {
        let last = self.0.iter().map(|sample| sample.0).max();
        if last.is_none_or(|last| now_ms >= last.saturating_add((keep_ms / PARTS).max(1))) {
            self.0.push(Sample(now_ms, place));
        }
        if let Some(floor) = self.floor(now_ms, keep_ms) {
            let old = |sample: &Sample| sample.0.saturating_add(keep_ms) <= now_ms;
            let mut found = false;
            self.0.retain(|sample| !old(sample) || (sample.1 == floor && !std::mem::replace(&mut found, true)));
        }
    }

    /// From where on the log is retained: all transactions that committed within the last `keep_ms` lie behind it. None where
    /// nothing is known.
    pub fn floor(&self, now_ms: u64, keep_ms: u64) -> Option<Lsn> {
        let old = self.0.iter().filter(|sample| sample.0.saturating_add(keep_ms) <= now_ms);
        old.map(|sample| sample.1).max().or_else(|| self.0.iter().map(|sample| sample.1).min())
    }

    /// A place from `floor` on before which all transactions had committed by then; none where what is retained does not
    /// reach back so far.
    pub fn place_of(&self, time_ms: u64, floor: Lsn) -> Option<Lsn> {
        // Samples are let go at a commit: there may be some that are of no use any more.
        let by_then = || self.0.iter().filter(|sample| sample.0 <= time_ms && sample.1 >= floor);
        let sure = by_then().filter(|sample| sample.0.saturating_add(CLOCKS_MS) <= time_ms);
        sure.map(|sample| sample.1).max().or_else(|| by_then().map(|sample| sample.1).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: u64 = 300_000;

    /// A Sink that has committed place 10 t at second t, and was asked each second.
    fn after(seconds: u64) -> History {
        let mut history = History::default();
        for second in 0..=seconds {
            history.note(second * 1_000, Lsn(second * 10), KEEP);
        }
        history
    }

    #[test]
    fn all_is_retained_until_the_length_is_reached() {
        assert_eq!(after(299).floor(299_000, KEEP), Some(Lsn(0)));
        assert_eq!(History::default().floor(9, KEEP), None);
    }

    #[test]
    fn so_much_is_retained_and_little_more() {
        for seconds in [300, 1_000, 1_004, 5_009] {
            let history = after(seconds);
            let floor = history.floor(seconds * 1_000, KEEP).unwrap();
            let (oldest, wanted) = (floor.0 / 10, seconds - 300);
            assert!(oldest <= wanted && oldest + 10 >= wanted, "second {oldest} at {seconds}");
            assert!(history.0.len() <= 32, "{}", history.0.len());
        }
    }

    #[test]
    fn a_time_before_what_is_retained_has_no_place() {
        let history = after(1_000);
        let floor = history.floor(1_000_000 + KEEP / 2, KEEP).unwrap();
        let behind = floor.0 / 10 * 1_000;
        assert_eq!(history.place_of(behind - 1_000, floor), None, "though there is a sample of then");
        assert_eq!(history.place_of(behind + 1_000, floor), Some(floor));
    }

    #[test]
    fn a_pause_neither_forgets_nor_keeps_for_ever() {
        let mut history = after(1_000);
        let at = 1_000_000 + KEEP / 2;
        assert!(history.floor(at, KEEP).unwrap() < Lsn(10_000));
        let at = 1_000_000 + 2 * KEEP;
        assert_eq!(history.floor(at, KEEP), Some(Lsn(10_000)));
        history.note(at, Lsn(10_001), KEEP);
        assert_eq!(history.0.len(), 2);
    }

    #[test]
    fn a_time_leads_to_a_place_before_it() {
        let history = after(1_000);
        assert_eq!(history.place_of(600_000, Lsn(0)), None, "it is forgotten");
        let place = history.place_of(900_000, Lsn(0)).unwrap();
        assert!(place <= Lsn(8_400) && place >= Lsn(8_300), "{place}: clocks may differ");
        assert_eq!(after(20).place_of(15_000, Lsn(0)), Some(Lsn(0)), "from the beginning of what is retained on");
    }

    #[test]
    fn after_a_replay_the_old_samples_still_hold() {
        let mut history = after(100);
        history.note(200_000, Lsn(5), KEEP);
        assert_eq!(history.place_of(190_000, Lsn(0)), Some(Lsn(1_000)));
        assert_eq!(history.floor(200_000, KEEP), Some(Lsn(0)));
    }

    #[test]
    fn it_is_short_in_the_record() {
        let mut history = History::default();
        history.note(7, Lsn(0x16_B374), KEEP);
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(text, r#"[[7,"0/16B374"]]"#);
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    }
}
