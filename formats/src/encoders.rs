//! Keys and values of messages: what the runtime compiles once per relation and calls once per row.

use afterbay_crds::plan::{AvroPlan, Envelope, FormatPlan, RelationPlan};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use crate::avro::{AvroKey, AvroValue, FRAME_LEN, SchemaSpec};
use crate::documentation::{Comments, Documentation};
use crate::json::{JsonKey, JsonValue};
use crate::relation::{Column, Relation};
use crate::row::Row;
use crate::single::Single;
use crate::text::{Malformed, Parsed};

/// What messages are to be made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageSpec<'a> {
    /// The relation.
    pub relation: &'a Relation,
    /// What the database says of it.
    pub comments: &'a Comments,
    /// The key; none: messages have none.
    pub key: Option<KeySpec<'a>>,
    /// How a change becomes a value.
    pub envelope: Envelope,
    /// How values are written.
    pub value: &'a FormatPlan,
    /// The connection's `namePrefix`: of the Avro support types' namespace `com.<prefix>.sink`.
    pub name_prefix: &'a str,
}

/// What keys are to be made of.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec<'a> {
    /// Columns, as indexes into the relation's, in the order of the key's fields.
    pub columns: &'a [usize],
    /// How they are written.
    pub format: &'a FormatPlan,
}

/// Why there are no encoders for a [`MessageSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The key names a column that the relation does not have.
    #[error("the key has column {0}, which the relation does not have")]
    KeyColumn(usize),
    /// The format holds one column.
    #[error("the {format} format holds a single column, and the {part} has {columns}")]
    ManyColumns {
        /// TEXT or BYTES.
        format: &'static str,
        /// Key or value.
        part: &'static str,
        /// How many it has.
        columns: usize,
    },
    /// The format holds no envelope.
    #[error("the {format} format holds a single column, and the debezium envelope has before and after")]
    Envelope {
        /// TEXT or BYTES.
        format: &'static str,
    },
    /// The type has no binary form that is known.
    #[error("the BYTES format holds scalar types whose binary form is known, and column \"{column}\" is of another")]
    NotScalar {
        /// The column.
        column: String,
    },
}

impl CompileError {
    /// As a user reads it.
    pub fn problem(&self, sink: &RelationPlan) -> Problem {
        let hint = match self {
            Self::KeyColumn(_) => "this is a defect, please report it",
            Self::ManyColumns { part: "key", .. } => "use json or avro for keys, or a key of one column",
            Self::ManyColumns { .. } | Self::Envelope { .. } => {
                "use json or avro for values, or carry a single column with source.query"
            }
            Self::NotScalar { .. } => "use text, json or avro",
        };
        Reason::FormatUnfit.problem(format!("table {}: {self}", sink.table), hint)
    }
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
        Ok(Self {
            key: spec.key.map(|key| KeyEncoder::compile(spec, key)).transpose()?,
            value: ValueEncoder::compile(spec)?,
        })
    }
}

impl<'a> MessageSpec<'a> {
    fn schema(&self, avro: &'a AvroPlan, relation: &'a str) -> SchemaSpec<'a> {
        SchemaSpec {
            name_prefix: self.name_prefix,
            fullname: &avro.fullname,
            null_defaults: avro.null_defaults,
            documentation: Documentation { told: &avro.docs, comments: self.comments },
            relation,
        }
    }

    /// One of these columns, in a format that holds no more.
    fn single(&self, format: &FormatPlan, part: &'static str, columns: &[usize]) -> Result<Single, CompileError> {
        let is_text = *format == FormatPlan::Text;
        let word = if is_text { "TEXT" } else { "BYTES" };
        let [column] = columns else {
            return Err(CompileError::ManyColumns { format: word, part, columns: columns.len() });
        };
        if is_text {
            return Ok(Single::text(*column));
        }
        let Column { name, sql_type, .. } = &self.relation.columns[*column];
        Single::bytes(*column, sql_type).ok_or_else(|| CompileError::NotScalar { column: name.clone() })
    }
}

/// Writes keys.
#[derive(Debug)]
pub struct KeyEncoder(KeyPlan);

#[derive(Debug)]
enum KeyPlan {
    Json(JsonKey),
    Avro(AvroKey),
    Single(Single),
}

