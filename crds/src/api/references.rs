//! References to keys of Secrets; maps of settings.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A certificate (or several) in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRef {
    /// The Secret's name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The key that holds the certificate (PEM).
    #[schemars(length(min = 1, max = 253))]
    pub certificate: String,
}

/// A client certificate and its private key in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateAndKeyRef {
    /// The Secret's name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The key that holds the certificate (PEM).
    #[schemars(length(min = 1, max = 253))]
    pub certificate: String,
    /// The key that holds the private key (PEM).
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A password in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordRef {
    /// The Secret's name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The key that holds the password, exactly.
    #[schemars(length(min = 1, max = 253))]
    pub password: String,
}

/// A user's name in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsernameRef {
    /// The Secret's name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The key that holds the name, exactly.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
}

/// Reads `tls:` with nothing below it as `tls: {}`, which trusts the system's authorities. [`crate::manifest`] refuses it; an API
/// server takes it, and no rule there sees it. No encryption would be the worst reading of it.
pub(super) fn empty_is_default<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(|value: Option<T>| Some(value.unwrap_or_default()))
}

/// Settings by name.
pub(super) fn settings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": {"type": "string", "maxLength": 32768},
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::{KafkaConnectionSpec, PostgresTls, SchemaRegistryConnectionSpec, SourceConnectorSpec, Tls};

    #[test]
    fn an_empty_tls_is_no_plain_text() {
        let kafka = |value| serde_json::from_value::<KafkaConnectionSpec>(value).unwrap().tls;
        assert_eq!(kafka(json!({"bootstrapServers": "kafka:9092"})), None);
        assert_eq!(kafka(json!({"bootstrapServers": "kafka:9092", "tls": null})), Some(Tls::default()));
        let registry: SchemaRegistryConnectionSpec =
            serde_json::from_value(json!({"url": "https://registry", "tls": null})).unwrap();
        assert!(registry.tls.is_some());
        let source: SourceConnectorSpec = serde_json::from_value(json!({
            "postgres": {"host": "db", "database": "shop", "authentication": {"username": "a"}, "tls": null},
        }))
        .unwrap();
        assert_eq!(source.postgres.tls, Some(PostgresTls::default()));
        assert_eq!(serde_json::to_value(PostgresTls::default()).unwrap()["mode"], "verify-full");
    }
}
