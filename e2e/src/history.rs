//! A table that remembers all that ever happened to it, and what a topic must then hold.
//!
//! A trigger notes each change in a second table, in the transaction of the change. Changes of one key exclude each
//! other by its row lock, so the notes of one key stand in the order in which they were committed: that is what the
//! topic has to show, change by change, whatever died meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::database::{Database, Session, lsn};
use crate::message::Message;

/// Each value that a key had, in order; none: it was deleted.
pub type Values = BTreeMap<i64, Vec<Option<i64>>>;

/// The table `ledger (id, n)` of a database. `n` is another number in each change.
pub struct History<'a>(&'a Database);

/// A transaction of the lasting writer each so often.
const PACE: Duration = Duration::from_millis(20);

const SCHEMA: &str = "
    CREATE TABLE ledger (id int PRIMARY KEY, n int NOT NULL);
    CREATE TABLE notes (seq bigserial PRIMARY KEY, id int NOT NULL, n int);
    CREATE SEQUENCE numbers;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id <> NEW.id) THEN
            INSERT INTO notes (id) VALUES (OLD.id);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO notes (id, n) VALUES (NEW.id, NEW.n);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION note();
    CREATE PROCEDURE work(changes int) LANGUAGE plpgsql AS $$
    DECLARE
        one int;
        other int;
    BEGIN
        FOR i IN 1..changes LOOP
            one := floor(random() * 200);
            other := floor(random() * 200);
            CASE floor(random() * 6)
                WHEN 0 THEN
                    DELETE FROM ledger WHERE id = one;
                WHEN 1 THEN
                    BEGIN
                        UPDATE ledger SET id = other, n = nextval('numbers') WHERE id = one;
                    EXCEPTION WHEN unique_violation THEN NULL;
                    END;
                ELSE
                    INSERT INTO ledger VALUES (one, nextval('numbers'))
                    ON CONFLICT (id) DO UPDATE SET n = excluded.n;
            END CASE;
        END LOOP;
    END $$;";

impl<'a> History<'a> {
    /// Makes the table, and puts so many rows into it.
    pub async fn begin(database: &'a Database, rows: u32) -> Self {
        database.run(SCHEMA).await;
        database
            .run(&format!("INSERT INTO ledger SELECT i, nextval('numbers') FROM generate_series(1, {rows}) i"))
            .await;
        Self(database)
    }

    /// The table that [`History::begin`] has made.
    pub fn of(database: &'a Database) -> Self {
        Self(database)
    }

    /// Makes random changes in one transaction.
    pub async fn work(&self, changes: u32) {
        self.0.run(&format!("CALL work({changes})")).await;
    }

    /// Makes random transactions, short and long, until it is told to stop.
    pub async fn writer(&self) -> Writer {
        let session: Session = self.0.session().await;
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            for round in 1_u32.. {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                let changes = if round.is_multiple_of(20) { 300 } else { 1 + round % 7 };
                // Two writers may come into each other's way: one of them is rolled back, as in life.
                if !session.try_run(&format!("CALL work({changes})")).await {
                    return;
                }
            }
        });
        Writer { stop, task }
    }

    /// Makes small transactions, as many as a small machine carries beside a cluster, until it is told to stop; also where the
    /// server goes away meanwhile, and comes back.
    pub fn lasting_writer(&self) -> Writer {
        let owner = self.0.owner();
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut ticks = interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut session = None;
            while !told.load(Ordering::Relaxed) {
                ticks.tick().await;
                let open = match session.take() {
                    Some(open) => Some(open),
                    None => Session::open(&owner).await,
                };
                if let Some(open) = open
                    && open.try_run("CALL work(5)").await
                {
                    session = Some(open);
                }
            }
        });
        Writer { stop, task }
    }

    /// Checks that the messages are the changes, each once, in order per key. Where `seam` is set, what a key had
    /// when the snapshot was taken stands for all that it had before.
    pub async fn check(&self, messages: &[Message], seam: bool) {
        check(&self.notes().await, messages, seam);
    }

    /// Checks that the table has what was done to it last.
    pub async fn check_table(&self) {
        let last =
            self.notes().await.into_iter().filter_map(|(id, values)| values.last().copied().flatten().map(|n| (id, n)));
        let mut rows = Vec::new();
        // Rows, not entries of an index: a damaged table has more of the one than of the other.
        for row in self.0.rows("SELECT id, n FROM (SELECT id, n FROM ledger OFFSET 0) AS rows ORDER BY id, n").await {
            let number = |index: usize| row[index].as_deref().and_then(|text| text.parse::<i64>().ok());
            rows.push((number(0).expect("an int"), number(1).expect("an int")));
        }
        assert_eq!(rows, last.collect::<Vec<_>>(), "the database has lost what was committed");
    }

    /// Each value that a key had so far.
    pub async fn notes(&self) -> Values {
        let mut values = Values::new();
        for row in self.0.rows("SELECT id, n FROM notes ORDER BY seq").await {
            let number = |index: usize| row[index].as_ref().map(|text| text.parse().expect("an int is a number"));
            values.entry(number(0).expect("id is not null")).or_default().push(number(1));
        }
        values
    }
}

