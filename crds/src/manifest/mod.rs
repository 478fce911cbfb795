//! Manifests: from text to typed resources, with everything that is wrong told at once.

mod error;
mod schema;
mod yaml;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::CustomResourceExt as _;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use error::{ManifestError, Place, nearest};

use crate::api::{
    GROUP, KafkaConnection, KafkaConnectionSpec, SchemaRegistryConnection, SchemaRegistryConnectionSpec, Sink,
    SinkSpec, SourceConnector, SourceConnectorSpec, VERSION,
};
use crate::names::{self, ResourceName};

/// The kinds that a manifest can be of.
const KINDS: [&str; 5] = ["KafkaConnection", "SchemaRegistryConnection", "SourceConnector", "Sink", "Secret"];

/// A text that holds manifests.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    /// Its name, as it is told in errors.
    pub name: String,
    /// Its contents.
    pub text: String,
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
}

/// Reads all manifests of the files. What can be read is given, with all that cannot.
pub fn read(files: &[ManifestFile], default_namespace: &str) -> (Manifests, Vec<ManifestError>) {
    let mut reader = Reader { manifests: Manifests::default(), errors: Vec::new(), default_namespace };
    for file in files {
        let (documents, errors) = yaml::documents(&file.text);
        for error in errors {
            let place = Place::document(&file.name, error.document);
            reader.errors.push(place.error("", format!("not readable as YAML: {}", error.what), "correct it there"));
        }
        for (number, document) in documents {
            reader.document(&Place::document(&file.name, number), document);
        }
    }
    (reader.manifests, reader.errors)
}

struct Reader<'a> {
    manifests: Manifests,
    errors: Vec<ManifestError>,
    default_namespace: &'a str,
}

