//! Sinks.

use std::collections::BTreeSet;

use super::connections::topic_name;
use super::nothing_named;
use crate::api::SinkSpec;
use crate::manifest::{Located, ManifestError, Manifests};
use crate::names::ResourceName;
use crate::plan::Envelope;
use crate::table_name;

pub(super) fn sink(
    manifests: &Manifests,
    name: &ResourceName,
    sink: &Located<SinkSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = sink;
    let source = name.sibling(&spec.source.name);
    if !manifests.sources.contains_key(&source) {
        let (what, remedy) = nothing_named("SourceConnector", &source, manifests.sources.keys());
        errors.push(place.error("spec.source.name", what, remedy));
    }
    if let Err(what) = table_name::parse(&spec.source.table) {
        let what = format!("\"{}\" names no table: {what}", spec.source.table);
        let remedy = "write schema.table, with double quotes as in SQL where needed";
        errors.push(place.error("spec.source.table", what, remedy));
    }
    match &spec.key {
        None if spec.kafka.envelope == Envelope::Upsert => errors.push(place.error(
            "spec.key",
            "upsert sinks must specify a key",
            "add key: {columns: […]} with the columns of a unique key of the table",
        )),
        None => {}
        Some(key) => {
            if key.columns.is_empty() {
                errors.push(place.error("spec.key.columns", "the list is empty", "name the columns of the key"));
            }
            let mut seen = BTreeSet::new();
            for (index, column) in key.columns.iter().enumerate() {
                if !seen.insert(column) {
                    let what = format!("column {column} is named twice");
                    errors.push(place.error(format!("spec.key.columns[{index}]"), what, "name each column once"));
                }
            }
        }
    }
    let kafka = &spec.kafka;
    let connection = name.sibling(&kafka.connection);
    if !manifests.kafka_connections.contains_key(&connection) {
        let (what, remedy) = nothing_named("KafkaConnection", &connection, manifests.kafka_connections.keys());
        errors.push(place.error("spec.kafka.connection", what, remedy));
    }
    topic_name(place, "spec.kafka.topic.name", &kafka.topic.name, errors);
    match (&kafka.format.avro, &kafka.format.json) {
        (Some(avro), None) => {
            let registry = name.sibling(&avro.registry);
            if !manifests.registries.contains_key(&registry) {
                let (what, remedy) = nothing_named("SchemaRegistryConnection", &registry, manifests.registries.keys());
                errors.push(place.error("spec.kafka.format.avro.registry", what, remedy));
            }
        }
        (None, Some(_)) => {}
        (None, None) => errors.push(place.error("spec.kafka.format", "it is empty", "give avro or json")),
        (Some(_), Some(_)) => {
            errors.push(place.error("spec.kafka.format", "avro and json are both there", "give one of the two"));
        }
    }
}
