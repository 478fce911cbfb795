//! A table of a thousand columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use afterbay_e2e::{Format, Scenario, Sink};
use serde_json::Value;

/// Postgres allows 1,600; a row has to fit into a page of 8 KiB.
const COLUMNS: usize = 1_000;

/// Types whose values are the same in JSON and in Avro, with a value that depends on row and column.
fn column(number: usize) -> (&'static str, String) {
    match number % 4 {
        0 => ("int", format!("i * 100000 + {number}")),
        1 => ("smallint", format!("CASE WHEN i % 3 = 0 THEN NULL ELSE {number} END")),
        2 => ("boolean", format!("(i + {number}) % 3 = 0")),
        _ => ("text", format!("'é' || {number} % 100")),
    }
}

fn table() -> String {
    let mut columns = String::from("id int PRIMARY KEY");
    for number in 1..COLUMNS {
        let _ = write!(columns, ", c{number} {}", column(number).0);
    }
    format!("CREATE TABLE wide ({columns}); ALTER TABLE wide REPLICA IDENTITY FULL")
}

fn insert(rows: std::ops::RangeInclusive<i32>) -> String {
    let values: Vec<_> = (1..COLUMNS).map(|number| column(number).1).collect();
    let (first, last) = rows.into_inner();
    format!("INSERT INTO wide SELECT i, {} FROM generate_series({first}, {last}) i", values.join(", "))
}

#[tokio::test]
async fn every_column_of_a_thousand_is_right() {
    let scenario = Scenario::new("wide").await;
    let database = &scenario.database;
    database.run(&table()).await;
    database.run(&insert(1..=5)).await;
    let topics = [Format::Json, Format::Avro].map(|format| (format, scenario.topic(format.as_str())));
    let mut manifests = scenario.manifests();
    for (format, topic) in &topics {
        let sink = Sink::new(format.as_str(), "public.wide", topic).key(&["id"]).format(*format);
        manifests = manifests.with(sink);
    }
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run(&insert(6..=8)).await;
    database.run("UPDATE wide SET c999 = 'changed', c998 = NULL WHERE id = 2; DELETE FROM wide WHERE id = 3").await;
    database.run("ALTER TABLE wide DROP COLUMN c500").await;
    database.run("UPDATE wide SET c4 = -4 WHERE id = 7").await;
    afterbay.caught_up(&scenario).await;
    let rows: BTreeMap<i64, Value> = database
        .rows("SELECT id, to_json(wide) FROM wide")
        .await
        .into_iter()
        .map(|row| {
            let cell = |index: usize| row[index].as_deref().expect("no cell is null");
            (cell(0).parse().expect("a number"), serde_json::from_str(cell(1)).expect("JSON"))
        })
        .collect();
    for (format, topic) in &topics {
        let messages = scenario.messages(topic, *format).await;
        assert_eq!(messages.len(), 5 + 3 + 3, "{format:?}");
        let mut last = BTreeMap::new();
        for message in messages {
            last.insert(message.key["id"].as_i64().expect("a number"), message.value);
        }
        assert_eq!(last.remove(&3), Some(Value::Null), "{format:?}: the deleted row");
        assert_eq!(last.len(), rows.len(), "{format:?}");
        for (id, row) in &rows {
            let (Some(Value::Object(found)), Value::Object(row)) = (last.get(id), row) else { panic!("no row {id}") };
            // Rows that were sent before the column was dropped have it.
            let found: BTreeMap<_, _> = found.iter().filter(|(name, _)| *name != "c500").collect();
            let expected: BTreeMap<_, _> = row.iter().collect();
            assert_eq!(found.len(), COLUMNS - 1, "{format:?} {id}");
            assert!(found == expected, "{format:?}: row {id} differs: {found:?}\n{expected:?}");
        }
    }
}