impl Reader<'_> {
    fn document(&mut self, place: &Place, document: Value) {
        let Value::Object(mut document) = document else {
            self.errors.push(place.error("", "not a manifest", "begin it with apiVersion, kind, metadata and spec"));
            return;
        };
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind == "List" {
            if let Some(Value::Array(items)) = document.remove("items") {
                items.into_iter().for_each(|item| self.document(place, item));
            }
            return;
        }
        if !KINDS.contains(&kind.as_str()) {
            let remedy = match nearest(&kind, KINDS) {
                Some(like) => format!("did you mean {like}?"),
                None => format!("use one of {}", KINDS.join(", ")),
            };
            let what = if kind.is_empty() { "it is missing".to_owned() } else { format!("there is no kind {kind}") };
            self.errors.push(place.error("kind", what, remedy));
            return;
        }
        let expected = if kind == "Secret" { "v1".to_owned() } else { format!("{GROUP}/{VERSION}") };
        let version = document.get("apiVersion").and_then(Value::as_str);
        if version != Some(&expected) {
            let what = version.map_or("it is missing".to_owned(), |found| format!("{found} is not known for {kind}"));
            self.errors.push(place.error("apiVersion", what, format!("write {expected}")));
        }
        let Some(name) = self.name(place, &document) else { return };
        let place = place.of(&kind, &name);
        match kind.as_str() {
            "KafkaConnection" => {
                let spec = self.typed(&place, KafkaConnection::crd(), document);
                insert(&mut self.manifests.kafka_connections, &mut self.errors, name, place, spec);
            }
            "SchemaRegistryConnection" => {
                let spec = self.typed(&place, SchemaRegistryConnection::crd(), document);
                insert(&mut self.manifests.registries, &mut self.errors, name, place, spec);
            }
            "SourceConnector" => {
                let spec = self.typed(&place, SourceConnector::crd(), document);
                insert(&mut self.manifests.sources, &mut self.errors, name, place, spec);
            }
            "Sink" => {
                let spec = self.typed(&place, Sink::crd(), document);
                insert(&mut self.manifests.sinks, &mut self.errors, name, place, spec);
            }
            _ => {
                let data = self.secret(&place, &document);
                insert(&mut self.manifests.secrets, &mut self.errors, name, place, Some(data));
            }
        }
    }

    fn name(&mut self, place: &Place, document: &Map<String, Value>) -> Option<ResourceName> {
        let metadata = document.get("metadata").and_then(Value::as_object);
        let word = |field: &str| metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
        let Some(name) = word("name") else {
            self.errors.push(place.error("metadata.name", "it is missing", "give the resource a name"));
            return None;
        };
        let namespace = word("namespace").unwrap_or(self.default_namespace);
        let is_secret = document.get("kind").and_then(Value::as_str) == Some("Secret");
        for (field, word) in [("metadata.name", name), ("metadata.namespace", namespace)] {
            // A Secret's name may hold dots.
            if !names::is_dns_label(word) && !(is_secret && word.split('.').all(names::is_dns_label)) {
                let remedy = "use up to 63 lower-case letters, digits and dashes, a letter or digit at both ends";
                self.errors.push(place.error(field, format!("\"{word}\" is no name"), remedy));
            }
        }
        Some(ResourceName::new(namespace, name))
    }

    /// The spec, if it is as its schema has it.
    fn typed<T: DeserializeOwned>(
        &mut self,
        place: &Place,
        crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
        mut document: Map<String, Value>,
    ) -> Option<T> {
        for (field, like) in document.keys().filter_map(|field| Some((field, unknown_top(field)?))) {
            self.errors.push(place.error(field.clone(), format!("there is no field {field}"), like));
        }
        let Some(spec) = document.remove("spec") else {
            self.errors.push(place.error("spec", "it is missing", "add it"));
            return None;
        };
        let schema = spec_schema(crd)?;
        let differences = schema::differences(&schema, &spec, "spec");
        if !differences.is_empty() {
            for difference in differences {
                self.errors.push(place.error(difference.field, difference.what, difference.remedy));
            }
            return None;
        }
        match serde_json::from_value(spec) {
            Ok(spec) => Some(spec),
            Err(error) => {
                self.errors.push(place.error("spec", error.to_string(), "correct it"));
                None
            }
        }
    }

    fn secret(&mut self, place: &Place, document: &Map<String, Value>) -> SecretData {
        let mut data = SecretData::new();
        for (section, encoded) in [("data", true), ("stringData", false)] {
            let Some(entries) = document.get(section) else { continue };
            let Some(entries) = entries.as_object() else {
                self.errors.push(place.error(section, "it is not an object", "write key: value below it"));
                continue;
            };
            for (key, value) in entries {
                let field = format!("{section}.{key}");
                let Some(text) = value.as_str() else {
                    let remedy = "put it in quotes: a plain number or a plain yes, no, on, off is no string";
                    self.errors.push(place.error(field, "expected a string", remedy));
                    continue;
                };
                let bytes = if encoded {
                    let packed: String = text.split_whitespace().collect();
                    match base64::engine::general_purpose::STANDARD.decode(packed) {
                        Ok(bytes) => bytes,
                        Err(_) => {
                            let remedy = "encode the value, or write it plainly under stringData";
                            self.errors.push(place.error(field, "it is not base64", remedy));
                            continue;
                        }
                    }
                } else {
                    text.as_bytes().to_vec()
                };
                data.insert(key.clone(), SecretSlice::from(bytes));
            }
        }
        data
    }
}

/// What to do about a field that no manifest has.
fn unknown_top(field: &str) -> Option<String> {
    const KNOWN: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    if KNOWN.contains(&field) {
        return None;
    }
    Some(nearest(field, KNOWN).map_or("leave it out".to_owned(), |like| format!("did you mean {like}?")))
}

fn spec_schema(
    crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
) -> Option<JSONSchemaProps> {
    let version = crd.spec.versions.into_iter().next()?;
    version.schema?.open_api_v3_schema?.properties?.remove("spec")
}

fn insert<T>(
    resources: &mut BTreeMap<ResourceName, Located<T>>,
    errors: &mut Vec<ManifestError>,
    name: ResourceName,
    place: Place,
    spec: Option<T>,
) {
    match resources.entry(name) {
        Entry::Occupied(first) => {
            let (file, document) = (&first.get().place.file, first.get().place.document);
            errors.push(place.error(
                "metadata.name",
                format!("it is there already, in document {document} of {file}"),
                "give one of the two another name, or leave one out",
            ));
        }
        Entry::Vacant(vacant) => {
            if let Some(spec) = spec {
                vacant.insert(Located { place, spec });
            }
        }
    }
}

/// The value of a Secret's key, where both are there.
pub fn secret_value<'a>(manifests: &'a Manifests, secret: &ResourceName, key: &str) -> Option<&'a SecretSlice<u8>> {
    manifests.secrets.get(secret)?.spec.get(key)
}

/// Whether a secret value is empty.
pub fn is_empty(value: &SecretSlice<u8>) -> bool {
    value.expose_secret().is_empty()
}

#[cfg(test)]
mod tests;
