//! The rules of the snapshot against random tables, changes, chunks and restarts.
//!
//! The real [`Snapshot`] and the real protocol drive a model of the life around them: a log that grows while chunks are on
//! their way, chunks whose rows are those of the table at their place, commits in the middle of anything, crashes after
//! any step. There are two tables in one Sink, of which the second may join in a later life. Whatever happens, per key the topic holds the row as it was at one place of the log and every change from
//! there on, once and in order; and all of it in the order of the log.

use std::collections::{BTreeMap, VecDeque};

use afterbay_clients::postgres::pgoutput::RelationColumn;
use afterbay_formats::documentation::Comments;
use afterbay_formats::relation::SqlType;
use afterbay_formats::row::Row as _;
use afterbay_formats::table::{
    ColumnDescription, Persistence, ReplicaIdentity, TableDescription, TableKind, UniqueKey,
};
use proptest::prelude::*;

use super::*;
use crate::feed::{Delivered, feed};
use crate::position::ChangeId;
use crate::protocol::{Action, Event, Protocol};

/// The rows of both tables: the key tells whose a row is.
type Table = BTreeMap<i64, u32>;

/// Which of the tables a key is of.
fn table_of(key: i64) -> usize {
    usize::from(key >= 5)
}

/// Where the snapshots of the tables stand in the record: done, under way, or not told of.
type Standing = [Option<Option<SnapshotProgress>>; 2];

/// How far the commits of two transactions are apart in the log; other things are written in between.
const APART: u64 = 1_000_000;

/// A change as the database made it: the key before and after, where there was a row.
#[derive(Clone, Copy, Debug)]
struct Done {
    before: Option<i64>,
    after: Option<(i64, u32)>,
    /// Whether the whole old row comes with it, or only what the replica identity needs.
    full: bool,
}

/// The transactions that the database commits, one after the other, and the table before the first of them.
#[derive(Debug)]
struct Log {
    first: Table,
    transactions: Vec<Vec<Done>>,
}

impl Log {
    /// Each change has a value of its own. What cannot be done (a key that is not there, or is taken) is left out.
    fn new(rows: &[i64], wishes: &[Vec<(u8, i64, i64, bool)>]) -> Self {
        let mut values = 1_u32..;
        let mut value = || values.next().expect("there are enough");
        let first: Table = rows.iter().map(|key| (*key, value())).collect();
        let mut table = first.clone();
        let mut one = |(kind, key, other, full): (u8, i64, i64, bool)| {
            let there = table.remove(&key);
            let after = match (kind % 4, there) {
                (0, _) | (1, Some(_)) => Some((key, value())),
                (2, Some(_)) => {
                    let stays = table.contains_key(&other) || table_of(other) != table_of(key);
                    Some((if stays { key } else { other }, value()))
                }
                _ => None,
            };
            table.extend(after);
            let done = Done { before: there.map(|_| key), after, full };
            (done.before.is_some() || done.after.is_some()).then_some(done)
        };
        let transactions = wishes.iter().map(|wishes| wishes.iter().copied().filter_map(&mut one).collect()).collect();
        Self { first, transactions }
    }

    fn commit(transaction: usize) -> Lsn {
        Lsn(APART * (transaction as u64 + 1))
    }

    /// The table after so many transactions.
    fn table(&self, transactions: usize) -> Table {
        let mut table = self.first.clone();
        for done in self.transactions[..transactions].iter().flatten() {
            done.before.map(|key| table.remove(&key));
            table.extend(done.after);
        }
        table
    }

    /// What a key was, from the first on; none: it was not there.
    fn values(&self, key: i64) -> Vec<Option<u32>> {
        let mut values: Vec<_> = self.first.get(&key).map(|value| Some(*value)).into_iter().collect();
        for done in self.transactions.iter().flatten() {
            let gone = done.before == Some(key) && done.after.is_none_or(|(after, _)| after != key);
            values.extend(gone.then_some(None));
            values.extend(done.after.filter(|(after, _)| *after == key).map(|(_, value)| Some(value)));
        }
        values
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    key: i64,
    value: Option<u32>,
    /// Place, whether it is a change, and which one.
    name: (u64, bool, u64),
}

/// Kafka and the database: what outlives a life.
struct World<'a> {
    log: &'a Log,
    choices: VecDeque<u8>,
    /// How many transactions are committed by now, and where the log ends.
    committed: usize,
    log_end: Lsn,
    chunk_rows: usize,
    topic: Vec<Message>,
    record: (Position, Standing),
    steps: u32,
    /// In which life the second table joins, and which life this is.
    joins: (u32, u32),
    /// The chunk that has arrived last: behind which key its rows are, and how many transactions it shows.
    shown: (Option<i64>, usize),
}

