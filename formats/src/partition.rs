//! Where a message goes when the Sink has no `partitionBy`.

/// The partition of a message: the [`default_hash`] of its encoded key modulo the number of partitions. The first
/// `frame_len` bytes of the key are left out: those of an Avro key are its framing, and a new schema id moves no key.
/// Without a key all messages go to partition 0.
pub fn partition(encoded_key: Option<&[u8]>, frame_len: usize, partitions: i32) -> i32 {
    encoded_key.map_or(0, |key| of_hash(default_hash(key.get(frame_len..).unwrap_or_default()), partitions))
}

/// The partition of a message with this hash.
pub fn of_hash(hash: u64, partitions: i32) -> i32 {
    match u64::try_from(partitions) {
        Ok(partitions @ 1..) => (hash % partitions) as i32,
        _ => 0,
    }
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
        assert_eq!(partition(Some(key), 0, 7), (1_988_685_042_348_123_509_u64 % 7) as i32);
        assert_eq!(partition(Some(key), 0, 1), 0);
    }

    #[test]
    fn the_schema_id_does_not_count() {
        let (old, new) = (b"\0\0\0\0\x01key", b"\0\0\0\x09\x01key");
        for partitions in [1, 2, 3, 64] {
            assert_eq!(partition(Some(old), 5, partitions), partition(Some(new), 5, partitions));
            assert_eq!(partition(Some(old), 5, partitions), partition(Some(b"key"), 0, partitions));
        }
        assert_ne!(partition(Some(old), 0, 1 << 30), partition(Some(new), 0, 1 << 30));
    }

    #[test]
    fn no_key_or_no_partitions() {
        assert_eq!(partition(None, 5, 5), 0);
        assert_eq!(partition(Some(b"key"), 0, 0), 0);
        assert_eq!(partition(Some(b"\0\0"), 5, 5), partition(Some(b""), 0, 5));
    }
}
