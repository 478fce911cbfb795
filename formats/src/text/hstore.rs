//! `hstore`: `"k"=>"v", "n"=>NULL` (PostgreSQL documentation, hstore, "External Representation").

use super::quoted::{Escape, quoted};
use super::{Malformed, Parsed};

/// Goes through an hstore's text.
pub struct Hstore<'a> {
    rest: &'a [u8],
    begun: bool,
}

/// Where keys and values are kept that had to be unescaped.
#[derive(Default)]
pub struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Hstore<'a> {
    /// An hstore's text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text, begun: false }
    }

    /// The next key and its value; none at the end.
    #[expect(clippy::type_complexity, reason = "a pair whose second half may be NULL")]
    pub fn next<'s>(&mut self, scratch: &'s mut Scratch) -> Parsed<Option<(&'s [u8], Option<&'s [u8]>)>>
    where
        'a: 's,
    {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let pair = if self.begun { self.rest.strip_prefix(b", ").ok_or(Malformed)? } else { self.rest };
        self.begun = true;
        let text = pair.strip_prefix(b"\"").ok_or(Malformed)?;
        let (key, rest) = quoted(text, Escape::Backslash, &mut scratch.key)?;
        let rest = rest.strip_prefix(b"=>").ok_or(Malformed)?;
        let (value, rest) = match rest {
            [b'"', text @ ..] => {
                let (value, rest) = quoted(text, Escape::Backslash, &mut scratch.value)?;
                (Some(value), rest)
            }
            _ => (None, rest.strip_prefix(b"NULL").ok_or(Malformed)?),
        };
        self.rest = rest;
        Ok(Some((key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Parsed<String> {
        let mut hstore = Hstore::new(text.as_bytes());
        let mut scratch = Scratch::default();
        let mut told = Vec::new();
        while let Some((key, value)) = hstore.next(&mut scratch)? {
            let value = value.map(String::from_utf8_lossy);
            told.push(format!("{}:{value:?};", String::from_utf8_lossy(key)));
        }
        Ok(told.concat())
    }

    #[test]
    fn keys_and_values() {
        for (text, expected) in [
            ("", ""),
            (r#""k"=>"v", "k2"=>NULL"#, r#"k:Some("v");k2:None;"#),
            (r#""a \"b\""=>"\\", ""=>"", "n"=>"NULL""#, r#"a "b":Some("\\");:Some("");n:Some("NULL");"#),
            (r#""a"=>"x, \"b\"=>y""#, r#"a:Some("x, \"b\"=>y");"#),
        ] {
            assert_eq!(pairs(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for text in
            ["a=>b", r#""a""#, r#""a"=>"#, r#""a"=>"b"#, r#""a"=>"b","c"=>"d""#, r#""a"=>null"#, r#""a"=>"b", "#]
        {
            assert_eq!(pairs(text), Err(Malformed), "{text:?}");
        }
    }
}
