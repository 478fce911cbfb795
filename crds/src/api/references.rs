//! References to keys of Secrets; maps of settings.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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

/// Settings by name.
pub(super) fn settings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": {"type": "string", "maxLength": 32768},
    })
}
