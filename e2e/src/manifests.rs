//! Manifests, as a user would write them.

use serde_json::{Value, json};

use crate::Format;

const API_VERSION: &str = "afterbay.dev/v1alpha1";

/// Resources that go to `afterbay run -f`.
#[derive(Clone, Debug, Default)]
pub struct Manifests(Vec<Value>);

impl Manifests {
    /// With one resource more.
    #[must_use]
    pub fn with(mut self, resource: impl Into<Value>) -> Self {
        self.0.push(resource.into());
        self
    }

    /// With a Secret of these entries.
    #[must_use]
    pub fn with_secret(self, name: &str, entries: &[(&str, &str)]) -> Self {
        let data: serde_json::Map<_, _> = entries.iter().map(|(key, value)| ((*key).into(), json!(value))).collect();
        self.with(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}))
    }

    /// With the field of a resource (`Kind/name`) set; the path is `spec.a.b`, made where it is not there.
    #[must_use]
    pub fn set(mut self, resource: &str, path: &str, value: impl Into<Value>) -> Self {
        let mut place = self.resource(resource);
        for part in path.split('.') {
            if place.is_null() {
                *place = json!({});
            }
            place = &mut place[part];
        }
        *place = value.into();
        self
    }

    /// Without a resource (`Kind/name`).
    #[must_use]
    pub fn without(mut self, resource: &str) -> Self {
        self.resource(resource);
        self.0.retain(|value| identity(value) != resource);
        self
    }

    /// The values of all Secrets.
    pub fn secrets(&self) -> Vec<&str> {
        let entries = self.0.iter().filter_map(|value| value["stringData"].as_object());
        entries.flat_map(|data| data.values().filter_map(Value::as_str)).collect()
    }

    /// One YAML document a resource.
    pub fn to_yaml(&self) -> String {
        // JSON is YAML, with every string in quotes: a plain `n` or `no` would be a boolean to kubectl, and to Afterbay.
        self.0.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
    }

    fn resource(&mut self, wanted: &str) -> &mut Value {
        let found = self.0.iter_mut().find(|value| identity(value) == wanted);
        found.unwrap_or_else(|| panic!("no resource {wanted}"))
    }
}

/// `Kind/name`.
fn identity(value: &Value) -> String {
    format!("{}/{}", value["kind"].as_str().unwrap_or_default(), value["metadata"]["name"].as_str().unwrap_or_default())
}

/// A resource of the product's own kinds.
#[allow(clippy::needless_pass_by_value)] // Callers have no other use for it.
pub fn resource(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A Sink manifest; upsert and JSON unless told otherwise.
#[derive(Clone, Debug)]
pub struct Sink {
    name: String,
    spec: Value,
}

impl Sink {
    /// From a table of the source `shop` to a topic of the connection `events`.
    pub fn new(name: &str, table: &str, topic: &str) -> Self {
        let spec = json!({
            "source": {"name": "shop", "table": table},
            "kafka": {"connection": "events", "topic": {"name": topic}, "envelope": "upsert", "format": {"json": {}}},
        });
        Self { name: name.to_owned(), spec }
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, columns: &[&str]) -> Self {
        self.spec["key"] = json!({"columns": columns});
        self
    }

    /// With the debezium envelope.
    #[must_use]
    pub fn debezium(mut self) -> Self {
        self.spec["kafka"]["envelope"] = json!("debezium");
        self
    }

    /// With this format; Avro through the registry connection `schemas`.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.spec["kafka"]["format"] = match format {
            Format::Json => json!({"json": {}}),
            Format::Avro => json!({"avro": {"registry": "schemas"}}),
        };
        self
    }

    /// With so many partitions, where the topic is made.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.spec["kafka"]["topic"]["partitions"] = json!(partitions);
        self
    }

    /// Without the rows that the table holds at the start.
    #[must_use]
    pub fn without_snapshot(mut self) -> Self {
        self.spec["snapshot"] = json!(false);
        self
    }

    /// With compressed batches.
    #[must_use]
    pub fn compression(mut self, codec: &str) -> Self {
        self.spec["kafka"]["compression"] = json!(codec);
        self
    }
}

impl From<Sink> for Value {
    fn from(sink: Sink) -> Self {
        resource("Sink", &sink.name, sink.spec)
    }
}
