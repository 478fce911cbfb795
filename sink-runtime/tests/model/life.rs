//! One life of the Sink: the real state machine, and the little that the driver around it does.

use afterbay_clients::postgres::Lsn;
use sink_runtime::position::Position;
use sink_runtime::protocol::{Action, End, Event, Protocol, Start};

use crate::broker::{Broker, Epoch, Fenced, Message};
use crate::source::{Log, Reader};
use crate::world::{Defect, Model};

/// A life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    protocol: Protocol,
    action: Action,
    epoch: Epoch,
    feed: Feed,
    /// What is to be staged.
    arrived: Option<Event>,
    /// The record as it was when the life began; of use to [`Defect::ReadBeforeFence`] only.
    read_early: Option<Position>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Feed {
    Nothing,
    /// Rows of the table as it was before so many transactions, and how many of them have arrived.
    Snapshot {
        transactions: u8,
        rows: u8,
    },
    Stream(Reader),
}

/// What a life does next, where it has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// What the machine asks for, and it succeeds.
    Do,
    /// The Sink starts with the table as it is before this transaction.
    StartBefore(u8),
    /// The source replays from a transaction earlier than it was asked for.
    AttachEarly,
    /// Takes the next event of the feed.
    Take,
    /// The last transaction is delivered again.
    Again,
    /// The machine is told that it is time to commit.
    CommitDue,
    /// The commit is done, and the answer is lost.
    AnswerLost,
    /// The commit is not done, and nobody says so.
    NotDone,
    /// The request to commit arrives after its sender has given up.
    RequestLate,
}

impl Choice {
    /// Whether it takes a fault to come about.
    pub fn is_fault(self) -> bool {
        matches!(self, Self::AnswerLost | Self::NotDone | Self::RequestLate)
    }
}

/// What the step of a life leads to.
pub enum Outcome {
    /// It lives on.
    Lives,
    /// What is committed may be forgotten by the source; it lives on.
    Acknowledges(Position),
    /// Its start is committed; the next life follows at once.
    Started(Position),
    /// It is over.
    Over,
}

/// What a life sees of the world.
pub struct Surroundings<'a> {
    pub model: &'a Model,
    pub broker: &'a mut Broker,
    /// The first transaction that the source still has.
    pub oldest: u8,
}

impl Life {
    /// The beginning. `begun`: the Sink is known to have committed.
    pub fn new(begun: bool, model: &Model, broker: &Broker) -> Self {
        let (protocol, action) = Protocol::start(begun);
        let read_early = if model.defect == Defect::ReadBeforeFence { broker.record() } else { None };
        Self { protocol, action, epoch: 0, feed: Feed::Nothing, arrived: None, read_early }
    }

    /// Whether it has a transaction open, or thinks so.
    pub fn is_open(&self) -> bool {
        self.protocol.is_open()
    }

    /// Its producer's epoch, 0 before it has one.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Gives its epoch another number.
    pub fn renumber(&mut self, number: impl Fn(Epoch) -> Epoch) {
        self.epoch = number(self.epoch);
    }

    /// Why it cannot go on, where that is so.
    pub fn refusal(&self) -> Option<End> {
        match self.action {
            Action::End(End::Started(_)) => None,
            Action::End(end) => Some(end),
            _ => None,
        }
    }

    /// All that it can do next.
    pub fn choices(&self, model: &Model, broker: &Broker) -> Vec<Choice> {
        match self.action {
            // The coordinator has both wait for the markers of what is decided.
            Action::Fence if broker.is_busy() && model.defect != Defect::FenceDoesNotWait => vec![],
            Action::Begin if broker.is_busy() && self.epoch == broker.epoch() => vec![],
            Action::Attach(Start::Fresh) => {
                let latest = if model.late_starts { model.log.len() } else { 0 };
                (0..=latest).map(Choice::StartBefore).collect()
            }
            Action::Attach(Start::At(_)) if model.repeats => vec![Choice::Do, Choice::AttachEarly],
            Action::Commit => vec![Choice::Do, Choice::AnswerLost, Choice::NotDone, Choice::RequestLate],
            Action::Await | Action::PassOver => self.waiting(model),
            _ => vec![Choice::Do],
        }
    }

    /// Whether nothing else takes part in what it does next: neither what others do nor what others see depends on when
    /// it does that. A fenced life's requests are of that kind, as they are refused.
    pub fn is_by_itself(&self, model: &Model, broker: &Broker) -> bool {
        match self.action {
            Action::Await | Action::PassOver | Action::Attach(Start::Fresh) => !self.choices(model, broker).is_empty(),
            Action::Begin | Action::Stage | Action::StageProgress(_) => {
                self.epoch != broker.epoch() && model.defect == Defect::None
            }
            _ => false,
        }
    }

    fn waiting(&self, model: &Model) -> Vec<Choice> {
        let Feed::Stream(mut reader) = self.feed else { return vec![Choice::Take] };
        let mut choices = Vec::new();
        if reader.again().is_some() && model.repeats {
            choices.push(Choice::Again);
        }
        if reader.next(model.log).is_some() {
            choices.push(Choice::Take);
        }
        if self.protocol.is_open() || self.protocol.is_ahead() {
            choices.push(Choice::CommitDue);
        }
        choices
    }

    /// Does it.
    pub fn step(&mut self, choice: Choice, around: &mut Surroundings<'_>) -> Outcome {
        let asked = self.action;
        match self.tell(choice, around) {
            Ok(Told::Event(event)) => {
                self.action = self.ask(event, around.model.defect);
                if self.action == Action::PassOver {
                    self.arrived = None;
                }
                match asked {
                    Action::StageProgress(position) if around.model.defect == Defect::AcknowledgedBeforeCommit => {
                        Outcome::Acknowledges(position)
                    }
                    _ => Outcome::Lives,
                }
            }
            Ok(Told::Nothing) => Outcome::Lives,
            Ok(Told::Acknowledged(position)) => {
                self.action = Action::Await;
                Outcome::Acknowledges(position)
            }
            Ok(Told::Started(position)) => Outcome::Started(position),
            Ok(Told::Over) | Err(Fenced) => Outcome::Over,
        }
    }