impl World<'_> {
    /// What happens of so many things; when the choices are used up, the last one, which leads to the end.
    fn choose(&mut self, of: u8) -> u8 {
        self.steps += 1;
        assert!(self.steps < 20_000, "no progress any more");
        let grows = self.choices.front().is_none_or(|choice| choice % 5 == 0);
        if grows && self.committed < self.log.transactions.len() {
            self.log_end = Lsn(Log::commit(self.committed).0 + 10);
            self.committed += 1;
        }
        self.choices.pop_front().map_or(of - 1, |choice| choice / 5 % of)
    }

    fn is_carried(&self) -> bool {
        let end = Lsn(APART * self.log.transactions.len() as u64 + 1);
        self.record.1 == [Some(None), Some(None)] && self.record.0.reaches(end)
    }
}

/// A life ends between two of its steps.
struct Crash;

struct Life<'a, 'w> {
    world: &'a mut World<'w>,
    protocol: Protocol,
    snapshot: Option<Snapshot>,
    /// Whose it is.
    in_chunks: usize,
    /// The tables whose snapshot has not begun.
    waits: Vec<usize>,
    /// How many tables are carried.
    tables: usize,
    rows: u64,
    /// The open transaction.
    staged: Vec<Message>,
    record: Option<(Position, Standing)>,
    chunk: Option<Asked>,
}

/// A chunk on its way.
struct Asked {
    answer: oneshot::Sender<Result<Chunk, Problem>>,
    after: Option<i64>,
    /// Its place, and how many transactions it shows, as soon as that is settled.
    shows: Option<(Lsn, usize)>,
}

fn key() -> ChunkKey {
    let column = |name: &str| ColumnDescription {
        name: name.into(),
        attnum: 1,
        sql_type: SqlType::Int8,
        type_oid: 20,
        typmod: -1,
        not_null: true,
        generated: false,
        can_toast: false,
    };
    let table = TableDescription {
        oid: 1,
        schema: "public".into(),
        name: "t".into(),
        kind: TableKind::Ordinary,
        persistence: Persistence::Permanent,
        columns: vec![column("id"), column("n")],
        unique_keys: vec![UniqueKey { primary: true, columns: vec!["id".into()] }],
        replica_identity: ReplicaIdentity::Default,
        leaves: vec![],
        comments: Comments::default(),
        row_security: false,
        refuses_generated_identity: false,
    };
    ChunkKey::of(&table, &["id".into()], &[]).expect("a key of integers")
}

/// The columns come in this order.
fn shape(names: [&str; 2]) -> Shape {
    let column = |name: &str| RelationColumn { key: name == "id", name: name.into(), type_oid: 20, type_modifier: -1 };
    Shape { columns: names.map(column).into() }
}

fn row(batch: &mut ChangeBatch, cells: [Option<i64>; 2]) -> RowSpan {
    let start = batch.begin_row();
    for cell in cells {
        match cell {
            Some(number) => batch.text(number.to_string().as_bytes()),
            None => batch.null(),
        }
    }
    batch.end_row(&start)
}

fn number(batch: &ChangeBatch, row: RowSpan, column: usize) -> i64 {
    let text = batch.row(row).cell(column).map(|cell| String::from_utf8_lossy(cell).into_owned());
    text.and_then(|text| text.parse().ok()).expect("a number")
}

