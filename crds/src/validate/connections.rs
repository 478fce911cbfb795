//! Connections and sources.

use std::collections::BTreeMap;

use super::references::References;
use crate::api::{
    Authentication, AuthenticationType, KafkaConnectionSpec, SchemaRegistryConnectionSpec, SourceConnectorSpec,
};
use crate::manifest::{Located, ManifestError, Manifests, Place};
use crate::names::{self, ResourceName};
use crate::plan::PostgresTlsMode;
use crate::quantity;

/// Settings that Afterbay sets itself, or that would break what it promises. A name that ends with `.` stands for all
/// that begin with it.
const OWNED: [&str; 30] = [
    "acks",
    "batch.",
    "bootstrap.servers",
    "client.id",
    "compression.",
    "delivery.",
    "enable.",
    "auto.",
    "group.",
    "isolation.level",
    "linger.ms",
    "queue.buffering.max.ms",
    "log",
    "log_level",
    "log.",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "metadata.broker.list",
    "partitioner",
    "plugin.library.paths",
    "queue.buffering.",
    "queued.",
    "request.required.acks",
    "retries",
    "sasl.",
    "security.protocol",
    "ssl.",
    "transaction.timeout.ms",
    "transactional.id",
];

pub(super) fn kafka(
    manifests: &Manifests,
    name: &ResourceName,
    connection: &Located<KafkaConnectionSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = connection;
    bootstrap_servers(place, &spec.bootstrap_servers, errors);
    if !names::is_dns_label(&spec.name_prefix) {
        let remedy = "use lower-case letters, digits and dashes, a letter or digit at both ends";
        errors.push(place.error("spec.namePrefix", format!("\"{}\" is no prefix", spec.name_prefix), remedy));
    }
    if let Some(topic) = &spec.progress_topic.name {
        topic_name(place, "spec.progressTopic.name", topic, errors);
    }
    for setting in spec.config.keys() {
        let owned = OWNED.iter().any(|owned| setting == owned || (owned.ends_with('.') && setting.starts_with(owned)));
        if owned {
            let remedy = "leave it out: Afterbay sets it, or has a field for it";
            errors.push(place.error(format!("spec.config.{setting}"), "it cannot be set", remedy));
        }
    }
    let mut references = References { manifests, resource: name, place, errors };
    if let Some(tls) = &spec.tls {
        references.certificates(&tls.trusted_certificates, "spec.tls.trustedCertificates");
    }
    let both =
        [("spec.authentication", &spec.authentication), ("spec.adminAuthentication", &spec.admin_authentication)];
    for (field, authentication) in both {
        if let Some(authentication) = authentication {
            kafka_authentication(&mut references, authentication, field, spec.tls.is_some());
        }
    }
}

fn kafka_authentication(references: &mut References<'_>, who: &Authentication, field: &str, tls: bool) {
    let place = references.place;
    let mut missing = |leaf: &str, what: &str, remedy: &str| {
        references.errors.push(place.error(format!("{field}.{leaf}"), what, remedy));
    };
    if who.r#type == AuthenticationType::Tls {
        if who.certificate_and_key.is_none() {
            missing("certificateAndKey", "it is missing", "type tls needs a client certificate");
        }
        if !tls {
            missing("type", "tls needs an encrypted connection", "add spec.tls");
        }
        if who.username.is_some() || who.password_secret.is_some() {
            missing("username", "it does not go with type tls", "leave out username and passwordSecret");
        }
    } else {
        if who.username.as_deref().is_none_or(str::is_empty) {
            missing("username", "it is missing", "name the user");
        }
        if who.password_secret.is_none() {
            missing("passwordSecret", "it is missing", "name the Secret and key of the password");
        }
        if who.certificate_and_key.is_some() {
            missing("certificateAndKey", "it goes with type tls only", "leave it out");
        }
    }
    if let Some(reference) = &who.password_secret {
        references.password(reference, &format!("{field}.passwordSecret"));
    }
    if let Some(reference) = &who.certificate_and_key {
        references.certificate_and_key(reference, &format!("{field}.certificateAndKey"));
    }
}

fn bootstrap_servers(place: &Place, servers: &str, errors: &mut Vec<ManifestError>) {
    for server in servers.split(',').map(str::trim) {
        let fits = server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains("://") && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !fits {
            let what = format!("\"{server}\" is not host:port");
            errors.push(place.error("spec.bootstrapServers", what, "write host:port, several separated by commas"));
        }
    }
}

/// Tells where a topic's name cannot be one.
pub(super) fn topic_name(place: &Place, field: &str, topic: &str, errors: &mut Vec<ManifestError>) {
    if !names::is_topic(topic) {
        let remedy = "use up to 249 letters, digits, dots, underscores and dashes";
        errors.push(place.error(field, format!("\"{topic}\" cannot name a topic"), remedy));
    }
}