impl KeyEncoder {
    fn compile(spec: &MessageSpec<'_>, key: KeySpec<'_>) -> Result<Self, CompileError> {
        if let Some(&column) = key.columns.iter().find(|&&column| column >= spec.relation.columns.len()) {
            return Err(CompileError::KeyColumn(column));
        }
        let relation = spec.relation.full_name();
        Ok(Self(match key.format {
            FormatPlan::Json { values } => KeyPlan::Json(JsonKey::compile(spec.relation, key.columns, *values)),
            FormatPlan::Avro(avro) => {
                KeyPlan::Avro(AvroKey::compile(spec.relation, key.columns, spec.schema(avro, &relation)))
            }
            single => KeyPlan::Single(spec.single(single, "key", key.columns)?),
        }))
    }

    /// How many bytes in front of a key say nothing of it: the framing of a schema registry.
    pub fn frame_len(&self) -> usize {
        if matches!(self.0, KeyPlan::Avro(_)) { FRAME_LEN } else { 0 }
    }

    /// The schema to register, where the format has one.
    pub fn schema(&self) -> Option<&str> {
        match &self.0 {
            KeyPlan::Avro(plan) => Some(plan.schema()),
            KeyPlan::Json(_) | KeyPlan::Single(_) => None,
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
            KeyPlan::Single(plan) => plan.encode(row, out),
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
    Single(Single),
}

impl ValueEncoder {
    fn compile(spec: &MessageSpec<'_>) -> Result<Self, CompileError> {
        let relation = spec.relation.full_name();
        Ok(Self(match spec.value {
            FormatPlan::Json { values } => ValuePlan::Json(JsonValue::compile(spec.relation, *values)),
            FormatPlan::Avro(avro) => {
                ValuePlan::Avro(AvroValue::compile(spec.relation, spec.envelope, spec.schema(avro, &relation)))
            }
            single => {
                let columns: Vec<usize> = (0..spec.relation.columns.len()).collect();
                let plan = spec.single(single, "value", &columns)?;
                if spec.envelope == Envelope::Debezium {
                    return Err(CompileError::Envelope {
                        format: if *single == FormatPlan::Text { "TEXT" } else { "BYTES" },
                    });
                }
                ValuePlan::Single(plan)
            }
        }))
    }

    /// The schema to register, where the format has one.
    pub fn schema(&self) -> Option<&str> {
        match &self.0 {
            ValuePlan::Avro(plan) => Some(plan.schema()),
            ValuePlan::Json(_) | ValuePlan::Single(_) => None,
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
            ValuePlan::Single(plan) => plan.encode(row, out),
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
            // It is not compiled for this envelope: the row after is what there is of it.
            ValuePlan::Single(plan) => after.map_or(Ok(()), |row| plan.encode(row, out)),
        })
    }
}

/// All of a message or nothing.
fn whole(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
    let start = out.len();
    encode(out).inspect_err(|_| out.truncate(start))
}

/// A value of this type, read from its text form.
pub(crate) fn parsed<T>(parsed: Parsed<T>, sql_type: &'static str) -> Result<T, EncodeErrorKind> {
    parsed.map_err(|Malformed| EncodeErrorKind::Malformed { sql_type })
}

/// A whole number of this type, which is narrower than what it was read as.
pub(crate) fn ranged<T: TryFrom<N>, N>(number: Parsed<N>, sql_type: &'static str) -> Result<T, EncodeErrorKind> {
    T::try_from(parsed(number, sql_type)?).map_err(|_| EncodeErrorKind::Malformed { sql_type })
}

/// A float of this type. Rust reads `NaN`, `Infinity` and `-Infinity` as Postgres writes them.
pub(crate) fn float<T: std::str::FromStr>(text: &[u8], sql_type: &'static str) -> Result<T, EncodeErrorKind> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or(EncodeErrorKind::Malformed { sql_type })
}

/// Both formats want UTF-8; a database with the encoding `SQL_ASCII` may hold anything.
pub(crate) fn utf8(text: &[u8]) -> Result<(), EncodeErrorKind> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(EncodeErrorKind::OutOfRange { what: "a text that is not UTF-8", target: "a string" }),
    }
}
