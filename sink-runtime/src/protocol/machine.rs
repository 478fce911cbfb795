//! States, events, actions and the one function between them.

use afterbay_clients::postgres::Lsn;

use crate::position::{ChangeId, Position};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `init_transactions` returned: every predecessor is fenced and its open transaction ended.
    Fenced,
    /// The progress topic was read, after fencing.
    ProgressRead(Option<Position>),
    /// The source feeds this Sink from where [`Action::Attach`] said.
    Attached,
    /// It cannot, and never will: what follows the position is gone. The Sink is to begin anew.
    PositionLost,
    /// `begin_transaction` returned.
    Begun,
    /// A change of the relation arrived.
    Change(ChangeId),
    /// A row of the snapshot arrived: of the start's, or of a chunk beside the stream.
    SnapshotRow,
    /// The messages of the last change or row are handed to Kafka.
    Staged,
    /// Everything of the transactions that commit before this LSN has arrived.
    Boundary(Lsn),
    /// The snapshot is whole; the stream starts at this LSN.
    SnapshotEnd(Lsn),
    /// The last chunk of a snapshot beside the stream has arrived: the record is to say so.
    LastChunk,
    /// It is time to commit what is there.
    CommitDue,
    /// The progress record is handed to Kafka.
    ProgressStaged,
    /// `commit_transaction` returned and said yes.
    Committed,
}

/// What to do next. After each but [`Action::Await`] and [`Action::End`] comes the event that tells of its success;
/// where it does not succeed, the machine is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Call `init_transactions`.
    Fence,
    /// Read the progress topic to its end.
    ReadProgress,
    /// Have the source feed this Sink.
    Attach(Start),
    /// Begin a transaction.
    Begin,
    /// Hand the messages of the change or row that just arrived to Kafka.
    Stage,
    /// The change is committed already: do nothing with it.
    PassOver,
    /// Hand the progress record to Kafka, within the open transaction.
    StageProgress(Position),
    /// Commit.
    Commit,
    /// What is committed may be acknowledged to the source.
    Acknowledge(Position),
    /// Wait for the next event.
    Await,
    /// This machine's life is over.
    End(End),
}

/// From where the source feeds a Sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// From now on, after the rows that are there where a snapshot is asked for.
    Fresh,
    /// From what is committed.
    At(Position),
}

/// Why a machine ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The Sink's start is committed: the next life streams from it.
    Started(Position),
    /// The Sink has committed before, but there is no record of it.
    ProgressMissing,
    /// The replayed transaction is not the one that was committed in part.
    ReplayDiffers(ChangeId),
    /// An event came that cannot come here: a defect of the caller.
    OutOfOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Fencing,
    Recovering,
    Attaching,
    /// No transaction is open.
    Idle,
    /// A transaction is being opened, for a change, a row or (with nothing pending) the record alone.
    Opening {
        pending: Pending,
    },
    /// The messages of one change are being handed over.
    Staging {
        pending: Pending,
    },
    /// A transaction is open.
    Open,
    StagingProgress,
    Committing,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pending {
    Change(ChangeId),
    SnapshotRow,
    Record,
}

/// The protocol of one life of a Sink, see the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    state: State,
    /// Whether a missing record is a loss and not a beginning.
    begun: bool,
    /// What the last committed record says.
    committed: Option<Position>,
    /// What has arrived: committed, staged or passed over.
    cursor: Option<Position>,
    /// The change within which the last life ended, until the replay has shown it again.
    to_verify: Option<ChangeId>,
    /// Whether this life carries a Sink's start.
    fresh: bool,
}

impl Protocol {
    /// A new life, and its first action. `begun`: the Sink is known to have committed before.
    pub fn start(begun: bool) -> (Self, Action) {
        let this = Self { state: State::Fencing, begun, committed: None, cursor: None, to_verify: None, fresh: false };
        (this, Action::Fence)
    }

    /// What the last committed record says.
    pub fn committed(&self) -> Option<Position> {
        self.committed
    }

