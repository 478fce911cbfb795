//! Rows as JSON (RFC 8259), without white space.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::plan::{JsonField, JsonType};
use crate::encoders::{EncodeError, EncodeErrorKind, parsed, utf8};
use crate::row::Row;
use crate::text::array::{Array, Event, Nesting};
use crate::text::composite::Composite;
use crate::text::datetime::{self, Extended, Instant};
use crate::text::hstore::{self, Hstore};
use crate::text::{bytea, inet, integer};

/// The literal.
pub const NULL: &[u8] = b"null";

type Written = Result<(), EncodeErrorKind>;

/// Appends a row as an object.
pub fn row<R: Row + ?Sized>(fields: &[JsonField], row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if fields.is_empty() {
        out.push(b'{');
    }
    for field in fields {
        out.extend_from_slice(&field.prefix);
        value(&field.json_type, row.cell(field.column), out)
            .map_err(|kind| EncodeError { column: field.column, kind })?;
    }
    out.push(b'}');
    Ok(())
}

fn value(json_type: &JsonType, text: Option<&[u8]>, out: &mut Vec<u8>) -> Written {
    let Some(text) = text else {
        out.extend_from_slice(NULL);
        return Ok(());
    };
    match json_type {
        JsonType::Boolean => out.extend_from_slice(match text {
            b"t" => b"true",
            b"f" => b"false",
            _ => return Err(EncodeErrorKind::Malformed { sql_type: "boolean" }),
        }),
        JsonType::Signed => {
            parsed(integer::signed(text), "integer")?;
            out.extend_from_slice(text);
        }
        JsonType::Unsigned => {
            parsed(integer::unsigned(text), "integer")?;
            out.extend_from_slice(text);
        }
        JsonType::Text => {
            utf8(text)?;
            quoted(text, "", out);
        }
        JsonType::Inet => {
            utf8(text)?;
            quoted(text, inet::mask_of_host(text), out);
        }
        JsonType::Timestamp { zone: false } => timestamp(parsed(datetime::timestamp(text), "timestamp")?, out),
        JsonType::Timestamp { zone: true } => timestamp(parsed(datetime::timestamptz(text), "timestamptz")?, out),
        JsonType::Float => float(text, out)?,
        JsonType::Nested => {
            utf8(text)?;
            out.extend_from_slice(text);
        }
        JsonType::Base64 => base64(text, out)?,
        JsonType::Map => map(text, out)?,
        JsonType::Array { items, delimiter, nesting } => array(items, *delimiter, *nesting, text, out)?,
        JsonType::Object(fields) => object(fields, text, out)?,
    }
    Ok(())
}

/// Milliseconds, a point, three digits of microseconds; before 1970 with a minus in front of all of it.
fn timestamp(moment: Extended<Instant>, out: &mut Vec<u8>) {
    match moment {
        Extended::Past => out.extend_from_slice(br#""-infinity""#),
        Extended::Future => out.extend_from_slice(br#""infinity""#),
        Extended::Finite(Instant { millis, micros }) => {
            // Before 1970 the milliseconds are rounded down, and the microseconds still count upwards.
            let (sign, millis, micros) = match (millis, micros) {
                (0.., _) => ("", millis, micros),
                (_, 0) => ("-", -millis, 0),
                _ => ("-", -millis - 1, 1_000 - micros),
            };
            // Writing to a vector cannot fail.
            let _ = write!(out, "\"{sign}{millis}.{micros:03}\"");
        }
    }
}

/// What Postgres writes of a finite number is a number in JSON, too.
fn float(text: &[u8], out: &mut Vec<u8>) -> Written {
    match text {
        b"NaN" | b"Infinity" | b"-Infinity" => quoted(text, "", out),
        [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => out.extend_from_slice(text),
        _ => return Err(EncodeErrorKind::Malformed { sql_type: "double precision" }),
    }
    Ok(())
}

fn base64(text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut bytes = Vec::new();
    let digits = parsed(bytea::hex_digits(text), "bytea")?;
    parsed(bytea::decode(digits, &mut bytes), "bytea")?;
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
    Ok(())
}

fn map(text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut scratch = hstore::Scratch::default();
    let mut pairs = Hstore::new(text);
    let mut front = b'{';
    while let Some((key, text)) = parsed(pairs.next(&mut scratch), "hstore")? {
        out.push(front);
        utf8(key)?;
        quoted(key, "", out);
        out.push(b':');
        value(&JsonType::Text, text, out)?;
        front = b',';
    }
    out.extend_from_slice(if front == b'{' { b"{}" } else { b"}" });
    Ok(())
}

fn array(items: &JsonType, delimiter: u8, nesting: Nesting, text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut scratch = Vec::new();
    let mut array = Array::new(text, delimiter, nesting);
    let mut first = true;
    while let Some(event) = parsed(array.next(&mut scratch), "array")? {
        if !first && event != Event::Close {
            out.push(b',');
        }
        first = event == Event::Open;
        match event {
            Event::Open => out.push(b'['),
            Event::Close => out.push(b']'),
            Event::Null => value(items, None, out)?,
            Event::Value(text) => value(items, Some(text), out)?,
        }
    }
    Ok(())
}

fn object(fields: &[JsonField], text: &[u8], out: &mut Vec<u8>) -> Written {
    let mut scratch = Vec::new();
    let mut composite = parsed(Composite::new(text), "composite")?;
    if fields.is_empty() {
        out.push(b'{');
    }
    for field in fields {
        out.extend_from_slice(&field.prefix);
        let text = parsed(composite.next(&mut scratch), "composite")?;
        value(&field.json_type, text, out)?;
    }
    out.push(b'}');
    parsed(composite.end(), "composite")
}

/// Appends a string of a UTF-8 text and a suffix that needs no escape.
pub fn quoted(text: &[u8], suffix: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if !NEEDS_ESCAPE[usize::from(byte)] {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(control >> 4)]);
                out.push(DIGITS[usize::from(control & 0xf)]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
    out.extend_from_slice(suffix.as_bytes());
    out.push(b'"');
}

const NEEDS_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};
