//! The words of YAML 1.1 that mean something else in 1.2.
//!
//! kubectl's YAML is 1.1 (go-yaml v2): a plain `yes`, `no`, `on`, `off`, `y` or `n` is a boolean, also as a key, and `010`,
//! `09` and `1_000` are numbers. serde_yaml reads 1.2, where these are strings, and does not tell a plain scalar from a
//! quoted one. So the plain ones are found by the events of a parser that does, and replaced in the text by the word that
//! both versions agree on.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// What a plain scalar of YAML 1.1 is in YAML 1.2, where the two differ (go-yaml v2, `resolve.go`).
fn word_of_1_2(word: &str) -> Option<String> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some("true".to_owned()),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some("false".to_owned()),
        _ => number_of_1_2(word),
    }
}

/// A number in a form that both versions read alike, where its own is not one: with underscores, beginning with `0`, or
/// too large for an integer, which is a float then.
fn number_of_1_2(word: &str) -> Option<String> {
    let plain = word.replace('_', "");
    let (sign, digits) = match plain.strip_prefix(['-', '+']) {
        Some(digits) => (if plain.starts_with('-') { "-" } else { "" }, digits),
        None => ("", plain.as_str()),
    };
    let is_common = plain == word && !(digits.starts_with('0') && digits.len() > 1) && digits.len() < 19;
    if is_common || word.starts_with(['_', '.']) || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let integer = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => integer(&digits[2..], 16),
        Some("0o") => integer(&digits[2..], 8),
        Some("0b") => integer(&digits[2..], 2),
        _ if digits.starts_with('0') => integer(digits, 8),
        _ => integer(digits, 10),
    };
    if let Some(integer) = integer.filter(|integer| sign.is_empty() || *integer <= i64::MIN.unsigned_abs()) {
        return Some(format!("{sign}{integer}"));
    }
    // So 09, which is not octal, is the float 9.
    let is_decimal = digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    let float = digits.parse::<f64>().ok().filter(|float| is_decimal && float.is_finite())?;
    Some(format!("{sign}{float:e}"))
}

/// Digits as a number, where it has a place in 64 bits.
fn integer(digits: &str, radix: u32) -> Option<u64> {
    // `from_str_radix` takes a sign, too.
    digits.chars().all(|c| c.is_digit(radix)).then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// The text with the words of YAML 1.2, and where the search for those of 1.1 had to end early, if it had.
pub(super) fn in_words_of_1_2(text: &str) -> (String, Option<String>) {
    let mut lines: Vec<Vec<char>> = text.split('\n').map(|line| line.chars().collect()).collect();
    let (mut found, mut ended) = (Vec::new(), None);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = error.marker();
                ended = Some(format!("{} at line {} column {}", error.info(), at.line(), at.col() + 1));
                break;
            }
        };
        if let Event::Scalar(word, ScalarStyle::Plain, _, None) = event
            && let Some(replacement) = word_of_1_2(&word)
        {
            found.push((span.start.line(), span.start.col(), word.chars().collect::<Vec<_>>(), replacement));
        }
    }
    // From the end, so that what stands before keeps its place.
    for (line, column, word, replacement) in found.into_iter().rev() {
        let Some(line) = line.checked_sub(1).and_then(|line| lines.get_mut(line)) else { continue };
        let start = after_anchor(line, column);
        if line.get(start..start + word.len()) == Some(&word[..]) {
            line.splice(start..start + word.len(), replacement.chars());
        }
    }
    (lines.into_iter().map(String::from_iter).collect::<Vec<_>>().join("\n"), ended)
}

/// Where a scalar itself begins: the parser counts an anchor (`&name`) in front of it in.
fn after_anchor(line: &[char], column: usize) -> usize {
    let Some(anchor) = line.get(column..).filter(|rest| rest.first() == Some(&'&')) else { return column };
    let name = anchor.iter().take_while(|c| !c.is_whitespace()).count();
    let space = anchor[name..].iter().take_while(|c| c.is_whitespace()).count();
    column + name + space
}
