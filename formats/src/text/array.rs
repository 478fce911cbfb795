//! Arrays: `{1,NULL,"a \"b\""}`, `{{1,2},{3,4}}`, `[0:2]={1,2,3}`
//! (PostgreSQL documentation, "Array Input and Output Syntax").

use super::quoted::{Escape, quoted};
use super::{Malformed, Parsed};

/// What an array's text consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A dimension begins.
    Open,
    /// A dimension ends.
    Close,
    /// An element that is NULL.
    Null,
    /// The text of an element.
    Value(&'a [u8]),
}

/// Which braces within an array begin a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// Every brace: an array has one element type and any number of dimensions.
    Dimensions,
    /// The first one alone: what stands in further braces is an element (lists).
    Elements,
}

/// Goes through an array's text.
pub struct Array<'a> {
    rest: &'a [u8],
    delimiter: u8,
    nesting: Nesting,
    depth: usize,
    begun: bool,
    after_item: bool,
}

impl<'a> Array<'a> {
    /// The delimiter is a comma for all types but `box`.
    pub fn new(text: &'a [u8], delimiter: u8, nesting: Nesting) -> Self {
        // Bounds are told where they are not 1; neither format has a place for them.
        let rest = match text {
            [b'[', ..] => text.iter().position(|byte| *byte == b'=').map_or(text, |at| &text[at + 1..]),
            _ => text,
        };
        Self { rest, delimiter, nesting, depth: 0, begun: false, after_item: false }
    }

    /// The next event; none at the end. `scratch` holds a value that had to be unescaped.
    pub fn next<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Parsed<Option<Event<'s>>>
    where
        'a: 's,
    {
        if self.depth == 0 {
            if self.begun {
                return if self.rest.is_empty() { Ok(None) } else { Err(Malformed) };
            }
            self.begun = true;
            return match self.rest {
                [b'{', ..] => Ok(Some(self.open())),
                _ => Err(Malformed),
            };
        }
        match *self.rest {
            [b'}', ref rest @ ..] if self.after_item || self.just_opened() => {
                self.rest = rest;
                self.depth -= 1;
                self.after_item = true;
                return Ok(Some(Event::Close));
            }
            [byte, ref rest @ ..] if self.after_item && byte == self.delimiter => self.rest = rest,
            _ if self.after_item => return Err(Malformed),
            _ => {}
        }
        self.item(scratch).map(Some)
    }

    fn item<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Parsed<Event<'s>>
    where
        'a: 's,
    {
        match *self.rest {
            [b'{', ..] if self.nesting == Nesting::Dimensions => Ok(self.open()),
            [b'{', ..] => {
                let (value, rest) = self.rest.split_at(braced(self.rest)?);
                Ok(self.value(value, rest))
            }
            [b'"', ref rest @ ..] => {
                let (value, rest) = quoted(rest, Escape::Backslash, scratch)?;
                Ok(self.value(value, rest))
            }
            _ => {
                let end = self.rest.iter().position(|byte| *byte == self.delimiter || *byte == b'}');
                let (value, rest) = self.rest.split_at(end.ok_or(Malformed)?);
                if value.is_empty() || value.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'{')) {
                    return Err(Malformed);
                }
                let event = self.value(value, rest);
                Ok(if value == b"NULL" { Event::Null } else { event })
            }
        }
    }

    fn value<'s>(&mut self, value: &'s [u8], rest: &'a [u8]) -> Event<'s> {
        self.rest = rest;
        self.after_item = true;
        Event::Value(value)
    }

    fn open(&mut self) -> Event<'static> {
        self.rest = &self.rest[1..];
        self.depth += 1;
        self.after_item = false;
        Event::Open
    }

    /// Only an array without elements closes at once, and it has one dimension.
    fn just_opened(&self) -> bool {
        self.depth == 1 && self.begun && !self.after_item
    }
}

/// How long the text in braces at the beginning is.
fn braced(text: &[u8]) -> Parsed<usize> {
    let (mut depth, mut within_quotes, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => within_quotes = !within_quotes,
            b'{' if !within_quotes => depth += 1,
            b'}' if !within_quotes => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str, delimiter: u8, nesting: Nesting) -> Parsed<String> {
        let mut array = Array::new(text.as_bytes(), delimiter, nesting);
        let mut scratch = Vec::new();
        let mut told = Vec::new();
        while let Some(event) = array.next(&mut scratch)? {
            match event {
                Event::Open => told.push("<".to_owned()),
                Event::Close => told.push(">".to_owned()),
                Event::Null => told.push("NULL|".to_owned()),
                Event::Value(value) => told.push(format!("{}|", String::from_utf8_lossy(value))),
            }
        }
        Ok(told.concat())
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(events(text, b',', Nesting::Dimensions).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn elements() {
        check("{}", "<>");
        check("{1,-2,3}", "<1|-2|3|>");
        check("{NULL,1,NULL}", "<NULL|1|NULL|>");
        check(r#"{"NULL","",null}"#, "<NULL||null|>");
        check(r#"{"a \"b\"","\\","{x,y}",plain}"#, r#"<a "b"|\|{x,y}|plain|>"#);
    }

    #[test]
    fn dimensions_and_bounds() {
        check("{{1,2},{3,4}}", "<<1|2|><3|4|>>");
        check("{{{1}},{{2}}}", "<<<1|>><<2|>>>");
        check("[0:2]={1,2,3}", "<1|2|3|>");
        check("[-1:0][5:6]={{1,2},{3,4}}", "<<1|2|><3|4|>>");
    }

    #[test]
    fn boxes_have_their_own_delimiter() {
        let told = events("{(1,1),(0,0);(2,2),(1,1)}", b';', Nesting::Dimensions);
        assert_eq!(told.as_deref(), Ok("<(1,1),(0,0)|(2,2),(1,1)|>"));
    }

    #[test]
    fn lists_nest_as_elements() {
        let told = events(r#"{{1,2},{},NULL,{"}"}}"#, b',', Nesting::Elements);
        assert_eq!(told.as_deref(), Ok(r#"<{1,2}|{}|NULL|{"}"}|>"#));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in [
            "",
            "1",
            "{",
            "{1",
            "{1,",
            "{1,}",
            "{,1}",
            "{1}}",
            "{1}x",
            r#"{"a}"#,
            r#"{"a"b}"#,
            "{a\"b}",
            "{{}",
            "[1:2]",
        ] {
            assert_eq!(events(text, b',', Nesting::Dimensions), Err(Malformed), "{text:?}");
        }
    }
}
