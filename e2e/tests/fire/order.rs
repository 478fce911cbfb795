//! What the names of messages say: each stands once, and within a partition they come in the order of the source's log.

use std::collections::{BTreeMap, BTreeSet};

use afterbay_e2e::{Message, database};

/// The name of a message, `<LSN>:<number>` of a change, `<LSN>:s<number>` of a row of a snapshot: its place in the log. Rows
/// of a snapshot were there before what commits at their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    lsn: u64,
    is_change: bool,
    number: u64,
    /// A change that is a deletion and an insertion has two messages.
    half: u8,
}

impl Name {
    fn of(message: &Message) -> Self {
        let position = message.position();
        let (lsn, place) = position.split_once(':').unwrap_or_else(|| panic!("{position} is no position"));
        let (place, is_change) = place.strip_prefix('s').map_or((place, true), |number| (number, false));
        let (number, half) = place.split_once('.').unwrap_or((place, "0"));
        let number = number.parse().unwrap_or_else(|_| panic!("{position} is no position"));
        let half = half.parse().unwrap_or_else(|_| panic!("{position} is no position"));
        Self { lsn: database::lsn(lsn), is_change, number, half }
    }

    /// Whether it is that of a row of a snapshot.
    pub fn is_of_snapshot(self) -> bool {
        !self.is_change
    }
}

/// The names of all messages of a topic.
#[derive(Default)]
pub struct Order {
    known: BTreeSet<Name>,
    last: BTreeMap<i32, Name>,
}

impl Order {
    /// The names of further messages, in the order of each partition.
    pub fn take(&mut self, messages: &[Message]) -> Result<Vec<Name>, String> {
        let mut names = Vec::with_capacity(messages.len());
        for message in messages {
            let name = Name::of(message);
            let told = || format!("{} ({} in partition {})", message.position(), message.key, message.partition);
            if !self.known.insert(name) {
                return Err(format!("two messages are named {}", told()));
            }
            if let Some(before) = self.last.insert(message.partition, name)
                && before > name
            {
                return Err(format!("{} comes behind {before:?}", told()));
            }
            names.push(name);
        }
        Ok(names)
    }
}

#[test]
fn names_tell_what_is_repeated_and_what_is_out_of_order() {
    let message = |partition, position: &str| Message {
        topic: String::new(),
        partition,
        offset: 0,
        key: serde_json::Value::Null,
        value: serde_json::Value::Null,
        headers: vec![("afterbay-position".into(), position.into())],
    };
    let take = |names: &[(i32, &str)]| {
        let messages: Vec<_> = names.iter().map(|(partition, name)| message(*partition, name)).collect();
        Order::default().take(&messages).is_ok()
    };
    assert!(take(&[(0, "0/9:s1"), (0, "0/9:s2"), (0, "0/9:0"), (0, "0/9:1.0"), (0, "0/9:1.1"), (0, "1/0:0")]));
    assert!(take(&[(0, "0/A:7"), (1, "0/9:0")]), "partitions are read one by one");
    assert!(!take(&[(0, "0/9:0"), (1, "0/9:0")]));
    assert!(!take(&[(0, "0/A:0"), (0, "0/9:9")]));
    assert!(!take(&[(0, "0/9:10"), (0, "0/9:9")]));
}
