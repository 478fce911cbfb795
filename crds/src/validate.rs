//! What is wrong with manifests as far as they alone can show it: values, references, Secrets.
//!
//! Pure; the world (brokers, tables, registries) is asked elsewhere.

mod kafka;
mod references;
mod registry;
mod sink;
mod source;

use std::collections::BTreeMap;

use crate::manifest::{Kind, Located, ManifestError, Manifests, nearest};
use crate::names::ResourceName;

/// Everything that is wrong, in the order of the files; `instance` is the installation that the manifests are for.
pub fn validate(manifests: &Manifests, instance: &str) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for (name, connection) in &manifests.kafka_connections {
        kafka::check(manifests, name, connection, instance, &mut errors);
    }
    for (name, connection) in &manifests.registries {
        registry::check(manifests, name, connection, &mut errors);
    }
    let mut slots = BTreeMap::new();
    for (name, connector) in &manifests.sources {
        source::check(manifests, name, connector, &mut errors);
        source::slot_is_its_own(name, connector, &mut slots, &mut errors);
    }
    let mut topics = BTreeMap::new();
    for (name, each) in &manifests.sinks {
        sink::check(manifests, name, each, &mut errors);
        sink::topic_is_its_own(name, each, &mut topics, &mut errors);
    }
    errors.sort();
    errors
}

/// "there is no Kind name", with the nearest name that there is; nothing where it is there, or there with errors.
fn dangling<T>(
    manifests: &Manifests,
    kind: Kind,
    name: &ResourceName,
    known: &BTreeMap<ResourceName, Located<T>>,
) -> Option<(String, String)> {
    if known.contains_key(name) || manifests.may_be_unread(kind, name) {
        return None;
    }
    let kind = kind.as_str();
    let siblings = known.keys().filter(|known| known.namespace == name.namespace).map(|known| known.name.as_str());
    let elsewhere = known.keys().find(|known| known.name == name.name);
    let remedy = match (nearest(&name.name, siblings), elsewhere) {
        (Some(like), _) => format!("did you mean {like}?"),
        (None, Some(other)) => format!("there is one in namespace {}; put both into one namespace", other.namespace),
        (None, None) => format!("add a {kind} of that name, or correct the name"),
    };
    Some((format!("there is no {kind} {name}"), remedy))
}
