//! What is wrong with manifests as far as they alone can show it: values, references, Secrets.
//!
//! Pure; the world (brokers, tables, registries) is asked elsewhere.

mod connections;
mod references;
mod sinks;

use std::collections::BTreeMap;

use crate::manifest::{ManifestError, Manifests};
use crate::names::ResourceName;

/// Everything that is wrong, in the order of the files.
pub fn validate(manifests: &Manifests) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for (name, connection) in &manifests.kafka_connections {
        connections::kafka(manifests, name, connection, &mut errors);
    }
    for (name, registry) in &manifests.registries {
        connections::registry(manifests, name, registry, &mut errors);
    }
    let mut slots = BTreeMap::new();
    for (name, source) in &manifests.sources {
        connections::source(manifests, name, source, &mut errors);
        connections::slot_is_its_own(name, source, &mut slots, &mut errors);
    }
    for (name, sink) in &manifests.sinks {
        sinks::sink(manifests, name, sink, &mut errors);
    }
    errors.sort();
    errors
}

/// "there is no Kind name", with the nearest name that there is.
fn nothing_named<'a>(
    kind: &str,
    name: &ResourceName,
    known: impl IntoIterator<Item = &'a ResourceName>,
) -> (String, String) {
    let known: Vec<&ResourceName> = known.into_iter().filter(|known| known.namespace == name.namespace).collect();
    let remedy = match crate::manifest::nearest(&name.name, known.iter().map(|known| known.name.as_str())) {
        Some(like) => format!("did you mean {like}?"),
        None => format!("add a {kind} of that name, or correct the name"),
    };
    (format!("there is no {kind} {name}"), remedy)
}

#[cfg(test)]
mod tests;