/// What a change of the stream, whose columns are id and n, looks like in the topic.
fn messages(batch: &ChangeBatch, change: &Change) -> Vec<Message> {
    let name = |half| (change.id.commit.0, true, 2 * change.id.ordinal + half);
    let old = match change.old {
        OldRow::Absent => None,
        OldRow::Identity(row) | OldRow::Full(row) => Some(number(batch, row, 0)),
    };
    let new = change.new.map(|row| (number(batch, row, 0), number(batch, row, 1) as u32));
    let gone = old.filter(|key| new.is_none_or(|(new, _)| new != *key));
    let gone = gone.map(|key| Message { key, value: None, name: name(0) });
    let there = new.map(|(key, value)| Message { key, value: Some(value), name: name(1) });
    gone.into_iter().chain(there).collect()
}

impl<'a, 'w> Life<'a, 'w> {
    fn new(world: &'a mut World<'w>) -> Self {
        let (mut protocol, _) = Protocol::start(true);
        world.joins.1 += 1;
        let tables = if world.joins.1 > world.joins.0 { 2 } else { 1 };
        let (position, standing) = world.record.clone();
        let mut waits: Vec<_> = (0..tables).filter(|table| standing[*table].is_none()).collect();
        let under_way = standing.into_iter().enumerate().find_map(|(table, it)| Some((table, it.flatten()?)));
        let first = (under_way.is_none() && !waits.is_empty()).then(|| (waits.remove(0), SnapshotProgress::default()));
        let (in_chunks, progress) = under_way.or(first).unzip();
        for event in [Event::Fenced, Event::ProgressRead(Some(position)), Event::Attached] {
            protocol.step(event);
        }
        let rows = progress.as_ref().map_or(0, |progress| progress.rows);
        let snapshot = progress.map(|progress| Snapshot::new(key(), progress, position));
        let in_chunks = in_chunks.unwrap_or_default();
        Self { world, protocol, snapshot, in_chunks, waits, tables, rows, staged: vec![], record: None, chunk: None }
    }

    /// Carries all that there is, in the way of `sink/life.rs`.
    fn run(&mut self) -> Result<(), Crash> {
        let position = self.world.record.0.replay_from();
        let asked = (position.0.saturating_sub(1) / APART) as usize;
        // A replay may begin earlier than asked for.
        let mut next = asked.saturating_sub(usize::from(self.world.choose(3) == 0));
        while !self.world.is_carried() {
            // With all that there is carried, the worker is started again for the table that joins.
            if self.tables == 1 && matches!(self.world.record.1, [Some(None), None]) && self.world.choose(3) == 2 {
                return Err(Crash);
            }
            if next < self.world.committed {
                self.transaction(next)?;
                next += 1;
            } else {
                self.rest()?;
            }
        }
        Ok(())
    }

    fn transaction(&mut self, n: usize) -> Result<(), Crash> {
        let commit = Log::commit(n);
        for (ordinal, done) in self.world.log.transactions[n].iter().enumerate() {
            let table = done.before.or(done.after.map(|(key, _)| key)).map_or(0, table_of);
            if table >= self.tables {
                continue;
            }
            let mut batch = ChangeBatch::default();
            let new = done.after.map(|(key, value)| row(&mut batch, [Some(key), Some(value.into())]));
            let old = done.before.map(|key| row(&mut batch, [Some(key), done.full.then_some(0)]));
            let key_stays = done.after.is_some_and(|(key, _)| Some(key) == done.before);
            let old = match old {
                Some(old) if done.full => OldRow::Full(old),
                Some(old) if !key_stays => OldRow::Identity(old),
                _ => OldRow::Absent,
            };
            let kind = match (done.before, new) {
                (Some(_), Some(_)) => ChangeKind::Update,
                (Some(_), None) => ChangeKind::Delete,
                _ => ChangeKind::Insert,
            };
            // Neighbours share a record, as the rows of a `COPY` do.
            let (change, index) = (Lsn(commit.0 - 90 + ordinal as u64 / 2), ordinal as u32 % 2);
            let id = ChangeId { commit, change, index, ordinal: ordinal as u64 };
            self.change(&batch, &Change { relation: table, kind, id, time_us: 0, old, new })?;
            self.something_else()?;
        }
        self.drive(Event::Boundary(Lsn(commit.0 + 10)), vec![])
    }

