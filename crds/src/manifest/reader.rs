//! From documents to resources.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::yaml::YamlError;
use super::{Kind, Located, ManifestError, Manifests, Place, nearest, schema, secret};
use crate::api::{GROUP, VERSION, all_crds};
use crate::names::{self, ResourceName};

/// The fields that a manifest's `metadata` can have: those of Kubernetes' `ObjectMeta`.
const METADATA: [&str; 14] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

pub(super) struct Reader<'a> {
    default_namespace: &'a str,
    manifests: Manifests,
    errors: Vec<ManifestError>,
    /// All resources, with errors or without, so that a second one of the same name is noticed.
    places: BTreeMap<(Kind, ResourceName), Place>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(default_namespace: &'a str) -> Self {
        let (manifests, errors, places) = (Manifests::default(), Vec::new(), BTreeMap::new());
        Self { default_namespace, manifests, errors, places }
    }

    pub(super) fn finish(self) -> (Manifests, Vec<ManifestError>) {
        (self.manifests, self.errors)
    }

    /// A document that cannot be parsed.
    pub(super) fn unreadable(&mut self, place: &Place, error: &YamlError) {
        self.manifests.unnamed = true;
        self.errors.push(place.error("", format!("not readable as YAML: {}", error.what), error.remedy));
    }

    pub(super) fn document(&mut self, place: &Place, document: Value) {
        let Value::Object(mut document) = document else {
            self.manifests.unnamed = true;
            self.errors.push(place.error("", "not a manifest", "begin it with apiVersion, kind, metadata and spec"));
            return;
        };
        if document.get("kind").and_then(Value::as_str) == Some("List") {
            match document.remove("items") {
                Some(Value::Array(items)) => items.into_iter().for_each(|item| self.document(place, item)),
                _ => self.errors.push(place.error(
                    "items",
                    "expected a list",
                    "write the manifests of the List below it",
                )),
            }
            return;
        }
        if let Some(foreign) = foreign(&document) {
            let remedy = "take the document out, or name the files one by one with -f instead of the folder";
            self.errors.push(place.error("", format!("{foreign} is no kind that Afterbay reads"), remedy));
            return;
        }
        let Some((kind, name)) = self.identity(place, &document) else {
            self.manifests.unnamed = true;
            return;
        };
        let place = place.of(kind.as_str(), &name);
        if let Some(first) = self.places.get(&(kind, name.clone())) {
            let what =
                format!("{} {name} is there already, in document {} of {}", kind.as_str(), first.document, first.file);
            let remedy = "give one of the two another name, or leave one out";
            self.errors.push(place.error("metadata.name", what, remedy));
            return;
        }
        self.places.insert((kind, name.clone()), place.clone());

        let before = self.errors.len();
        self.api_version(kind, &place, &document);
        self.metadata(kind, &name, &place, document.get("metadata"));
        self.top_level(kind, &place, &document);
        let resources = &mut self.manifests;
        let errors = &mut self.errors;
        match kind {
            Kind::KafkaConnection => {
                add(&mut resources.kafka_connections, &name, &place, typed(kind, &place, document, errors));
            }
            Kind::SchemaRegistryConnection => {
                let spec = typed(kind, &place, document, errors);
                add(&mut resources.registries, &name, &place, spec);
            }
            Kind::SourceConnector => {
                add(&mut resources.sources, &name, &place, typed(kind, &place, document, errors));
            }
            Kind::Sink => add(&mut resources.sinks, &name, &place, typed(kind, &place, document, errors)),
            Kind::Secret => {
                let data = secret::data(&place, &document, errors);
                add(&mut resources.secrets, &name, &place, Some(data));
            }
        }
        if errors.len() > before {
            resources.unread.insert((kind, name));
        }
    }

    /// What the document is, where that can be told.
    fn identity(&mut self, place: &Place, document: &Map<String, Value>) -> Option<(Kind, ResourceName)> {
        let words = Kind::ALL.map(Kind::as_str);
        let found = document.get("kind");
        let word = found.and_then(Value::as_str);
        let kind = Kind::ALL.into_iter().find(|kind| Some(kind.as_str()) == word);
        if kind.is_none() {
            let remedy = match nearest(word.unwrap_or_default(), words) {
                Some(like) => format!("did you mean {like}?"),
                None => format!("use one of {}", words.join(", ")),
            };
            let what = word.filter(|word| !word.is_empty()).map(|word| format!("there is no kind {word}"));
            self.errors.push(place.error("kind", what.unwrap_or_else(|| no_word(found).to_owned()), remedy));
        }
        let metadata = document.get("metadata");
        let Some(name) = metadata.and_then(|metadata| metadata.get("name")).and_then(Value::as_str) else {
            let place = Place { resource: kind.map(|kind| kind.as_str().to_owned()), ..place.clone() };
            if metadata.is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
                let remedy = "write its fields, e.g. metadata: {name: orders}";
                self.errors.push(place.error("metadata", "expected an object with fields", remedy));
                return None;
            }
            let (what, remedy) = match metadata.and_then(|metadata| metadata.get("name")) {
                None | Some(Value::Null) => ("it is missing", "give the resource a name"),
                Some(_) => ("expected a string", "put the name in quotes"),
            };
            self.errors.push(place.error("metadata.name", what, remedy));
            return None;
        };
        let namespace = metadata.and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
        Some((kind?, ResourceName::new(namespace.unwrap_or(self.default_namespace), name)))
    }

    fn api_version(&mut self, kind: Kind, place: &Place, document: &Map<String, Value>) {
        let expected = if kind == Kind::Secret { "v1".to_owned() } else { format!("{GROUP}/{VERSION}") };
        let found = document.get("apiVersion");
        let version = found.and_then(Value::as_str);
        if version != Some(&expected) {
            let kind = kind.as_str();
            let what = version.filter(|found| !found.is_empty()).map(|found| format!("there is no {kind} in {found}"));
            let what = what.unwrap_or_else(|| no_word(found).to_owned());
            self.errors.push(place.error("apiVersion", what, format!("write {expected}")));
        }
    }

    fn metadata(&mut self, kind: Kind, name: &ResourceName, place: &Place, metadata: Option<&Value>) {
        for (field, word) in [("metadata.name", &name.name), ("metadata.namespace", &name.namespace)] {
            // A Secret's name may hold dots.
            let fits = names::is_dns_label(word)
                || (kind == Kind::Secret && field == "metadata.name" && word.split('.').all(names::is_dns_label));
            if !fits {
                let remedy = "use up to 63 lower-case letters, digits and dashes, a letter or digit at both ends";
                self.errors.push(place.error(field, format!("\"{word}\" is no name"), remedy));
            }
        }
        for (field, value) in metadata.and_then(Value::as_object).into_iter().flatten() {
            let path = format!("metadata.{field}");
            match (field.as_str(), value) {
                ("labels" | "annotations", Value::Object(entries)) => {
                    for (key, _) in entries.iter().filter(|(_, value)| !value.is_string()) {
                        let remedy = "put it in quotes: plain numbers, true, false, yes, no, on and off are no strings";
                        self.errors.push(place.error(format!("{path}.{key}"), "expected a string", remedy));
                    }
                }
                ("labels" | "annotations", Value::Null) => {}
                ("labels" | "annotations", _) => {
                    self.errors.push(place.error(path, "expected an object with fields", "write key: value below it"));
                }
                ("namespace", value) if !value.is_string() && !value.is_null() => {
                    self.errors.push(place.error(path, "expected a string", "put the namespace in quotes"));
                }
                (known, _) if METADATA.contains(&known) => {}
                (unknown, _) => self.errors.push(unknown_field(place, path, unknown, &METADATA)),
            }
        }
    }

    fn top_level(&mut self, kind: Kind, place: &Place, document: &Map<String, Value>) {
        let known: &[&str] = match kind {
            Kind::Secret => &["apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable"],
            _ => &["apiVersion", "kind", "metadata", "spec", "status"],
        };
        for field in document.keys().filter(|field| !known.contains(&field.as_str())) {
            self.errors.push(unknown_field(place, field.clone(), field, known));
        }
    }
}

