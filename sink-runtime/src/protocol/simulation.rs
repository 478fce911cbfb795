//! The protocol against a world that fails at every step.
//!
//! A model broker (transactions, fencing), a model source (replay from a commit boundary, overlaps, snapshots) and up
//! to three lives of one Sink at once: crashed ones, frozen ones that come back, ones that never learn what became of
//! their commit. However the steps interleave, the topic must end with the rows of the start and every later change
//! once and in order. Where the source loses what follows a position, that is so from the last start on, and what stands
//! before is the beginning of what should.

use afterbay_clients::postgres::Lsn;
use proptest::prelude::*;

use super::{Action, End, Event, Protocol, Start};
use crate::position::{ChangeId, Position};

/// A message of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// The whole table as it stood before this many transactions, row by row.
    Row {
        transactions: usize,
        row: usize,
    },
    Change(ChangeId),
}

#[derive(Default)]
struct Broker {
    epoch: u32,
    open: Option<(Vec<Message>, Option<Position>)>,
    topic: Vec<Message>,
    progress: Option<Position>,
}

/// The broker does not know this epoch any more.
struct Fenced;

impl Broker {
    fn fence(&mut self) -> u32 {
        self.open = None;
        self.epoch += 1;
        self.epoch
    }

    fn of(&mut self, epoch: u32) -> Result<&mut Self, Fenced> {
        if epoch == self.epoch { Ok(self) } else { Err(Fenced) }
    }

    fn commit(&mut self) {
        let (messages, progress) = self.open.take().expect("a transaction is open");
        self.topic.extend(messages);
        self.progress = progress.or(self.progress);
    }

    fn open(&mut self) -> &mut (Vec<Message>, Option<Position>) {
        self.open.as_mut().expect("a transaction is open")
    }
}

const SNAPSHOT_ROWS: usize = 3;

struct Source {
    transactions: Vec<Vec<ChangeId>>,
    /// How many of them are gone from the log.
    lost: usize,
}

impl Source {
    /// Transactions with these numbers of changes; several changes share an LSN, and each commit record starts where
    /// the one before it ended.
    fn new(sizes: &[usize]) -> Self {
        let transactions = sizes
            .iter()
            .enumerate()
            .map(|(n, size)| {
                let commit = Lsn(100 * (n as u64 + 1));
                (0..*size)
                    .map(|i| ChangeId {
                        commit,
                        change: Lsn(commit.0 - 90 + i as u64 / 2),
                        index: (i % 2) as u32,
                        ordinal: i as u64,
                    })
                    .collect()
            })
            .collect();
        Self { transactions, lost: 0 }
    }

    fn start_of(transaction: usize) -> Lsn {
        Lsn(100 * (transaction as u64 + 1))
    }

    fn events(&self, from: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for (n, changes) in self.transactions.iter().enumerate().skip(from) {
            events.extend(changes.iter().map(|id| Event::Change(*id)));
            events.push(Event::Boundary(Self::start_of(n + 1)));
        }
        events
    }

    /// What a Sink is fed: a replay may begin earlier than asked for, and a change of feeds repeats transactions.
    fn replay(&self, position: Position, noise: u8) -> Vec<Event> {
        let from = (0..=self.transactions.len())
            .find(|n| Self::start_of(*n) >= position.replay_from())
            .expect("the position is one of this source");
        let mut events = self.events(from.saturating_sub(usize::from(noise % 3)));
        if noise % 2 == 1 {
            let boundary = events.iter().position(|event| matches!(event, Event::Boundary(_)));
            if let Some(boundary) = boundary {
                let again = events[..=boundary].to_vec();
                let rest = events.split_off(boundary + 1);
                events.extend(again);
                events.extend(rest);
            }
        }
        events
    }
}

/// One life of the Sink.
struct Life {
    protocol: Protocol,
    action: Action,
    epoch: u32,
    feed: std::collections::VecDeque<Event>,
    /// The event whose messages are to be staged.
    arrived: Option<Event>,
    rows: usize,
    fresh_at: usize,
}

impl Life {
    fn new(begun: bool) -> Self {
        let (protocol, action) = Protocol::start(begun);
        Self { protocol, action, epoch: 0, feed: [].into(), arrived: None, rows: 0, fresh_at: 0 }
    }

