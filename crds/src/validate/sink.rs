//! Sinks.

use std::collections::{BTreeMap, BTreeSet};

use super::dangling;
use super::kafka::topic_name;
use crate::api::{Format, KafkaConnectionSpec, SinkSpec, Topic};
use crate::manifest::{Kind, Located, ManifestError, Manifests, Place};
use crate::names::{self, ResourceName};
use crate::plan::Envelope;
use crate::table_name;

pub(super) fn check(
    manifests: &Manifests,
    name: &ResourceName,
    sink: &Located<SinkSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = sink;
    let source = name.sibling(&spec.source.name);
    if let Some((what, remedy)) = dangling(manifests, Kind::SourceConnector, &source, &manifests.sources) {
        errors.push(place.error("spec.source.name", what, remedy));
    }
    if let Err(what) = table_name::parse(&spec.source.table) {
        let what = format!("\"{}\" names no table: {what}", spec.source.table);
        let remedy = "write schema.table, with double quotes as in SQL where needed";
        errors.push(place.error("spec.source.table", what, remedy));
    }
    key(place, spec, errors);
    let kafka = &spec.kafka;
    let connection = name.sibling(&kafka.connection);
    if let Some((what, remedy)) = dangling(manifests, Kind::KafkaConnection, &connection, &manifests.kafka_connections)
    {
        errors.push(place.error("spec.kafka.connection", what, remedy));
    }
    topic(place, spec, manifests.kafka_connections.get(&connection).map(|found| &found.spec), errors);
    format(manifests, name, place, &kafka.format, errors);
}

fn key(place: &Place, spec: &SinkSpec, errors: &mut Vec<ManifestError>) {
    let Some(key) = &spec.key else {
        if spec.kafka.envelope == Envelope::Upsert {
            let remedy = "add key: {columns: […]} with the columns of a unique key of the table";
            errors.push(place.error("spec.key", "upsert sinks must specify a key", remedy));
        }
        return;
    };
    let mut seen = BTreeSet::new();
    for (index, column) in key.columns.iter().enumerate() {
        let field = format!("spec.key.columns[{index}]");
        if column.is_empty() {
            errors.push(place.error(field, "it is empty", "name a column"));
        } else if !seen.insert(column) {
            errors.push(place.error(field, format!("column {column} is named twice"), "name each column once"));
        }
    }
}

fn topic(place: &Place, spec: &SinkSpec, connection: Option<&KafkaConnectionSpec>, errors: &mut Vec<ManifestError>) {
    let Topic { name, config, .. } = &spec.kafka.topic;
    topic_name(place, "spec.kafka.topic.name", name, errors);
    if let Some(connection) = connection {
        let is_progress = match &connection.progress_topic.name {
            Some(progress) => name == progress,
            None => name.starts_with(&names::progress_topics(&connection.name_prefix)),
        };
        if is_progress {
            let what = format!("\"{name}\" is a topic of progress records");
            errors.push(place.error("spec.kafka.topic.name", what, "give the topic of the data another name"));
        }
    }
    for setting in config.keys() {
        let field = format!("spec.kafka.topic.config.{setting}");
        if setting.is_empty() || setting.contains(|c: char| c.is_whitespace() || c == '=') {
            let remedy = "write the setting's name and its value: cleanup.policy: compact";
            errors.push(place.error(field, format!("\"{setting}\" is no setting"), remedy));
        }
    }
    let compacted =
        config.get("cleanup.policy").is_some_and(|policy| policy.split(',').any(|it| it.trim() == "compact"));
    if compacted && spec.key.is_none() && spec.kafka.envelope != Envelope::Upsert {
        let what = "a compacted topic takes no messages without a key";
        let remedy = "add spec.key, or use cleanup.policy: delete";
        errors.push(place.error("spec.kafka.topic.config.cleanup.policy", what, remedy));
    }
}

fn format(manifests: &Manifests, name: &ResourceName, place: &Place, format: &Format, errors: &mut Vec<ManifestError>) {
    let field = "spec.kafka.format";
    match (&format.avro, &format.json) {
        (Some(avro), None) => {
            let registry = name.sibling(&avro.registry);
            if let Some((what, remedy)) =
                dangling(manifests, Kind::SchemaRegistryConnection, &registry, &manifests.registries)
            {
                errors.push(place.error("spec.kafka.format.avro.registry", what, remedy));
            }
        }
        (None, Some(_)) => {}
        (None, None) => {
            errors.push(place.error(field, "it is empty", "write json: {} or avro: {registry: …} below it"));
        }
        (Some(_), Some(_)) => errors.push(place.error(field, "avro and json are both there", "give one of the two")),
    }
}

/// Two Sinks do not fill one topic: rows of two tables with equal keys would take each other's place in it.
pub(super) fn topic_is_its_own<'a>(
    name: &'a ResourceName,
    sink: &'a Located<SinkSpec>,
    topics: &mut BTreeMap<(ResourceName, &'a str), (&'a ResourceName, &'a Place)>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = sink;
    let topic = spec.kafka.topic.name.as_str();
    let connection = name.sibling(&spec.kafka.connection);
    if let Some((other, at)) = topics.get(&(connection.clone(), topic)) {
        let (document, file) = (at.document, &at.file);
        let what = format!("Sink {other} (document {document} of {file}) fills topic {topic} of {connection} too");
        let remedy = "give each a topic of its own: in one, rows of two Sinks with equal keys would be mixed up";
        errors.push(place.error("spec.kafka.topic.name", what, remedy));
    } else {
        topics.insert((connection, topic), (name, place));
    }
}
