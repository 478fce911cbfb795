//! The four kinds, as users write them.
//!
//! A field stands here when it works, and not before. Defaults live in the schema. What can be told by a short rule is
//! refused there, too, by an API server; [`crate::validate`] refuses all of that, in words of its own with the place and a
//! remedy, and much that no rule of a schema can tell: references, Secrets, settings that Afterbay owns.

mod format;
mod kafka_connection;
pub mod pod;
mod references;
mod schema_registry_connection;
mod sink;
mod source_connector;
mod status;

pub use format::{Avro, Doc, Format, Json, MessagePart, PartAvro, PartDoc, PartFormat, Plain};
pub use kafka_connection::{
    Acls, Authentication, AuthenticationType, KafkaConnection, KafkaConnectionSpec, ProgressTopic, Tls,
};
pub use references::{CertificateAndKeyRef, CertificateRef, PasswordRef, UsernameRef};
pub use schema_registry_connection::{
    RegistryAuthentication, RegistryBasic, RegistryTls, SchemaRegistryConnection, SchemaRegistryConnectionSpec,
};
pub use sink::{Commit, KafkaSink, Key, Sink, SinkSource, SinkSpec, Topic};
pub use source_connector::{
    DesiredState, Host, PostgresAuthentication, PostgresSource, PostgresTls, Publication, Slot, SourceConnector,
    SourceConnectorSpec, Worker, default_port,
};
pub use status::{Carried, ConnectionStatus, SinkStatus, SnapshotStatus, SourceConnectorStatus, WorkerStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group of all kinds.
pub const GROUP: &str = "afterbay.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";

/// The definitions of all kinds, for the API server and for [`crate::manifest`].
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![KafkaConnection::crd(), SchemaRegistryConnection::crd(), SourceConnector::crd(), Sink::crd()]
}

/// All definitions as one YAML text.
pub fn crds_as_yaml() -> Result<String, serde_yaml::Error> {
    all_crds().iter().map(|crd| Ok(format!("---\n{}", serde_yaml::to_string(crd)?))).collect()
}