    /// Does what the machine asks for and tells it; false when this life is over.
    fn step(&mut self, broker: &mut Broker, source: &Source, committed: usize, choice: u8) -> bool {
        let event = match self.action {
            Action::Fence => {
                self.epoch = broker.fence();
                Event::Fenced
            }
            Action::ReadProgress => Event::ProgressRead(broker.progress),
            Action::Attach(Start::Fresh) => {
                self.fresh_at = committed.max(source.lost);
                self.feed = std::iter::repeat_n(Event::SnapshotRow, SNAPSHOT_ROWS)
                    .chain([Event::SnapshotEnd(Source::start_of(self.fresh_at))])
                    .collect();
                Event::Attached
            }
            Action::Attach(Start::At(position)) if position.replay_from() < Source::start_of(source.lost) => {
                Event::PositionLost
            }
            Action::Attach(Start::At(position)) => {
                self.feed = source.replay(position, choice).into();
                Event::Attached
            }
            Action::End(End::Started(_)) => return false,
            Action::End(end) => panic!("ended with {end:?}"),
            Action::Await | Action::PassOver | Action::Acknowledge(_) => {
                if let Action::Acknowledge(position) = self.action {
                    let stands = broker.progress.expect("acknowledged, so committed");
                    assert!(stands.replay_from() >= position.replay_from(), "acknowledged beyond the progress");
                }
                let due = self.rows.is_multiple_of(SNAPSHOT_ROWS) && choice.is_multiple_of(4);
                match self.feed.front() {
                    _ if due => Event::CommitDue,
                    None => Event::CommitDue,
                    Some(_) => {
                        self.arrived = self.feed.pop_front();
                        self.arrived.expect("looked at")
                    }
                }
            }
            action => match self.produce(action, broker) {
                Ok(event) => event,
                Err(Fenced) => return false,
            },
        };
        self.action = self.protocol.step(event);
        true
    }

    fn produce(&mut self, action: Action, broker: &mut Broker) -> Result<Event, Fenced> {
        let broker = broker.of(self.epoch)?;
        Ok(match action {
            Action::Begin => {
                broker.open = Some((Vec::new(), None));
                Event::Begun
            }
            Action::Stage => {
                let message = if let Event::Change(id) = self.arrived.expect("something arrived") {
                    Message::Change(id)
                } else {
                    self.rows += 1;
                    Message::Row { transactions: self.fresh_at, row: self.rows }
                };
                broker.open().0.push(message);
                Event::Staged
            }
            Action::StageProgress(position) => {
                broker.open().1 = Some(position);
                Event::ProgressStaged
            }
            Action::Commit => {
                broker.commit();
                Event::Committed
            }
            other => panic!("{other:?} is not for the broker"),
        })
    }
}

