//! Texts in double quotes, as arrays, composites and hstore have them.

use super::{Malformed, Parsed};

/// How a quote stands within quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// `\"` and `\\` (arrays, hstore)
    Backslash,
    /// `""` and `\\` (composites, which read `\"` too)
    Doubling,
}

/// Reads a quoted text whose opening quote is passed; gives it and what follows its closing quote. The text is borrowed
/// unless an escape has to be taken out of it.
pub fn quoted<'a: 's, 's>(text: &'a [u8], escape: Escape, scratch: &'s mut Vec<u8>) -> Parsed<(&'s [u8], &'a [u8])> {
    let mut at = plain(text);
    if let Some((b'"', rest)) = split_at_byte(text, at)
        && !(escape == Escape::Doubling && rest.first() == Some(&b'"'))
    {
        return Ok((&text[..at], rest));
    }
    scratch.clear();
    let mut from = 0;
    loop {
        scratch.extend_from_slice(&text[from..at]);
        match split_at_byte(text, at) {
            Some((b'\\', [escaped, ..])) => scratch.push(*escaped),
            Some((b'"', [b'"', ..])) if escape == Escape::Doubling => scratch.push(b'"'),
            Some((b'"', rest)) => return Ok((scratch, rest)),
            _ => return Err(Malformed),
        }
        from = at + 2;
        at = from + plain(&text[from..]);
    }
}

/// How many bytes stand before the next quote or backslash.
fn plain(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(text.len())
}

fn split_at_byte(text: &[u8], at: usize) -> Option<(u8, &[u8])> {
    text.get(at..)?.split_first().map(|(byte, rest)| (*byte, rest))
}
