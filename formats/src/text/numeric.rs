//! `numeric`: digits with an optional point, `NaN`, `Infinity`.

use std::cmp::{Ordering, Reverse};

use num_bigint::{BigInt, BigUint, Sign};

use super::{Malformed, Parsed};

/// A number as an integer of units of the last place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unscaled {
    /// Up to 38 digits.
    Small(i128),
    /// Any number of digits.
    Big(BigInt),
    /// `NaN`
    NotANumber,
    /// `Infinity` or `-Infinity`
    Infinite,
    /// More digits before or behind the point than asked for; a number is never rounded.
    TooManyDigits,
}

/// Digits that a `u64` always holds, which most numbers have, and which is quicker.
const QUICK_DIGITS: usize = 19;
/// Digits that an `i128` always holds.
const SMALL_DIGITS: usize = 38;

/// Reads a number as units of 10^-scale, with at most `precision` digits.
pub fn unscaled(text: &[u8], precision: usize, scale: usize) -> Parsed<Unscaled> {
    match text {
        b"NaN" => return Ok(Unscaled::NotANumber),
        b"Infinity" | b"-Infinity" => return Ok(Unscaled::Infinite),
        _ => {}
    }
    let Digits { negative, whole, fraction } = Digits::of(text)?;
    if fraction.len() > scale {
        return Ok(Unscaled::TooManyDigits);
    }
    let digits = whole.iter().chain(fraction).map(|digit| digit - b'0');
    let padding = scale - fraction.len();
    if whole.len() + scale <= QUICK_DIGITS && whole.len() + scale <= precision {
        let units = digits.fold(0_u64, |n, digit| n * 10 + u64::from(digit)) * 10_u64.pow(padding as u32);
        let number = i128::from(units);
        return Ok(Unscaled::Small(if negative { -number } else { number }));
    }
    if whole.len() + scale <= SMALL_DIGITS {
        let number = digits.chain(std::iter::repeat_n(0, padding)).fold(0_u128, |n, digit| n * 10 + u128::from(digit));
        // 10^38 - 1 fits.
        let number = number as i128;
        if precision < SMALL_DIGITS && number >= 10_i128.pow(precision as u32) {
            return Ok(Unscaled::TooManyDigits);
        }
        return Ok(Unscaled::Small(if negative { -number } else { number }));
    }
    let digits: Vec<u8> = digits.chain(std::iter::repeat_n(0, padding)).collect();
    let significant = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
    if significant.len() > precision {
        return Ok(Unscaled::TooManyDigits);
    }
    let magnitude = BigUint::from_radix_be(significant, 10).unwrap_or_default();
    Ok(Unscaled::Big(BigInt::from_biguint(if negative { Sign::Minus } else { Sign::Plus }, magnitude)))
}

/// How two numbers compare; as in Postgres, `NaN` equals itself and is larger than all others.
pub fn compare(one: &[u8], other: &[u8]) -> Parsed<Ordering> {
    let (one, other) = (Ordered::of(one)?, Ordered::of(other)?);
    Ok(one.cmp(&other))
}

/// A number in a form that orders as it does.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Ordered<'a> {
    NegativeInfinity,
    Negative(Reverse<Magnitude<'a>>),
    Positive(Magnitude<'a>),
    Infinity,
    NotANumber,
}

/// Without zeros that do not count: more digits before the point are more, else the digits decide.
type Magnitude<'a> = (usize, &'a [u8], &'a [u8]);

impl<'a> Ordered<'a> {
    fn of(text: &'a [u8]) -> Parsed<Self> {
        match text {
            b"NaN" => return Ok(Self::NotANumber),
            b"Infinity" => return Ok(Self::Infinity),
            b"-Infinity" => return Ok(Self::NegativeInfinity),
            _ => {}
        }
        let Digits { negative, whole, fraction } = Digits::of(text)?;
        let magnitude = (whole.len(), whole, fraction);
        let zero = whole.is_empty() && fraction.is_empty();
        Ok(if negative && !zero { Self::Negative(Reverse(magnitude)) } else { Self::Positive(magnitude) })
    }
}

/// The digits of a finite number, without the zeros that do not count.
struct Digits<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Digits<'a> {
    fn of(text: &'a [u8]) -> Parsed<Self> {
        let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
        let point = digits.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = point.map_or((digits, &b""[..]), |at| (&digits[..at], &digits[at + 1..]));
        if whole.is_empty() || (point.is_some() && fraction.is_empty()) {
            return Err(Malformed);
        }
        if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let whole = &whole[whole.iter().take_while(|digit| **digit == b'0').count()..];
        let fraction = &fraction[..fraction.len() - fraction.iter().rev().take_while(|digit| **digit == b'0').count()];
        Ok(Self { negative, whole, fraction })
    }
}

/// The bytes of a two's complement big-endian number that are needed: all but those that only repeat the sign.
pub fn minimal(bytes: &[u8; 16]) -> &[u8] {
    let mut from = 0;
    while from < 15 {
        let repeats = match bytes[from] {
            0x00 => bytes[from + 1] < 0x80,
            0xff => bytes[from + 1] >= 0x80,
            _ => false,
        };
        if !repeats {
            break;
        }
        from += 1;
    }
    &bytes[from..]
}

#[cfg(test)]
mod tests {
    use super::Unscaled::{Big, Infinite, NotANumber, Small, TooManyDigits};
    use super::*;

    fn check(text: &str, precision: usize, scale: usize, expected: Unscaled) {
        assert_eq!(unscaled(text.as_bytes(), precision, scale), Ok(expected), "{text} as ({precision},{scale})");
    }

    #[test]
    fn numbers() {
        check("0", 1, 0, Small(0));
        check("0.00", 5, 2, Small(0));
        check("-0.01", 5, 2, Small(-1));
        check("123.45", 5, 2, Small(12_345));
        check("123", 5, 2, Small(12_300));
        check("1.5000", 5, 2, Small(150));
        check(
            "-99999999999999999999999999999999999999",
            38,
            0,
            Small(-99_999_999_999_999_999_999_999_999_999_999_999_999),
        );
    }

    #[test]
    fn beyond_what_an_i128_holds() {
        let digits = "9".repeat(60);
        check(&format!("-{digits}"), 60, 0, Big(format!("-{digits}").parse().unwrap()));
        check("0.1", 60, 50, Big(format!("1{}", "0".repeat(49)).parse().unwrap()));
        check("0", 60, 50, Big(BigInt::ZERO));
    }

    #[test]
    fn what_a_decimal_cannot_hold() {
        check("NaN", 5, 2, NotANumber);
        check("Infinity", 5, 2, Infinite);
        check("-Infinity", 5, 2, Infinite);
        check("1.005", 5, 2, TooManyDigits);
        check("1000.00", 5, 2, TooManyDigits);
        check(&"9".repeat(61), 60, 0, TooManyDigits);
        check(&"9".repeat(37), 36, 0, TooManyDigits);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".5", "1.", "1e5", "+1", "1,5", "nan", "--1", "1.2.3"] {
            assert_eq!(unscaled(text.as_bytes(), 10, 5), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn minimal_bytes() {
        for (number, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (-1, &[0xff]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (12_345, &[0x30, 0x39]),
        ] {
            assert_eq!(minimal(&i128::to_be_bytes(number)), bytes, "{number}");
        }
    }
}
