//! KafkaConnections.

use super::subject::Subject;
use crate::api::{Acls, Authentication, AuthenticationType, KafkaConnectionSpec};
use crate::names::{self, Naming, ResourceName, TOPIC_MAX};

const BY_ANOTHER_FIELD: &str = "leave it out: spec.bootstrapServers says it";
const BY_TLS: &str = "leave it out: spec.tls and spec.authentication say it";
const BY_AUTHENTICATION: &str = "leave it out: spec.authentication says it";
const BY_SINK: &str = "leave it out: spec.kafka.compression of each Sink says it";
const BY_MEMORY: &str = "leave it out: Afterbay sets it, within spec.worker.memory of the SourceConnector";
const BY_PROMISE: &str = "leave it out: that every change stands exactly once rests on it";
const BY_AFTERBAY: &str = "leave it out: Afterbay sets it";

/// The settings that cannot be set, and what to do instead. A name that ends with `.` stands for all that begin with it.
const OWNED: [(&str, &str); 38] = [
    ("acks", BY_PROMISE),
    ("allow.auto.create.topics", BY_PROMISE),
    ("auto.", BY_PROMISE),
    ("batch.", BY_MEMORY),
    ("bootstrap.servers", BY_ANOTHER_FIELD),
    ("client.id", BY_AFTERBAY),
    ("compression.", BY_SINK),
    ("debug", "leave it out: set AFTERBAY_LOG to see more of what the client does"),
    ("delivery.", BY_PROMISE),
    ("enable.auto.", BY_PROMISE),
    ("enable.gapless.guarantee", BY_PROMISE),
    ("enable.idempotence", BY_PROMISE),
    ("enable.partition.eof", BY_PROMISE),
    ("enable.sasl.", BY_AUTHENTICATION),
    ("enable.ssl.", BY_TLS),
    ("group.", BY_PROMISE),
    ("isolation.level", BY_PROMISE),
    ("linger.ms", BY_MEMORY),
    ("log.", BY_AFTERBAY),
    ("log_level", BY_AFTERBAY),
    ("max.in.flight", BY_PROMISE),
    ("max.in.flight.", BY_PROMISE),
    ("message.send.max.retries", BY_PROMISE),
    ("message.timeout.ms", BY_PROMISE),
    ("metadata.broker.list", BY_ANOTHER_FIELD),
    ("partitioner", BY_PROMISE),
    ("plugin.", "leave it out: foreign code has no place in a worker"),
    ("queue.", BY_MEMORY),
    ("queued.", BY_MEMORY),
    ("request.required.acks", BY_PROMISE),
    ("retries", BY_PROMISE),
    ("sasl.", BY_AUTHENTICATION),
    ("security.protocol", BY_TLS),
    ("ssl.", BY_TLS),
    ("statistics.", BY_AFTERBAY),
    ("test.", BY_PROMISE),
    ("transaction.", BY_PROMISE),
    ("transactional.", BY_PROMISE),
];

/// Settings of TLS that say nothing about whom to trust or who one is.
const FREE: [&str; 3] = ["ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list"];

/// What to do about a client setting that Afterbay owns.
fn owned(setting: &str) -> Option<&'static str> {
    if FREE.contains(&setting) {
        return None;
    }
    let is = |owned: &str| setting == owned || (owned.ends_with('.') && setting.starts_with(owned));
    OWNED.iter().find(|(name, _)| is(name)).map(|(_, remedy)| *remedy)
}

