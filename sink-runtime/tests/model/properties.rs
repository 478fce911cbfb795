//! What must hold in every state, and what must be met somewhere so that this says something.

use afterbay_clients::postgres::Lsn;
use sink_runtime::position::Position;
use stateright::Property;

use crate::broker::{Message, Transaction};
use crate::source::Log;
use crate::world::{Model, World};

/// The topic holds the rows of the start and every later change, once, in order, without a gap before it.
pub const ONCE: &str = "every change stands once and in order";
/// The record speaks of just those messages that are committed with it.
pub const RECORD: &str = "the progress record is what is committed";
/// The source may forget no more than what is committed.
pub const ACKNOWLEDGED: &str = "nothing is acknowledged that is not committed";
/// The life that owns the topic never ends with a refusal: nothing here is a reason for one.
pub const REFUSED: &str = "no owner is refused";
/// Nothing comes to rest before all is committed.
pub const PROGRESS: &str = "all is committed in the end";
/// A fenced life that does not know it yet, while its successor is at work.
pub const BOTH_OPEN: &str = "two lives have a transaction open, as they think";
/// A source transaction is cut in two.
pub const WITHIN: &str = "the record stands within a source transaction";
/// The outcome is not known to anybody who lives.
pub const UNTOLD: &str = "a commit is decided of which nobody was told";
/// The markers of a commit are written one by one.
pub const BEFORE_RECORD: &str = "messages are visible before their record";
/// The same in the other order.
pub const BEFORE_MESSAGES: &str = "a record is visible before its messages";
/// A request of a fenced producer finds a transaction that is not its own.
pub const LATE: &str = "a request to commit is late while a successor has a transaction open";
/// The successor has had the source forget what the overtaken life asks for.
pub const OVERTAKEN_REFUSED: &str = "an overtaken life is refused";

/// All of them.
pub fn all() -> Vec<Property<Model>> {
    vec![
        Property::always(ONCE, |model, world: &World| {
            is_beginning(model, world.broker.topic().iter().copied()) && is_beginning(model, world.broker.decided())
        }),
        Property::always(RECORD, |model, world: &World| {
            let record = world.broker.decided_record();
            world.broker.decided().eq(spoken_of(model, world.broker.decided().next(), record))
        }),
        Property::always(ACKNOWLEDGED, |_, world: &World| {
            let record = world.broker.decided_record();
            world.acknowledged <= record.map_or(Lsn::ZERO, |position| position.replay_from())
        }),
        // An overtaken one may be: its successor has had the source forget what it asks for.
        Property::always(REFUSED, |_, world: &World| {
            world.lives.iter().all(|life| life.refusal().is_none() || life.epoch() != world.broker.epoch())
        }),
        // Every way through this model ends, as each step uses something up. So it is enough to look at the ends; and it
        // is more than `eventually` would tell, which stateright follows along one of the ways to a state only.
        Property::always(PROGRESS, |model, world: &World| {
            let all = Position::Done(Log::start_of(model.log.len()));
            world.broker.record() == Some(all) || !model.steps(world).is_empty()
        }),
        Property::sometimes(BOTH_OPEN, |_, world: &World| {
            world.lives.len() == 2 && world.lives.iter().all(crate::life::Life::is_open)
        }),
        Property::sometimes(WITHIN, |_, world: &World| matches!(world.broker.record(), Some(Position::Within(_)))),
        Property::sometimes(UNTOLD, |_, world: &World| world.broker.is_busy() && !world.is_owned()),
        Property::sometimes(
            BEFORE_RECORD,
            |_, world: &World| matches!(world.broker.transaction(), Transaction::Decided { messages, .. } if messages.is_empty()),
        ),
        Property::sometimes(BEFORE_MESSAGES, |_, world: &World| {
            matches!(world.broker.transaction(), Transaction::Decided { record: None, .. })
        }),
        Property::sometimes(LATE, |_, world: &World| {
            !world.broker.late().is_empty()
                && world.is_owned()
                && matches!(world.broker.transaction(), Transaction::Open(_))
        }),
        Property::sometimes(OVERTAKEN_REFUSED, |_, world: &World| {
            world.lives.iter().any(|life| life.refusal().is_some())
        }),
    ]
}

/// All that a topic is to hold that begins with this message.
fn whole(model: &Model, first: Option<Message>) -> impl Iterator<Item = Message> {
    let start = match first {
        Some(Message::Row { transactions, .. }) => transactions,
        _ => 0,
    };
    let rows = (1..=model.rows).map(move |row| Message::Row { transactions: start, row });
    rows.chain(model.log.changes_from(start).map(Message::Change))
}

fn is_beginning(model: &Model, mut topic: impl Iterator<Item = Message> + Clone) -> bool {
    let mut whole = whole(model, topic.clone().next());
    topic.all(|message| whole.next() == Some(message))
}

/// What the record says is committed.
fn spoken_of(model: &Model, first: Option<Message>, record: Option<Position>) -> impl Iterator<Item = Message> {
    whole(model, first).filter(move |message| match message {
        Message::Row { .. } => record.is_some(),
        Message::Change(id) => record.is_some_and(|position| position.covers(id)),
    })
}
