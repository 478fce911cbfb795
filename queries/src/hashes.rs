//! The hash functions by which others choose partitions.

use md5::{Digest as _, Md5};

/// CRC-32 as in IEEE 802.3.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// SeaHash with its default seeds.
pub fn seahash(bytes: &[u8]) -> u64 {
    ::seahash::hash(bytes)
}

/// MD5, as digits.
pub fn md5(bytes: &[u8], out: &mut Vec<u8>) {
    crate::text_form::hex(&Md5::digest(bytes), out);
}

/// MurmurHash2 as Kafka's default partitioner uses it: its seed, and without the sign.
pub fn kafka_murmur2(bytes: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ (bytes.len() as u32);
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the documentation that describes these functions, and of Python's `zlib` and `hashlib`.
    #[test]
    fn golden() {
        for (text, hash) in [
            ("apple", 95_915_317),
            ("banana", 885_931_309),
            ("grape", 593_835_141),
            ("orange", 2_041_258_504),
            ("zucchini", 521_813_396),
        ] {
            assert_eq!(kafka_murmur2(text.as_bytes()), hash, "{text}");
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(seahash(b"to be or not to be"), 1_988_685_042_348_123_509);
        let mut digits = Vec::new();
        md5(b"abc", &mut digits);
        assert_eq!(digits, b"900150983cd24fb0d6963f7d28e17f72");
    }
}
