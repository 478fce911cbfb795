//! How large the batches are in which a Sink's producer sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of keys and values in a batch, from what costs least to a message at a time, which is slow and always right. Each
/// step costs a life, and a message that is too large is told only behind the last one.
const SIZES: [u64; 4] = [1_000_000, 32_768, 4_096, 1];

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

    /// A batch was refused as too large: whether it is to be tried again with smaller ones. Only a message that had a batch of
    /// its own is itself to blame: a topic counts bytes as they are compressed, and here nobody knows which.
    pub fn refused(&self) -> bool {
        let bytes = self.bytes();
        let smaller = SIZES.into_iter().find(|size| *size < bytes);
        // What is told now is mended some day, and then there may be room for large ones again.
        self.0.store(smaller.unwrap_or(SIZES[0]), Ordering::Relaxed);
        smaller.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn become_smaller_until_each_message_has_one() {
        let batches = Batches::default();
        for bytes in &SIZES[1..] {
            assert!(batches.refused());
            assert_eq!(batches.bytes(), *bytes);
        }
        assert!(!batches.refused(), "every message had one of its own");
        assert_eq!(batches.bytes(), SIZES[0]);
    }
}
