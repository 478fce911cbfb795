//! Manifests: from text to typed resources, with everything that is wrong told at once.

mod error;
mod reader;
mod refused;
mod remedy;
mod schema;
mod secret;
mod split;
mod yaml;
mod yaml_1_1;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretSlice;

pub use error::{ManifestError, Place, nearest};
pub use refused::Refused;

use crate::api::{KafkaConnectionSpec, SchemaRegistryConnectionSpec, SinkSpec, SourceConnectorSpec};
use crate::names::ResourceName;
use crate::plan::TableName;

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
    /// What of it is not known.
    pub refused: Refused,
}

impl<T> Located<T> {
    /// Whether this field, and all that stands in it, is as the user wrote it.
    pub fn knows(&self, field: &str) -> bool {
        !self.refused.touches(field)
    }
}

impl Located<SecretData> {
    /// Whether a key that is not among the data may be there, and could only not be read.
    pub(crate) fn may_hold(&self, key: &str) -> bool {
        secret::may_hold(&self.refused, key)
    }
}

/// The data of a Secret, by key.
pub type SecretData = BTreeMap<String, SecretValue>;

/// A value of a Secret.
#[derive(Clone, Debug)]
pub struct SecretValue {
    /// Where it stands: `data` or `stringData`.
    pub section: &'static str,
    /// The value itself; never shown.
    pub bytes: SecretSlice<u8>,
}

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

/// All resources, by name. Where [`read`] has told no error, they are as they were written; else some may hold stand-ins
/// for what is refused, and can be judged, but not run.
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
    /// Of each query the table that it reads, by its text: told by who reads SQL.
    pub queried: BTreeMap<String, TableName>,
    /// When Sinks and SourceConnectors were made, in any unit, where that is known: of two that want what one alone can have,
    /// it is the later one that is refused. Those of which it is not known come first, and equal ones by their names.
    pub since: BTreeMap<(Kind, ResourceName), i64>,
    /// Sinks that nothing is to run, though others are to leave to them what is theirs.
    pub left_out: BTreeSet<ResourceName>,
    /// Slots that SourceConnectors are known to have had, beside those that their manifests and those of their Sinks tell of.
    pub slots: BTreeMap<ResourceName, BTreeSet<String>>,
    /// Resources that nothing can refer to.
    pub(crate) aside: Aside,
    /// What is known of documents of which kind or name are not.
    pub(crate) unnamed: Vec<(Option<Kind>, Option<ResourceName>)>,
}

/// Resources without a name of their own: with none, or with one that is taken. They are judged all the same.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    pub(crate) kafka_connections: Vec<(ResourceName, Located<KafkaConnectionSpec>)>,
    pub(crate) registries: Vec<(ResourceName, Located<SchemaRegistryConnectionSpec>)>,
    pub(crate) sources: Vec<(ResourceName, Located<SourceConnectorSpec>)>,
    pub(crate) sinks: Vec<(ResourceName, Located<SinkSpec>)>,
}

impl Manifests {
    /// Says that there are files that could not be read: what seems to be missing may stand in them.
    pub fn lack_files(&mut self) {
        self.unnamed.push((None, None));
    }

    /// The resources of a kind, the earliest first.
    pub(crate) fn by_age<'m, T>(
        &'m self,
        kind: Kind,
        resources: &'m BTreeMap<ResourceName, Located<T>>,
    ) -> Vec<(&'m ResourceName, &'m Located<T>)> {
        let mut by_age: Vec<_> = resources.iter().collect();
        // A stable sort: names stay in order.
        by_age.sort_by_key(|(name, _)| self.since.get(&(kind, (*name).clone())));
        by_age
    }

    /// Whether one of the documents of which kind or name are not known may be this resource.
    pub(crate) fn may_be_unnamed(&self, kind: Kind, name: &ResourceName) -> bool {
        let may_be = |(its_kind, its_name): &(Option<Kind>, Option<ResourceName>)| {
            its_kind.is_none_or(|its| its == kind) && its_name.as_ref().is_none_or(|its| its == name)
        };
        self.unnamed.iter().any(may_be)
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
