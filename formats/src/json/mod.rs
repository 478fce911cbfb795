//! JSON by the reference's conversion table.

mod plan;
mod write;

use afterbay_crds::plan::JsonValues;

use self::plan::JsonField;
use crate::encoders::EncodeError;
use crate::relation::Relation;
use crate::row::Row;

/// An object of the key's columns.
#[derive(Debug)]
pub struct JsonKey(Vec<JsonField>);

impl JsonKey {
    pub fn compile(relation: &Relation, key: &[usize], values: JsonValues) -> Self {
        Self(JsonField::compile_all(key.iter().map(|&index| (index, &relation.columns[index])), values))
    }

    pub fn encode<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::row(&self.0, row, out)
    }
}

/// An object of the row's columns, or one of `before` and `after`.
#[derive(Debug)]
pub struct JsonValue(Vec<JsonField>);

impl JsonValue {
    pub fn compile(relation: &Relation, values: JsonValues) -> Self {
        Self(JsonField::compile_all(relation.columns.iter().enumerate(), values))
    }

    pub fn encode_row<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::row(&self.0, row, out)
    }

    pub fn encode_change<R: Row + ?Sized>(
        &self,
        before: Option<&R>,
        after: Option<&R>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        for (name, row) in [(r#"{"before":"#, before), (r#","after":"#, after)] {
            out.extend_from_slice(name.as_bytes());
            match row {
                None => out.extend_from_slice(write::NULL),
                Some(row) => write::row(&self.0, row, out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }
}
