//! The key's columns, and whether they are unique.

use std::collections::HashSet;

use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::{Source, display, identifier, list, quoted};

/// How similar a name must be (Jaro-Winkler, 0 to 1) to be offered instead.
const SIMILAR: f64 = 0.7;

/// Where the key's columns stand among those that the stream brings.
pub fn find(source: Source<'_>, key_columns: &[String]) -> Result<Vec<usize>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut key = Vec::with_capacity(key_columns.len());
    let mut named = HashSet::new();
    for name in key_columns {
        if !named.insert(name) {
            problems.push(Reason::KeyNotUnique.problem(
                format!("column {} is named more than once in the key", identifier(name)),
                "name each column of the key once",
            ));
            continue;
        }
        match source.seen().streamed_columns().position(|column| &column.name == name) {
            Some(index) => key.push(index),
            None => problems.push(not_found(source, name, "key")),
        }
    }
    if problems.is_empty() { Ok(key) } else { Err(problems) }
}

/// A column that the manifest names (`what` for) is not among those that the stream brings.
pub fn not_found(source: Source<'_>, name: &str, what: &str) -> Problem {
    let table = source.seen();
    let place = display(&table.schema, &table.name);
    if table.columns.iter().any(|column| column.name == name) {
        return Reason::ColumnNotFound.problem(
            format!(
                "{what} column {} of table {place} is a generated column, which is not replicated",
                identifier(name)
            ),
            "use columns that are not generated",
        );
    }
    let nearest = table
        .streamed_columns()
        .map(|column| (strsim::jaro_winkler(&column.name, name), column.name.as_str()))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let question = nearest
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .map_or_else(String::new, |(_, column)| format!("did you mean {}? ", identifier(column)));
    let columns: Vec<_> = table.streamed_columns().map(|column| identifier(&column.name)).collect();
    let whose = if source.derived.is_some() { "query" } else { "table" };
    let hint = format!("{question}the {whose}'s columns are {}", columns.join(", "));
    Reason::ColumnNotFound.problem(format!("{} has no column {}", source.in_words(), identifier(name)), hint)
}

/// The problem, unless a key that is known to be unique is among the key's columns. The messages are the reference's.
pub fn prove_unique(source: Source<'_>, key_columns: &[String]) -> Option<Problem> {
    if key_columns.is_empty() {
        return Some(Reason::KeyNotUnique.problem(
            "upsert sinks must specify a key",
            "name the columns of a unique key in key.columns, or use the debezium envelope",
        ));
    }
    // By the table's names, as a query may give a column twice.
    let origins: Vec<_> = key_columns.iter().filter_map(|column| source.origin(column)).collect();
    let is_within = |columns: &[String]| columns.iter().all(|column| origins.contains(&column.as_str()));
    if source.table.unique_keys.iter().any(|key| is_within(&key.columns)) {
        return None;
    }
    let table = source.seen();
    let mut message = format!(
        "upsert key could not be validated as unique\nDETAIL: Afterbay could not prove that the specified upsert \
         envelope key {} is a unique key of the upstream relation. ",
        list(key_columns)
    );
    let place = quoted(&table.schema, &table.name);
    if table.unique_keys.is_empty() {
        message.push_str("There are no known valid unique keys for the upstream relation.");
    } else {
        message.push_str("The following keys are known to be unique for the upstream relation:");
        for key in &table.unique_keys {
            message.push_str("\n  ");
            message.push_str(&list(&key.columns));
        }
    }
    let choose = if table.unique_keys.is_empty() { "" } else { "use one of these keys, or " };
    if source.derived.is_some() {
        let hint = format!(
            "{choose}have the query give all columns of a unique key of table {} as they are, and name them",
            display(&table.schema, &table.name)
        );
        return Some(Reason::KeyNotUnique.problem(message, hint));
    }
    let nullable: Vec<_> = table
        .columns
        .iter()
        .filter(|column| !column.not_null && key_columns.contains(&column.name))
        .map(|column| format!("ALTER TABLE {place} ALTER COLUMN {} SET NOT NULL; ", identifier(&column.name)))
        .collect();
    Some(Reason::KeyNotUnique.problem(
        message,
        format!(
            "{choose}make the key unique, if it is: {}CREATE UNIQUE INDEX ON {place} {};",
            nullable.concat(),
            list(key_columns)
        ),
    ))
}
