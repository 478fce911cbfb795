//! From pgoutput's messages to the batches of the Sinks.
//!
//! Pure: it decodes, names and copies; sending is the session's.

use std::collections::HashMap;
use std::sync::Arc;

use afterbay_clients::postgres::Lsn;
use afterbay_clients::postgres::pgoutput::{self, Cell, Message, OldTuple, RelationBody, Tuple};
use afterbay_crds::plan::TableName;
use afterbay_crds::report::Problem;

use super::checks;
use crate::change::{Change, ChangeBatch, ChangeKind, Item, OldRow, RowSpan, Shape};
use crate::position::ChangeId;
use crate::protocol::RelationIdentity;

/// A Sink that a session feeds, as the router sees it.
#[derive(Debug)]
pub struct Member {
    /// Which Sink of the plan.
    pub sink: usize,
    /// Its relation.
    pub table: TableName,
    /// What its record says of it: a table of the same name with another oid is another table.
    pub relation: RelationIdentity,
    /// What is to be sent to it.
    pub batch: ChangeBatch,
    /// From where it is fed. The session may have begun before, where the names of tables may have been others.
    start: Lsn,
    /// Changes of its relation in the current transaction.
    ordinal: u64,
    /// The relation is not what it was: the Sink cannot go on.
    pub lost: Option<Problem>,
}

impl Member {
    /// A member without anything to send, that needs the transactions that commit from `start` on.
    pub fn new(sink: usize, table: TableName, relation: RelationIdentity, start: Lsn) -> Self {
        Self { sink, table, relation, batch: ChangeBatch::default(), start, ordinal: 0, lost: None }
    }

    /// What a description of a relation, in a transaction that commits at `commit`, tells against this member.
    fn against(&self, commit: Lsn, oid: u32, name: &TableName) -> Option<Problem> {
        if commit < self.start {
            return None;
        }
        match (self.relation.oid == oid, self.table == *name) {
            (true, false) => Some(checks::renamed(&self.table, name)),
            (false, true) => Some(checks::made_again(name, oid, self.relation.oid)),
            _ => None,
        }
    }
}

/// What the stream does that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A message that cannot be decoded.
    #[error(transparent)]
    Malformed(#[from] pgoutput::DecodeError),
    /// A message outside of a transaction, or a second Begin.
    #[error("the replication stream is out of order at {at}: {what}")]
    OutOfOrder {
        /// Start of the message's record.
        at: Lsn,
        /// What came.
        what: &'static str,
    },
}

/// Where the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Inside a transaction.
    Within,
    /// Between transactions; all that commit before this LSN have been seen.
    Boundary(Lsn),
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    commit: Lsn,
    time_us: i64,
}

#[derive(Debug)]
struct Route {
    shape: Arc<Shape>,
    /// Indexes of the members that read this relation.
    members: Vec<usize>,
}

/// The members of one session, and what is known of the stream.
#[derive(Debug, Default)]
pub struct Router {
    members: Vec<Member>,
    routes: HashMap<u32, Route>,
    transaction: Option<Transaction>,
    last_change: Option<(Lsn, u32)>,
    /// Indexes of the members that have changes in the current transaction.
    touched: Vec<usize>,
    /// The largest batch, in bytes, since [`Self::take_largest`].
    largest: usize,
}

impl Router {
    /// A router for these members.
    pub fn new(members: Vec<Member>) -> Self {
        Self { members, ..Self::default() }
    }

