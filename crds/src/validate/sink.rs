//! Sinks.

use std::collections::BTreeSet;

use super::kafka::topic_name;
use super::subject::Subject;
use super::{commit, format};
use crate::api::{KafkaConnectionSpec, SinkSpec, Topic};
use crate::manifest::{Kind, Located};
use crate::names;
use crate::plan::Envelope;
use crate::table_name;

pub(super) fn check(mut subject: Subject<'_>, spec: &SinkSpec) {
    let manifests = subject.manifests;
    subject.refers_to("spec.source.name", Kind::SourceConnector, &spec.source.name, &manifests.sources);
    if let Err(what) = table_name::parse(&spec.source.table) {
        let what = format!("\"{}\" names no table: {what}", spec.source.table);
        let remedy = "write schema.table, with double quotes as in SQL where needed";
        subject.tell("spec.source.table", what, remedy);
    }
    key(&mut subject, spec);
    let (connection, connections) = (&spec.kafka.connection, &manifests.kafka_connections);
    subject.refers_to("spec.kafka.connection", Kind::KafkaConnection, connection, connections);
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

fn key(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let Some(key) = &spec.key else {
        if spec.kafka.envelope == Envelope::Upsert && subject.knows("spec.kafka.envelope") {
            let remedy = "add key: {columns: […]} with the columns of a unique key of the table";
            subject.tell("spec.key", "upsert sinks must specify a key", remedy);
        }
        return;
    };
    let mut seen = BTreeSet::new();
    for (index, column) in key.columns.iter().enumerate() {
        let field = format!("spec.key.columns[{index}]");
        if column.is_empty() {
            subject.tell(field, "it is empty", "name a column");
        } else if !seen.insert(column) {
            subject.tell(field, format!("column {column} is named twice"), "name each column once");
        }
    }
}

fn topic(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let Topic { name, config, .. } = &spec.kafka.topic;
    topic_name(subject, "spec.kafka.topic.name", name);
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
