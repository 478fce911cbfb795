//! What resources refer to, by the names in their `spec`.

use afterbay_crds::api::{
    Authentication, CertificateRef, Format, KafkaConnectionSpec, PartFormat, SchemaRegistryConnectionSpec, SinkSpec,
    SourceConnectorSpec,
};
use afterbay_crds::names::ResourceName;

/// The Secrets of a KafkaConnection.
pub fn secrets_of_connection(name: &ResourceName, spec: &KafkaConnectionSpec) -> Vec<ResourceName> {
    let who = [&spec.authentication, &spec.admin_authentication].into_iter().flatten();
    let tls = spec.tls.iter().flat_map(|tls| certificates(&tls.trusted_certificates));
    siblings(name, who.flat_map(authentication).chain(tls))
}

/// The Secrets of a SchemaRegistryConnection.
pub fn secrets_of_registry(name: &ResourceName, spec: &SchemaRegistryConnectionSpec) -> Vec<ResourceName> {
    let tls = spec.tls.iter().flat_map(|tls| certificates(&tls.trusted_certificates));
    let who = spec.authentication.iter().flat_map(|who| {
        let basic = who.basic.iter().flat_map(|basic| {
            let username = basic.username_secret.iter().map(|secret| secret.secret_name.as_str());
            username.chain([basic.password_secret.secret_name.as_str()])
        });
        basic.chain(who.certificate_and_key.iter().map(|reference| reference.secret_name.as_str()))
    });
    siblings(name, tls.chain(who))
}

/// The Secrets of a SourceConnector.
pub fn secrets_of_source(name: &ResourceName, spec: &SourceConnectorSpec) -> Vec<ResourceName> {
    let password = spec.postgres.authentication.password_secret.iter().map(|secret| secret.secret_name.as_str());
    let tls = spec.postgres.tls.iter().flat_map(|tls| certificates(&tls.trusted_certificates));
    siblings(name, password.chain(tls))
}

/// The SchemaRegistryConnections of a Sink.
pub fn registries_of_sink(name: &ResourceName, spec: &SinkSpec) -> Vec<ResourceName> {
    let Format { avro, key, value, .. } = &spec.kafka.format;
    let parts = [key, value].into_iter().flatten();
    let of_parts = parts.filter_map(|PartFormat { avro, .. }| avro.as_ref()).map(|avro| avro.registry.as_str());
    siblings(name, avro.iter().map(|avro| avro.registry.as_str()).chain(of_parts))
}

fn authentication(who: &Authentication) -> impl Iterator<Item = &str> {
    let password = who.password_secret.iter().map(|secret| secret.secret_name.as_str());
    password.chain(who.certificate_and_key.iter().map(|reference| reference.secret_name.as_str()))
}

fn certificates(certificates: &[CertificateRef]) -> impl Iterator<Item = &str> {
    certificates.iter().map(|certificate| certificate.secret_name.as_str())
}

/// In the namespace of who names them, each once.
fn siblings<'a>(of: &ResourceName, names: impl Iterator<Item = &'a str>) -> Vec<ResourceName> {
    let mut names: Vec<_> = names.map(|name| of.sibling(name)).collect();
    names.sort();
    names.dedup();
    names
}
