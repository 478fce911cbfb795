//! Headers of a message out of a column: an `hstore`, or a `jsonb` object of strings.

use std::ops::Range;

use crate::encoders::{EncodeError, EncodeErrorKind, parsed, utf8};
use crate::relation::{Relation, SqlType};
use crate::row::Row;
use crate::text::hstore::{self, Hstore};

/// How the headers of a row are read.
#[derive(Debug)]
pub struct HeadersPlan {
    column: usize,
    is_hstore: bool,
    /// What the names of Afterbay's own headers begin with.
    reserved: String,
}

/// The headers of one row; its buffers are used again for the next.
#[derive(Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    pairs: Vec<(Range<usize>, Option<Range<usize>>)>,
}

/// Whether a column of this type can hold headers.
pub fn is_fit(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Map(values) => matches!(**values, SqlType::Text | SqlType::Bytea),
        SqlType::Jsonb => true,
        _ => false,
    }
}

impl HeadersPlan {
    /// Headers out of this column; names that begin with `<prefix>-` are left out.
    pub fn compile(relation: &Relation, column: usize, name_prefix: &str) -> Option<Self> {
        let sql_type = &relation.columns.get(column)?.sql_type;
        let reserved = format!("{name_prefix}-");
        is_fit(sql_type).then_some(Self { column, is_hstore: matches!(sql_type, SqlType::Map(_)), reserved })
    }

    /// Reads the headers of a row; a NULL has none.
    pub fn read<R: Row + ?Sized>(&self, row: &R, headers: &mut Headers) -> Result<(), EncodeError> {
        headers.bytes.clear();
        headers.pairs.clear();
        let Some(text) = row.cell(self.column) else { return Ok(()) };
        let read = if self.is_hstore { self.hstore(text, headers) } else { self.jsonb(text, headers) };
        read.map_err(|kind| EncodeError { column: self.column, kind })
    }

    fn hstore(&self, text: &[u8], headers: &mut Headers) -> Result<(), EncodeErrorKind> {
        let mut scratch = hstore::Scratch::default();
        let mut pairs = Hstore::new(text);
        while let Some((name, value)) = parsed(pairs.next(&mut scratch), "hstore")? {
            self.take(name, value, headers)?;
        }
        Ok(())
    }

    fn jsonb(&self, text: &[u8], headers: &mut Headers) -> Result<(), EncodeErrorKind> {
        let not = |what| EncodeErrorKind::OutOfRange { what, target: "headers" };
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|_| EncodeErrorKind::Malformed { sql_type: "jsonb" })?;
        let object = match value {
            serde_json::Value::Object(object) => object,
            serde_json::Value::Null => return Ok(()),
            _ => return Err(not("a jsonb that is no object")),
        };
        for (name, value) in &object {
            match value {
                serde_json::Value::String(value) => self.take(name.as_bytes(), Some(value.as_bytes()), headers)?,
                serde_json::Value::Null => self.take(name.as_bytes(), None, headers)?,
                _ => return Err(not("a jsonb object with a value that is no string")),
            }
        }
        Ok(())
    }

    fn take(&self, name: &[u8], value: Option<&[u8]>, headers: &mut Headers) -> Result<(), EncodeErrorKind> {
        if name.starts_with(self.reserved.as_bytes()) {
            return Ok(());
        }
        utf8(name)?;
        let mut keep = |part: &[u8]| {
            let start = headers.bytes.len();
            headers.bytes.extend_from_slice(part);
            start..headers.bytes.len()
        };
        let pair = (keep(name), value.map(keep));
        headers.pairs.push(pair);
        Ok(())
    }
}

impl Headers {
    /// Names and values, in the order of the column.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.pairs.iter().map(|(name, value)| {
            // It was UTF-8 when it was taken.
            let name = std::str::from_utf8(&self.bytes[name.clone()]).unwrap_or_default();
            (name, value.as_ref().map(|value| &self.bytes[value.clone()]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relation::Column;

    fn read(sql_type: SqlType, cell: Option<&str>) -> Result<Vec<(String, Option<String>)>, EncodeErrorKind> {
        let columns = vec![Column::nullable("h", sql_type)];
        let relation = Relation { schema: "public".into(), name: "t".into(), columns };
        let plan = HeadersPlan::compile(&relation, 0, "afterbay").expect("it is fit");
        let mut headers = Headers::default();
        plan.read(&[cell][..], &mut headers).map_err(|error| error.kind)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(headers.iter().map(|(name, value)| (name.to_owned(), value.map(text))).collect())
    }

    fn pairs(pairs: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn an_hstore_is_headers() {
        let hstore = || SqlType::Map(Box::new(SqlType::Text));
        assert_eq!(read(hstore(), None), Ok(vec![]));
        assert_eq!(read(hstore(), Some("")), Ok(vec![]));
        let text = r#""a"=>"1", "afterbay-timestamp"=>"0", "n"=>NULL, "afterbay"=>"free""#;
        assert_eq!(read(hstore(), Some(text)), Ok(pairs(&[("a", Some("1")), ("n", None), ("afterbay", Some("free"))])));
    }

    #[test]
    fn a_jsonb_object_of_strings_is_headers() {
        assert_eq!(read(SqlType::Jsonb, Some("null")), Ok(vec![]));
        let text = r#"{"a": "1", "n": null, "afterbay-x": "0"}"#;
        assert_eq!(read(SqlType::Jsonb, Some(text)), Ok(pairs(&[("a", Some("1")), ("n", None)])));
        for text in ["[]", "1", r#"{"a": 1}"#, r#"{"a": {"b": "c"}}"#] {
            assert!(matches!(read(SqlType::Jsonb, Some(text)), Err(EncodeErrorKind::OutOfRange { .. })), "{text}");
        }
    }

    #[test]
    fn other_types_hold_none() {
        for sql_type in [SqlType::Text, SqlType::Json, SqlType::Map(Box::new(SqlType::Int4))] {
            assert!(!is_fit(&sql_type), "{sql_type:?}");
        }
    }
}
