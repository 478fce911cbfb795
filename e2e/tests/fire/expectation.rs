//! What a topic has to hold for what the database did. Knows the page on messages, and nothing of the programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ledger::{Key, Note, Row, Rows, Table};
use crate::view::View;

/// How changes become messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    Upsert,
    Debezium,
}

/// A message, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// By its position it is a row of the snapshot, and no change.
    pub of_snapshot: bool,
    pub key: Value,
    pub value: Value,
}

/// How what was found stands to what is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is that, and no more.
    Whole,
    /// Some of that is missing. It may still come, also in between: a row may move from partition to partition, and
    /// readers see one before the other.
    Lacking,
    /// It can never become that.
    Wrong,
}

/// What happened to the rows of one name, and what the topic has to say of it.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// The rows before.
    rows: Vec<Row>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    seq: i64,
    gone: Option<Row>,
    come: Option<Row>,
    messages: Vec<Found>,
}

/// Where a Sink begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It carries changes, and every one is to be found.
    Streaming,
    /// It begins with a snapshot, which can hold no change that is noted behind this number.
    Snapshot { last: i64 },
}

/// The stories of all rows of a table, from these rows and notes, as a view shows them.
pub fn stories(
    (table, view): (Table, View),
    envelope: Envelope,
    start: Start,
    rows: &Rows,
    notes: &[Note],
) -> BTreeMap<Key, Story> {
    let mut stories = BTreeMap::<Key, Story>::new();
    if start != Start::Streaming {
        for (key, rows) in rows {
            let rows: Vec<_> = rows.iter().filter_map(|row| view.of(row)).collect();
            if !rows.is_empty() {
                stories.insert(key.clone(), Story { rows, changes: Vec::new() });
            }
        }
    }
    let seen = |row: &Option<Row>| row.as_ref().and_then(|row| view.of(row));
    for note in notes.iter().filter(|note| note.table == table) {
        let note = Note { before: seen(&note.before), after: seen(&note.after), ..*note };
        for (key, change) in changes(envelope, &note) {
            stories.entry(key).or_default().changes.push(change);
        }
    }
    stories
}

/// A change as those see it whose rows it touches: one, or two where a row gets another name.
fn changes(envelope: Envelope, note: &Note) -> Vec<(Key, Change)> {
    let table = note.table;
    let found = |row: &Row, value| Found { of_snapshot: false, key: table.message_key(row), value };
    let gone = |row: &Row| match envelope {
        Envelope::Upsert => found(row, Value::Null),
        Envelope::Debezium => found(row, json!({"before": row, "after": null})),
    };
    let come = |row: &Row| found(row, value_of_new(envelope, row));
    let change = |gone: Option<&Row>, come: Option<&Row>, messages| Change {
        seq: note.seq,
        gone: gone.cloned(),
        come: come.cloned(),
        messages,
    };
    match (&note.before, &note.after) {
        (Some(before), Some(after)) if table.key_of(before) == table.key_of(after) => {
            let messages = match envelope {
                // Without a key nothing says that the two belong together.
                Envelope::Debezium if table.key().is_empty() => vec![gone(before), come(after)],
                Envelope::Debezium => vec![found(after, json!({"before": before, "after": after}))],
                Envelope::Upsert => vec![come(after)],
            };
            vec![(table.key_of(after), change(Some(before), Some(after), messages))]
        }
        (before, after) => {
            let gone = before.iter().map(|row| (table.key_of(row), change(Some(row), None, vec![gone(row)])));
            let come = after.iter().map(|row| (table.key_of(row), change(None, Some(row), vec![come(row)])));
            gone.chain(come).collect()
        }
    }
}

fn value_of_new(envelope: Envelope, row: &Row) -> Value {
    match envelope {
        Envelope::Upsert => row.clone(),
        Envelope::Debezium => json!({"before": null, "after": row}),
    }
}

impl Story {
    /// Whether the messages tell it, in this order.
    pub fn verdict(&self, table: Table, envelope: Envelope, start: Start, found: &[Found]) -> Verdict {
        let Start::Snapshot { last } = start else {
            return compare(&[], &self.changes, found);
        };
        // The snapshot was taken before any of them, or behind the first, and so on.
        let mut rows = self.rows.clone();
        let mut best = Verdict::Wrong;
        for seen in 0..=self.changes.len() {
            if let Some(change) = seen.checked_sub(1).map(|before| &self.changes[before]) {
                if change.seq > last {
                    break;
                }
                apply(&mut rows, change);
            }
            let snapshot: Vec<_> = rows
                .iter()
                .map(|row| Found { of_snapshot: true, key: table.message_key(row), value: value_of_new(envelope, row) })
                .collect();
            match compare(&snapshot, &self.changes[seen..], found) {
                Verdict::Whole => return Verdict::Whole,
                Verdict::Lacking => best = Verdict::Lacking,
                Verdict::Wrong => {}
            }
        }
        best
    }

    /// For people.
    pub fn told(&self) -> String {
        let changes: Vec<_> = self
            .changes
            .iter()
            .map(|change| {
                let row = |row: &Option<Row>| row.as_ref().map_or("-".into(), short);
                format!("#{} {} → {}", change.seq, row(&change.gone), row(&change.come))
            })
            .collect();
        format!("rows {:?}, then {changes:#?}", self.rows.iter().map(short).collect::<Vec<_>>())
    }
}

/// A value that may be large.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 300 { format!("{}…", text.chars().take(300).collect::<String>()) } else { text }
}

fn apply(rows: &mut Vec<Row>, change: &Change) {
    if let Some(gone) = &change.gone
        && let Some(place) = rows.iter().position(|row| row == gone)
    {
        rows.remove(place);
    }
    rows.extend(change.come.clone());
}

/// Whether what was found is the rows of a snapshot, in any order, and then the messages of the changes.
fn compare(snapshot: &[Found], changes: &[Change], found: &[Found]) -> Verdict {
    let mut rows = snapshot.to_vec();
    let mut wanted = changes.iter().flat_map(|change| &change.messages).peekable();
    let mut verdict = Verdict::Whole;
    let first_change = found.iter().position(|message| !message.of_snapshot).unwrap_or(found.len());
    let (found_rows, found_changes) = found.split_at(first_change);
    for message in found_rows {
        let Some(place) = rows.iter().position(|row| row == message) else { return Verdict::Wrong };
        rows.remove(place);
    }
    for message in found_changes {
        while wanted.next_if(|wanted| *wanted != message).is_some() {
            verdict = Verdict::Lacking;
        }
        if wanted.next().is_none() {
            return Verdict::Wrong;
        }
    }
    if rows.is_empty() && wanted.next().is_none() { verdict } else { Verdict::Lacking }
}

#[cfg(test)]
mod tests;
