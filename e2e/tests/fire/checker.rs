//! Compares what readers of the topics see with what the database says has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use afterbay_e2e::{Database, Follower, Format, Message, Rig};
use serde_json::Value;

use crate::expectation::{Envelope, Found, Start, Story, Verdict, short, stories};
use crate::ledger::{Key, Ledger, Note, Table};
use crate::order::{Name, Order};
use crate::view::View;

/// How long what was committed may take to be seen, after the world is well again.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// A topic that is checked.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub table: Table,
    pub envelope: Envelope,
    pub format: Format,
    pub start: Start,
    pub view: View,
    pub carrier: Carrier,
}

/// Whose topic it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A Sink of its own.
    Own,
    /// The one that carries several tables.
    Many,
}

/// Reads all topics, and remembers what may never come again.
pub struct Checker {
    reader: Follower,
    ledger: Ledger,
    /// What is known of the messages of a topic by their names alone.
    orders: BTreeMap<String, Order>,
}

impl Checker {
    /// For tables to which nobody writes now, and before any Sink of them has begun.
    pub async fn open(rig: &Rig, database: &Database) -> Self {
        Self { reader: Follower::start(rig), ledger: Ledger::open(database).await, orders: BTreeMap::new() }
    }

    /// Waits until the topics tell all that was done since the last check, and nothing else; how long that took. Nobody
    /// writes now.
    pub async fn check(&mut self, database: &Database, topics: &[Topic]) -> Result<Duration, String> {
        let begun = Instant::now();
        let notes = self.ledger.notes(database).await;
        let asked: Vec<_> = topics.iter().map(|topic| (topic.name.as_str(), topic.format)).collect();
        let mut accounts: Vec<_> = topics.iter().map(|topic| Account::of(topic, &self.ledger, &notes)).collect();
        while accounts.iter().any(|account| !account.lacking.is_empty()) {
            if begun.elapsed() > PATIENCE {
                let lacking: Vec<_> = accounts.iter().filter_map(Account::lacks).collect();
                return Err(format!("not within {PATIENCE:?}: {}", lacking.join("; ")));
            }
            let read = self.reader.read(&asked).await;
            for account in &mut accounts {
                let topic = &account.topic.name;
                let messages = read.get(topic).map_or(&[][..], Vec::as_slice);
                let order = self.orders.entry(topic.clone()).or_default();
                let names = order.take(messages).map_err(|error| format!("{topic}: {error}"))?;
                account.take(messages, names)?;
            }
            if read.is_empty() {
                tokio::time::sleep(INTERVAL).await;
            }
        }
        self.ledger.close(database, &notes).await;
        Ok(begun.elapsed())
    }
}

/// What one topic has to tell, and has told.
struct Account<'a> {
    topic: &'a Topic,
    stories: BTreeMap<Key, Story>,
    found: BTreeMap<Key, Telling>,
    /// The rows of whom something is still to be told.
    lacking: BTreeSet<Key>,
}

/// What the messages of a row say, in the order of their names: of two partitions the later one may be read first.
#[derive(Default)]
struct Telling {
    names: Vec<Name>,
    found: Vec<Found>,
}

impl Telling {
    fn add(&mut self, name: Name, found: Found) {
        let place = self.names.partition_point(|known| *known < name);
        self.names.insert(place, name);
        self.found.insert(place, found);
    }
}

impl<'a> Account<'a> {
    fn of(topic: &'a Topic, ledger: &Ledger, notes: &[Note]) -> Self {
        let stories = stories((topic.table, topic.view), topic.envelope, topic.start, ledger.rows(topic.table), notes);
        let mut account = Self { topic, stories, found: BTreeMap::new(), lacking: BTreeSet::new() };
        let keys = account.stories.keys();
        account.lacking = keys.filter(|key| account.verdict(key) != Some(Verdict::Whole)).cloned().collect();
        account
    }

    /// None where nothing happened to such a row.
    fn verdict(&self, key: &Key) -> Option<Verdict> {
        let Topic { table, envelope, start, .. } = self.topic;
        let telling = self.found.get(key);
        let found = telling.map_or(&[][..], |telling| telling.found.as_slice());
        Some(self.stories.get(key)?.verdict(*table, *envelope, *start, found))
    }

    /// Takes in messages; an error where they can never become right.
    fn take(&mut self, messages: &[Message], names: Vec<Name>) -> Result<(), String> {
        let mut touched = BTreeSet::new();
        for (message, name) in messages.iter().zip(names) {
            let row = self.topic.table.key_of(row_of(message));
            let found = Found {
                of_snapshot: name.is_of_snapshot(),
                key: message.key.clone(),
                value: self.comparable(message.value.clone()),
            };
            self.headers_tell(message, &found.value)?;
            self.found.entry(row.clone()).or_default().add(name, found);
            touched.insert(row);
        }
        for key in touched {
            match self.verdict(&key) {
                Some(Verdict::Whole) => self.lacking.remove(&key),
                Some(Verdict::Lacking) => self.lacking.insert(key),
                Some(Verdict::Wrong) => return Err(self.told(&key)),
                None => return Err(format!("nothing happened, and yet: {}", self.told(&key))),
            };
        }
        Ok(())
    }

    /// The value, with rows as the ledger has them.
    fn comparable(&self, mut value: Value) -> Value {
        let table = self.topic.table;
        if self.topic.view.query().is_some() {
            return value;
        }
        if self.topic.envelope == Envelope::Upsert {
            return table.comparable(value);
        }
        for side in ["before", "after"] {
            value[side] = table.comparable(value[side].take());
        }
        value
    }

    /// Where a column is sent as headers, too, both say the same.
    fn headers_tell(&self, message: &Message, row: &Value) -> Result<(), String> {
        let has_headers = self.topic.table == Table::Word && self.topic.view == View::Whole;
        if !has_headers || self.topic.envelope != Envelope::Upsert || row.is_null() {
            return Ok(());
        }
        let header = message.headers.iter().find(|(name, _)| name == "of").map(|(_, value)| value.as_str());
        if header == row["labels"]["of"].as_str() {
            return Ok(());
        }
        Err(format!("{}: the headers {:?} are not those of {row}", self.topic.name, message.headers))
    }

    /// What is still to be told, for people.
    fn lacks(&self) -> Option<String> {
        let first = self.lacking.first()?;
        Some(format!("{} rows lack something, the first is {}", self.lacking.len(), self.told(first)))
    }

    fn told(&self, key: &Key) -> String {
        let found = self.found.get(key).map_or(&[][..], |telling| telling.found.as_slice());
        let found: Vec<_> = found
            .iter()
            .map(|found| {
                format!("{}{} {}", if found.of_snapshot { "row " } else { "" }, found.key, short(&found.value))
            })
            .collect();
        let happened = self.stories.get(key).map(Story::told).unwrap_or_default();
        format!("{} {:?}, {key}: {happened}; the topic has {found:#?}", self.topic.name, self.topic.start)
    }
}

/// The row, or enough of it to name it.
fn row_of(message: &Message) -> &Value {
    match (&message.key, &message.value["before"]) {
        (Value::Null, Value::Null) => &message.value["after"],
        (Value::Null, before) => before,
        (key, _) => key,
    }
}
