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
    /// Its relations, as it numbers them.
    pub relations: Vec<MemberRelation>,
    /// What is to be sent to it.
    pub batch: ChangeBatch,
    /// Whether it has changes in the current transaction.
    touched: bool,
    /// The relation is not what it was: the Sink cannot go on.
    pub lost: Option<Problem>,
}

impl Member {
    /// A member without anything to send.
    pub fn new(sink: usize, relations: Vec<MemberRelation>) -> Self {
        Self { sink, relations, batch: ChangeBatch::default(), touched: false, lost: None }
    }
}

/// A relation of a Sink, as the router sees it.
#[derive(Clone, Debug)]
pub struct MemberRelation {
    /// Its name.
    pub table: TableName,
    /// What the Sink knows of it: a table of the same name with another oid is another table.
    pub identity: RelationIdentity,
    /// Its name is this in the transactions that commit from here on. The session may have begun before, where the names of
    /// tables may have been others.
    named_from: Lsn,
    /// Its changes in the current transaction. They are counted for each relation by itself: what joins a Sink, or leaves it,
    /// changes no other's names.
    ordinal: u64,
}

impl MemberRelation {
    /// A relation that must bear its name in the transactions that commit from `named_from` on.
    pub fn new(table: TableName, identity: RelationIdentity, named_from: Lsn) -> Self {
        Self { table, identity, named_from, ordinal: 0 }
    }

    /// Whether it is more than a name, or a thing of the past.
    pub fn is_carried(&self) -> bool {
        self.named_from < Lsn(u64::MAX)
    }