pub(super) fn check(mut subject: Subject<'_>, spec: &KafkaConnectionSpec, instance: &str) {
    bootstrap_servers(&mut subject, &spec.bootstrap_servers);
    if !names::is_dns_label(&spec.name_prefix) {
        let remedy = "use up to 63 lower-case letters, digits and dashes, a letter or digit at both ends";
        subject.tell("spec.namePrefix", format!("\"{}\" is no prefix", spec.name_prefix), remedy);
    }
    progress_topic(&mut subject, spec, instance);
    for (setting, value) in &spec.config {
        let field = format!("spec.config.{setting}");
        if let Some(remedy) = owned(setting) {
            subject.tell(field, format!("{setting} cannot be set"), remedy);
        } else if setting.is_empty() || setting.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=') {
            let remedy = "write the setting's name and its value: socket.keepalive.enable: \"true\"";
            subject.tell(field, format!("{setting:?} is no setting"), remedy);
        } else if value.contains('\0') {
            subject.tell(field, "it holds a NUL character", "write it without");
        }
    }
    if let Some(tls) = &spec.tls {
        subject.certificates(&tls.trusted_certificates, "spec.tls.trustedCertificates");
    }
    let plain = spec.tls.is_none() && subject.knows("spec.tls");
    let both =
        [("spec.authentication", &spec.authentication), ("spec.adminAuthentication", &spec.admin_authentication)];
    for (field, authentication) in both {
        if let Some(who) = authentication {
            if subject.knows(&format!("{field}.type")) {
                authentication_fits(&mut subject, who, field, plain);
            }
            authentication_holds(&mut subject, who, field);
        }
    }
    principal(&mut subject, &spec.acls, spec.authentication.as_ref());
}

/// Tells a principal that is none, and one that is missing where rights are to be given to it.
fn principal(subject: &mut Subject<'_>, acls: &Acls, who: Option<&Authentication>) {
    let field = "spec.acls.principal";
    if let Some(principal) = &acls.principal {
        let parts = principal.split_once(':').filter(|(kind, name)| !kind.is_empty() && !name.is_empty());
        let wrong = match parts {
            None => Some(format!("\"{principal}\" is no principal")),
            Some(_) if principal.contains(char::is_control) => Some("it holds a control character".to_owned()),
            // To Kafka it stands for all there are.
            Some((_, "*")) => Some(format!("\"{principal}\" is everybody")),
            Some(_) => None,
        };
        if let Some(what) = wrong {
            subject.tell(field, what, "write it as the brokers name the workers: User:afterbay");
        }
        return;
    }
    let knows_all = ["spec.acls", "spec.authentication"].into_iter().all(|field| subject.knows(field));
    if !acls.manage || !knows_all {
        return;
    }
    match who.map(|who| who.r#type) {
        None => {
            let remedy = "add spec.authentication, or write for whom the brokers take the workers: User:afterbay";
            subject.tell(field, "it is missing, and nothing else says to whom rights are to be given", remedy);
        }
        Some(AuthenticationType::Tls) => {
            let remedy = "add the name that the brokers make of the client certificate: User:CN=afterbay";
            subject.tell(field, "it is missing, and rights are to be given to the owner of a certificate", remedy);
        }
        Some(_) => {}
    }
}

fn progress_topic(subject: &mut Subject<'_>, spec: &KafkaConnectionSpec, instance: &str) {
    let field = "spec.progressTopic.name";
    if let Some(topic) = &spec.progress_topic.name {
        return topic_name(subject, field, topic);
    }
    let ResourceName { namespace, name } = subject.name;
    let labels = [namespace, name, &spec.name_prefix];
    if !subject.knows("spec.namePrefix") || !labels.into_iter().all(|label| names::is_dns_label(label)) {
        // Its length would be another one.
        return;
    }
    let topic = Naming { prefix: &spec.name_prefix, instance }.progress_topic(subject.name);
    if topic.len() > TOPIC_MAX {
        let what = format!("made of prefix, instance, namespace and name it is {} characters long", topic.len());
        let remedy = format!("name the topic here, with up to {TOPIC_MAX} characters, or shorten one of these");
        subject.tell(field, what, remedy);
    }
}

/// Tells what its type asks for and is not there, and what does not go with its type.
fn authentication_fits(subject: &mut Subject<'_>, who: &Authentication, field: &str, plain: bool) {
    let mut tell = |leaf: &str, what: &str, remedy: &str| {
        subject.tell(format!("{field}.{leaf}"), what, remedy);
    };
    if who.r#type == AuthenticationType::Tls {
        if who.certificate_and_key.is_none() {
            let remedy = "add it: type tls needs a client certificate {secretName, certificate, key}";
            tell("certificateAndKey", "it is missing", remedy);
        }
        if plain {
            tell("type", "a client certificate needs an encrypted connection", "add spec.tls");
        }
        if who.username.is_some() {
            tell("username", "it does not go with type tls", "leave it out: the certificate says who it is");
        }
        if who.password_secret.is_some() {
            tell("passwordSecret", "it does not go with type tls", "leave it out, or change the type");
        }
        return;
    }
    if who.username.is_none() {
        tell("username", "it is missing", "add it: this type needs a user");
    }
    if who.password_secret.is_none() {
        tell("passwordSecret", "it is missing", "add it: this type needs a password {secretName, password}");
    }
    if who.certificate_and_key.is_some() {
        tell("certificateAndKey", "it goes with type tls only", "leave it out, or change the type");
    }
}

