//! The model's Kafka: one transactional id, the topic and the progress record, as `read_committed` shows them.
//!
//! A commit has two halves, as it has in Kafka: the coordinator decides, and may answer; then markers make the
//! transaction's messages visible, in each partition at a time of its own.

use sink_runtime::position::{ChangeId, Position};

use crate::world::Defect;

/// A message of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A row of the table as it stood before this many transactions.
    Row {
        /// So many transactions are in it.
        transactions: u8,
        /// Which row it is, from 1.
        row: u8,
    },
    /// A change.
    Change(ChangeId),
}

/// What a producer shows of itself with each request; the coordinator knows the newest.
pub type Epoch = u8;

/// The producer has been fenced.
pub struct Fenced;

/// What a transaction holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Contents {
    /// Its messages for the topic.
    pub messages: Vec<Message>,
    /// Its progress record.
    pub record: Option<Position>,
}

/// The transaction of the transactional id, as the coordinator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// None is under way.
    #[default]
    Complete,
    /// Open: nobody sees it.
    Open(Contents),
    /// Decided to be committed; what no marker stands behind yet is still to be shown.
    Decided {
        /// Messages that are not visible yet.
        messages: Vec<Message>,
        /// The record that is not visible yet.
        record: Option<Position>,
    },
}

/// The broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broker {
    epoch: Epoch,
    transaction: Transaction,
    topic: Vec<Message>,
    record: Option<Position>,
    late: Vec<Epoch>,
}

impl Broker {
    /// The newest producer.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What the coordinator has under way.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// What readers see in the topic.
    pub fn topic(&self) -> &[Message] {
        &self.topic
    }

    /// What readers see as the progress record.
    pub fn record(&self) -> Option<Position> {
        self.record
    }

    /// Requests to commit that are on their way though nobody waits for an answer.
    pub fn late(&self) -> &[Epoch] {
        &self.late
    }

    /// The topic as it is once the markers of what is decided stand.
    pub fn decided(&self) -> impl Iterator<Item = Message> + Clone {
        let more = match &self.transaction {
            Transaction::Decided { messages, .. } => &messages[..],
            _ => &[],
        };
        self.topic.iter().chain(more).copied()
    }

    /// The record as it is then.
    pub fn decided_record(&self) -> Option<Position> {
        match self.transaction {
            Transaction::Decided { record: Some(record), .. } => Some(record),
            _ => self.record,
        }
    }

    /// Gives the epochs other numbers.
    pub fn renumber(&mut self, number: impl Fn(Epoch) -> Epoch) {
        self.late.iter_mut().for_each(|epoch| *epoch = number(*epoch));
        self.epoch = number(self.epoch);
    }

    /// Whether the next transaction has to wait for markers of the last one.
    pub fn is_busy(&self) -> bool {
        matches!(self.transaction, Transaction::Decided { .. })
    }

    /// `init_transactions`: the caller's epoch. Whoever came before is fenced, and its open transaction aborted.
    pub fn fence(&mut self, defect: Defect) -> Epoch {
        if matches!(self.transaction, Transaction::Open(_)) && defect != Defect::FenceKeepsTransaction {
            self.transaction = Transaction::Complete;
        }
        self.epoch += 1;
        self.epoch
    }

    /// Begins a transaction.
    pub fn begin(&mut self, epoch: Epoch, defect: Defect) -> Result<(), Fenced> {
        self.open(epoch, defect).map(|_| ())
    }

    /// Adds a message.
    pub fn produce(&mut self, epoch: Epoch, message: Message, defect: Defect) -> Result<(), Fenced> {
        self.open(epoch, defect)?.messages.push(message);
        Ok(())
    }

    /// Adds the progress record.
    pub fn produce_record(&mut self, epoch: Epoch, position: Position, defect: Defect) -> Result<(), Fenced> {
        self.open(epoch, defect)?;
        if defect == Defect::RecordOutsideTransaction {
            self.record = Some(position);
            return Ok(());
        }
        self.open(epoch, defect)?.record = Some(position);
        Ok(())
    }

    /// Decides to commit.
    pub fn commit(&mut self, epoch: Epoch, defect: Defect) -> Result<(), Fenced> {
        let Contents { messages, record } = std::mem::take(self.open(epoch, defect)?);
        self.transaction = Transaction::Decided { messages, record };
        self.settle();
        Ok(())
    }

    /// Gives the open transaction up and tells nobody.
    pub fn give_up(&mut self, epoch: Epoch, defect: Defect) -> Result<(), Fenced> {
        self.open(epoch, defect)?;
        self.transaction = Transaction::Complete;
        Ok(())
    }

    /// A request to commit is on its way, and nobody waits for the answer any more.
    pub fn commit_later(&mut self, epoch: Epoch) {
        self.late.push(epoch);
        self.late.sort_unstable();
    }

    /// The oldest of those requests arrives; one of a fenced producer is refused, as is one that finds nothing open.
    pub fn late_arrives(&mut self, defect: Defect) {
        let epoch = self.late.remove(0);
        if matches!(self.transaction, Transaction::Open(_)) {
            let _refused = self.commit(epoch, defect);
        }
    }

    /// The transaction's time is over: it is aborted, and its producer fenced.
    pub fn expire(&mut self) {
        self.transaction = Transaction::Complete;
        self.epoch += 1;
    }

    /// The topic's marker is written.
    pub fn show_messages(&mut self) {
        if let Transaction::Decided { messages, .. } = &mut self.transaction {
            self.topic.append(messages);
            self.settle();
        }
    }

    /// The progress topic's marker is written.
    pub fn show_record(&mut self) {
        if let Transaction::Decided { record, .. } = &mut self.transaction {
            self.record = record.take().or(self.record);
            self.settle();
        }
    }

    fn settle(&mut self) {
        if let Transaction::Decided { messages, record: None } = &self.transaction
            && messages.is_empty()
        {
            self.transaction = Transaction::Complete;
        }
    }

    fn open(&mut self, epoch: Epoch, defect: Defect) -> Result<&mut Contents, Fenced> {
        if epoch != self.epoch && defect != Defect::OldEpochsAccepted {
            return Err(Fenced);
        }
        if !matches!(self.transaction, Transaction::Open(_)) {
            // What is decided would have to be waited for; whoever is here without waiting finds it done.
            self.show_messages();
            self.show_record();
            self.transaction = Transaction::Open(Contents::default());
        }
        match &mut self.transaction {
            Transaction::Open(contents) => Ok(contents),
            _ => Err(Fenced),
        }
    }
}