    /// What a description of a relation, in a transaction that commits at `commit`, tells against this one.
    fn against(&self, commit: Lsn, oid: u32, name: &TableName) -> Option<Problem> {
        if commit < self.named_from {
            return None;
        }
        match (self.identity.oid == oid, self.table == *name) {
            (true, false) => Some(checks::renamed(&self.table, name)),
            (false, true) => Some(checks::made_again(name, oid, self.identity.oid)),
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
    /// The members that read this relation, and which of theirs it is: as indexes.
    readers: Vec<(usize, usize)>,
}

/// The members of one session, and what is known of the stream.
#[derive(Debug, Default)]
pub struct Router {
    members: Vec<Member>,
    routes: HashMap<u32, Route>,
    transaction: Option<Transaction>,
    last_change: Option<(Lsn, u32)>,
    /// The relations of members that have changes in the current transaction, in the order of their first: as indexes.
    touched: Vec<(usize, usize)>,
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
        for (number, relation) in member.relations.iter().enumerate() {
            if let Some(route) = self.routes.get_mut(&relation.identity.oid) {
                member.batch.push(Item::Shape(number, Arc::clone(&route.shape)));
                route.readers.push((self.members.len(), number));
            }
        }
        self.members.push(member);
    }

    /// Lets members go.
    pub fn retain(&mut self, mut keep: impl FnMut(&Member) -> bool) {
        self.members.retain(|member| keep(member));
        let relations = self.members.iter().enumerate().flat_map(|(index, member)| {
            let touched = member.relations.iter().enumerate().filter(|(_, relation)| relation.ordinal > 0);
            touched.map(move |(number, _)| (index, number))
        });
        self.touched = relations.collect();
        let mut routes: HashMap<u32, Vec<(usize, usize)>> = HashMap::new();
        for (index, member) in self.members.iter().enumerate() {
            for (number, relation) in member.relations.iter().enumerate() {
                routes.entry(relation.identity.oid).or_default().push((index, number));
            }
        }
        for (oid, route) in &mut self.routes {
            route.readers = routes.remove(oid).unwrap_or_default();
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
                for (member, relation) in self.touched.drain(..) {
                    let member = &mut self.members[member];
                    member.relations[relation].ordinal = 0;
                    if std::mem::take(&mut member.touched) && member.lost.is_none() {
                        member.batch.push(Item::Boundary(commit.end_lsn));
                    }
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
                for relation in truncate.relations {
                    // A Sink may carry several of them: each has a name of its own.
                    let (transaction, name) = self.name(at)?;
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
        for &(place, number) in &route.readers {
            let member = &mut self.members[place];
            // What it cannot go on with is told behind what came before.
            if member.lost.is_some() {
                continue;
            }
            let relation = &mut member.relations[number];
            if relation.ordinal == 0 {
                self.touched.push((place, number));
                member.touched = true;
            }
            let (kind, old, new) = rows(&mut member.batch);
            let id = ChangeId { commit: transaction.commit, change, index, ordinal: relation.ordinal };
            relation.ordinal += 1;
            member.batch.push(Item::Change(Change {
                relation: number,
                kind,
                id,
                time_us: transaction.time_us,
                old,
                new,
            }));
            self.largest = self.largest.max(member.batch.size());
        }
    }

    fn describe(&mut self, commit: Lsn, relation: &RelationBody) {
        let name = TableName { schema: relation.namespace.clone(), name: relation.name.clone() };
        for member in &mut self.members {
            let against = member.relations.iter().find_map(|known| known.against(commit, relation.oid, &name));
            if let Some(problem) = against {
                member.lost = Some(problem);
            }
        }
        let shape = Arc::new(Shape { columns: relation.columns.clone() });
        let readers = readers(&self.members, relation.oid);
        for &(member, number) in &readers {
            self.members[member].batch.push(Item::Shape(number, Arc::clone(&shape)));
        }
        self.routes.insert(relation.oid, Route { shape, readers });
    }
}

fn readers(members: &[Member], oid: u32) -> Vec<(usize, usize)> {
    let readers = members.iter().enumerate().flat_map(|(index, member)| {
        let numbered = member.relations.iter().enumerate();
        numbered.filter(|(_, relation)| relation.identity.oid == oid).map(move |(number, _)| (index, number))
    });
    readers.collect()
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
        let known = MemberRelation::new(table("t"), identity, Lsn(100));
        let mut router = Router::new(vec![Member::new(0, vec![known])]);
        for message in [begin(at), relation(oid, name), insert(oid), commit(at)] {
            router.apply(Lsn(at), &message).unwrap();
        }
        let member = &mut router.members()[0];
        let changes = member.batch.items().iter().filter(|item| matches!(item, Item::Change(_))).count();
        let goes_on = member.lost.is_none();
        assert_eq!(
            changes,
            usize::from(oid == 7 && goes_on),
            "the oid tells whose a change is, and nothing comes behind a loss"
        );
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
    fn relations_of_one_sink_count_for_themselves_and_share_the_end_of_a_transaction() {
        let known = |name, oid| MemberRelation::new(table(name), RelationIdentity { oid, entry: 1 }, Lsn(0));
        let mut router = Router::new(vec![Member::new(0, vec![known("t", 7), known("u", 8)])]);
        let stream = [begin(100), relation(7, "t"), relation(8, "u")];
        let changes = [insert(8), insert(7), insert(8), commit(100), begin(200), insert(7), commit(200)];
        for (at, message) in stream.iter().chain(&changes).enumerate() {
            router.apply(Lsn(at as u64), message).unwrap();
        }
        let found = router.members()[0].batch.items().iter().filter_map(|item| match item {
            Item::Change(change) => Some((change.relation, change.id.commit.0, change.id.ordinal)),
            Item::Boundary(end) => Some((9, end.0, 0)),
            _ => None,
        });
        let expected = [(1, 100, 0), (0, 100, 0), (1, 100, 1), (9, 101, 0), (0, 200, 0), (9, 201, 0)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_table_was_named_before_its_sink_began_does_not_matter() {
        assert_eq!(told(99, 7, "t_new"), None, "it was given its name later");
        assert_eq!(told(99, 8, "t"), None, "another table had the name then");
    }
}
