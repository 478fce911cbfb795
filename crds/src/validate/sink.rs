//! Sinks.

use std::collections::BTreeSet;
use std::time::Duration;

use super::kafka::topic_name;
use super::subject::Subject;
use super::{commit, format};
use crate::api::{KafkaConnectionSpec, SinkSpec, Topic};
use crate::manifest::{Kind, Located};
use crate::names::{self, SLOT_MAX, WorkerName};
use crate::plan::{Envelope, SnapshotMode, StartAt, TableName};
use crate::table_pattern::TablePatterns;
use crate::{quantity, table_name, topic_template};

pub(super) fn check(mut subject: Subject<'_>, spec: &SinkSpec) {
    let manifests = subject.manifests;
    subject.refers_to("spec.source.name", Kind::SourceConnector, &spec.source.name, &manifests.sources);
    relations(&mut subject, spec);
    pool(&mut subject, spec);
    key(&mut subject, spec);
    let (connection, connections) = (&spec.kafka.connection, &manifests.kafka_connections);
    subject.refers_to("spec.kafka.connection", Kind::KafkaConnection, connection, connections);
    history(&mut subject, spec);
    topic(&mut subject, spec);
    commit::check(&mut subject, &spec.kafka.commit);
    format::check(&mut subject, spec);
    headers(&mut subject, spec);
    if spec.kafka.partition_by.as_deref().is_some_and(|sql| sql.trim().is_empty()) {
        subject.tell("spec.kafka.partitionBy", "it is empty", "write an expression, or leave it out");
    }
    prefix(&mut subject, "spec.kafka.transactionalIdPrefix", spec.kafka.transactional_id_prefix.as_deref());
    prefix(&mut subject, "spec.kafka.progressGroupIdPrefix", spec.kafka.progress_group_id_prefix.as_deref());
}

/// What is carried: exactly one of the fields that name it. Of SQL is said here that a text is there: who reads SQL judges it.
fn relations(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let given = spec.source.ways();
    let there: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    match &there[..] {
        [] if given.iter().all(|(name, _)| subject.knows(&format!("spec.source.{name}"))) => {
            let remedy = "add it, e.g. table: public.orders, or tables: [public.*] for many, or a query";
            subject.tell("spec.source.table", "it is missing", remedy);
        }
        [] | [_] => {}
        [first, second, ..] => {
            subject.tell(format!("spec.source.{second}"), format!("{first} is there too"), "give one of the two");
        }
    }
    if let Some(table) = &spec.source.table
        && let Err(what) = table_name::parse(table)
    {
        let what = format!("\"{table}\" names no table: {what}");
        let remedy = "write schema.table, with double quotes as in SQL where needed";
        subject.tell("spec.source.table", what, remedy);
    }
    if spec.source.query.as_deref().is_some_and(|sql| sql.trim().is_empty()) {
        subject.tell("spec.source.query", "it is empty", "write SELECT … FROM schema.table, or leave it out");
    }
    if let (Some(tables), 1) = (&spec.source.tables, there.len()) {
        patterns(subject, spec, tables);
    }
}

fn patterns(subject: &mut Subject<'_>, spec: &SinkSpec, texts: &[String]) {
    let field = "spec.source.tables";
    let patterns = match TablePatterns::parse(texts) {
        Ok(patterns) => patterns,
        Err((index, what)) => {
            let text = texts.get(index).map_or("", String::as_str);
            let remedy = "write schema.table with * and ?, with double quotes as in SQL where needed";
            let field = format!("{field}[{index}]");
            return subject.tell(field, format!("\"{text}\" is no pattern of tables: {what}"), remedy);
        }
    };
    if !subject.knows(field) {
        return;
    }
    if patterns.included().is_empty() {
        let remedy = "add one that brings tables, e.g. public.*";
        return subject.tell(field, "what begins with ! leaves tables out, and nothing brings any", remedy);
    }
    let topic = &spec.kafka.topic.name;
    if subject.knows("spec.kafka.topic.name")
        && topic.contains(topic_template::TABLE)
        && !topic.contains(topic_template::SCHEMA)
        && patterns.many_schemas()
    {
        let what = "tables of more than one schema can match, and two of one name would fill one topic";
        let remedy = format!("write {{schema}} into it, too: {{schema}}.{topic}");
        subject.tell("spec.kafka.topic.name", what, remedy);
    }
    consistent(subject, spec);
}