    /// Whether a change is committed already, or staged.
    pub fn has(&self, id: &ChangeId) -> bool {
        self.cursor.is_some_and(|cursor| cursor.covers(id))
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Fencing | State::Recovering | State::Attaching | State::Idle | State::Ended)
    }

    /// Whether something is arrived that no record speaks of.
    pub fn is_ahead(&self) -> bool {
        self.cursor != self.committed
    }

    /// Whether the cursor stands inside a source transaction.
    pub fn is_within(&self) -> bool {
        matches!(self.cursor, Some(Position::Within(_)))
    }

    /// The next action.
    pub fn step(&mut self, event: Event) -> Action {
        match (self.state, event) {
            (State::Idle | State::Open, Event::Change(id)) => self.change(id),
            (State::Staging { pending }, Event::Staged) => self.staged(pending),
            (State::Idle | State::Open, Event::Boundary(end)) => self.boundary(end),
            (State::Idle | State::Open, Event::SnapshotRow) if self.takes_rows() => self.take(Pending::SnapshotRow),
            (State::Idle | State::Open, Event::LastChunk) if !self.fresh && self.takes_rows() => self.close_anyway(),
            (State::Idle | State::Open, Event::SnapshotEnd(start)) if self.fresh => {
                self.cursor = Some(Position::Done(start));
                self.close()
            }
            (State::Idle | State::Open, Event::CommitDue) => self.close(),
            (State::Opening { pending }, Event::Begun) => self.begun(pending),
            (State::StagingProgress, Event::ProgressStaged) => self.go(State::Committing, Action::Commit),
            (State::Committing, Event::Committed) => self.has_committed(),
            (State::Fencing, Event::Fenced) => self.go(State::Recovering, Action::ReadProgress),
            (State::Recovering, Event::ProgressRead(found)) => self.recover(found),
            (State::Attaching, Event::Attached) => self.go(State::Idle, Action::Await),
            (State::Attaching, Event::PositionLost) => self.begin_anew(),
            _ => self.end(End::OutOfOrder),
        }
    }

    fn recover(&mut self, found: Option<Position>) -> Action {
        match found {
            None if self.begun => self.end(End::ProgressMissing),
            None => self.begin_anew(),
            Some(position) => {
                self.committed = found;
                self.cursor = found;
                if let Position::Within(id) = position {
                    self.to_verify = Some(id);
                }
                self.go(State::Attaching, Action::Attach(Start::At(position)))
            }
        }
    }

    /// Until the start is committed the old record, if there is one, stays what is committed: a life that dies before leads
    /// to the same decision.
    fn begin_anew(&mut self) -> Action {
        (self.committed, self.cursor, self.to_verify) = (None, None, None);
        self.fresh = true;
        self.go(State::Attaching, Action::Attach(Start::Fresh))
    }

    fn change(&mut self, id: ChangeId) -> Action {
        let Some(cursor) = self.cursor else { return self.end(End::OutOfOrder) };
        if cursor.covers(&id) {
            if let Some(last) = self.to_verify
                && (id.commit, id.change, id.index) == (last.commit, last.change, last.index)
            {
                if id != last {
                    return self.end(End::ReplayDiffers(last));
                }
                self.to_verify = None;
            }
            return Action::PassOver;
        }
        match self.to_verify {
            Some(last) => self.end(End::ReplayDiffers(last)),
            None => self.take(Pending::Change(id)),
        }
    }

    fn boundary(&mut self, end: Lsn) -> Action {
        let Some(cursor) = self.cursor else { return self.end(End::OutOfOrder) };
        // A boundary behind the cursor is one that is passed over. One behind a cursor within a transaction is the
        // end of an earlier transaction: its commit record starts at or after this end.
        if cursor.replay_from() >= end {
            return Action::Await;
        }
        if let Some(last) = self.to_verify {
            return self.end(End::ReplayDiffers(last));
        }
        self.cursor = Some(Position::Done(end));
        Action::Await
    }

    /// Rows come before anything else, or between two source transactions: a chunk shows the table as it is there.
    fn takes_rows(&self) -> bool {
        self.fresh || matches!(self.cursor, Some(Position::Done(_)))
    }

    fn take(&mut self, pending: Pending) -> Action {
        match self.state {
            State::Open => self.go(State::Staging { pending }, Action::Stage),
            _ => self.go(State::Opening { pending }, Action::Begin),
        }
    }

    fn begun(&mut self, pending: Pending) -> Action {
        match pending {
            Pending::Record => self.stage_progress(),
            pending => self.go(State::Staging { pending }, Action::Stage),
        }
    }

    fn staged(&mut self, pending: Pending) -> Action {
        if let Pending::Change(id) = pending {
            self.cursor = Some(Position::Within(id));
        }
        self.go(State::Open, Action::Await)
    }

    fn close(&mut self) -> Action {
        match self.state {
            // Rows of a snapshot without its end have no position: they go out as a whole.
            _ if self.cursor.is_none() => Action::Await,
            State::Open => self.stage_progress(),
            _ if self.is_ahead() => self.go(State::Opening { pending: Pending::Record }, Action::Begin),
            _ => Action::Await,
        }
    }

    /// As [`Self::close`], also where there is nothing but the record to commit.
    fn close_anyway(&mut self) -> Action {
        match self.state {
            State::Open => self.stage_progress(),
            _ => self.go(State::Opening { pending: Pending::Record }, Action::Begin),
        }
    }

    fn stage_progress(&mut self) -> Action {
        match self.cursor {
            Some(position) => self.go(State::StagingProgress, Action::StageProgress(position)),
            None => self.end(End::OutOfOrder),
        }
    }

    fn has_committed(&mut self) -> Action {
        self.committed = self.cursor;
        match self.committed {
            Some(position) if self.fresh => self.end(End::Started(position)),
            Some(position) => self.go(State::Idle, Action::Acknowledge(position)),
            None => self.end(End::OutOfOrder),
        }
    }

    fn go(&mut self, state: State, action: Action) -> Action {
        self.state = state;
        action
    }

    fn end(&mut self, end: End) -> Action {
        self.go(State::Ended, Action::End(end))
    }
}
