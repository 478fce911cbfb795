//! A message as the reference consumer has read it.

use serde::Deserialize;
use serde_json::Value;

/// How keys and values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// Avro, with the schemas in the registry.
    Avro,
}

impl Format {
    /// The word for it in manifests and in the reference consumer's arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Message {
    /// The topic.
    #[serde(default)]
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// The decoded key; null: none.
    pub key: Value,
    /// The decoded value; null: a tombstone.
    pub value: Value,
    /// Names and values, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

impl Message {
    /// The value of a header; the test fails where there is none, or two.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => value,
            _ => panic!("not one header {name} in {:?}", self.headers),
        }
    }

    /// The name of the change, `<commit LSN>:<ordinal>`.
    pub fn position(&self) -> &str {
        self.header("afterbay-position")
    }

    /// A field of the value.
    pub fn field(&self, name: &str) -> &Value {
        self.value.get(name).unwrap_or_else(|| panic!("no field {name} in {}", self.value))
    }

    /// An integer of the value.
    pub fn integer(&self, name: &str) -> i64 {
        self.field(name).as_i64().unwrap_or_else(|| panic!("{name} is no integer in {}", self.value))
    }
}
