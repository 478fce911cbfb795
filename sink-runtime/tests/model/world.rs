//! The world around the lives, and what can happen in it: the model that stateright explores.

use afterbay_clients::postgres::Lsn;

use crate::broker::{Broker, Transaction};
use crate::life::{Choice, Life, Outcome, Surroundings};
use crate::source::Log;

/// What the world is made of, and how much of it goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The transactions of the source.
    pub log: Log,
    /// Rows of the table before them.
    pub rows: u8,
    /// Crashes, lost answers and timeouts of living transactions.
    pub faults: u8,
    /// How often a life begins while another one still runs, or seems to be frozen.
    pub rivals: u8,
    /// Whether a life may start with the table as it is before any transaction, and not only before the first.
    pub late_starts: bool,
    /// Whether the source may replay more than it was asked for, and deliver a transaction twice.
    pub repeats: bool,
    /// Whether all orders are explored, also of steps between which order makes no difference.
    pub every_order: bool,
    /// A rule of the protocol that is broken, to see that the checker would find it.
    pub defect: Defect,
}

/// A broken rule, of the state machine's driver and the world around it, or of the machine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// All is as it should be.
    None,
    /// The broker takes what a fenced producer sends.
    OldEpochsAccepted,
    /// `init_transactions` leaves the predecessor's transaction open.
    FenceKeepsTransaction,
    /// `init_transactions` returns, and the record is read, before what is decided is visible.
    FenceDoesNotWait,
    /// The record is read before the predecessor is fenced.
    ReadBeforeFence,
    /// A commit whose outcome is not known is taken for done.
    UnknownTakenForYes,
    /// The progress record is not part of the data's transaction.
    RecordOutsideTransaction,
    /// The source is told before the commit is known.
    AcknowledgedBeforeCommit,
    /// The machine does not pass over what is committed of a transaction that it has left in its middle.
    PartTakenForNothing,
    /// The machine has its record say that such a transaction is done.
    PartTakenForWhole,
    /// The machine commits messages without a record.
    RecordLeftOut,
    /// The machine does not take in that a transaction is over.
    EndsNotTakenIn,
}

/// A state of the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// Kafka.
    pub broker: Broker,
    /// The lives that run, each in an instance of the Sink of its own: two at the most, the older one first.
    pub lives: Vec<Life>,
    /// Up to where the source may forget its log.
    pub acknowledged: Lsn,
    faults: u8,
    rivals: u8,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An instance begins a life.
    Begins,
    /// The life in this place ends between two of its steps.
    Crashes(usize),
    /// The life in this place goes on.
    Lives(usize, Choice),
    /// The marker of the topic's partition is written.
    MessagesShow,
    /// The marker of the progress topic's partition is written.
    RecordShows,
    /// The broker's timeout ends the open transaction.
    Expires,
    /// A request to commit arrives after all.
    LateCommit,
}

impl World {
    /// Whether the newest producer belongs to somebody.
    pub fn is_owned(&self) -> bool {
        self.lives.iter().any(|life| life.epoch() == self.broker.epoch())
    }

    fn begins(&self, model: &Model) -> Life {
        // Whoever acknowledges has told that the Sink has committed.
        Life::new(!self.acknowledged.is_zero(), model, &self.broker)
    }

    fn live(&mut self, model: &Model, place: usize, choice: Choice) {
        let oldest = model.log.first_from(self.acknowledged);
        let mut around = Surroundings { model, broker: &mut self.broker, oldest };
        match self.lives[place].step(choice, &mut around) {
            Outcome::Lives => {}
            Outcome::Acknowledges(position) => self.acknowledges(position.replay_from()),
            Outcome::Started(position) => {
                self.acknowledges(position.replay_from());
                self.lives[place] = self.begins(model);
            }
            Outcome::Over => drop(self.lives.remove(place)),
        }
    }

    fn acknowledges(&mut self, place: Lsn) {
        self.acknowledged = self.acknowledged.max(place);
    }

    /// Only one thing matters of an epoch: whether it is the newest. States that differ in more are made one.
    fn renumber(&mut self) {
        let newest = self.broker.epoch();
        let number = |epoch| match epoch {
            0 => 0,
            epoch if epoch == newest => 2,
            _ => 1,
        };
        self.lives.iter_mut().for_each(|life| life.renumber(number));
        self.broker.renumber(number);
    }
}

impl Model {
    /// All that can happen next.
    pub fn steps(&self, world: &World) -> Vec<Step> {
        let chosen = |place: usize, choices: Vec<Choice>| {
            let affordable = choices.into_iter().filter(|choice| !choice.is_fault() || world.faults > 0);
            affordable.map(move |choice| Step::Lives(place, choice))
        };
        let lives = world.lives.iter().enumerate();
        // A step in which nobody else takes part can be taken first: what others do meanwhile they can do after it.
        if !self.every_order
            && let Some((place, life)) = lives.clone().find(|(_, life)| life.is_by_itself(self, &world.broker))
        {
            return chosen(place, life.choices(self, &world.broker)).collect();
        }
        let mut steps: Vec<_> =
            lives.clone().flat_map(|(place, life)| chosen(place, life.choices(self, &world.broker))).collect();
        if world.faults > 0 {
            steps.extend((0..world.lives.len()).map(Step::Crashes));
        }
        // Somebody always comes after the last one; a second one beside the first comes so many times only.
        if world.lives.is_empty() || world.lives.len() == 1 && world.rivals > 0 {
            steps.push(Step::Begins);
        }
        match world.broker.transaction() {
            Transaction::Complete => {}
            // What nobody will end any more surely ends in this way.
            Transaction::Open(_) => {
                steps.extend((world.faults > 0 || !world.is_owned()).then_some(Step::Expires));
            }
            Transaction::Decided { messages, record } => {
                steps.extend((!messages.is_empty()).then_some(Step::MessagesShow));
                steps.extend(record.is_some().then_some(Step::RecordShows));
            }
        }
        steps.extend((!world.broker.late().is_empty()).then_some(Step::LateCommit));
        steps
    }

    fn after(&self, world: &World, step: Step) -> World {
        let mut world = world.clone();
        match step {
            Step::Begins => {
                world.rivals -= u8::from(!world.lives.is_empty());
                let life = world.begins(self);
                world.lives.push(life);
            }
            Step::Crashes(place) => {
                world.faults -= 1;
                world.lives.remove(place);
            }
            Step::Lives(place, choice) => {
                world.faults -= u8::from(choice.is_fault());
                world.live(self, place, choice);
            }
            Step::MessagesShow => world.broker.show_messages(),
            Step::RecordShows => world.broker.show_record(),
            Step::Expires => {
                world.faults -= u8::from(world.is_owned());
                world.broker.expire();
            }
            Step::LateCommit => world.broker.late_arrives(self.defect),
        }
        world.renumber();
        world
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World { faults: self.faults, rivals: self.rivals, ..World::default() }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(self.steps(world));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(self.after(world, step))
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        crate::properties::all()
    }
}