    fn change(&mut self, batch: &ChangeBatch, change: &Change) -> Result<(), Crash> {
        let commit = change.id.commit;
        while let Some(snapshot) = &mut self.snapshot {
            match snapshot.turn(commit, self.world.log_end).expect("no problem is told") {
                Turn::Change => break,
                Turn::Chunk => self.take_chunk()?,
                Turn::Ask => self.ask(),
                // A change waits for so long and no longer.
                Turn::Wait if self.world.choose(3) == 0 => break,
                Turn::Wait => self.chunk_goes_on(),
            }
        }
        let Some(snapshot) = self.snapshot.as_mut().filter(|_| !self.protocol.has(&change.id)) else {
            return self.drive(Event::Change(change.id), messages(batch, change));
        };
        snapshot.shaped(&shape(["id", "n"]));
        snapshot.passes(commit);
        if self.waits.contains(&change.relation) {
            return Ok(());
        }
        if change.relation != self.in_chunks {
            return self.drive(Event::Change(change.id), messages(batch, change));
        }
        match snapshot.judge(batch, change).expect("keys are numbers") {
            Some(judged) => self.drive(Event::Change(change.id), messages(batch, &judged)),
            None => Ok(()),
        }
    }

    /// All that is in the log is worked off.
    fn rest(&mut self) -> Result<(), Crash> {
        let delivered = self.world.log_end;
        self.drive(Event::Boundary(delivered), vec![])?;
        if let Some(snapshot) = &mut self.snapshot {
            match snapshot.turn_at_rest(delivered, self.world.log_end).expect("no problem is told") {
                Turn::Chunk => self.take_chunk()?,
                Turn::Ask => self.ask(),
                Turn::Wait | Turn::Change => self.chunk_goes_on(),
            }
        }
        if self.world.choose(3) == 0 { Ok(()) } else { self.drive(Event::CommitDue, vec![]) }
    }