    /// What the machine says to an event; one that is broken is the right one, with a word put in or taken out.
    fn ask(&mut self, event: Event, defect: Defect) -> Action {
        let event = match (defect, event) {
            (Defect::PartTakenForNothing, Event::ProgressRead(Some(Position::Within(id)))) => {
                Event::ProgressRead(Some(Position::Done(id.commit)))
            }
            (Defect::EndsNotTakenIn, Event::Boundary(_)) => return Action::Await,
            _ => event,
        };
        match (defect, self.protocol.step(event)) {
            (Defect::PartTakenForWhole, Action::StageProgress(Position::Within(id))) => {
                Action::StageProgress(Position::Done(Lsn(id.commit.0 + 1)))
            }
            (Defect::RecordLeftOut, Action::StageProgress(_)) => self.protocol.step(Event::ProgressStaged),
            (_, action) => action,
        }
    }

    /// What came of the choice.
    fn tell(&mut self, choice: Choice, around: &mut Surroundings<'_>) -> Result<Told, Fenced> {
        let Surroundings { model: Model { defect, log, rows, .. }, broker, oldest } = around;
        let defect = *defect;
        Ok(Told::Event(match (self.action, choice) {
            (Action::Fence, _) => {
                self.epoch = broker.fence(defect);
                Event::Fenced
            }
            (Action::ReadProgress, _) if defect == Defect::ReadBeforeFence => Event::ProgressRead(self.read_early),
            (Action::ReadProgress, _) => Event::ProgressRead(broker.record()),
            (Action::Attach(Start::Fresh), Choice::StartBefore(transactions)) => {
                self.feed = Feed::Snapshot { transactions, rows: 0 };
                Event::Attached
            }
            (Action::Attach(Start::At(position)), _) => {
                let asked = log.first_from(position.replay_from());
                let from = if choice == Choice::AttachEarly { asked.saturating_sub(1) } else { asked };
                // A source starts silently later where it has forgotten what it is asked for.
                self.feed = Feed::Stream(Reader::at(from.max(*oldest)));
                Event::Attached
            }
            (Action::Begin, _) => {
                broker.begin(self.epoch, defect)?;
                Event::Begun
            }
            (Action::Stage, _) => {
                let message = self.message();
                broker.produce(self.epoch, message, defect)?;
                Event::Staged
            }
            (Action::StageProgress(position), _) => {
                broker.produce_record(self.epoch, position, defect)?;
                Event::ProgressStaged
            }
            (Action::Commit, _) => return self.commit(choice, broker, defect),
            (Action::Acknowledge(position), _) => return Ok(Told::Acknowledged(position)),
            (Action::End(End::Started(position)), _) => return Ok(Told::Started(position)),
            (Action::Await | Action::PassOver, Choice::CommitDue) => Event::CommitDue,
            (Action::Await | Action::PassOver, Choice::Again) => {
                if let Feed::Stream(reader) = &mut self.feed {
                    *reader = reader.again().unwrap_or(*reader);
                }
                return Ok(Told::Nothing);
            }
            (Action::Await | Action::PassOver, _) => {
                let event = self.take(*log, *rows);
                self.arrived = matches!(event, Event::Change(_) | Event::SnapshotRow).then_some(event);
                event
            }
            // Refused, and so over, whatever the choice: the next life looks again.
            (Action::Attach(Start::Fresh) | Action::End(_), _) => return Ok(Told::Over),
        }))
    }

    fn take(&mut self, log: Log, rows_in_all: u8) -> Event {
        match &mut self.feed {
            Feed::Nothing => unreachable!("it is fed before it waits"),
            Feed::Snapshot { rows, .. } if *rows < rows_in_all => {
                *rows += 1;
                Event::SnapshotRow
            }
            Feed::Snapshot { transactions, .. } => Event::SnapshotEnd(Log::start_of(*transactions)),
            Feed::Stream(reader) => reader.next(log).expect("chosen where there is something to take"),
        }
    }

    fn message(&mut self) -> Message {
        match (self.arrived.take(), self.feed) {
            (Some(Event::Change(id)), _) => Message::Change(id),
            (Some(Event::SnapshotRow), Feed::Snapshot { transactions, rows }) => {
                Message::Row { transactions, row: rows }
            }
            other => unreachable!("nothing to stage: {other:?}"),
        }
    }

    fn commit(&mut self, choice: Choice, broker: &mut Broker, defect: Defect) -> Result<Told, Fenced> {
        match choice {
            Choice::AnswerLost => broker.commit(self.epoch, defect)?,
            Choice::NotDone => broker.give_up(self.epoch, defect)?,
            Choice::RequestLate => broker.commit_later(self.epoch),
            _ => {
                broker.commit(self.epoch, defect)?;
                return Ok(Told::Event(Event::Committed));
            }
        }
        // The one thing that a driver may do with an outcome that it does not know is to end this life.
        Ok(if defect == Defect::UnknownTakenForYes { Told::Event(Event::Committed) } else { Told::Over })
    }
}

/// What a step has to tell.
enum Told {
    /// To the machine.
    Event(Event),
    /// Nothing: only the feed has changed.
    Nothing,
    /// The machine's word was passed on.
    Acknowledged(Position),
    /// The start is committed.
    Started(Position),
    /// This life cannot go on.
    Over,
}