/// All tables at one moment, in one transaction each, is not for tables that come and go.
fn consistent(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let source = subject.manifests.sources.get(&subject.name.sibling(&spec.source.name));
    let Some(source) = source.filter(|source| source.knows("spec.postgres.snapshot.mode")) else { return };
    let is_consistent = source.spec.postgres.snapshot.mode == SnapshotMode::Consistent;
    if spec.snapshot && is_consistent && subject.knows("spec.snapshot") && subject.knows("spec.source.name") {
        let what = format!(
            "SourceConnector {} takes snapshots all at once, and those of many tables are taken in chunks",
            spec.source.name
        );
        let remedy = "set spec.postgres.snapshot.mode of the SourceConnector to Auto, or snapshot: false here, or carry the tables with a Sink each";
        subject.tell("spec.source.tables", what, remedy);
    }
}

fn pool(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let field = "spec.pool";
    if !names::is_pool(&spec.pool) {
        let remedy = "use up to 32 lower-case letters and digits";
        return subject.tell(field, format!("\"{}\" is no pool", spec.pool), remedy);
    }
    let worker = WorkerName { source: subject.name.sibling(&spec.source.name), pool: spec.pool.clone() };
    let Some(source) = subject.manifests.sources.get(&worker.source) else { return };
    if !source.knows("spec.postgres.slot.name") || !subject.knows("spec.source.name") {
        return;
    }
    let of_source = names::slot(source.spec.postgres.slot.name.as_deref(), &worker.source);
    let slot = worker.slot(&of_source);
    if slot.len() > SLOT_MAX && of_source.len() <= SLOT_MAX {
        let what = format!("the slot of this pool would be {slot}, which is longer than {SLOT_MAX} bytes");
        let remedy = "use a shorter name, or give the SourceConnector a shorter spec.postgres.slot.name";
        subject.tell(field, what, remedy);
    }
}

fn history(subject: &mut Subject<'_>, spec: &SinkSpec) {
    const LONGEST: Duration = Duration::from_hours(720);
    if let Some(text) = &spec.retain_history
        && subject.knows("spec.retainHistory")
        && !quantity::duration(text).is_some_and(|length| length >= Duration::from_secs(1) && length <= LONGEST)
    {
        let what = format!("\"{text}\" is no time from 1s to 720h");
        subject.tell("spec.retainHistory", what, "write e.g. 24h or 1h30m, or leave it out");
    }
    let Some(at) = &spec.source.start_at else { return };
    if !subject.knows("spec.source.startAt") {
        return;
    }
    match (&at.time, &at.position) {
        (Some(_), None) => {
            let time = at.time.clone().map(StartAt::Time);
            if time.as_ref().and_then(StartAt::time_us).is_none() {
                let remedy = "write it after RFC 3339, e.g. 2026-11-21T10:00:00Z";
                subject.tell("spec.source.startAt.time", "there is no such time", remedy);
            }
        }
        (None, Some(position)) => {
            let half = |half: &str| (1..=8).contains(&half.len()) && half.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !position.split_once('/').is_some_and(|(high, low)| half(high) && half(low)) {
                let remedy = "write it as the status and the headers do, e.g. 0/16B3748";
                subject.tell("spec.source.startAt.position", format!("\"{position}\" is no position"), remedy);
            }
        }
        _ => subject.tell("spec.source.startAt", "give time or position", "write one of the two"),
    }
}

fn headers(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let field = "spec.kafka.headers";
    match spec.kafka.headers.as_deref() {
        Some("") => subject.tell(field, "it is empty", "name a column, or leave it out"),
        Some(_) if spec.kafka.envelope == Envelope::Debezium && subject.knows("spec.kafka.envelope") => {
            subject.tell(field, "headers go with the upsert envelope only", "leave it out, or use envelope: upsert");
        }
        _ => {}
    }
}

fn prefix(subject: &mut Subject<'_>, field: &str, prefix: Option<&str>) {
    let Some(prefix) = prefix else { return };
    let wrong = if prefix.is_empty() {
        "it is empty"
    } else if prefix.contains(char::is_control) {
        "it holds a control character"
    } else {
        return;
    };
    subject.tell(field, wrong, "write letters, digits, dots and dashes, or leave it out");
}

/// Whether just one thing is named that is carried.
fn is_clear(spec: &SinkSpec) -> bool {
    spec.source.ways().iter().filter(|(_, given)| *given).count() == 1
}