    /// What may come between any two changes or rows.
    fn something_else(&mut self) -> Result<(), Crash> {
        match self.world.choose(6) {
            0 => self.drive(Event::CommitDue, vec![]),
            1 => {
                self.chunk_goes_on();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn ask(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let (answer, chunk) = oneshot::channel();
        let after = snapshot.progress.after.as_ref().map(|after| after[0].parse().expect("a number"));
        snapshot.asks(chunk);
        self.chunk = Some(Asked { answer, after, shows: None });
    }

    /// The slot is made, which settles the place; or the chunk arrives.
    fn chunk_goes_on(&mut self) {
        let Some(asked) = self.chunk.take() else { return };
        let Some((point, shows)) = asked.shows else {
            // To make a slot is written to the log, too.
            self.world.log_end.0 += 10;
            self.chunk = Some(Asked { shows: Some((self.world.log_end, self.world.committed)), ..asked });
            self.world.log_end.0 += 10;
            return;
        };
        let (_, rows) = feed(1, Delivered::default());
        let chunk = Chunk { point, time_us: 0, shape: shape(["n", "id"]).into(), rows_estimated: None, rows };
        // Who gave it up needs none.
        let _ = asked.answer.send(Ok(chunk));
        self.world.shown = (asked.after, shows);
    }

    fn take_chunk(&mut self) -> Result<(), Crash> {
        let Some(chunk) = self.snapshot.as_mut().and_then(Snapshot::take) else { return Ok(()) };
        let (after, shows) = self.world.shown;
        self.drive(Event::Boundary(chunk.point), vec![])?;
        let rows = self.world.log.table(shows).into_iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        let in_chunks = self.in_chunks;
        let rows = rows.filter(move |(key, _)| table_of(*key) == in_chunks);
        let rows: Vec<_> = rows.take(self.world.chunk_rows).collect();
        for (key, value) in &rows {
            let mut batch = ChangeBatch::default();
            let span = row(&mut batch, [Some((*value).into()), Some(*key)]);
            let name = (chunk.point.0, false, self.rows);
            self.drive(Event::SnapshotRow, vec![Message { key: *key, value: Some(*value), name }])?;
            self.rows += 1;
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.shaped(&chunk.shape);
                snapshot.reaches(&batch, span, self.rows).expect("a key of numbers");
            }
            self.something_else()?;
        }
        if rows.len() < self.world.chunk_rows && !self.waits.is_empty() {
            self.in_chunks = self.waits.remove(0);
            self.snapshot = self.snapshot.take().map(|snapshot| snapshot.next(key()));
            self.rows = 0;
        } else if rows.len() < self.world.chunk_rows {
            self.snapshot = None;
            return self.drive(Event::LastChunk, vec![]);
        }
        self.ask();
        Ok(())
    }

    /// What the record is to tell of the tables: nothing of one of which no row is sent.
    fn standing(&self) -> Standing {
        let progress = self.snapshot.as_ref().map(|snapshot| snapshot.progress.clone());
        let mut standing = [None, None];
        for (table, standing) in standing.iter_mut().enumerate().take(self.tables) {
            *standing = match &progress {
                _ if self.waits.contains(&table) => None,
                Some(progress) if table == self.in_chunks => progress.after.is_some().then(|| Some(progress.clone())),
                _ => Some(None),
            };
        }
        standing
    }

    /// Tells the protocol, and does what it asks for.
    fn drive(&mut self, event: Event, mut messages: Vec<Message>) -> Result<(), Crash> {
        let mut action = self.protocol.step(event);
        loop {
            if self.world.choose(40) == 0 {
                return Err(Crash);
            }
            let event = match action {
                Action::Await | Action::PassOver | Action::Acknowledge(_) => return Ok(()),
                Action::Begin => Event::Begun,
                Action::Stage => {
                    self.staged.append(&mut messages);
                    Event::Staged
                }
                Action::StageProgress(position) => {
                    self.record = Some((position, self.standing()));
                    Event::ProgressStaged
                }
                Action::Commit => {
                    self.world.topic.append(&mut self.staged);
                    self.world.record = self.record.take().expect("the record is staged");
                    Event::Committed
                }
                other => panic!("{other:?}"),
            };
            action = self.protocol.step(event);
        }
    }
}

/// The row after some of the values, if there was one then, and all values after those, as changes.
fn is_right(values: &[Option<u32>], found: &[&Message]) -> bool {
    let found = || found.iter().map(|message| (message.name.1, message.value));
    (0..=values.len()).any(|seen| {
        let row = seen.checked_sub(1).and_then(|last| values[last]).map(|value| (false, Some(value)));
        row.into_iter().chain(values[seen..].iter().map(|value| (true, *value))).eq(found())
    })
}

fn check(log: &Log, topic: &[Message]) -> Result<(), TestCaseError> {
    prop_assert!(topic.is_sorted_by(|one, next| one.name < next.name), "not in the order of the log: {:?}", topic);
    let mut folded = Table::new();
    for Message { key, value, .. } in topic {
        folded.remove(key);
        folded.extend(value.map(|value| (*key, value)));
    }
    prop_assert_eq!(&folded, &log.table(log.transactions.len()));
    for key in KEYS {
        let found: Vec<_> = topic.iter().filter(|message| message.key == key).collect();
        prop_assert!(is_right(&log.values(key), &found), "key {}: {:?} became {:?}", key, log.values(key), found);
    }
    Ok(())
}

/// Their order is not that of their texts.
const KEYS: std::ops::Range<i64> = -3..12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_changes_stand_once_whatever_comes_between(
        rows in prop::collection::vec(KEYS, 0..10),
        wishes in prop::collection::vec(prop::collection::vec((any::<u8>(), KEYS, KEYS, any::<bool>()), 0..5), 0..12),
        begins_after in 0_usize..4,
        joins in 0_u32..4,
        chunk_rows in 1_usize..5,
        choices in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let log = Log::new(&rows, &wishes);
        let begins_after = begins_after.min(wishes.len());
        let log_end = Lsn(APART * begins_after as u64 + 50);
        let start = (Position::Done(log_end), [None, None]);
        let mut world = World {
            log: &log,
            choices: choices.into(),
            committed: begins_after,
            log_end,
            chunk_rows,
            topic: vec![],
            record: start,
            steps: 0,
            joins: (joins, 0),
            shown: (None, 0),
        };
        while Life::new(&mut world).run().is_err() {}
        check(&log, &world.topic)?;
    }
}
