//! `bytea` in its hex form, `\x0aff`.

use super::{Malformed, Parsed};

/// The digits of the hex form, two for each byte.
pub fn hex_digits(text: &[u8]) -> Parsed<&[u8]> {
    let digits = text.strip_prefix(b"\\x").ok_or(Malformed)?;
    if digits.len().is_multiple_of(2) { Ok(digits) } else { Err(Malformed) }
}

/// Appends the bytes that the digits stand for.
pub fn decode(digits: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    out.reserve(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        if high | low > 0xf {
            return Err(Malformed);
        }
        out.push(high << 4 | low);
    }
    Ok(())
}

/// The value of each hex digit; 255 for the bytes that are none.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut byte = 0;
    while byte < 256 {
        values[byte] = match byte as u8 {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            digit @ b'A'..=b'F' => digit - b'A' + 10,
            _ => 0xff,
        };
        byte += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Parsed<Vec<u8>> {
        let mut out = Vec::new();
        decode(hex_digits(text.as_bytes())?, &mut out)?;
        Ok(out)
    }

    #[test]
    fn bytes() {
        assert_eq!(check("\\x"), Ok(vec![]));
        assert_eq!(check("\\x00ff7F"), Ok(vec![0, 255, 127]));
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        for text in ["", "00", "\\x0", "\\x0g", "\\000", "\\x-1"] {
            assert_eq!(check(text), Err(Malformed), "{text:?}");
        }
    }
}
