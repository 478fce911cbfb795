//! The model's database: a log of a few transactions.

use afterbay_clients::postgres::Lsn;
use sink_runtime::position::ChangeId;
use sink_runtime::protocol::Event;

/// The changes of the Sink's relation in each transaction; an empty one is of other tables only.
#[derive(Clone, Copy, Debug)]
pub struct Log(pub &'static [u8]);

impl Log {
    /// How many transactions there will be.
    pub fn len(self) -> u8 {
        self.0.len() as u8
    }

    /// The name of a change. Neighbours share a record, as the rows of a `COPY` do.
    pub fn change(transaction: u8, number: u8) -> ChangeId {
        let commit = Self::start_of(transaction);
        let change = Lsn(commit.0 - 90 + u64::from(number / 2));
        ChangeId { commit, change, index: u32::from(number % 2), ordinal: u64::from(number) }
    }

    /// Where the commit record of a transaction starts, which is where that of the one before ends.
    pub fn start_of(transaction: u8) -> Lsn {
        Lsn(100 * (u64::from(transaction) + 1))
    }

    /// The first transaction whose commit record starts at or after this place.
    pub fn first_from(self, place: Lsn) -> u8 {
        (0..self.len()).find(|transaction| Self::start_of(*transaction) >= place).unwrap_or(self.len())
    }

    /// All changes of the transactions from this one on.
    pub fn changes_from(self, transaction: u8) -> impl Iterator<Item = ChangeId> {
        (transaction..self.len()).flat_map(move |transaction| {
            (0..self.0[usize::from(transaction)]).map(move |n| Self::change(transaction, n))
        })
    }
}

/// Where a life reads the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    transaction: u8,
    number: u8,
    repeated: bool,
}

impl Reader {
    /// At the beginning of a transaction.
    pub fn at(transaction: u8) -> Self {
        Self { transaction, number: 0, repeated: false }
    }

    /// The next event of the stream, if there is one.
    pub fn next(&mut self, log: Log) -> Option<Event> {
        let changes = *log.0.get(usize::from(self.transaction))?;
        if self.number < changes {
            let change = Log::change(self.transaction, self.number);
            self.number += 1;
            return Some(Event::Change(change));
        }
        self.transaction += 1;
        self.number = 0;
        Some(Event::Boundary(Log::start_of(self.transaction)))
    }

    /// The reader that delivers the last whole transaction again, as a change of feeds does; once in a life.
    pub fn again(self) -> Option<Self> {
        let before = self.transaction.checked_sub(1).filter(|_| self.number == 0 && !self.repeated)?;
        Some(Self { transaction: before, number: 0, repeated: true })
    }
}
