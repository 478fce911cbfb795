//! From documents to resources.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::refused::Refused;
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
        self.manifests.unnamed.push((None, None));
        self.errors.push(place.error("", format!("not readable as YAML: {}", error.what), error.remedy));
    }

    pub(super) fn document(&mut self, place: &Place, document: Value) {
        let Value::Object(mut document) = document else {
            self.manifests.unnamed.push((None, None));
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
        let (kind, name) = self.identity(place, &document);
        let (Some(kind), Some(name)) = (kind, &name) else {
            self.manifests.unnamed.push((kind, name.clone()));
            if let Some(kind) = kind {
                let nameless = ResourceName::new(self.namespace(&document), "");
                let place = Place { resource: Some(kind.as_str().to_owned()), ..place.clone() };
                self.label(&place, "metadata.namespace", &nameless.namespace, names::is_dns_label);
                self.resource(kind, &nameless, &place, &document, false);
            }
            return;
        };
        let place = place.of(kind.as_str(), name);
        let first = self.places.get(&(kind, name.clone()));
        let is_first = first.is_none();
        if let Some(first) = first {
            let what = format!("{} {name} is there already, in {}", kind.as_str(), first.in_words());
            let remedy = "give one of the two another name, or leave one out";
            self.errors.push(place.error("metadata.name", what, remedy));
        } else {
            self.places.insert((kind, name.clone()), place.clone());
            // A Secret's name may hold dots.
            let is_dotted = |name: &str| name.split('.').all(names::is_dns_label);
            let fits = if kind == Kind::Secret { is_dotted } else { names::is_dns_label };
            self.label(&place, "metadata.name", &name.name, fits);
            self.label(&place, "metadata.namespace", &name.namespace, names::is_dns_label);
        }
        self.resource(kind, name, &place, &document, is_first);
    }

    /// What stands below kind and name. Nothing refers to a resource that has no name of its own.
    fn resource(
        &mut self,
        kind: Kind,
        name: &ResourceName,
        place: &Place,
        document: &Map<String, Value>,
        has_own_name: bool,
    ) {
        self.api_version(kind, place, document);
        self.metadata(place, document.get("metadata"));
        self.top_level(kind, place, document);
        let Manifests { kafka_connections, registries, sources, sinks, secrets, aside, .. } = &mut self.manifests;
        let errors = &mut self.errors;
        match kind {
            Kind::KafkaConnection => {
                let aside = (!has_own_name).then_some(&mut aside.kafka_connections);
                add(kafka_connections, aside, name, typed(kind, place, document, errors));
            }
            Kind::SchemaRegistryConnection => {
                let aside = (!has_own_name).then_some(&mut aside.registries);
                add(registries, aside, name, typed(kind, place, document, errors));
            }
            Kind::SourceConnector => {
                let aside = (!has_own_name).then_some(&mut aside.sources);
                add(sources, aside, name, typed(kind, place, document, errors));
            }
            Kind::Sink => {
                let aside = (!has_own_name).then_some(&mut aside.sinks);
                add(sinks, aside, name, typed(kind, place, document, errors));
            }
            Kind::Secret => {
                let (spec, mut refused) = secret::data(place, document, errors);
                for field in schema::meant(document, fields_of(kind)) {
                    refused.insert(field);
                }
                if has_own_name {
                    secrets.insert(name.clone(), Located { place: place.clone(), spec, refused });
                }
            }
        }
    }

    /// The document's namespace.
    fn namespace<'d>(&'d self, document: &'d Map<String, Value>) -> &'d str {
        let namespace = document.get("metadata").and_then(|metadata| metadata.get("namespace"));
        namespace.and_then(Value::as_str).unwrap_or(self.default_namespace)
    }

    /// What the document is and what it is called, as far as that can be told.
    fn identity(&mut self, place: &Place, document: &Map<String, Value>) -> (Option<Kind>, Option<ResourceName>) {
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
        let name = metadata.and_then(|metadata| metadata.get("name"));
        if let Some(name) = name.and_then(Value::as_str) {
            return (kind, Some(ResourceName::new(self.namespace(document), name)));
        }
        // Of a field that is only misspelt it is told that it is unknown, where that is looked for.
        let is_misspelt = kind.is_some_and(|kind| {
            let fields = metadata.and_then(Value::as_object);
            fields.is_some_and(|fields| schema::meant(fields, &METADATA).contains("name"))
                || schema::meant(document, fields_of(kind)).contains("metadata")
        });
        let place = Place { resource: kind.map(|kind| kind.as_str().to_owned()), ..place.clone() };
        if metadata.is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
            let remedy = "write its fields, e.g. metadata: {name: orders}";
            self.errors.push(place.error("metadata", "expected an object with fields", remedy));
        } else if !is_misspelt {
            let (what, remedy) = match name {
                None | Some(Value::Null) => ("it is missing", "give the resource a name"),
                Some(_) => ("expected a string", "put the name in quotes"),
            };
            self.errors.push(place.error("metadata.name", what, remedy));
        }
        (kind, None)
    }

    fn api_version(&mut self, kind: Kind, place: &Place, document: &Map<String, Value>) {
        let expected = if kind == Kind::Secret { "v1".to_owned() } else { format!("{GROUP}/{VERSION}") };
        let found = document.get("apiVersion");
        let version = found.and_then(Value::as_str);
        if version != Some(&expected) && !schema::meant(document, fields_of(kind)).contains("apiVersion") {
            let kind = kind.as_str();
            let what = version.filter(|found| !found.is_empty()).map(|found| format!("there is no {kind} in {found}"));
            let what = what.unwrap_or_else(|| no_word(found).to_owned());
            self.errors.push(place.error("apiVersion", what, format!("write {expected}")));
        }
    }

    fn label(&mut self, place: &Place, field: &str, word: &str, fits: fn(&str) -> bool) {
        if !fits(word) {
            let remedy = "use up to 63 lower-case letters, digits and dashes, a letter or digit at both ends";
            self.errors.push(place.error(field, format!("\"{word}\" is no name"), remedy));
        }
    }

    fn metadata(&mut self, place: &Place, metadata: Option<&Value>) {
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
        let known = fields_of(kind);
        for field in document.keys().filter(|field| !known.contains(&field.as_str())) {
            self.errors.push(unknown_field(place, field.clone(), field, known));
        }
    }
}

