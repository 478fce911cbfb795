//! SourceConnectors.

use std::collections::BTreeMap;

use super::references::References;
use crate::api::{PostgresSource, SinkSpec, SourceConnectorSpec, default_port};
use crate::manifest::{Located, ManifestError, Manifests, Place};
use crate::names::{self, ResourceName};
use crate::plan::PostgresTlsMode;
use crate::quantity;

/// Below this a worker has no room for a message of a megabyte in each of its queues.
const MEMORY_MIN: u64 = 8 << 20;
/// A worker gives each Sink a producer of at least 1 MiB, which is half of a Sink's share: with less for each, it would use
/// more than it may.
const MEMORY_MIN_OF_A_SINK_MIB: u64 = 2;

pub(super) fn check(
    manifests: &Manifests,
    name: &ResourceName,
    source: &Located<SourceConnectorSpec>,
    errors: &mut Vec<ManifestError>,
) {
    let Located { place, spec } = source;
    let postgres = &spec.postgres;
    hosts(place, postgres, errors);
    let words = [
        ("spec.postgres.database", &postgres.database),
        ("spec.postgres.authentication.username", &postgres.authentication.username),
    ];
    for (field, _) in words.iter().filter(|(_, word)| word.is_empty()) {
        errors.push(place.error(*field, "it is empty", "give it a value"));
    }
    for (field, _) in words.iter().filter(|(_, word)| word.contains(char::is_control)) {
        errors.push(place.error(*field, "it holds a control character", "write it without, in one line"));
    }
    if let Some(slot) = postgres.slot.name.as_ref().filter(|slot| !names::is_slot(slot)) {
        let remedy = "use up to 63 lower-case letters, digits and underscores";
        errors.push(place.error("spec.postgres.slot.name", format!("\"{slot}\" cannot name a slot"), remedy));
    }
    if let Some(publication) = &postgres.publication.name
        && (publication.is_empty() || publication.len() > 63 || publication.contains('\0'))
    {
        let what = format!("\"{publication}\" cannot name a publication");
        errors.push(place.error("spec.postgres.publication.name", what, "use 1 to 63 bytes"));
    }
    let reads_it = |sink: &ResourceName, spec: &SinkSpec| sink.sibling(&spec.source.name) == *name;
    let sinks = manifests.sinks.iter().filter(|(sink, located)| reads_it(sink, &located.spec)).count();
    memory(place, &spec.worker.memory, sinks as u64, errors);
    let mut references = References { manifests, resource: name, place, errors };
    if let Some(password) = &postgres.authentication.password_secret {
        references.password(password, "spec.postgres.authentication.passwordSecret");
    }
    if let Some(tls) = &postgres.tls {
        let field = "spec.postgres.tls.trustedCertificates";
        references.certificates(&tls.trusted_certificates, field);
        let unchecked = matches!(tls.mode, PostgresTlsMode::Disable | PostgresTlsMode::Require);
        if unchecked && !tls.trusted_certificates.is_empty() {
            let remedy = "use mode verify-ca or verify-full, or leave them out";
            references.errors.push(place.error(field, "this mode checks no certificate", remedy));
        }
    }
}

fn memory(place: &Place, memory: &str, sinks: u64, errors: &mut Vec<ManifestError>) {
    let mut tell = |what: String, remedy: &str| errors.push(place.error("spec.worker.memory", what, remedy));
    let needed = sinks * MEMORY_MIN_OF_A_SINK_MIB;
    match quantity::bytes(memory) {
        None => tell(format!("\"{memory}\" is no amount of memory"), "write digits and Ki, Mi or Gi, e.g. 64Mi"),
        Some(bytes) if bytes < MEMORY_MIN => {
            tell(format!("{memory} is too little for a worker"), "give it at least 8Mi; 64Mi is the default");
        }
        Some(bytes) if bytes < needed << 20 => tell(
            format!(
                "{memory} is too little for a worker with {sinks} Sinks, of which each takes {MEMORY_MIN_OF_A_SINK_MIB}Mi"
            ),
            &format!("give it at least {needed}Mi"),
        ),
        Some(_) => {}
    }
}

fn hosts(place: &Place, postgres: &PostgresSource, errors: &mut Vec<ManifestError>) {
    match (&postgres.host, postgres.hosts.is_empty()) {
        (None, true) => {
            let remedy = "name the server in host, or several in hosts";
            errors.push(place.error("spec.postgres.host", "it is missing", remedy));
        }
        (Some(_), false) => {
            errors.push(place.error("spec.postgres.hosts", "host is there too", "give one of the two"));
        }
        _ => {}
    }
    if let Some(name) = &postgres.host {
        host(place, "spec.postgres.host", name, errors);
    }
    for (index, each) in postgres.hosts.iter().enumerate() {
        let field = format!("spec.postgres.hosts[{index}]");
        host(place, &format!("{field}.host"), &each.host, errors);
        if postgres.hosts[..index].contains(each) {
            errors.push(place.error(field, format!("{} is there already", each.host), "name each server once"));
        }
    }
    if postgres.host.is_none() && !postgres.hosts.is_empty() && postgres.port != default_port() {
        let remedy = "leave it out, and give each of hosts its own port: {host: db-0, port: 5433}";
        errors.push(place.error("spec.postgres.port", "it goes with host, and hosts is there", remedy));
    }
}

fn host(place: &Place, field: &str, host: &str, errors: &mut Vec<ManifestError>) {
    let mut tell = |what: &str, remedy: &str| errors.push(place.error(field, what, remedy));
    let colons = host.matches(':').count();
    if host.is_empty() {
        tell("it is empty", "name the server");
    } else if host.contains("://") || host.contains('@') {
        // Such a thing may hold a password: it is not repeated.
        tell("it is a URL", "name the server alone; port, database, username and passwordSecret have fields");
    } else if colons == 1 {
        tell(&format!("\"{host}\" holds a port"), "move what stands behind the colon to the field port");
    } else if host.contains(|c: char| c.is_whitespace() || c == '/' || c == ',') {
        tell(&format!("\"{host}\" names no server"), "give one name or address; several go into hosts");
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
    let one = postgres.host.iter().map(|host| (host.clone(), postgres.port));
    let servers = one.chain(postgres.hosts.iter().map(|host| (host.host.clone(), host.port)));
    for (host, port) in servers {
        let other = slots.insert((host, port, postgres.database.clone(), slot.clone()), name);
        if let Some(other) = other.filter(|other| *other != name) {
            errors.push(source.place.error(
                "spec.postgres.slot.name",
                format!("SourceConnector {other} reads slot {slot} of this database too"),
                "give one of the two another slot, or put their Sinks on one SourceConnector",
            ));
            return;
        }
    }
}