/// The rows of a start and all changes behind it. Where there are several starts, each shows what is lost of the one before
/// it: of that, the changes up to some place before.
fn expected(source: &Source, topic: &[Message]) -> Vec<Message> {
    let starts = topic.iter().enumerate().filter_map(|(place, message)| match message {
        Message::Row { transactions, row: 1 } => Some((place, *transactions)),
        _ => None,
    });
    let starts: Vec<_> = starts.collect();
    assert_eq!(
        starts.first().map(|(place, _)| *place),
        Some(0),
        "the topic does not begin with the snapshot: {topic:?}"
    );
    assert!(starts.len() == 1 || source.lost > 0, "a start without need: {topic:?}");
    let mut expected = Vec::new();
    for (n, (place, transactions)) in starts.iter().copied().enumerate() {
        let next = starts.get(n + 1);
        let (length, end) = next.map_or((usize::MAX, usize::MAX), |(next, transactions)| (next - place, *transactions));
        let rows = (1..=SNAPSHOT_ROWS).map(|row| Message::Row { transactions, row });
        let changes = source.transactions.iter().take(end).skip(transactions).flatten().map(|id| Message::Change(*id));
        expected.extend(rows.chain(changes).take(length));
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_stands_once_whatever_fails(
        sizes in prop::collection::vec(0_usize..6, 0..8),
        schedule in prop::collection::vec(any::<(u8, u8)>(), 0..400),
    ) {
        let mut source = Source::new(&sizes);
        let mut broker = Broker::default();
        let mut lives: Vec<Life> = vec![Life::new(false)];
        for (what, choice) in schedule {
            let committed = usize::from(choice) % (source.transactions.len() + 1);
            match what {
                // A crash: whatever was under way is never heard of again.
                0..=15 => { lives.pop(); }
                // A successor, while the predecessor may only be frozen.
                16..=31 if lives.len() < 3 => lives.push(Life::new(broker.progress.is_some())),
                // The log up to some place, and the slot with it.
                32..=33 => source.lost = source.lost.max(committed),
                _ => {
                    let running = lives.len();
                    if running == 0 {
                        lives.push(Life::new(broker.progress.is_some()));
                    } else {
                        let who = usize::from(what) % running;
                        if !lives[who].step(&mut broker, &source, committed, choice) {
                            lives.remove(who);
                        }
                    }
                }
            }
        }
        // Quiet at last: one life at a time, until all that the source holds is committed.
        let end = Position::Done(Source::start_of(source.transactions.len()));
        let mut steps = 0;
        while broker.progress != Some(end) {
            let mut life = Life::new(broker.progress.is_some());
            while broker.progress != Some(end) && life.step(&mut broker, &source, source.transactions.len(), 1) {
                steps += 1;
                prop_assert!(steps < 10_000, "no progress any more");
            }
        }
        prop_assert_eq!(&broker.topic, &expected(&source, &broker.topic));
    }
}

/// Carries all of the source with one life after the other; the first lives crash after so many steps each. How many steps
/// the others took.
fn carry(source: &Source, broker: &mut Broker, crashes: &[usize], commit_every: usize) -> usize {
    let choice = |step: usize| if step % commit_every == 1 { 4 } else { 1 };
    let end = Position::Done(Source::start_of(source.transactions.len()));
    for crash in crashes {
        let mut life = Life::new(broker.progress.is_some());
        let mut steps = 0;
        while steps < *crash && life.step(broker, source, 0, choice(steps)) {
            steps += 1;
        }
    }
    let mut steps = 0;
    while broker.progress != Some(end) {
        let mut life = Life::new(broker.progress.is_some());
        while broker.progress != Some(end) && life.step(broker, source, 0, choice(steps)) {
            steps += 1;
            assert!(steps < 1_000, "no progress any more");
        }
    }
    steps
}

#[test]
fn a_crash_after_each_step_is_survived_and_one_after_each_step_of_what_follows() {
    for (sizes, commit_every) in [(&[1][..], 9), (&[2, 0, 3], 1_000), (&[2, 0, 3], 7), (&[5, 4], 5), (&[5, 4], 3)] {
        let source = Source::new(sizes);
        let undisturbed = carry(&source, &mut Broker::default(), &[], commit_every);
        for first in 0..=undisturbed {
            for second in 0..=undisturbed {
                let mut broker = Broker::default();
                carry(&source, &mut broker, &[first, second], commit_every);
                assert_eq!(broker.topic, expected(&source, &broker.topic), "{sizes:?}, {first} and {second} steps");
            }
        }
    }
}

#[test]
fn a_record_that_should_be_there_and_is_not_ends_the_life() {
    let (mut protocol, _) = Protocol::start(true);
    assert_eq!(protocol.step(Event::Fenced), Action::ReadProgress);
    assert_eq!(protocol.step(Event::ProgressRead(None)), Action::End(End::ProgressMissing));
}

#[test]
fn a_replay_that_counts_differently_ends_the_life() {
    let last = ChangeId { commit: Lsn(100), change: Lsn(50), index: 0, ordinal: 7 };
    let resumed = || {
        let (mut protocol, _) = Protocol::start(true);
        protocol.step(Event::Fenced);
        protocol.step(Event::ProgressRead(Some(Position::Within(last))));
        protocol.step(Event::Attached);
        protocol
    };
    let differs = Action::End(End::ReplayDiffers(last));
    assert_eq!(resumed().step(Event::Change(ChangeId { ordinal: 6, ..last })), differs);
    assert_eq!(resumed().step(Event::Change(ChangeId { change: Lsn(60), ordinal: 8, ..last })), differs);
    assert_eq!(resumed().step(Event::Boundary(Lsn(120))), differs);
    let mut same = resumed();
    assert_eq!(same.step(Event::Change(last)), Action::PassOver);
    assert_eq!(same.step(Event::Change(ChangeId { change: Lsn(60), ordinal: 8, ..last })), Action::Begin);
}

#[test]
fn a_position_that_is_lost_gives_way_to_a_start_when_that_is_committed() {
    let last = ChangeId { commit: Lsn(100), change: Lsn(50), index: 0, ordinal: 7 };
    let (mut protocol, _) = Protocol::start(true);
    let start = Position::Done(Lsn(500));
    for (event, action) in [
        (Event::Fenced, Action::ReadProgress),
        (Event::ProgressRead(Some(Position::Within(last))), Action::Attach(Start::At(Position::Within(last)))),
        (Event::PositionLost, Action::Attach(Start::Fresh)),
        (Event::Attached, Action::Await),
        (Event::SnapshotRow, Action::Begin),
        (Event::Begun, Action::Stage),
        (Event::Staged, Action::Await),
        // The old position is committed by nothing any more.
        (Event::CommitDue, Action::Await),
        (Event::SnapshotEnd(Lsn(500)), Action::StageProgress(start)),
        (Event::ProgressStaged, Action::Commit),
        (Event::Committed, Action::End(End::Started(start))),
    ] {
        assert_eq!(protocol.step(event), action, "{event:?}");
    }
    assert_eq!(protocol.step(Event::PositionLost), Action::End(End::OutOfOrder));
}
