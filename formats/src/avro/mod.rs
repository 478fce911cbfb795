//! Avro: the schemas of the reference's table, and rows in Avro's binary encoding behind the registry's framing.
//!
//! The schema ([`schema`]) and the plan that writes it ([`plan`], [`write`]) are made from the same columns; that they
//! agree is what the tests check with a decoder that is not ours.

mod names;
mod plan;
mod schema;
mod write;

use afterbay_crds::plan::Envelope;

use self::plan::AvroField;
use crate::encoders::{EncodeError, EncodeErrorKind};
use crate::relation::{Column, Relation};
use crate::row::Row;

/// Bytes before the Avro data: a zero and the schema's id, big-endian (Confluent's wire format).
pub const FRAME_LEN: usize = 5;

pub use schema::SchemaSpec;

/// The record of the key's columns.
#[derive(Debug)]
pub struct AvroKey {
    schema: String,
    frame: Frame,
    fields: Vec<AvroField>,
}

impl AvroKey {
    pub fn compile(relation: &Relation, key: &[usize], spec: SchemaSpec<'_>) -> Self {
        let columns: Vec<&Column> = key.iter().map(|&column| &relation.columns[column]).collect();
        Self {
            schema: schema::row(spec, &columns),
            frame: Frame::default(),
            fields: key.iter().zip(columns).map(|(&index, column)| AvroField::compile(index, column)).collect(),
        }
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub fn set_schema_id(&mut self, id: u32) {
        self.frame.set(id);
    }

    pub fn encode<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.frame.write(out)?;
        write::row(&self.fields, row, out)
    }
}

/// The record of a value: the row's columns, or `before` and `after`.
#[derive(Debug)]
pub struct AvroValue {
    schema: String,
    frame: Frame,
    fields: Vec<AvroField>,
}

impl AvroValue {
    pub fn compile(relation: &Relation, envelope: Envelope, spec: SchemaSpec<'_>) -> Self {
        let columns: Vec<&Column> = relation.columns.iter().collect();
        Self {
            schema: match envelope {
                Envelope::Upsert => schema::row(spec, &columns),
                Envelope::Debezium => schema::debezium_value(spec, &columns),
            },
            frame: Frame::default(),
            fields: columns.iter().enumerate().map(|(index, column)| AvroField::compile(index, column)).collect(),
        }
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub fn set_schema_id(&mut self, id: u32) {
        self.frame.set(id);
    }

    pub fn encode_row<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.frame.write(out)?;
        write::row(&self.fields, row, out)
    }

    pub fn encode_change<R: Row + ?Sized>(
        &self,
        before: Option<&R>,
        after: Option<&R>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.frame.write(out)?;
        for row in [before, after] {
            match row {
                None => out.push(write::NULL),
                Some(row) => {
                    out.push(write::NOT_NULL);
                    write::row(&self.fields, row, out)?;
                }
            }
        }
        Ok(())
    }
}

/// The framing; none until the id is known.
#[derive(Debug, Default)]
struct Frame(Option<[u8; FRAME_LEN]>);

impl Frame {
    fn set(&mut self, id: u32) {
        let [a, b, c, d] = id.to_be_bytes();
        self.0 = Some([0, a, b, c, d]);
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let frame = self.0.ok_or(EncodeError { column: 0, kind: EncodeErrorKind::NoSchemaId })?;
        out.extend_from_slice(&frame);
        Ok(())
    }
}
