//! A cursor over ASCII text, for the types with a fixed form.

use super::{Malformed, Parsed};

pub struct Scan<'a>(pub &'a [u8]);

impl Scan<'_> {
    /// Takes this byte if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes this byte.
    pub fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Takes a number of at least one digit.
    pub fn number(&mut self) -> Parsed<i64> {
        let mut number = 0_i64;
        let mut digits = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            number = number.checked_mul(10).and_then(|n| n.checked_add(i64::from(digit - b'0'))).ok_or(Malformed)?;
            digits += 1;
            self.0 = rest;
        }
        if digits == 0 { Err(Malformed) } else { Ok(number) }
    }

    /// Takes a number of exactly two digits, at most `max`.
    pub fn two_digits(&mut self, max: i64) -> Parsed<i64> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = self.0 else { return Err(Malformed) };
        self.0 = rest;
        let number = i64::from((tens - b'0') * 10 + (ones - b'0'));
        if number > max { Err(Malformed) } else { Ok(number) }
    }

    /// Takes a fraction of seconds (a point and one to six digits) if there is one, in microseconds.
    pub fn fraction_us(&mut self) -> Parsed<i64> {
        if !self.eat(b'.') {
            return Ok(0);
        }
        let mut number = 0;
        let mut digits = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            number = number * 10 + i64::from(digit - b'0');
            digits += 1;
            if digits > 6 {
                return Err(Malformed);
            }
            self.0 = rest;
        }
        match digits {
            0 => Err(Malformed),
            _ => Ok(number * [100_000, 10_000, 1_000, 100, 10, 1][digits - 1]),
        }
    }

    /// Nothing is left.
    pub fn end(&self) -> Parsed<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}
