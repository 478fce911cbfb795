//! SchemaRegistryConnections.

use std::net::Ipv6Addr;

use super::subject::Subject;
use crate::api::{RegistryBasic, SchemaRegistryConnectionSpec};

pub(super) fn check(mut subject: Subject<'_>, spec: &SchemaRegistryConnectionSpec) {
    url(&mut subject, &spec.url);
    let plain = spec.url.starts_with("http://");
    if spec.tls.is_some() && plain {
        let remedy = "write https:// in spec.url, or leave spec.tls out";
        subject.tell("spec.tls", "the connection is not encrypted, as spec.url begins with http://", remedy);
    }
    if let Some(tls) = &spec.tls {
        subject.certificates(&tls.trusted_certificates, "spec.tls.trustedCertificates");
    }
    let Some(authentication) = &spec.authentication else { return };
    let is_empty = authentication.basic.is_none() && authentication.certificate_and_key.is_none();
    if is_empty && subject.knows("spec.authentication") {
        let remedy = "give basic, certificateAndKey, or both, or leave authentication out";
        subject.tell("spec.authentication", "it is empty", remedy);
    }
    if let Some(certificate) = &authentication.certificate_and_key {
        let field = "spec.authentication.certificateAndKey";
        subject.certificate_and_key(certificate, field);
        if plain {
            let what = "a client certificate needs an encrypted connection";
            subject.tell(field, what, "write https:// in spec.url");
        }
    }
    if let Some(who) = &authentication.basic {
        basic(&mut subject, who);
    }
}

fn url(subject: &mut Subject<'_>, url: &str) {
    // The URL may hold a password: it is not repeated.
    let mut tell = |what: &str, remedy: &str| subject.tell("spec.url", what, remedy);
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

fn basic(subject: &mut Subject<'_>, who: &RegistryBasic) {
    let field = "spec.authentication.basic";
    subject.password_in_utf8(&who.password_secret, &format!("{field}.passwordSecret"));
    let (leaf, what, remedy) = match (&who.username, &who.username_secret) {
        (Some(username), None) if username.is_empty() => ("username", "it is empty", "name the user"),
        (Some(username), None) => match cannot_be_a_user(username) {
            Some((what, remedy)) => ("username", what, remedy),
            None => return,
        },
        (None, Some(secret)) => {
            return subject.username(secret, &format!("{field}.usernameSecret"), cannot_be_a_user);
        }
        (Some(_), Some(_)) => ("usernameSecret", "username is there too", "give one of the two"),
        (None, None) if !subject.knows(&format!("{field}.usernameSecret")) => return,
        (None, None) => ("username", "it is missing", "give username or usernameSecret"),
    };
    subject.tell(format!("{field}.{leaf}"), what, remedy);
}

/// Why this cannot be a user, and what to do. Basic authentication ends the user at the first colon (RFC 7617).
fn cannot_be_a_user(user: &str) -> Option<(&'static str, &'static str)> {
    user.contains(|c: char| c == ':' || c.is_control()).then_some((
        "it holds a colon or a control character",
        "name a user without: a registry would read another one",
    ))
}
