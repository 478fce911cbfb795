//! Compares what readers of the topics see with what the database says has happened.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use afterbay_e2e::{Database, Follower, Format, Message, Rig};
use serde_json::Value;

use crate::expectation::{Envelope, Found, Start, Verdict, short, stories};
use crate::ledger::{Key, Ledger, Note, Table};

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
}

/// Reads all topics, and remembers what may never come again.
pub struct Checker {
    reader: Follower,
    ledger: Ledger,
    positions: BTreeMap<String, HashSet<String>>,
}

impl Checker {
    /// For tables to which nobody writes now, and before any Sink of them has begun.
    pub async fn open(rig: &Rig, database: &Database) -> Self {
        Self { reader: Follower::start(rig), ledger: Ledger::open(database).await, positions: BTreeMap::new() }
    }

    /// Waits until the topics tell all that was done since the last check, and nothing else; how long that took. Nobody
    /// writes now.
    pub async fn check(&mut self, database: &Database, topics: &[Topic]) -> Result<Duration, String> {
        let begun = Instant::now();
        let notes = self.ledger.notes(database).await;
        let wanted: Vec<_> = topics.iter().map(|topic| (topic.name.as_str(), topic.format)).collect();
        let mut read = BTreeMap::<String, Vec<Message>>::new();
        loop {
            let mut fresh = false;
            for (topic, messages) in self.reader.read(&wanted).await {
                self.names_are_new(&topic, &messages)?;
                read.entry(topic).or_default().extend(messages);
                fresh = true;
            }
            let mut lacking = String::new();
            for topic in topics.iter().filter(|_| fresh || begun.elapsed() > PATIENCE) {
                let messages = read.get(&topic.name).map_or(&[][..], Vec::as_slice);
                self.judge(topic, messages, &notes, &mut lacking)?;
            }
            if fresh && lacking.is_empty() {
                self.ledger.close(database, &notes).await;
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("not within {PATIENCE:?}: {lacking}"));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// An error for what can never become right; what is still to come is added to `lacking`.
    fn judge(&self, topic: &Topic, messages: &[Message], notes: &[Note], lacking: &mut String) -> Result<(), String> {
        let Topic { name, table, envelope, start, .. } = topic;
        let stories = stories(*table, *envelope, *start, self.ledger.rows(*table), notes);
        let found = by_row(topic, messages);
        if let Some((key, found)) = found.iter().find(|(key, _)| !stories.contains_key(*key)) {
            return Err(format!("{name}: nothing happened to row {key}, yet the topic has {}", told(found)));
        }
        let mut rows = 0_u32;
        for (key, story) in &stories {
            let found = found.get(key).map_or(&[][..], Vec::as_slice);
            match story.verdict(*table, *envelope, *start, found) {
                Verdict::Whole => {}
                Verdict::Lacking if rows == 0 => {
                    rows = 1;
                    lacking.push_str(&format!("{name}: row {key}: {}; the topic has {}; ", story.told(), told(found)));
                }
                Verdict::Lacking => rows += 1,
                Verdict::Wrong => {
                    let happened = story.told();
                    return Err(format!("{name}: row {key}: {happened}; the topic has {}; {start:?}", told(found)));
                }
            }
        }
        if rows > 1 {
            lacking.push_str(&format!("{} further rows lack something; ", rows - 1));
        }
        Ok(())
    }

    fn names_are_new(&mut self, topic: &str, messages: &[Message]) -> Result<(), String> {
        let known = self.positions.entry(topic.to_owned()).or_default();
        match messages.iter().find(|message| !known.insert(message.position().to_owned())) {
            None => Ok(()),
            Some(twice) => {
                let what = format!("{} {}", twice.key, short(&twice.value));
                Err(format!("{topic}: two messages are named {}, the second is {what}", twice.position()))
            }
        }
    }
}

/// The messages of each row, in their order.
fn by_row(topic: &Topic, messages: &[Message]) -> BTreeMap<Key, Vec<Found>> {
    let mut rows = BTreeMap::<Key, Vec<Found>>::new();
    for message in messages {
        let row = match (&message.key, &message.value["before"]) {
            (Value::Null, Value::Null) => &message.value["after"],
            (Value::Null, before) => before,
            (key, _) => key,
        };
        // `<LSN>:s<n>` are the rows of a snapshot.
        let of_snapshot = message.position().contains(":s");
        let found = Found { of_snapshot, key: message.key.clone(), value: message.value.clone() };
        rows.entry(topic.table.key_of(row)).or_default().push(found);
    }
    rows
}

fn told(found: &[Found]) -> String {
    let told: Vec<_> = found
        .iter()
        .map(|found| {
            format!("{}{} {}", if found.of_snapshot { "snapshot " } else { "" }, found.key, short(&found.value))
        })
        .collect();
    format!("{told:#?}")
}
