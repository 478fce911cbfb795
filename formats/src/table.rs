//! A table as Postgres' catalogue describes it. Data only: who asks the catalogue fills it in.

use crate::documentation::Comments;
use crate::relation::SqlType;

/// A relation of the catalogue, with all that decides whether and how it can be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// `pg_class.oid`
    pub oid: u32,
    /// The schema, unquoted.
    pub schema: String,
    /// The name, unquoted.
    pub name: String,
    /// `pg_class.relkind`
    pub kind: TableKind,
    /// `pg_class.relpersistence`
    pub persistence: Persistence,
    /// The columns that are not dropped, by attribute number.
    pub columns: Vec<ColumnDescription>,
    /// The keys that are known to be unique: the primary key, and unique indexes that are valid, not partial, not
    /// deferrable, without expressions and on NOT NULL columns.
    pub unique_keys: Vec<UniqueKey>,
    /// Which old values the log holds.
    pub replica_identity: ReplicaIdentity,
    /// The partitions of a partitioned table that hold rows, at any depth.
    pub leaves: Vec<Leaf>,
    /// The comments on it, on its columns and on the types that they are made of.
    pub comments: Comments,
    /// Whether row security is on. That is no matter of fitness: the session sets `row_security = off`, and a role
    /// that would see a part only gets an error from the server.
    pub row_security: bool,
    /// Whether the server fails changes of a published row whose replica identity holds a generated column that is not
    /// published: versions 18 and newer do.
    pub refuses_generated_identity: bool,
}

impl TableDescription {
    /// Whether a column belongs to the replica identity, so that old rows hold it.
    pub fn is_identity(&self, column: &str) -> bool {
        let named = |columns: &[String]| columns.iter().any(|name| name == column);
        match &self.replica_identity {
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Nothing => false,
            ReplicaIdentity::Index { columns } => named(columns),
            ReplicaIdentity::Default => self.unique_keys.iter().any(|key| key.primary && named(&key.columns)),
        }
    }

    /// The columns that the replication stream brings, in its order: all but generated ones.
    pub fn streamed_columns(&self) -> impl Iterator<Item = &ColumnDescription> {
        self.columns.iter().filter(|column| !column.generated)
    }
}

/// `pg_class.relkind`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// `r`: a table, or one partition
    Ordinary,
    /// `p`: the root (or an inner node) of a partitioned table
    Partitioned,
    /// `v`
    View,
    /// `m`
    MaterializedView,
    /// `f`
    Foreign,
    /// Sequences, indexes, composite types …
    Other,
}

/// `pg_class.relpersistence`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// `p`
    Permanent,
    /// `u`: not in the write-ahead log
    Unlogged,
    /// `t`: seen by one session only
    Temporary,
}

/// A column of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescription {
    /// The name, unquoted.
    pub name: String,
    /// `attnum`
    pub attnum: i16,
    /// `atttypid`: the type itself, a domain's own oid for domains
    pub type_oid: u32,
    /// `atttypmod`; -1 for none
    pub typmod: i32,
    /// The type as the formats see it.
    pub sql_type: SqlType,
    /// `attnotnull`, or a domain that forbids NULL
    pub not_null: bool,
    /// Whether it is a generated column, which the stream does not bring.
    pub generated: bool,
    /// Whether its values can be moved out of line (TOAST): `attstorage <> 'p'`.
    pub can_toast: bool,
}

/// Columns that are unique together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Their names, in the order of the index.
    pub columns: Vec<String>,
    /// Whether it is the primary key.
    pub primary: bool,
}

/// `pg_class.relreplident`: which old values an update or a deletion leaves in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// `d`: those of the primary key, if there is one
    Default,
    /// `n`: none
    Nothing,
    /// `f`: all
    Full,
    /// `i`: those of an index
    Index {
        /// The names of its columns.
        columns: Vec<String>,
    },
}

/// A partition that holds rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The schema, unquoted.
    pub schema: String,
    /// The name, unquoted.
    pub name: String,
    /// A partition may be a foreign table.
    pub kind: TableKind,
    /// A partition may be unlogged.
    pub persistence: Persistence,
    /// That of the root does not extend to it.
    pub replica_identity: ReplicaIdentity,
}
