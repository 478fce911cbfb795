//! KafkaConnection: a Kafka cluster and who we are there.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::{CertificateAndKeyRef, CertificateRef, PasswordRef, empty_is_default, settings};
use super::status::ConnectionStatus;

/// A Kafka cluster, how to reach it, and who the workers are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "afterbay.dev",
    version = "v1alpha1",
    kind = "KafkaConnection",
    namespaced,
    status = "ConnectionStatus",
    category = "afterbay",
    shortname = "kafkaconn",
    printcolumn(name = "Servers", type_ = "string", json_path = ".spec.bootstrapServers", description = "Brokers to begin with"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the brokers answer"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when it is there"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready, or not", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "The same in a sentence", priority = "1"),
    derive = "PartialEq",
    doc = "A Kafka cluster, how to reach it, and who the workers are there.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name must be a DNS label: up to 63 lower-case letters, digits and dashes"),
    validation = Rule::new("!has(self.spec.acls) || !self.spec.acls.manage || has(self.spec.acls.principal) || (has(self.spec.authentication) && self.spec.authentication.type != 'tls')").message("acls.manage needs acls.principal, unless authentication names a user")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.namePrefix == oldSelf.namePrefix").message("namePrefix cannot change, as the Sinks would not find what they have committed: make another KafkaConnection, and other Sinks").field_path(".namePrefix"),
    validation = Rule::new("(has(self.progressTopic.name) ? self.progressTopic.name : '') == (has(oldSelf.progressTopic.name) ? oldSelf.progressTopic.name : '')").message("progressTopic.name cannot change, as the Sinks would not find what they have committed: make another KafkaConnection, and other Sinks").field_path(".progressTopic.name")
)]
pub struct KafkaConnectionSpec {
    /// Brokers to begin with, `host:port` separated by commas.
    #[schemars(length(min = 1, max = 16384))]
    pub bootstrap_servers: String,
    /// Encryption; without it the connection is plain text.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_default")]
    pub tls: Option<Tls>,
    /// Who the workers are; without it nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Who looks up and makes topics, and gives rights; without it the same as `authentication`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_authentication: Option<Authentication>,
    /// Rights, on a cluster with an authorizer.
    #[serde(default)]
    pub acls: Acls,
    /// The topic that holds what the Sinks of this connection have committed.
    #[serde(default)]
    pub progress_topic: ProgressTopic,
    /// Where every name begins that is not told: progress topic, transactional ids, groups, headers.
    #[serde(default = "default_name_prefix")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("lower-case letters, digits and dashes"))]
    pub name_prefix: String,
    /// Further settings of the Kafka clients (librdkafka's names). Those that Afterbay owns are refused by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "settings")]
    pub config: BTreeMap<String, String>,
}

/// The default of `namePrefix`.
pub fn default_name_prefix() -> String {
    "afterbay".to_owned()
}

/// Encryption of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Authorities to trust; an empty list means those of the system.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub trusted_certificates: Vec<CertificateRef>,
}

/// Who a Kafka client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.type == 'tls' ? has(self.certificateAndKey) : has(self.username) && has(self.passwordSecret)").message("type tls needs certificateAndKey, the others need username and passwordSecret"),
    validation = Rule::new("self.type == 'tls' ? !has(self.username) && !has(self.passwordSecret) : !has(self.certificateAndKey)").message("certificateAndKey goes with type tls, username and passwordSecret with the others")
)]
pub struct Authentication {
    /// The mechanism.
    pub r#type: AuthenticationType,
    /// The user (all but `tls`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub username: Option<String>,
    /// The user's password (all but `tls`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<PasswordRef>,
    /// The client's certificate (`tls`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_and_key: Option<CertificateAndKeyRef>,
}

/// A mechanism of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthenticationType {
    /// A client certificate.
    #[serde(rename = "tls")]
    Tls,
    /// SASL PLAIN.
    #[serde(rename = "plain")]
    Plain,
    /// SASL SCRAM-SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SASL SCRAM-SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// Rights on a cluster with an authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acls {
    /// Whether the workers are given the rights that they need.
    #[serde(default)]
    pub manage: bool,
    /// For whom the brokers take the workers: `User:afterbay`. By default `User:` and the user of `authentication`; needed
    /// with client certificates, whose names the brokers make.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub principal: Option<String>,
}

/// The progress topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgressTopic {
    /// Its name; by default made of prefix, instance, namespace and the connection's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub name: Option<String>,
    /// Replicas, when it is made; by default the broker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub replication_factor: Option<i32>,
}
