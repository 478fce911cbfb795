//! Keys and values of messages: what the runtime compiles once per relation and calls once per row.

use afterbay_crds::plan::Envelope;

use crate::avro::{AvroKey, AvroValue};
use crate::json::{JsonKey, JsonValue};
use crate::relation::Relation;
use crate::row::Row;
use crate::text::Malformed;

/// What messages are to be made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageSpec<'a> {
    /// The relation.
    pub relation: &'a Relation,
    /// Columns of the key, as indexes into the relation's, in the order of the key's fields; none: no key.
    pub key: Option<&'a [usize]>,
    /// How a change becomes a value.
    pub envelope: Envelope,
    /// How keys and values are written.
    pub format: Format,
    /// The connection's `namePrefix`: of the Avro support types' namespace `com.<prefix>.sink`.
    pub name_prefix: &'a str,
}

/// How keys and values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON, without schemas.
    Json,
    /// Avro in the schema registry's framing.
    Avro,
}

/// Why there are no encoders for a [`MessageSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The key names a column that the relation does not have.
    #[error("the key has column {0}, which the relation does not have")]
    KeyColumn(usize),
}

/// Why a row cannot be encoded. Holds no value of the row, so it can be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct EncodeError {
    /// The column, as an index into the relation's.
    pub column: usize,
    /// What is wrong with its value.
    pub kind: EncodeErrorKind,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeErrorKind {
    /// NULL where the schema allows none.
    #[error("the value is NULL, though the column is NOT NULL")]
    NullInNotNull,
    /// Not the text form of the type.
    #[error("the value is not the text form of type {sql_type}")]
    Malformed {
        /// The SQL type.
        sql_type: &'static str,
    },
    /// Nothing that the format's type can hold.
    #[error("{what} cannot be written as {target}")]
    OutOfRange {
        /// What the value is, without telling it.
        what: &'static str,
        /// The format's type.
        target: &'static str,
    },
    /// An Avro encoder was not told the id of its schema.
    #[error("the id of the schema is not known")]
    NoSchemaId,
}

/// The encoders of one relation.
#[derive(Debug)]
pub struct Encoders {
    /// Of the keys, if there are any.
    pub key: Option<KeyEncoder>,
    /// Of the values.
    pub value: ValueEncoder,
}

impl Encoders {
    /// Compiles the plan of every column.
    pub fn compile(spec: &MessageSpec<'_>) -> Result<Self, CompileError> {
        if let Some(&column) = spec.key.unwrap_or_default().iter().find(|&&key| key >= spec.relation.columns.len()) {
            return Err(CompileError::KeyColumn(column));
        }
        Ok(match spec.format {
            Format::Json => Self {
                key: spec.key.map(|key| KeyEncoder(KeyPlan::Json(JsonKey::compile(spec.relation, key)))),
                value: ValueEncoder(ValuePlan::Json(JsonValue::compile(spec.relation))),
            },
            Format::Avro => Self {
                key: spec
                    .key
                    .map(|key| KeyEncoder(KeyPlan::Avro(AvroKey::compile(spec.relation, key, spec.name_prefix)))),
                value: ValueEncoder(ValuePlan::Avro(AvroValue::compile(
                    spec.relation,
                    spec.envelope,
                    spec.name_prefix,
                ))),
            },
        })
    }
}

/// Writes keys.
#[derive(Debug)]
pub struct KeyEncoder(KeyPlan);

#[derive(Debug)]
enum KeyPlan {
    Json(JsonKey),
    Avro(AvroKey),
}

impl KeyEncoder {
    /// The schema to register, where the format has one.
    pub fn schema(&self) -> Option<&str> {
        match &self.0 {
            KeyPlan::Json(_) => None,
            KeyPlan::Avro(plan) => Some(plan.schema()),
        }
    }

    /// Tells the id that the registry gave to [`Self::schema`].
    pub fn set_schema_id(&mut self, id: u32) {
        if let KeyPlan::Avro(plan) = &mut self.0 {
            plan.set_schema_id(id);
        }
    }

    /// Appends the key of a row to `out`; after an error `out` is as it was.
    pub fn encode<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        whole(out, |out| match &self.0 {
            KeyPlan::Json(plan) => plan.encode(row, out),
            KeyPlan::Avro(plan) => plan.encode(row, out),
        })
    }
}

/// Writes values.
#[derive(Debug)]
pub struct ValueEncoder(ValuePlan);

#[derive(Debug)]
enum ValuePlan {
    Json(JsonValue),
    Avro(AvroValue),
}

impl ValueEncoder {
    /// The schema to register, where the format has one.
    pub fn schema(&self) -> Option<&str> {
        match &self.0 {
            ValuePlan::Json(_) => None,
            ValuePlan::Avro(plan) => Some(plan.schema()),
        }
    }

    /// Tells the id that the registry gave to [`Self::schema`].
    pub fn set_schema_id(&mut self, id: u32) {
        if let ValuePlan::Avro(plan) = &mut self.0 {
            plan.set_schema_id(id);
        }
    }

    /// Appends the value of the upsert envelope, the row itself, to `out`; after an error `out` is as it was. A
    /// deletion has no value, so there is nothing to encode.
    pub fn encode_row<R: Row + ?Sized>(&self, row: &R, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        whole(out, |out| match &self.0 {
            ValuePlan::Json(plan) => plan.encode_row(row, out),
            ValuePlan::Avro(plan) => plan.encode_row(row, out),
        })
    }

    /// Appends the value of the debezium envelope, `before` and `after`, to `out`; after an error `out` is as it was.
    pub fn encode_change<R: Row + ?Sized>(
        &self,
        before: Option<&R>,
        after: Option<&R>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        whole(out, |out| match &self.0 {
            ValuePlan::Json(plan) => plan.encode_change(before, after, out),
            ValuePlan::Avro(plan) => plan.encode_change(before, after, out),
        })
    }
}

/// All of a message or nothing.
fn whole(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
    let start = out.len();
    encode(out).inspect_err(|_| out.truncate(start))
}

pub(crate) fn malformed(sql_type: &'static str) -> impl Fn(Malformed) -> EncodeErrorKind {
    move |Malformed| EncodeErrorKind::Malformed { sql_type }
}

/// Both formats want UTF-8; a database with the encoding `SQL_ASCII` may hold anything.
pub(crate) fn utf8(text: &[u8]) -> Result<(), EncodeErrorKind> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(EncodeErrorKind::OutOfRange { what: "a text that is not UTF-8", target: "a string" }),
    }
}
