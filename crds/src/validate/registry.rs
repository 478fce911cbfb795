//! SchemaRegistryConnections.

use std::net::Ipv6Addr;

use super::references::References;
use crate::api::{RegistryBasic, SchemaRegistryConnectionSpec};
use crate::manifest::{Located, ManifestError, Manifests, Place};
use crate::names::ResourceName;

pub(super) fn check(
    manifests: &Manifests,
    name: &ResourceName,
    registry: &Located<SchemaRegistryConnectionSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = registry;
    url(place, &spec.url, errors);
    let plain = spec.url.starts_with("http://");
    if spec.tls.is_some() && plain {
        let remedy = "write https:// in spec.url, or leave spec.tls out";
        errors.push(place.error(
            "spec.tls",
            "the connection is not encrypted, as spec.url begins with http://",
            remedy,
        ));
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
        let field = "spec.authentication.certificateAndKey";
        references.certificate_and_key(certificate, field);
        if plain {
            let what = "a client certificate needs an encrypted connection";
            references.errors.push(place.error(field, what, "write https:// in spec.url"));
        }
    }
    if let Some(who) = &authentication.basic {
        basic(&mut references, who);
    }
}

fn url(place: &Place, url: &str, errors: &mut Vec<ManifestError>) {
    // The URL may hold a password: it is not repeated.
    let mut tell = |what: &str, remedy: &str| errors.push(place.error("spec.url", what, remedy));
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return tell("it is no http or https URL", "write e.g. https://registry:8081");
    };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return tell(
            "it holds a user or a password",
            "take them out of the URL, and name them in spec.authentication.basic (the password in a Secret)",
        );
    }
    if path.contains(['?', '#']) {
        tell("it has a query or a fragment", "end it with the path of the registry's interface");
    }
    if authority.contains(',') {
        return tell(
            "it names several registries",
            "name one; several behind one address need a name that leads to all",
        );
    }
    let stranger =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '<' | '>' | '"' | '{' | '}' | '|' | '^');
    if let Some(c) = path.chars().find(|c| stranger(*c)) {
        return tell(&format!("its path holds {c:?}"), "write it as the registry's manual does, or percent-encoded");
    }
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    let (host, port) = match after_host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (after_host, None),
    };
    let host_is_right = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => host.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if !host_is_right {
        tell("it names no host", "write e.g. https://registry:8081");
    } else if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        tell("its port is no port", "write e.g. https://registry:8081");
    }
}

/// A name or an IPv4 address.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

fn basic(references: &mut References<'_>, who: &RegistryBasic) {
    let field = "spec.authentication.basic";
    references.password(&who.password_secret, &format!("{field}.passwordSecret"));
    let (leaf, what, remedy) = match (&who.username, &who.username_secret) {
        (Some(username), None) if username.is_empty() => ("username", "it is empty", "name the user"),
        // Basic authentication ends the user at the first colon (RFC 7617).
        (Some(username), None) if username.contains(|c: char| c == ':' || c.is_control()) => (
            "username",
            "it holds a colon or a control character",
            "name a user without: a registry would read another one",
        ),
        (Some(_), None) => return,
        (None, Some(secret)) => return references.username(secret, &format!("{field}.usernameSecret")),
        (Some(_), Some(_)) => ("usernameSecret", "username is there too", "give one of the two"),
        (None, None) => ("username", "it is missing", "give username or usernameSecret"),
    };
    references.errors.push(references.place.error(format!("{field}.{leaf}"), what, remedy));
}