    /// The members.
    pub fn members(&mut self) -> &mut [Member] {
        &mut self.members
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes up a member, between transactions; it is told of columns that the stream has described already.
    pub fn join(&mut self, mut member: Member) {
        if let Some(route) = self.routes.get_mut(&member.relation.oid) {
            member.batch.push(Item::Shape(Arc::clone(&route.shape)));
            route.members.push(self.members.len());
        }
        self.members.push(member);
    }

    /// Lets members go.
    pub fn retain(&mut self, mut keep: impl FnMut(&Member) -> bool) {
        self.members.retain(|member| keep(member));
        let touched = self.members.iter().enumerate().filter(|(_, member)| member.ordinal > 0);
        self.touched = touched.map(|(index, _)| index).collect();
        for (oid, route) in &mut self.routes {
            route.members = readers(&self.members, *oid);
        }
    }

    /// A member cannot go on; the next flush tells it.
    pub fn lose(&mut self, sink: usize, problem: Problem) {
        if let Some(member) = self.members.iter_mut().find(|member| member.sink == sink) {
            member.lost = Some(problem);
        }
    }

    /// Bytes of the largest batch since this was asked last: most often too few to look at all of them.
    pub fn take_largest(&mut self) -> usize {
        std::mem::take(&mut self.largest)
    }

    /// Whether the stream stands between transactions.
    pub fn is_at_boundary(&self) -> bool {
        self.transaction.is_none()
    }

    /// Takes in one message of the stream, whose record starts at `at`.
    pub fn apply(&mut self, at: Lsn, data: &[u8]) -> Result<Place, RouteError> {
        let message = pgoutput::decode(data)?;
        let out_of_order = |what| RouteError::OutOfOrder { at, what };
        match message {
            Message::Begin(begin) => {
                if self.transaction.is_some() {
                    return Err(out_of_order("a transaction within a transaction"));
                }
                self.transaction = Some(Transaction { commit: begin.commit_lsn, time_us: begin.commit_time_us });
                self.last_change = None;
            }
            Message::Commit(commit) => {
                let transaction = self.transaction.take().ok_or_else(|| out_of_order("a commit of nothing"))?;
                if transaction.commit != commit.commit_lsn {
                    return Err(out_of_order("a commit of another transaction"));
                }
                for member in self.touched.drain(..) {
                    let member = &mut self.members[member];
                    member.ordinal = 0;
                    member.batch.push(Item::Boundary(commit.end_lsn));
                }
                return Ok(Place::Boundary(commit.end_lsn));
            }
            Message::Relation(relation) => {
                let transaction =
                    self.transaction.ok_or_else(|| out_of_order("a relation outside of a transaction"))?;
                self.describe(transaction.commit, &relation);
            }
            Message::Insert(insert) => {
                self.change(at, insert.relation, ChangeKind::Insert, (None, Some(insert.new)))?;
            }
            Message::Update(update) => {
                self.change(at, update.relation, ChangeKind::Update, (update.old, Some(update.new)))?;
            }
            Message::Delete(delete) => {
                self.change(at, delete.relation, ChangeKind::Delete, (Some(delete.old), None))?;
            }
            Message::Truncate(truncate) => {
                let (transaction, name) = self.name(at)?;
                for relation in truncate.relations {
                    self.push(relation, transaction, name, |_| (ChangeKind::Truncate, OldRow::Absent, None));
                }
            }
            Message::Ignored => {}
        }
        Ok(Place::Within)
    }

    /// The transaction, and the LSN and index of a change whose record starts at `at`.
    fn name(&mut self, at: Lsn) -> Result<(Transaction, (Lsn, u32)), RouteError> {
        let transaction =
            self.transaction.ok_or(RouteError::OutOfOrder { at, what: "a change outside of a transaction" })?;
        let index = match self.last_change {
            Some((lsn, index)) if lsn == at => index + 1,
            _ => 0,
        };
        self.last_change = Some((at, index));
        Ok((transaction, (at, index)))
    }

    fn change(
        &mut self,
        at: Lsn,
        relation: u32,
        kind: ChangeKind,
        (old, new): (Option<OldTuple<'_>>, Option<Tuple<'_>>),
    ) -> Result<(), RouteError> {
        let (transaction, name) = self.name(at)?;
        self.push(relation, transaction, name, |batch| {
            let old = match old {
                None => OldRow::Absent,
                Some(OldTuple::Key(tuple)) => OldRow::Identity(copy(batch, tuple, None)),
                Some(OldTuple::Full(tuple)) => OldRow::Full(copy(batch, tuple, None)),
            };
            let whole_old = match old {
                OldRow::Full(row) => Some(row),
                _ => None,
            };
            let new = new.map(|tuple| copy(batch, tuple, whole_old));
            (kind, old, new)
        });
        Ok(())
    }

    fn push(
        &mut self,
        relation: u32,
        transaction: Transaction,
        (change, index): (Lsn, u32),
        mut rows: impl FnMut(&mut ChangeBatch) -> (ChangeKind, OldRow, Option<RowSpan>),
    ) {
        let Some(route) = self.routes.get(&relation) else { return };
        for &place in &route.members {
            let member = &mut self.members[place];
            if member.ordinal == 0 {
                self.touched.push(place);
            }
            let (kind, old, new) = rows(&mut member.batch);
            let id = ChangeId { commit: transaction.commit, change, index, ordinal: member.ordinal };
            member.ordinal += 1;
            member.batch.push(Item::Change(Change { kind, id, time_us: transaction.time_us, old, new }));
            self.largest = self.largest.max(member.batch.size());
        }
    }

    fn describe(&mut self, commit: Lsn, relation: &RelationBody) {
        let name = TableName { schema: relation.namespace.clone(), name: relation.name.clone() };
        for member in &mut self.members {
            if let Some(problem) = member.against(commit, relation.oid, &name) {
                member.lost = Some(problem);
            }
        }
        let shape = Arc::new(Shape { columns: relation.columns.clone() });
        let members = readers(&self.members, relation.oid);
        for &member in &members {
            self.members[member].batch.push(Item::Shape(Arc::clone(&shape)));
        }
        self.routes.insert(relation.oid, Route { shape, members });
    }
}

fn readers(members: &[Member], relation: u32) -> Vec<usize> {
    members.iter().enumerate().filter(|(_, member)| member.relation.oid == relation).map(|(index, _)| index).collect()
}

fn copy(batch: &mut ChangeBatch, tuple: Tuple<'_>, old: Option<RowSpan>) -> RowSpan {
    let row = batch.begin_row();
    for (column, cell) in tuple.cells().enumerate() {
        match cell {
            Cell::Null => batch.null(),
            Cell::Text(value) => batch.text(value),
            Cell::Unchanged => batch.unchanged(old, column),
        }
    }
    batch.end_row(&row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName { schema: "public".into(), name: name.into() }
    }

    fn text(text: &str) -> Vec<u8> {
        [text.as_bytes(), b"\0"].concat()
    }

    fn begin(commit: u64) -> Vec<u8> {
        [b"B".as_slice(), &commit.to_be_bytes(), &0_u64.to_be_bytes(), &1_u32.to_be_bytes()].concat()
    }

    fn commit(commit: u64) -> Vec<u8> {
        let end = commit + 1;
        [b"C\0".as_slice(), &commit.to_be_bytes(), &end.to_be_bytes(), &0_u64.to_be_bytes()].concat()
    }

    fn relation(oid: u32, name: &str) -> Vec<u8> {
        let column = [b"\x01".as_slice(), &text("id"), &23_u32.to_be_bytes(), &(-1_i32).to_be_bytes()].concat();
        let columns = 1_u16.to_be_bytes();
        [b"R".as_slice(), &oid.to_be_bytes(), &text("public"), &text(name), b"d", &columns, &column].concat()
    }

    fn insert(oid: u32) -> Vec<u8> {
        [b"I".as_slice(), &oid.to_be_bytes(), b"N", &1_u16.to_be_bytes(), b"t", &1_u32.to_be_bytes(), b"1"].concat()
    }

    /// What stands against a Sink of table `t` (oid 7) that is fed from 100 on, after the stream has told of a relation
    /// in a transaction that commits at `at`.
    fn told(at: u64, oid: u32, name: &str) -> Option<String> {
        let identity = RelationIdentity { oid: 7, entry: 1 };
        let mut router = Router::new(vec![Member::new(0, table("t"), identity, Lsn(100))]);
        for message in [begin(at), relation(oid, name), insert(oid), commit(at)] {
            router.apply(Lsn(at), &message).unwrap();
        }
        let member = &mut router.members()[0];
        let changes = member.batch.items().iter().filter(|item| matches!(item, Item::Change(_))).count();
        assert_eq!(changes, usize::from(oid == 7), "the oid tells whose a change is, whatever the name");
        member.lost.take().map(|problem| problem.message)
    }

    #[test]
    fn a_table_that_is_not_what_it_was_ends_its_sink() {
        assert_eq!(told(100, 7, "t"), None);
        assert_eq!(told(100, 8, "u"), None);
        assert_eq!(told(100, 7, "u").unwrap(), "table public.t is now named public.u");
        assert!(told(100, 8, "t").unwrap().contains("(oid 8 was 7)"));
    }

    #[test]
    fn what_a_table_was_named_before_its_sink_began_does_not_matter() {
        assert_eq!(told(99, 7, "t_new"), None, "it was given its name later");
        assert_eq!(told(99, 8, "t"), None, "another table had the name then");
    }
}