pub(super) fn registry(
    manifests: &Manifests,
    name: &ResourceName,
    registry: &Located<SchemaRegistryConnectionSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = registry;
    let rest = spec.url.strip_prefix("https://").or_else(|| spec.url.strip_prefix("http://"));
    match rest {
        // The URL may hold a password: it is not repeated.
        Some(rest) if rest.contains('@') => errors.push(place.error(
            "spec.url",
            "it holds a user or a password",
            "move them to spec.authentication.basic and a Secret",
        )),
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace) => {}
        _ => errors.push(place.error("spec.url", "it is no http or https URL", "write e.g. https://registry:8081")),
    }
    if spec.tls.is_some() && spec.url.starts_with("http://") {
        errors.push(place.error("spec.tls", "the URL is not encrypted", "write https:// in spec.url, or leave it out"));
    }
    let mut references = References { manifests, resource: name, place, errors };
    if let Some(tls) = &spec.tls {
        references.certificates(&tls.trusted_certificates, "spec.tls.trustedCertificates");
    }
    let Some(authentication) = &spec.authentication else { return };
    if authentication.basic.is_none() && authentication.certificate_and_key.is_none() {
        let remedy = "give basic, certificateAndKey, or both, or leave authentication out";
        references.errors.push(place.error("spec.authentication", "it is empty", remedy));
    }
    if let Some(certificate) = &authentication.certificate_and_key {
        references.certificate_and_key(certificate, "spec.authentication.certificateAndKey");
        if spec.url.starts_with("http://") {
            let remedy = "write https:// in spec.url";
            let field = "spec.authentication.certificateAndKey";
            references.errors.push(place.error(field, "a certificate needs an encrypted connection", remedy));
        }
    }
    if let Some(basic) = &authentication.basic {
        let field = "spec.authentication.basic";
        references.password(&basic.password_secret, &format!("{field}.passwordSecret"));
        match (&basic.username, &basic.username_secret) {
            (Some(username), None) if username.is_empty() => {
                references.errors.push(place.error(format!("{field}.username"), "it is empty", "name the user"));
            }
            (Some(_), None) => {}
            (None, Some(secret)) => references.username(secret, &format!("{field}.usernameSecret")),
            (Some(_), Some(_)) => references.errors.push(place.error(
                format!("{field}.usernameSecret"),
                "username is there too",
                "give one of the two",
            )),
            (None, None) => references.errors.push(place.error(
                format!("{field}.username"),
                "it is missing",
                "give username or usernameSecret",
            )),
        }
    }
}

pub(super) fn source(
    manifests: &Manifests,
    name: &ResourceName,
    source: &Located<SourceConnectorSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = source;
    let postgres = &spec.postgres;
    let mut empty = |field: &str, value: &str| {
        if value.is_empty() {
            errors.push(place.error(field, "it is empty", "give it a value"));
        }
    };
    empty("spec.postgres.database", &postgres.database);
    empty("spec.postgres.authentication.username", &postgres.authentication.username);
    if let Some(host) = &postgres.host {
        empty("spec.postgres.host", host);
    }
    for (index, host) in postgres.hosts.iter().enumerate() {
        empty(&format!("spec.postgres.hosts[{index}].host"), &host.host);
    }
    match (&postgres.host, postgres.hosts.is_empty()) {
        (None, true) => errors.push(place.error("spec.postgres.host", "it is missing", "name the server")),
        (Some(_), false) => {
            errors.push(place.error("spec.postgres.hosts", "host is there too", "give one of the two"));
        }
        _ => {}
    }
    if let Some(slot) = postgres.slot.name.as_ref().filter(|slot| !names::is_slot(slot)) {
        let remedy = "use up to 63 lower-case letters, digits and underscores";
        errors.push(place.error("spec.postgres.slot.name", format!("\"{slot}\" cannot name a slot"), remedy));
    }
    if let Some(publication) = &postgres.publication.name
        && (publication.is_empty() || publication.len() > 63)
    {
        let field = "spec.postgres.publication.name";
        errors.push(place.error(field, "it cannot name a publication", "use 1 to 63 characters"));
    }
    if quantity::bytes(&spec.worker.memory).is_none_or(|bytes| bytes < (8 << 20)) {
        let what = format!("\"{}\" is no amount of memory that a worker can do with", spec.worker.memory);
        errors.push(place.error("spec.worker.memory", what, "write e.g. 64Mi; 8Mi is the least"));
    }
    let mut references = References { manifests, resource: name, place, errors };
    if let Some(password) = &postgres.authentication.password_secret {
        references.password(password, "spec.postgres.authentication.passwordSecret");
    }
    if let Some(tls) = &postgres.tls {
        references.certificates(&tls.trusted_certificates, "spec.postgres.tls.trustedCertificates");
        let unchecked = matches!(tls.mode, PostgresTlsMode::Disable | PostgresTlsMode::Require);
        if unchecked && !tls.trusted_certificates.is_empty() {
            let remedy = "use mode verify-ca or verify-full, or leave them out";
            let field = "spec.postgres.tls.trustedCertificates";
            references.errors.push(place.error(field, "this mode checks no certificate", remedy));
        }
    }
}

/// Two SourceConnectors cannot read one slot.
pub(super) fn slot_is_its_own<'a>(
    name: &'a ResourceName,
    source: &Located<SourceConnectorSpec>,
    slots: &mut BTreeMap<(String, i32, String, String), &'a ResourceName>,
    errors: &mut Vec<ManifestError>,
) {
    let postgres = &source.spec.postgres;
    let slot = postgres.slot.name.clone().unwrap_or_else(|| names::of_source(&name.name));
    let (host, port) = match (&postgres.host, postgres.hosts.first()) {
        (Some(host), _) => (host.clone(), postgres.port),
        (None, Some(first)) => (first.host.clone(), first.port),
        (None, None) => return,
    };
    if let Some(other) = slots.insert((host, port, postgres.database.clone(), slot.clone()), name) {
        errors.push(source.place.error(
            "spec.postgres.slot.name",
            format!("SourceConnector {other} reads slot {slot} of this database too"),
            "give one of the two another slot, or put their Sinks on one SourceConnector",
        ));
    }
}
