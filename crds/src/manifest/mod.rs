//! Manifests: from text to typed resources, with everything that is wrong told at once.

mod error;
mod reader;
mod remedy;
mod schema;
mod secret;
mod split;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretSlice;

pub use error::{ManifestError, Place, nearest};

use crate::api::{KafkaConnectionSpec, SchemaRegistryConnectionSpec, SinkSpec, SourceConnectorSpec};
use crate::names::ResourceName;

/// A text that holds manifests.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    /// Its name, as it is told in errors.
    pub name: String,
    /// Its contents.
    pub text: String,
}

impl ManifestFile {
    /// From what a file holds; refused where that is not UTF-8. A byte order mark, as editors of Windows write it, is
    /// left out.
    pub fn from_bytes(name: impl Into<String>, contents: Vec<u8>) -> Result<Self, Box<ManifestError>> {
        let name = name.into();
        let utf8 = String::from_utf8(contents);
        let read = utf8.map(|text| text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text));
        read.map(|text| Self { name: name.clone(), text }).map_err(|error| {
            let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let line = good.split('\n').count();
            let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let place = Place::document(&name, split::last_document(&good));
            Box::new(place.error("", format!("not UTF-8 at line {line} column {column}"), "save the file in UTF-8"))
        })
    }
}

/// A resource, and where it stands.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// Where.
    pub place: Place,
    /// What.
    pub spec: T,
}

/// The data of a Secret; never shown.
pub type SecretData = BTreeMap<String, SecretSlice<u8>>;

/// A kind of manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    KafkaConnection,
    SchemaRegistryConnection,
    SourceConnector,
    Sink,
    Secret,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::KafkaConnection, Self::SchemaRegistryConnection, Self::SourceConnector, Self::Sink, Self::Secret];

    /// The word that manifests have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KafkaConnection => "KafkaConnection",
            Self::SchemaRegistryConnection => "SchemaRegistryConnection",
            Self::SourceConnector => "SourceConnector",
            Self::Sink => "Sink",
            Self::Secret => "Secret",
        }
    }
}

/// All resources, by name.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Kafka clusters.
    pub kafka_connections: BTreeMap<ResourceName, Located<KafkaConnectionSpec>>,
    /// Schema registries.
    pub registries: BTreeMap<ResourceName, Located<SchemaRegistryConnectionSpec>>,
    /// Databases.
    pub sources: BTreeMap<ResourceName, Located<SourceConnectorSpec>>,
    /// Sinks.
    pub sinks: BTreeMap<ResourceName, Located<SinkSpec>>,
    /// Secrets.
    pub secrets: BTreeMap<ResourceName, Located<SecretData>>,
    /// Resources with errors of their own: who refers to them is not at fault.
    pub(crate) unread: BTreeSet<(Kind, ResourceName)>,
    /// Whether there are documents of which not even kind and name are known.
    pub(crate) unnamed: bool,
}

impl Manifests {
    /// Whether what is missing of a resource may be due to an error that is told already.
    pub(crate) fn may_be_unread(&self, kind: Kind, name: &ResourceName) -> bool {
        self.unnamed || self.unread.contains(&(kind, name.clone()))
    }
}

/// Reads all manifests of the files. What can be read is given, with all that cannot.
pub fn read(files: &[ManifestFile], default_namespace: &str) -> (Manifests, Vec<ManifestError>) {
    let mut reader = reader::Reader::new(default_namespace);
    for file in files {
        for (number, document) in yaml::documents(&file.text) {
            let place = Place::document(&file.name, number);
            match document {
                Ok(document) => reader.document(&place, document),
                Err(error) => reader.unreadable(&place, &error),
            }
        }
    }
    reader.finish()
}

#[cfg(test)]
mod tests;
