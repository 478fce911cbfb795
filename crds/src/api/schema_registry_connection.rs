//! SchemaRegistryConnection: a registry with Confluent's interface.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::{CertificateAndKeyRef, CertificateRef, PasswordRef, UsernameRef, empty_is_default};
use super::status::ConnectionStatus;

/// A schema registry, how to reach it, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "afterbay.dev",
    version = "v1alpha1",
    kind = "SchemaRegistryConnection",
    namespaced,
    status = "ConnectionStatus",
    category = "afterbay",
    shortname = "registryconn",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url", description = "Where it is"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether it answers"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when it is there"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready, or not", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "The same in a sentence", priority = "1"),
    derive = "PartialEq",
    doc = "A schema registry, how to reach it, and who its users are.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name must be a DNS label: up to 63 lower-case letters, digits and dashes")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaRegistryConnectionSpec {
    /// Base URL, `http://` or `https://`, with a path where the registry has one.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@/?#]+(/[^?#]*)?$')").message("an http or https URL without user and password"))]
    pub url: String,
    /// Whom to trust, for `https`; without it the authorities of the system.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_default")]
    pub tls: Option<RegistryTls>,
    /// Who we are; without it nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<RegistryAuthentication>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryTls {
    /// Authorities to trust; an empty list means those of the system.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub trusted_certificates: Vec<CertificateRef>,
}

/// Who a client of the registry is: a user, a certificate, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.basic) || has(self.certificateAndKey)").message("give basic, certificateAndKey, or both"))]
pub struct RegistryAuthentication {
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<RegistryBasic>,
    /// A client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_and_key: Option<CertificateAndKeyRef>,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.username) != has(self.usernameSecret)").message("give username or usernameSecret, not both"))]
pub struct RegistryBasic {
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub username: Option<String>,
    /// The user's name, from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<UsernameRef>,
    /// The password.
    pub password_secret: PasswordRef,
}
