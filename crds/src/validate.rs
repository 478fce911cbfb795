//! What is wrong with manifests as far as they alone can show it: values, references, Secrets.
//!
//! Pure; the world (brokers, tables, registries) is asked elsewhere. A resource of which some is refused for its shape is
//! judged too, by all that is known of it: what would only follow from the refusal is not told.

mod commit;
mod format;
mod kafka;
mod pod;
mod references;
mod registry;
mod shared;
mod sink;
mod source;
mod subject;

use std::collections::BTreeMap;

use crate::manifest::{Located, ManifestError, Manifests};
use crate::names::ResourceName;
pub(crate) use shared::topics_beside;
use subject::Subject;

/// Everything that is wrong, in the order of the files; `instance` is the installation that the manifests are for.
pub fn validate(manifests: &Manifests, instance: &str) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for (name, connection) in all(&manifests.kafka_connections, &manifests.aside.kafka_connections) {
        kafka::check(Subject::new(manifests, name, connection, &mut errors), &connection.spec, instance);
    }
    for (name, registry) in all(&manifests.registries, &manifests.aside.registries) {
        registry::check(Subject::new(manifests, name, registry, &mut errors), &registry.spec);
    }
    for (name, source) in all(&manifests.sources, &manifests.aside.sources) {
        source::check(Subject::new(manifests, name, source, &mut errors), &source.spec);
    }
    for (name, sink) in all(&manifests.sinks, &manifests.aside.sinks) {
        sink::check(Subject::new(manifests, name, sink, &mut errors), &sink.spec);
    }
    shared::slots(manifests, &mut errors);
    shared::topics(manifests, &mut errors);
    shared::topics_of_tables(manifests, &mut errors);
    errors.sort();
    // A Secret that is not there is not told anew for each of its keys.
    errors.dedup();
    errors
}

/// The resources of a kind, with those that have no name of their own.
fn all<'a, T>(
    named: &'a BTreeMap<ResourceName, Located<T>>,
    aside: &'a [(ResourceName, Located<T>)],
) -> impl Iterator<Item = (&'a ResourceName, &'a Located<T>)> {
    named.iter().chain(aside.iter().map(|(name, resource)| (name, resource)))
}
