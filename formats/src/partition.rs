//! Where a message goes when the Sink has no `partitionBy`.

use crate::avro::FRAME_LEN;

/// The partition of a message: the [`default_hash`] of its encoded key modulo the number of partitions. An Avro key is
/// hashed without its framing, so that a new schema id moves no key. Without a key all messages go to partition 0.
pub fn partition(encoded_key: Option<&[u8]>, avro: bool, partitions: i32) -> i32 {
    let (Some(key), Ok(partitions @ 1..)) = (encoded_key, u64::try_from(partitions)) else { return 0 };
    let key = if avro { key.get(FRAME_LEN..).unwrap_or_default() } else { key };
    (default_hash(key) % partitions) as i32
}

/// SeaHash with its default seeds.
pub fn default_hash(bytes: &[u8]) -> u64 {
    seahash::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference vector of SeaHash's documentation.
    #[test]
    fn hash_is_seahash() {
        assert_eq!(default_hash(b"to be or not to be"), 1_988_685_042_348_123_509);
    }

    #[test]
    fn remainder_of_the_unsigned_hash() {
        let key = b"to be or not to be";
        assert_eq!(partition(Some(key), false, 7), (1_988_685_042_348_123_509_u64 % 7) as i32);
        assert_eq!(partition(Some(key), false, 1), 0);
    }

    #[test]
    fn the_schema_id_does_not_count() {
        let (old, new) = (b"\0\0\0\0\x01key", b"\0\0\0\x09\x01key");
        for partitions in [1, 2, 3, 64] {
            assert_eq!(partition(Some(old), true, partitions), partition(Some(new), true, partitions));
            assert_eq!(partition(Some(old), true, partitions), partition(Some(b"key"), false, partitions));
        }
        assert_ne!(partition(Some(old), false, 1 << 30), partition(Some(new), false, 1 << 30));
    }

    #[test]
    fn no_key_or_no_partitions() {
        assert_eq!(partition(None, true, 5), 0);
        assert_eq!(partition(Some(b"key"), false, 0), 0);
        assert_eq!(partition(Some(b"\0\0"), true, 5), partition(Some(b""), false, 5));
    }
}
