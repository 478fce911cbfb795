//! How large the batches are in which a Sink's producer sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of keys and values in a batch, from what costs least to what any topic takes: the default of Kafka's own client,
/// and a message at a time.
const SIZES: [u64; 3] = [1_000_000, 16_384, 1];

/// The bound of a Sink's batches. A topic's `max.message.bytes` is compared with whole batches and librdkafka does not
/// divide one that is refused, so the next life sends smaller ones.
#[derive(Clone, Debug)]
pub struct Batches(Arc<AtomicU64>);

impl Default for Batches {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(SIZES[0])))
    }
}

impl Batches {
    /// The bound, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A batch was refused as too large, in a transaction with messages of up to `largest_message` bytes: whether it is to
    /// be tried again with smaller ones. Where the largest message had a batch of its own, it is itself too large.
    pub fn refused(&self, largest_message: u64) -> bool {
        let bytes = self.bytes();
        match SIZES.into_iter().find(|size| *size < bytes) {
            Some(smaller) if largest_message < bytes => {
                self.0.store(smaller, Ordering::Relaxed);
                true
            }
            // What is told now is mended some day, and then there may be room for large ones again.
            _ => {
                self.0.store(SIZES[0], Ordering::Relaxed);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn become_smaller_while_they_hold_more_than_the_largest_message() {
        let batches = Batches::default();
        assert!(!batches.refused(5_000_000), "the message is to blame");
        assert!(batches.refused(30_000));
        assert_eq!(batches.bytes(), 16_384);
        assert!(batches.refused(3_000));
        assert_eq!(batches.bytes(), 1);
        assert!(!batches.refused(3_000), "every message had one of its own");
        assert_eq!(batches.bytes(), SIZES[0]);
        assert!(batches.refused(30_000) && !batches.refused(30_000), "it had one of its own");
    }
}
