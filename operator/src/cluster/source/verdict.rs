//! What is wrong with a SourceConnector and with each of its Sinks, of all that was found wrong with what was gathered. Pure.

use std::collections::BTreeMap;

use afterbay_crds::manifest::{ManifestError, Manifests, Place};
use afterbay_crds::names::ResourceName;

use crate::cluster::stores::{Gathered, references};

/// What is wrong with a resource, or missing for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What does not end before somebody corrects it.
    pub invalid: Vec<ManifestError>,
    /// What is not there yet, in words: `Secret default/keys, which KafkaConnection default/events names`.
    pub waiting_for: Option<String>,
}

impl Findings {
    /// Whether there is nothing.
    pub fn is_fine(&self) -> bool {
        self.invalid.is_empty() && self.waiting_for.is_none()
    }

    fn take_in(&mut self, own: &Place, error: &ManifestError) {
        match &error.missing {
            None => self.invalid.push(error.clone()),
            // The first is enough: one after the other they come to be there.
            Some(_) if self.waiting_for.is_some() => {}
            Some(missing) if error.place == *own => self.waiting_for = Some(missing.clone()),
            Some(missing) => {
                let by = error.place.resource.as_deref().unwrap_or_default();
                self.waiting_for = Some(format!("{missing}, which {by} names"));
            }
        }
    }
}

/// What is wrong with a SourceConnector and its Sinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// With the SourceConnector itself: none of its workers can be made or changed.
    pub source: Findings,
    /// With each of its Sinks, which is what is wrong with its connection and its registries, too.
    pub sinks: BTreeMap<ResourceName, Findings>,
}

/// Sorts errors by whose they are. What is wrong with neighbours is not said here.
pub fn sort(gathered: &Gathered, source: &ResourceName, errors: &[ManifestError]) -> Verdict {
    let manifests = &gathered.manifests;
    let mut verdict = Verdict::default();
    if let Some(own) = manifests.sources.get(source) {
        verdict.source = findings(&[&own.place], errors);
    }
    for sink in &gathered.sinks {
        let places = places(manifests, sink);
        verdict.sinks.insert(sink.clone(), findings(&places, errors));
    }
    verdict
}

/// Of these places; the first is the resource's own.
fn findings(places: &[&Place], errors: &[ManifestError]) -> Findings {
    let mut findings = Findings::default();
    for place in places {
        for error in errors.iter().filter(|error| error.place == **place) {
            findings.take_in(places[0], error);
        }
    }
    findings
}

/// Where a Sink stands, its connection and its registries.
fn places<'m>(manifests: &'m Manifests, name: &ResourceName) -> Vec<&'m Place> {
    let Some(sink) = manifests.sinks.get(name) else { return Vec::new() };
    let connection = manifests.kafka_connections.get(&name.sibling(&sink.spec.kafka.connection));
    let registries = references::registries_of_sink(name, &sink.spec);
    let registries = registries.iter().filter_map(|registry| manifests.registries.get(registry));
    let places = [Some(&sink.place), connection.map(|connection| &connection.place)];
    places.into_iter().flatten().chain(registries.map(|registry| &registry.place)).collect()
}
