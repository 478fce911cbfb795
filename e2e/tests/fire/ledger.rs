//! What the database says has happened: the tables, and the notes that their triggers have made.

use std::collections::BTreeMap;

use afterbay_e2e::Database;
use serde_json::Value;

/// A row, a column a member.
pub type Row = Value;

/// What names a row to its readers: the values of the key columns.
pub type Key = String;

/// A table, and the columns by which the checker tells rows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Account,
    Line,
    Event,
    Word,
}

impl Table {
    /// All.
    pub const ALL: [Self; 4] = [Self::Account, Self::Line, Self::Event, Self::Word];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Line => "line",
            Self::Event => "event",
            Self::Word => "word",
        }
    }

    /// The columns that name a row. In `event` they are no key, and several rows may have the same.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Account | Self::Event => &["id"],
            Self::Line => &["region", "number"],
            Self::Word => &["code"],
        }
    }

    /// The key of its Sinks; none has one where the table has none.
    pub fn key(self) -> &'static [&'static str] {
        if self == Self::Event { &[] } else { self.names() }
    }

    /// The row as it can be compared. A table that gets columns while it is written to has rows from before, in which they
    /// are missing, and Avro has no other form for a document than its text.
    pub fn comparable(self, mut row: Row) -> Row {
        if matches!(self, Self::Word | Self::Account)
            && let Some(columns) = row.as_object_mut()
        {
            columns.retain(|_, value| !value.is_null());
            if let Some(Value::String(text)) = columns.get("labels") {
                let document = serde_json::from_str(text).expect("a document is written as JSON");
                columns.insert("labels".into(), document);
            }
        }
        row
    }

    /// What names this row.
    pub fn key_of(self, row: &Row) -> Key {
        let values: Vec<_> = self.names().iter().map(|column| row[column].to_string()).collect();
        values.join(",")
    }

    /// The key of a message of this row.
    pub fn message_key(self, row: &Row) -> Value {
        match self.key() {
            [] => Value::Null,
            columns => columns.iter().map(|column| ((*column).to_owned(), row[column].clone())).collect(),
        }
    }
}

/// A committed change.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// In the order in which changes of one key were committed.
    pub seq: i64,
    pub table: Table,
    pub before: Option<Row>,
    pub after: Option<Row>,
}

/// The rows of a table by what names them.
pub type Rows = BTreeMap<Key, Vec<Row>>;

/// The tables as they were when nobody wrote, and what was noted since.
pub struct Ledger {
    tables: BTreeMap<Table, Rows>,
    seen: i64,
}

impl Ledger {
    /// Of tables to which nobody writes now.
    pub async fn open(database: &Database) -> Self {
        Self { tables: tables(database).await, seen: last(database).await }
    }

    /// The rows of a table as they were when the ledger was opened or last closed.
    pub fn rows(&self, table: Table) -> &Rows {
        &self.tables[&table]
    }

    /// What was noted since; nobody writes now.
    pub async fn notes(&self, database: &Database) -> Vec<Note> {
        let sql = format!("SELECT seq, relation, before, after FROM audit WHERE seq > {} ORDER BY seq", self.seen);
        let rows = database.rows(&sql).await;
        rows.into_iter().map(note).collect()
    }

    /// Takes the tables of now for those to begin from, and checks that the notes lead to them: if they do not, the
    /// checker is wrong.
    pub async fn close(&mut self, database: &Database, notes: &[Note]) {
        for note in notes {
            let rows = self.tables.get_mut(&note.table).expect("all tables are there");
            apply(rows, note.table, note);
        }
        for rows in self.tables.values_mut() {
            rows.retain(|_, rows| !rows.is_empty());
        }
        let now = tables(database).await;
        for table in Table::ALL {
            let (noted, now) = (&self.tables[&table], &now[&table]);
            let differs = |key: &&Key| !are_same(noted.get(*key), now.get(*key));
            let differing: Vec<_> = noted.keys().chain(now.keys()).filter(differs).take(3).collect();
            assert!(differing.is_empty(), "the notes do not lead to table {}, at {differing:?}", table.name());
        }
        self.seen = notes.last().map_or(self.seen, |note| note.seq);
    }
}

/// The number of the last note that is there now: what is noted later is committed later.
pub async fn last(database: &Database) -> i64 {
    // Not the sequence's last value: what has not committed yet has numbers too.
    database.number("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM audit_seq_seq").await
}

fn apply(rows: &mut Rows, table: Table, note: &Note) {
    if let Some(before) = &note.before {
        let rows = rows.entry(table.key_of(before)).or_default();
        let place = rows.iter().position(|row| row == before);
        rows.remove(place.unwrap_or_else(|| panic!("a row is noted to go that never was: {before}")));
    }
    if let Some(after) = &note.after {
        rows.entry(table.key_of(after)).or_default().push(after.clone());
    }
}

/// Whether these are the same rows, in an order that does not matter.
fn are_same(some: Option<&Vec<Row>>, others: Option<&Vec<Row>>) -> bool {
    let some = some.map_or(&[][..], Vec::as_slice);
    let mut others: Vec<_> = others.into_iter().flatten().collect();
    some.len() == others.len()
        && some.iter().all(|row| {
            let place = others.iter().position(|other| *other == row);
            place.is_some_and(|place| *others.swap_remove(place) == *row)
        })
}

async fn tables(database: &Database) -> BTreeMap<Table, Rows> {
    let mut tables = BTreeMap::new();
    for table in Table::ALL {
        let mut rows = Rows::new();
        for row in database.rows(&format!("SELECT to_jsonb(t) FROM {} t", table.name())).await {
            let row = table.comparable(parse(row[0].as_deref()).expect("a row is not null"));
            rows.entry(table.key_of(&row)).or_default().push(row);
        }
        tables.insert(table, rows);
    }
    tables
}

fn note(columns: Vec<Option<String>>) -> Note {
    let [seq, relation, before, after] = columns.try_into().expect("four columns were asked for");
    let table = Table::ALL.into_iter().find(|table| Some(table.name()) == relation.as_deref());
    let table = table.expect("only known tables have the trigger");
    let row = |text: Option<String>| parse(text.as_deref()).map(|row| table.comparable(row));
    Note {
        seq: seq.and_then(|seq| seq.parse().ok()).expect("a sequence gives numbers"),
        table,
        before: row(before),
        after: row(after),
    }
}

fn parse(text: Option<&str>) -> Option<Value> {
    text.map(|text| serde_json::from_str(text).expect("Postgres writes JSON"))
}
