//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);

/// Waits that double from try to try, with jitter, up to a cap.
#[derive(Debug)]
pub struct Patience {
    next: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Patience {
    /// Something worked: the next wait is short again.
    pub fn renew(&mut self) {
        self.next = FIRST;
    }

    /// The next wait; between half and all of its length, so that many Sinks do not come back at once.
    pub fn wait(&mut self) -> Duration {
        use std::hash::{BuildHasher, Hasher};
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let share = 0.5 + (random % 1_000) as f64 / 2_000.0;
        let wait = self.next.mul_f64(share);
        self.next = (self.next * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_begin_anew() {
        let mut patience = Patience::default();
        assert!(patience.wait() <= FIRST);
        let last = (0..20).map(|_| patience.wait()).last().unwrap();
        assert!(last > LONGEST / 3 && last <= LONGEST);
        patience.renew();
        assert!(patience.wait() <= FIRST);
    }
}
