//! The messages of the logical decoding plugin `pgoutput`, protocol version 1.
//!
//! Pure: bytes in, messages out; rows stay where they are in the given bytes. The format is that of the chapter "Logical
//! Replication Message Formats" of Postgres' documentation. Whatever else arrives is an error, never a guess.

use super::cursor::{Broken, Cursor};
use super::lsn::Lsn;

/// Microseconds between 1970-01-01 and 2000-01-01, from where Postgres counts.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The bytes are not a message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message is empty or of a kind that protocol 1 does not have.
    #[error("unknown kind of pgoutput message (byte {0})")]
    UnknownKind(u8),
    /// It ends too early, goes on after its end, or holds something that may not stand there.
    #[error("malformed pgoutput message of kind `{0}`")]
    Malformed(char),
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins.
    Begin(Begin),
    /// The transaction ends.
    Commit(Commit),
    /// The columns of a relation, before its first change and after each change of them.
    Relation(RelationBody),
    /// A new row.
    Insert(Insert<'a>),
    /// A changed row.
    Update(Update<'a>),
    /// A deleted row.
    Delete(Delete<'a>),
    /// Emptied relations.
    Truncate(Truncate),
    /// Where the transaction came from, the name of a type, or an application's own message: no business of ours.
    Ignored,
}

/// A transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Start of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// When it committed, in microseconds since 1970.
    pub commit_time_us: i64,
    /// Its 32-bit id.
    pub xid: u32,
}

/// The transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Start of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// End of the commit record: what may be acknowledged once all of the transaction is safe.
    pub end_lsn: Lsn,
    /// When it committed, in microseconds since 1970.
    pub commit_time_us: i64,
}

/// The columns of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationBody {
    /// Its oid, by which the changes name it.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What old rows hold.
    pub replica_identity: ReplicaIdentitySetting,
    /// The published columns, in the order of the cells.
    pub columns: Vec<RelationColumn>,
}

/// `pg_class.relreplident`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentitySetting {
    /// `d`: the primary key.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: all columns.
    Full,
    /// `i`: the columns of a unique index.
    Index,
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it is part of the replica identity.
    pub key: bool,
    /// Its name.
    pub name: String,
    /// The oid of its type.
    pub type_oid: u32,
    /// Its type modifier, `-1` where there is none.
    pub type_modifier: i32,
}

/// A new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The relation.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

/// A changed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The relation.
    pub relation: u32,
    /// The row before, where the server sent it.
    pub old: Option<OldTuple<'a>>,
    /// The row after.
    pub new: Tuple<'a>,
}

/// A deleted row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The relation.
    pub relation: u32,
    /// The row before.
    pub old: OldTuple<'a>,
}

/// A row before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// The columns of the replica identity; the others are NULL without meaning it.
    Key(Tuple<'a>),
    /// All columns (`REPLICA IDENTITY FULL`).
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The row, whichever it is.
    pub fn tuple(self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }
}

/// Emptied relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The relations.
    pub relations: Vec<u32>,
    /// `CASCADE` was said.
    pub cascade: bool,
    /// `RESTART IDENTITY` was said.
    pub restart_identity: bool,
}

/// A row, left in the message's bytes; it was checked when the message was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A value stored out of line that did not change; the server does not send it.
    Unchanged,
    /// The value in text form.
    Text(&'a [u8]),
}

impl<'a> Tuple<'a> {
    /// How many cells it has.
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The length of its bytes in the message: an upper limit for the sum of its values.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The cells, in the order of the relation's columns.
    pub fn cells(&self) -> Cells<'a> {
        Cells { left: self.columns, cursor: Cursor::new(self.bytes) }
    }

    fn decode(cursor: &mut Cursor<'a>) -> Result<Self, Broken> {
        let columns = cursor.u16()?;
        let before = cursor.rest();
        for _ in 0..columns {
            cell(cursor)?;
        }
        let (bytes, _) = before.split_at(before.len() - cursor.rest().len());
        Ok(Self { columns, bytes })
    }
}

/// The cells of a row, see [`Tuple::cells`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    left: u16,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Cannot fail: the tuple was walked through once already.
        cell(&mut self.cursor).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Cells<'_> {}

#[inline]
fn cell<'a>(cursor: &mut Cursor<'a>) -> Result<Cell<'a>, Broken> {
    match cursor.u8()? {
        b't' => {
            let len = cursor.u32()?;
            Ok(Cell::Text(cursor.take(len as usize)?))
        }
        b'n' => Ok(Cell::Null),
        b'u' => Ok(Cell::Unchanged),
        // Also `b`, the binary form: it is never asked for.
        _ => Err(Broken),
    }
}