/// What is wrong with a field that should hold a word and does not.
fn no_word(found: Option<&Value>) -> &'static str {
    match found {
        None => "it is missing",
        Some(Value::Null | Value::String(_)) => "it is empty",
        Some(_) => "expected a string",
    }
}

/// What a document says it is, where that is a kind of another API group and like none of ours.
fn foreign(document: &Map<String, Value>) -> Option<String> {
    let word = |field| document.get(field).and_then(Value::as_str);
    let (version, kind) = (word("apiVersion")?, word("kind")?);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let ours = Kind::ALL.map(Kind::as_str);
    (group != GROUP && !kind.is_empty() && nearest(kind, ours).is_none()).then(|| format!("{kind} of {version}"))
}

fn unknown_field(place: &Place, path: String, field: &str, known: &[&str]) -> ManifestError {
    let remedy =
        nearest(field, known.iter().copied()).map_or("leave it out".to_owned(), |like| format!("did you mean {like}?"));
    place.error(path, format!("there is no field {field}"), remedy)
}

/// The spec, if it is as its schema has it.
fn typed<T: DeserializeOwned>(
    kind: Kind,
    place: &Place,
    mut document: Map<String, Value>,
    errors: &mut Vec<ManifestError>,
) -> Option<T> {
    let Some(spec) = document.remove("spec") else {
        errors.push(place.error("spec", "it is missing", "add it, with the fields of the resource below it"));
        return None;
    };
    let differences = schema::differences(spec_schema(kind)?, &spec, "spec");
    if !differences.is_empty() {
        errors.extend(differences.into_iter().map(|found| place.error(found.field, found.what, found.remedy)));
        return None;
    }
    // The schema has let it pass; if serde has not, the two differ, which is told and not passed over.
    serde_json::from_value(spec).map_err(|error| errors.push(place.error("spec", error.to_string(), "correct it"))).ok()
}

/// The schema of a kind's `spec`.
fn spec_schema(kind: Kind) -> Option<&'static JSONSchemaProps> {
    static SCHEMAS: LazyLock<BTreeMap<String, JSONSchemaProps>> = LazyLock::new(|| {
        let schemas = all_crds().into_iter().filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            Some((crd.spec.names.kind, version.schema?.open_api_v3_schema?.properties?.remove("spec")?))
        });
        schemas.collect()
    });
    SCHEMAS.get(kind.as_str())
}

fn add<T>(resources: &mut BTreeMap<ResourceName, Located<T>>, name: &ResourceName, place: &Place, spec: Option<T>) {
    if let Some(spec) = spec {
        resources.insert(name.clone(), Located { place: place.clone(), spec });
    }
}
