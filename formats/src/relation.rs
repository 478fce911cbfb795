//! What a row is made of: SQL types as far as the formats tell them apart.

/// A type, named as in the reference's tables. A domain is its base type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `uint2`: 16 bits, unsigned (not a type of plain Postgres)
    Uint2,
    /// `uint4`: 32 bits, unsigned (not a type of plain Postgres)
    Uint4,
    /// `uint8`: 64 bits, unsigned (not a type of plain Postgres)
    Uint8,
    /// `oid`
    Oid,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`
    Numeric {
        /// Precision and scale, if the type has them. Since Postgres 15 the scale may be negative, or larger than the
        /// precision.
        typmod: Option<(u16, i16)>,
    },
    /// `text`, `varchar`, `char(n)` (its padding is kept), `name`
    Text,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time` without time zone
    Time,
    /// `timestamp` without time zone
    Timestamp {
        /// Digits of the seconds' fraction, if the type says so.
        precision: Option<u8>,
    },
    /// `timestamp` with time zone
    Timestamptz {
        /// Digits of the seconds' fraction, if the type says so.
        precision: Option<u8>,
    },
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// An array of any number of dimensions.
    Array(Box<SqlType>),
    /// A list: every dimension is a type of its own (not a type of plain Postgres).
    List(Box<SqlType>),
    /// `hstore`: text to this type.
    Map(Box<SqlType>),
    /// A composite type.
    Record {
        /// `schema.type`, unquoted.
        name: String,
        /// Its attributes, in order.
        fields: Vec<Column>,
    },
    /// Every other type, by its SQL name (enum, range, `inet`, `money`, `timetz`, `xml`, `bit` …): cast to text.
    Other(String),
}

impl SqlType {
    /// What stands between the elements of an array of this type (`pg_type.typdelim`).
    pub(crate) fn array_delimiter(&self) -> u8 {
        match self {
            Self::Other(name) if name == "box" => b';',
            _ => b',',
        }
    }
}

/// A column of a relation, or an attribute of a composite type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name, unquoted.
    pub name: String,
    /// Its type.
    pub sql_type: SqlType,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl Column {
    /// A column that may be NULL.
    pub fn nullable(name: impl Into<String>, sql_type: SqlType) -> Self {
        Self { name: name.into(), sql_type, nullable: true }
    }

    /// A column that is never NULL.
    pub fn not_null(name: impl Into<String>, sql_type: SqlType) -> Self {
        Self { name: name.into(), sql_type, nullable: false }
    }
}

/// What a Sink reads: names and columns in the order of the cells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Relation {
    /// The schema, unquoted.
    pub schema: String,
    /// The name, unquoted.
    pub name: String,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Relation {
    /// `schema.name`, unquoted.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}