/// Checks messages as [`History::check`] does, against each value that a key had.
pub fn check(notes: &Values, messages: &[Message], seam: bool) {
    check_names(messages);
    let mut found: BTreeMap<i64, Vec<Found>> = BTreeMap::new();
    for message in messages {
        let value = match &message.value {
            Value::Null => None,
            value => Some(integer(value, "n")),
        };
        let of_snapshot = !place(message.position()).1;
        found.entry(integer(&message.key, "id")).or_default().push(Found { of_snapshot, value });
    }
    let topic = messages.first().map_or("its topic", |message| &message.topic);
    let strangers: Vec<_> = found.keys().filter(|id| !notes.contains_key(id)).collect();
    assert!(strangers.is_empty(), "messages of keys that never were in {topic}: {strangers:?}");
    let mut wrong = Vec::new();
    for (id, noted) in notes {
        let found = found.get(id).map_or(&[][..], Vec::as_slice);
        let right = if seam { follows_a_snapshot(noted, found) } else { is_whole(noted, found) };
        if !right {
            wrong.push(format!("key {id}: the database did {noted:?}, {topic} has {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} keys are wrong:\n{}", wrong.len(), notes.len(), wrong.join("\n"));
}

/// A session that makes random transactions.
pub struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Returns when its last transaction has ended.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the writer does not panic");
    }
}

/// A message of a key, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    /// By its name it is a row of the snapshot, and no change.
    of_snapshot: bool,
    value: Option<i64>,
}

/// Whether what was found is the row after some of the changes, if there was one then, and all changes after those.
/// The row must say that it is of the snapshot: a change in its place means that what was before it is lost.
fn follows_a_snapshot(noted: &[Option<i64>], found: &[Found]) -> bool {
    (0..=noted.len()).any(|seen| {
        let row = seen.checked_sub(1).and_then(|last| noted[last]);
        let row = row.map(|value| Found { of_snapshot: true, value: Some(value) });
        let changes = noted[seen..].iter().map(|value| Found { of_snapshot: false, value: *value });
        row.into_iter().chain(changes).eq(found.iter().copied())
    })
}

/// Whether all that was noted was found; the snapshot can only have brought the first.
fn is_whole(noted: &[Option<i64>], found: &[Found]) -> bool {
    noted.iter().eq(found.iter().map(|found| &found.value)) && found.iter().skip(1).all(|found| !found.of_snapshot)
}

/// Each message has a name of its own, and in a partition they stand in the order of the log.
fn check_names(messages: &[Message]) {
    let mut names = BTreeSet::new();
    let mut last: BTreeMap<i32, Place> = BTreeMap::new();
    for message in messages {
        let name = message.position();
        assert!(names.insert(name), "two messages are named {name}");
        let place = place(name);
        let before = last.insert(message.partition, place);
        assert!(before.is_none_or(|before| before < place), "{name} stands behind a later change");
    }
}

/// The place of the log: of a transaction, or of the rows of a snapshot, which come before what commits there; whether it
/// is a change; ordinal, and which message of a key change it is.
type Place = (u64, bool, u64, u64);

fn place(name: &str) -> Place {
    let (commit, ordinal) = name.split_once(':').unwrap_or_else(|| panic!("{name} is no position"));
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{name} is no position"));
    if let Some(row) = ordinal.strip_prefix('s') {
        return (lsn(commit), false, number(row), 0);
    }
    let (ordinal, half) = ordinal.split_once('.').unwrap_or((ordinal, "0"));
    (lsn(commit), true, number(ordinal), number(half))
}

fn integer(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_else(|| panic!("no integer {field} in {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: i64) -> Found {
        Found { of_snapshot: true, value: Some(value) }
    }

    fn change(value: impl Into<Option<i64>>) -> Found {
        Found { of_snapshot: false, value: value.into() }
    }

    #[test]
    fn a_snapshot_stands_for_what_was_before_it() {
        let noted = [Some(1), None, Some(3)];
        let none = change(None);
        for found in [&[change(1), none, change(3)][..], &[row(1), none, change(3)], &[change(3)], &[row(3)]] {
            assert!(follows_a_snapshot(&noted, found), "{found:?}");
        }
    }

    #[test]
    fn loss_and_repetition_are_seen() {
        let noted = [Some(1), Some(2), Some(3)];
        for found in [
            &[][..],
            &[row(1), change(3)],
            &[row(2)],
            &[row(3), change(3)],
            &[row(2), change(2), change(3)],
            &[change(1), row(2), change(3)],
            // The row of the snapshot is lost, and with it the changes before this one.
            &[change(3)],
            &[change(2), change(3)],
        ] {
            assert!(!follows_a_snapshot(&noted, found), "{found:?}");
        }
    }

    #[test]
    fn without_a_seam_every_change_is_asked_for() {
        let noted = [Some(1), None];
        assert!(is_whole(&noted, &[row(1), change(None)]) && is_whole(&noted, &[change(1), change(None)]));
        for found in [&[row(1)][..], &[change(None)], &[row(1), row(1), change(None)]] {
            assert!(!is_whole(&noted, found), "{found:?}");
        }
        assert!(!is_whole(&[Some(1), Some(2)], &[row(1), row(2)]), "a snapshot has one row of a key");
    }

    #[test]
    fn names_are_ordered_as_the_log_is() {
        assert!(place("0/9:s7") < place("0/9:0"), "a row of the snapshot comes first");
        assert!(place("0/8:5") < place("0/9:s0"), "behind what was before it");
        assert!(place("0/FF:12") < place("1/0:3"));
        assert!(place("0/1:2.0") < place("0/1:2.1") && place("0/1:2.1") < place("0/1:10"));
    }
}