fn key(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let Some(key) = &spec.key else {
        if spec.kafka.envelope == Envelope::Upsert && subject.knows("spec.kafka.envelope") {
            let remedy = if spec.source.tables.is_some() {
                "add key: {primaryKey: true}"
            } else {
                "add key: {columns: […]} with the columns of a unique key of the table"
            };
            subject.tell("spec.key", "upsert sinks must specify a key", remedy);
        }
        return;
    };
    let knows = |field: &str| subject.knows(field);
    let by_pattern = spec.source.tables.is_some();
    // Of what is carried by several of them, or by none, nothing follows for the key.
    let is_clear = is_clear(spec);
    if is_clear && knows("spec.source") && knows("spec.key.columns") && knows("spec.key.primaryKey") {
        match (&key.columns, key.primary_key, by_pattern) {
            (Some(_), _, true) => {
                let remedy = "write key: {primaryKey: true}: each table has its own";
                subject.tell(
                    "spec.key.columns",
                    "columns differ from table to table, and source.tables is there",
                    remedy,
                );
            }
            (Some(_), true, false) => {
                subject.tell("spec.key.primaryKey", "columns is there too", "give one of the two");
            }
            (None, true, false) => {
                let remedy = "name the columns of the primary key: key: {columns: [id]}";
                subject.tell("spec.key.primaryKey", "it goes with source.tables", remedy);
            }
            (None, false, _) => {
                let remedy = if by_pattern { "write primaryKey: true" } else { "add columns: […]" };
                subject.tell("spec.key", "it names no columns", remedy);
            }
            _ => {}
        }
    }
    if key.primary_key && key.not_enforced && by_pattern && subject.knows("spec.key") {
        subject.tell("spec.key.notEnforced", "a primary key is unique", "leave it out");
    }
    let mut seen = BTreeSet::new();
    for (index, column) in key.columns.iter().flatten().enumerate() {
        let field = format!("spec.key.columns[{index}]");
        if column.is_empty() {
            subject.tell(field, "it is empty", "name a column");
        } else if !seen.insert(column) {
            subject.tell(field, format!("column {column} is named twice"), "name each column once");
        }
    }
}

/// Tells what is wrong with a name that has, or lacks, the names of tables; whether that is all there is to say of it.
fn topic_name_of_tables(subject: &mut Subject<'_>, spec: &SinkSpec) -> bool {
    let (field, name) = ("spec.kafka.topic.name", &spec.kafka.topic.name);
    let [table, schema] = [topic_template::TABLE, topic_template::SCHEMA].map(|word| name.contains(word));
    let is_clear = subject.knows("spec.source") && is_clear(spec);
    match (&spec.source.tables, is_clear) {
        (_, false) => table || schema,
        (Some(_), _) if !table => {
            let remedy = "write {table} into it, where the table's name is to stand: shop.{table}";
            subject.tell(field, "each table has a topic of its own, and this is one name", remedy);
            true
        }
        (Some(_), _) => {
            let shortest = TableName { schema: "s".to_owned(), name: "t".to_owned() };
            let fits = names::is_topic(&topic_template::topic(name, &shortest));
            if !fits {
                let remedy = "beside {schema} and {table} use letters, digits, dots, underscores and dashes";
                subject.tell(field, format!("\"{name}\" makes no names of topics"), remedy);
            }
            true
        }
        (None, _) if table || schema => {
            let remedy = "write the topic's name, or carry tables by patterns with source.tables";
            subject.tell(field, "{schema} and {table} go with source.tables", remedy);
            true
        }
        (None, _) => false,
    }
}

fn topic(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let Topic { name, config, .. } = &spec.kafka.topic;
    if !topic_name_of_tables(subject, spec) {
        topic_name(subject, "spec.kafka.topic.name", name);
    }
    let connection = subject.name.sibling(&spec.kafka.connection);
    if let Some(connection) = subject.manifests.kafka_connections.get(&connection)
        && is_progress_topic(connection, name)
    {
        let what = format!("\"{name}\" is a topic of progress records");
        subject.tell("spec.kafka.topic.name", what, "give the topic of the data another name");
    }
    for setting in config.keys() {
        let field = format!("spec.kafka.topic.config.{setting}");
        if setting.is_empty() || setting.contains(|c: char| c.is_whitespace() || c == '=') {
            let remedy = "write the setting's name and its value: cleanup.policy: compact";
            subject.tell(field, format!("\"{setting}\" is no setting"), remedy);
        }
    }
    let compacted =
        config.get("cleanup.policy").is_some_and(|policy| policy.split(',').any(|it| it.trim() == "compact"));
    let without_key = spec.key.is_none() && spec.kafka.envelope != Envelope::Upsert;
    if compacted && without_key && subject.knows("spec.key") && subject.knows("spec.kafka.envelope") {
        let what = "a compacted topic takes no messages without a key";
        let remedy = "add spec.key, or use cleanup.policy: delete";
        subject.tell("spec.kafka.topic.config.cleanup.policy", what, remedy);
    }
}

fn is_progress_topic(connection: &Located<KafkaConnectionSpec>, topic: &str) -> bool {
    match &connection.spec.progress_topic.name {
        Some(progress) => topic == progress,
        None if !connection.knows("spec.progressTopic.name") || !connection.knows("spec.namePrefix") => false,
        None => topic.starts_with(&names::progress_topics(&connection.spec.name_prefix)),
    }
}
