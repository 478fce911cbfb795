//! Integers of every width.

use super::{Malformed, Parsed};

/// Digits that a `u64` always holds.
const QUICK_DIGITS: usize = 19;

/// Digits with an optional minus in front.
pub fn signed(text: &[u8]) -> Parsed<i64> {
    match text {
        [b'-', digits @ ..] => 0_i64.checked_sub_unsigned(unsigned(digits)?).ok_or(Malformed),
        digits => i64::try_from(unsigned(digits)?).map_err(|_| Malformed),
    }
}

/// Digits alone, as the server writes them: none is a zero that does not count, which JSON does not know.
pub fn unsigned(text: &[u8]) -> Parsed<u64> {
    if matches!(text, [] | [b'0', _, ..]) {
        return Err(Malformed);
    }
    let (quick, rest) = text.split_at(text.len().min(QUICK_DIGITS));
    let mut number = 0_u64;
    for &byte in quick {
        number = number * 10 + digit(byte)?;
    }
    for &byte in rest {
        number = number.checked_mul(10).and_then(|number| number.checked_add(digit(byte).ok()?)).ok_or(Malformed)?;
    }
    Ok(number)
}

fn digit(byte: u8) -> Parsed<u64> {
    match byte.wrapping_sub(b'0') {
        digit @ 0..=9 => Ok(digit.into()),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes() {
        assert_eq!(signed(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(signed(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(unsigned(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(signed(b"0"), Ok(0));
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        for text in
            ["", "-", "+1", "1.0", " 1", "1 ", "0x1", "01", "-00", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(signed(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        assert_eq!(unsigned(b"18446744073709551616"), Err(Malformed));
    }
}
