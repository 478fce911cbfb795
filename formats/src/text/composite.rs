//! Composite values: `(1,"b ""c""",)`
//! (PostgreSQL documentation, "Composite Type Input and Output Syntax").

use super::quoted::{Escape, quoted};
use super::{Malformed, Parsed};

/// Goes through a composite value's text, which tells less than it seems: `()` is no field, or one that is NULL. So the
/// caller asks for as many fields as the type has.
pub struct Composite<'a> {
    rest: &'a [u8],
    begun: bool,
}

impl<'a> Composite<'a> {
    /// A composite value's text.
    pub fn new(text: &'a [u8]) -> Parsed<Self> {
        let rest = text.strip_prefix(b"(").ok_or(Malformed)?;
        Ok(Self { rest, begun: false })
    }

    /// The next field; `None` is NULL. `scratch` holds a value that had to be unescaped.
    pub fn next<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Parsed<Option<&'s [u8]>>
    where
        'a: 's,
    {
        if self.begun {
            self.rest = self.rest.strip_prefix(b",").ok_or(Malformed)?;
        }
        self.begun = true;
        if let [b'"', text @ ..] = self.rest {
            let (value, rest) = quoted(text, Escape::Doubling, scratch)?;
            self.rest = rest;
            return Ok(Some(value));
        }
        let end = self.rest.iter().position(|byte| matches!(byte, b',' | b')')).ok_or(Malformed)?;
        let (value, rest) = self.rest.split_at(end);
        if value.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'(')) {
            return Err(Malformed);
        }
        self.rest = rest;
        Ok((!value.is_empty()).then_some(value))
    }

    /// All fields were read.
    pub fn end(self) -> Parsed<()> {
        if self.rest == b")" { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, count: usize) -> Parsed<Vec<Option<String>>> {
        let mut composite = Composite::new(text.as_bytes())?;
        let mut scratch = Vec::new();
        let mut fields = Vec::new();
        for _ in 0..count {
            let field = composite.next(&mut scratch)?;
            fields.push(field.map(|text| String::from_utf8(text.to_vec()).unwrap()));
        }
        composite.end()?;
        Ok(fields)
    }

    fn check(text: &str, expected: &[Option<&str>]) {
        let expected: Vec<_> = expected.iter().map(|field| field.map(str::to_owned)).collect();
        assert_eq!(fields(text, expected.len()), Ok(expected), "{text}");
    }

    #[test]
    fn fields_and_nulls() {
        check("()", &[]);
        check("()", &[None]);
        check("(,)", &[None, None]);
        check(r#"(1,"",x)"#, &[Some("1"), Some(""), Some("x")]);
    }

    #[test]
    fn quotes() {
        check(r#"(a,"b ""c""",)"#, &[Some("a"), Some(r#"b "c""#), None]);
        check(r#"("\\","""","(x,y)")"#, &[Some("\\"), Some("\""), Some("(x,y)")]);
        check(r#"("{1,2}","(3,""(4,)"")")"#, &[Some("{1,2}"), Some(r#"(3,"(4,)")"#)]);
    }

    #[test]
    fn what_is_no_composite_is_refused() {
        for (text, count) in
            [("", 0), ("1", 1), ("(1", 1), ("(1,2)", 1), ("(1)", 2), ("(1)x", 1), (r#"("1)"#, 1), (r#"(a"b")"#, 1)]
        {
            assert_eq!(fields(text, count), Err(Malformed), "{text:?}");
        }
    }
}