/// The fields that a manifest of this kind can have.
fn fields_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Secret => &["apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable"],
        _ => &["apiVersion", "kind", "metadata", "spec", "status"],
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

/// The spec, as far as it is as its schema has it.
fn typed<T: DeserializeOwned>(
    kind: Kind,
    place: &Place,
    document: &Map<String, Value>,
    errors: &mut Vec<ManifestError>,
) -> Option<Located<T>> {
    let schema = spec_schema(kind)?;
    let (value, refused) = if let Some(spec) = document.get("spec") {
        let fitted = schema::fit(schema, spec, "spec");
        errors.extend(fitted.differences.into_iter().map(|found| place.error(found.field, found.what, found.remedy)));
        (fitted.value, fitted.refused)
    } else {
        if !schema::meant(document, fields_of(kind)).contains("spec") {
            errors.push(place.error("spec", "it is missing", "add it, with the fields of the resource below it"));
        }
        let mut refused = Refused::default();
        refused.insert("spec");
        (schema::stand_in(schema), refused)
    };
    // The schema has let it pass; if serde has not, the two differ, which is told and not passed over.
    let spec = serde_json::from_value(value);
    let spec = spec.map_err(|error| errors.push(place.error("spec", error.to_string(), "correct it"))).ok()?;
    Some(Located { place: place.clone(), spec, refused })
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

/// Keeps a resource by its name, or aside.
fn add<T>(
    named: &mut BTreeMap<ResourceName, Located<T>>,
    aside: Option<&mut Vec<(ResourceName, Located<T>)>>,
    name: &ResourceName,
    resource: Option<Located<T>>,
) {
    let Some(resource) = resource else { return };
    match aside {
        Some(aside) => aside.push((name.clone(), resource)),
        None => {
            named.insert(name.clone(), resource);
        }
    }
}
