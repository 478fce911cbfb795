//! SourceConnectors.

use super::pod;
use super::shared::pools;
use super::subject::Subject;
use crate::api::{PostgresSource, SinkSpec, SourceConnectorSpec};
use crate::names::{self, ResourceName, WorkerName};
use crate::plan::PostgresTlsMode;
use crate::quantity;

/// Below this a worker has no room for a message of a megabyte in each of its queues.
const MEMORY_MIN: u64 = 8 << 20;
/// A worker gives each Sink a producer of at least 1 MiB, which is half of a Sink's share: with less for each, it would use
/// more than it may.
const MEMORY_MIN_OF_A_SINK_MIB: u64 = 2;

pub(super) fn check(mut subject: Subject<'_>, spec: &SourceConnectorSpec) {
    let postgres = &spec.postgres;
    hosts(&mut subject, postgres);
    let words = [
        ("spec.postgres.database", &postgres.database),
        ("spec.postgres.authentication.username", &postgres.authentication.username),
    ];
    for (field, _) in words.iter().filter(|(_, word)| word.is_empty()) {
        subject.tell(*field, "it is empty", "give it a value");
    }
    for (field, _) in words.iter().filter(|(_, word)| word.contains(char::is_control)) {
        subject.tell(*field, "it holds a control character", "write it without, in one line");
    }
    if let Some(slot) = postgres.slot.name.as_ref().filter(|slot| !names::is_slot(slot)) {
        let remedy = "use up to 63 lower-case letters, digits and underscores";
        subject.tell("spec.postgres.slot.name", format!("\"{slot}\" cannot name a slot"), remedy);
    }
    if let Some(publication) = &postgres.publication.name
        && (publication.is_empty() || publication.len() > 63 || publication.contains('\0'))
    {
        let what = format!("\"{publication}\" cannot name a publication");
        subject.tell("spec.postgres.publication.name", what, "use 1 to 63 bytes");
    }
    memory(&mut subject, &spec.worker.memory);
    pod::check(&mut subject, &spec.worker);
    if let Some(password) = &postgres.authentication.password_secret {
        subject.password(password, "spec.postgres.authentication.passwordSecret");
    }
    if let Some(tls) = &postgres.tls {
        let field = "spec.postgres.tls.trustedCertificates";
        subject.certificates(&tls.trusted_certificates, field);
        let unchecked = matches!(tls.mode, PostgresTlsMode::Disable | PostgresTlsMode::Require);
        if unchecked && !tls.trusted_certificates.is_empty() {
            let remedy = "use mode verify-ca or verify-full, or leave them out";
            subject.tell(field, "this mode checks no certificate", remedy);
        }
    }
}

fn memory(subject: &mut Subject<'_>, memory: &str) {
    let (name, manifests) = (subject.name, subject.manifests);
    let is_of = |sink: &ResourceName, spec: &SinkSpec, pool: &WorkerName| {
        sink.sibling(&spec.source.name) == *name && spec.pool == pool.pool
    };
    let known = || manifests.sinks.iter().filter(|(_, each)| each.knows("spec.source.name") && each.knows("spec.pool"));
    let of_pool = |pool: &WorkerName| known().filter(|(sink, each)| is_of(sink, &each.spec, pool)).count() as u64;
    let sinks = pools(manifests, name).iter().map(of_pool).max().unwrap_or_default();
    let mut tell = |what: String, remedy: &str| subject.tell("spec.worker.memory", what, remedy);
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

fn hosts(subject: &mut Subject<'_>, postgres: &PostgresSource) {
    let (in_host, in_hosts) = (postgres.host.is_some(), !postgres.hosts.is_empty());
    if !in_host && !in_hosts && subject.knows("spec.postgres.hosts") {
        subject.tell("spec.postgres.host", "it is missing", "name the server in host, or several in hosts");
    }
    if in_host && in_hosts {
        subject.tell("spec.postgres.hosts", "host is there too", "give one of the two");
    }
    if let Some(name) = &postgres.host {
        host(subject, "spec.postgres.host", name);
    }
    for (index, each) in postgres.hosts.iter().enumerate() {
        let field = format!("spec.postgres.hosts[{index}]");
        host(subject, &format!("{field}.host"), &each.host);
        let known = |index: usize| subject.knows(&format!("spec.postgres.hosts[{index}]"));
        if (0..index).any(|before| postgres.hosts[before] == *each && known(before) && known(index)) {
            subject.tell(field, format!("{} is there already", each.host), "name each server once");
        }
    }
    if postgres.port.is_some() && !in_host && in_hosts && subject.knows("spec.postgres.host") {
        let remedy = "leave it out, and give each of hosts its own port: {host: db-0, port: 5433}";
        subject.tell("spec.postgres.port", "it goes with host, and hosts is there", remedy);
    }
}

fn host(subject: &mut Subject<'_>, field: &str, host: &str) {
    let mut tell = |what: &str, remedy: &str| subject.tell(field, what, remedy);
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
