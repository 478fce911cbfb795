//! References to keys of Secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate (or several) in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRef {
    /// The Secret's name, in the same namespace.
    pub secret_name: String,
    /// The key that holds the certificate (PEM).
    pub certificate: String,
}

/// A client certificate and its private key in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateAndKeyRef {
    /// The Secret's name, in the same namespace.
    pub secret_name: String,
    /// The key that holds the certificate (PEM).
    pub certificate: String,
    /// The key that holds the private key (PEM).
    pub key: String,
}

/// A password in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordRef {
    /// The Secret's name, in the same namespace.
    pub secret_name: String,
    /// The key that holds the password, exactly.
    pub password: String,
}

/// A user's name in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsernameRef {
    /// The Secret's name, in the same namespace.
    pub secret_name: String,
    /// The key that holds the name, exactly.
    pub username: String,
}