/// Tells what is wrong with what is there, whatever the type. With `tls` there is to be no user, which is told.
fn authentication_holds(subject: &mut Subject<'_>, who: &Authentication, field: &str) {
    let is_to_be_none = who.r#type == AuthenticationType::Tls && subject.knows(&format!("{field}.type"));
    let user = who.username.as_deref().filter(|_| !is_to_be_none);
    let wrong = match user {
        Some("") => Some(("it is empty", "name the user")),
        Some(user) if user.contains(char::is_control) => {
            Some(("it holds a control character", "write it without, in one line"))
        }
        _ => None,
    };
    if let Some((what, remedy)) = wrong {
        subject.tell(format!("{field}.username"), what, remedy);
    }
    if let Some(reference) = &who.password_secret {
        subject.password_in_utf8(reference, &format!("{field}.passwordSecret"));
    }
    if let Some(reference) = &who.certificate_and_key {
        subject.certificate_and_key(reference, &format!("{field}.certificateAndKey"));
    }
}

/// The servers of a list.
pub(super) fn servers(bootstrap_servers: &str) -> impl Iterator<Item = &str> {
    bootstrap_servers.split(',').map(str::trim)
}

fn bootstrap_servers(subject: &mut Subject<'_>, all: &str) {
    let mut tell = |what: String, remedy: &str| subject.tell("spec.bootstrapServers", what, remedy);
    if all.trim().is_empty() {
        return tell("it is empty".to_owned(), "write host:port, several separated by commas");
    }
    for server in servers(all) {
        if let Some((scheme, rest)) = server.split_once("://").filter(|_| !server.contains('@')) {
            let remedy = format!("write {rest} alone; spec.tls and spec.authentication say how to connect");
            tell(format!("\"{server}\" begins with {scheme}://"), &remedy);
        } else if server.is_empty() {
            tell("a part of it is empty".to_owned(), "leave out the comma too many");
        } else if server.contains('@') {
            // What stands before it may be a password: it is not repeated.
            tell("it holds a user or a password".to_owned(), "write host:port; spec.authentication says who it is");
        } else if !is_host_and_port(server) {
            tell(format!("\"{server}\" is not host:port"), "write host:port, several separated by commas");
        }
    }
}

fn is_host_and_port(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let is_address = host.starts_with('[') && host.ends_with(']');
    !host.is_empty()
        && (is_address || !host.contains(':'))
        && !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@')
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Tells where a topic's name cannot be one.
pub(super) fn topic_name(subject: &mut Subject<'_>, field: &str, topic: &str) {
    if !names::is_topic(topic) {
        let remedy = "use up to 249 letters, digits, dots, underscores and dashes";
        subject.tell(field, format!("\"{topic}\" cannot name a topic"), remedy);
    } else if names::is_of_brokers(topic) {
        let what = format!("\"{topic}\" belongs to the brokers");
        subject.tell(field, what, "give the topic another name");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_afterbay_owns() {
        for setting in ["acks", "transactional.id", "ssl.key.pem", "sasl.password", "compression.codec", "group.id"] {
            assert!(owned(setting).is_some(), "{setting}");
        }
        for setting in ["socket.keepalive.enable", "message.max.bytes", "ssl.cipher.suites", "client.rack"] {
            assert_eq!(owned(setting), None, "{setting}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        for good in ["kafka:9092", "10.0.0.1:1", "[::1]:65535", "k-0.kafka.svc:9093"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in ["kafka", "kafka:", ":9092", "::1:9092", "kafka:0", "kafka:65536", "u@kafka:1", "kaf ka:1", "k:9/x"]
        {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
