//! Keys that are not enforced, and whether they are unique after all.
//!
//! To know it for sure would take a memory of every key. What is seen is a key that comes twice, without going in between,
//! within one Kafka transaction: the memory of a few thousand numbers, and enough to tell of a key that is none.

use std::collections::HashMap;

/// How many keys of a transaction are kept in mind: about 2 MB.
const KEYS_MAX: usize = 65_536;

/// The keys of the open transaction.
#[derive(Debug, Default)]
pub struct KeysSeen {
    /// Rows that came less those that went, by the hash of their key.
    rows: HashMap<u64, i32>,
    /// How often a key came that was there, and nobody has asked since.
    repeated: u64,
}

impl KeysSeen {
    /// Another transaction begins.
    pub fn begin(&mut self) {
        self.rows.clear();
    }

    /// A row came under a key with this hash.
    pub fn came(&mut self, hash: u64) {
        if !self.has_room(hash) {
            return;
        }
        let rows = self.rows.entry(hash).or_default();
        if *rows > 0 {
            self.repeated += 1;
        }
        *rows += 1;
    }

    /// A row under this key went.
    pub fn went(&mut self, hash: u64) {
        if !self.has_room(hash) {
            return;
        }
        *self.rows.entry(hash).or_default() -= 1;
    }

    /// The rows of a whole table can come in one transaction.
    fn has_room(&self, hash: u64) -> bool {
        self.rows.len() < KEYS_MAX || self.rows.contains_key(&hash)
    }

    /// How often a key was repeated since this was asked last; none if it was not.
    pub fn news(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.repeated)).filter(|repeated| *repeated > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_comes_while_it_is_there() {
        let mut keys = KeysSeen::default();
        keys.came(1);
        keys.went(1);
        keys.came(1);
        keys.came(2);
        assert_eq!(keys.news(), None);
        keys.came(2);
        assert_eq!(keys.news(), Some(1));
        assert_eq!(keys.news(), None, "it is told");
        keys.begin();
        keys.came(2);
        assert_eq!(keys.news(), None, "a row of another transaction may have gone since");
    }
}