/// Decodes one message, the data of one XLogData.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let Some((&kind, body)) = bytes.split_first() else { return Err(DecodeError::UnknownKind(0)) };
    let mut cursor = Cursor::new(body);
    let decoded = match kind {
        b'B' => begin(&mut cursor),
        b'C' => commit(&mut cursor),
        b'R' => relation(&mut cursor),
        b'I' => insert(&mut cursor),
        b'U' => update(&mut cursor),
        b'D' => delete(&mut cursor),
        b'T' => truncate(&mut cursor),
        b'O' => origin(&mut cursor),
        b'Y' => type_name(&mut cursor),
        b'M' => application_message(&mut cursor),
        other => return Err(DecodeError::UnknownKind(other)),
    };
    match decoded {
        Ok(message) if cursor.is_empty() => Ok(message),
        _ => Err(DecodeError::Malformed(char::from(kind))),
    }
}

fn begin<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    Ok(Message::Begin(Begin { commit_lsn: cursor.lsn()?, commit_time_us: time(cursor)?, xid: cursor.u32()? }))
}

fn commit<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    let _flags = cursor.u8()?;
    Ok(Message::Commit(Commit { commit_lsn: cursor.lsn()?, end_lsn: cursor.lsn()?, commit_time_us: time(cursor)? }))
}

fn relation<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    let oid = cursor.u32()?;
    // The server writes an empty name for pg_catalog.
    let namespace = match cursor.text()? {
        "" => "pg_catalog".to_owned(),
        name => name.to_owned(),
    };
    let name = cursor.text()?.to_owned();
    let replica_identity = match cursor.u8()? {
        b'd' => ReplicaIdentitySetting::Default,
        b'n' => ReplicaIdentitySetting::Nothing,
        b'f' => ReplicaIdentitySetting::Full,
        b'i' => ReplicaIdentitySetting::Index,
        _ => return Err(Broken),
    };
    let count = cursor.u16()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(RelationColumn {
            key: cursor.u8()? & 1 != 0,
            name: cursor.text()?.to_owned(),
            type_oid: cursor.u32()?,
            type_modifier: cursor.i32()?,
        });
    }
    Ok(Message::Relation(RelationBody { oid, namespace, name, replica_identity, columns }))
}

fn insert<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Broken> {
    let relation = cursor.u32()?;
    Ok(Message::Insert(Insert { relation, new: new_tuple(cursor)? }))
}

fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Broken> {
    let relation = cursor.u32()?;
    let old = match cursor.rest().first() {
        Some(b'K' | b'O') => Some(old_tuple(cursor)?),
        _ => None,
    };
    Ok(Message::Update(Update { relation, old, new: new_tuple(cursor)? }))
}

fn delete<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Broken> {
    let relation = cursor.u32()?;
    Ok(Message::Delete(Delete { relation, old: old_tuple(cursor)? }))
}

fn truncate<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    let count = cursor.u32()?;
    let flags = cursor.u8()?;
    let mut relations = Vec::new();
    for _ in 0..count {
        relations.push(cursor.u32()?);
    }
    Ok(Message::Truncate(Truncate { relations, cascade: flags & 1 != 0, restart_identity: flags & 2 != 0 }))
}

fn origin<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    cursor.lsn()?;
    cursor.text()?;
    Ok(Message::Ignored)
}

fn type_name<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    cursor.u32()?;
    cursor.text()?;
    cursor.text()?;
    Ok(Message::Ignored)
}

fn application_message<'a>(cursor: &mut Cursor<'_>) -> Result<Message<'a>, Broken> {
    cursor.u8()?;
    cursor.lsn()?;
    // The prefix is the application's own: nobody promises that it is UTF-8.
    cursor.bytes_to_zero()?;
    let len = cursor.u32()?;
    cursor.take(len as usize)?;
    Ok(Message::Ignored)
}

fn new_tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, Broken> {
    if cursor.u8()? == b'N' { Tuple::decode(cursor) } else { Err(Broken) }
}

fn old_tuple<'a>(cursor: &mut Cursor<'a>) -> Result<OldTuple<'a>, Broken> {
    match cursor.u8()? {
        b'K' => Tuple::decode(cursor).map(OldTuple::Key),
        b'O' => Tuple::decode(cursor).map(OldTuple::Full),
        _ => Err(Broken),
    }
}

fn time(cursor: &mut Cursor<'_>) -> Result<i64, Broken> {
    cursor.i64()?.checked_add(POSTGRES_EPOCH_US).ok_or(Broken)
}

#[cfg(test)]
mod tests;
