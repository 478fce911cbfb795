//! The binary form of `numeric` (`numeric_send`): groups of four digits with a weight, a sign and a scale.

use crate::text::{Malformed, Parsed};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
/// Digits of a group.
const GROUP: usize = 4;

/// Appends the binary form of a number.
pub fn send(text: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    let special = match text {
        b"NaN" => Some(NOT_A_NUMBER),
        b"Infinity" => Some(INFINITY),
        b"-Infinity" => Some(NEGATIVE_INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        header(out, 0, 0, sign, if sign == NOT_A_NUMBER { 0 } else { 32 });
        return Ok(());
    }
    let (sign, digits) = text.strip_prefix(b"-").map_or((POSITIVE, text), |digits| (NEGATIVE, digits));
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = point.map_or((digits, &b""[..]), |at| (&digits[..at], &digits[at + 1..]));
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    // Groups are counted from the point, so both ends are filled up with zeros.
    let padding = (GROUP - whole.len() % GROUP) % GROUP;
    let mut groups = Vec::with_capacity((whole.len() + fraction.len()) / GROUP + 2);
    let padded = std::iter::repeat_n(b'0', padding).chain(whole.iter().copied()).chain(fraction.iter().copied());
    let mut group = 0_u16;
    let mut held = 0;
    for digit in padded {
        group = group * 10 + u16::from(digit - b'0');
        held += 1;
        if held == GROUP {
            groups.push(group);
            (group, held) = (0, 0);
        }
    }
    if held > 0 {
        groups.push(group * 10_u16.pow((GROUP - held) as u32));
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let used = groups.len() - groups.iter().rev().take_while(|group| **group == 0).count();
    let significant = groups.get(leading..used).unwrap_or_default();
    let scale = u16::try_from(fraction.len()).map_err(|_| Malformed)?;
    if significant.is_empty() {
        header(out, 0, 0, POSITIVE, scale);
        return Ok(());
    }
    // The weight is that of the first group: 0 stands right before the point.
    let weight = ((whole.len() + padding) / GROUP) as i64 - leading as i64 - 1;
    let (count, weight) = (u16::try_from(significant.len()), i16::try_from(weight));
    let (Ok(count), Ok(weight)) = (count, weight) else { return Err(Malformed) };
    header(out, count, weight as u16, sign, scale);
    for group in significant {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Ok(())
}

fn header(out: &mut Vec<u8>, count: u16, weight: u16, sign: u16, scale: u16) {
    for part in [count, weight, sign, scale] {
        out.extend_from_slice(&part.to_be_bytes());
    }
}
