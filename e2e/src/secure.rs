//! The secured parts of the rig, as manifests name them, and rights on the secured broker.

use std::path::Path;
use std::process::Command;

use afterbay_clients::kafka::acls::{Acl, AclOperation, AclResource};
use afterbay_clients::kafka::admin::{Admin, TopicCreation};
use afterbay_crds::plan::{KafkaAuthenticationPlan, KafkaConnectionPlan, KafkaTlsPlan};
use afterbay_crds::rights::Right;
use serde_json::{Value, json};

use crate::{Format, Manifests, Message, Rig, Scenario, reference};

/// A file of the rig: `CA`, `OTHER_CA`, `CLIENT_CERTIFICATE` or `CLIENT_KEY`.
pub fn file(rig: &Rig, name: &str) -> String {
    let path = rig.setting(&format!("{name}_FILE"));
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Secrets that the other functions here refer to.
pub fn with_secrets(manifests: Manifests, rig: &Rig) -> Manifests {
    let (certificate, key) = (file(rig, "CLIENT_CERTIFICATE"), file(rig, "CLIENT_KEY"));
    manifests
        .with_secret("rig-ca", &[("ca.crt", &file(rig, "CA"))])
        .with_secret("other-ca", &[("ca.crt", &file(rig, "OTHER_CA"))])
        .with_secret("client", &[("user.crt", &certificate), ("user.key", &key)])
        .with_secret("broker-user", &[("password", rig.setting("BROKER_PASSWORD"))])
        .with_secret("broker-limited", &[("password", rig.setting("BROKER_LIMITED_PASSWORD"))])
        .with_secret("registry-user", &[("password", rig.setting("REGISTRY_PASSWORD"))])
        .with_secret("nobody", &[("password", "not-the-password")])
}

/// `tls` that trusts the authority in this Secret.
pub fn tls(secret: &str) -> Value {
    json!({"trustedCertificates": [{"secretName": secret, "certificate": "ca.crt"}]})
}

/// `passwordSecret` of this Secret.
pub fn password(secret: &str) -> Value {
    json!({"secretName": secret, "password": "password"})
}

/// The client certificate, as every kind of connection takes it.
pub fn certificate() -> Value {
    json!({"secretName": "client", "certificate": "user.crt", "key": "user.key"})
}

/// The connection `events` goes to the secured broker: by a SASL mechanism, or with the client certificate (`tls`).
pub fn kafka(manifests: Manifests, rig: &Rig, kind: &str, user: &str, secret: &str) -> Manifests {
    let (address, authentication) = match kind {
        "tls" => (rig.setting("SECURE_BROKER_MTLS"), json!({"type": "tls", "certificateAndKey": certificate()})),
        _ => {
            (rig.setting("SECURE_BROKER"), json!({"type": kind, "username": user, "passwordSecret": password(secret)}))
        }
    };
    manifests
        .set("KafkaConnection/events", "spec.bootstrapServers", address)
        .set("KafkaConnection/events", "spec.tls", tls("rig-ca"))
        .set("KafkaConnection/events", "spec.authentication", authentication)
}

/// The connection's topics, and its rights, are the administrator's business. Needs the Secret `broker-admin`.
pub fn with_administrator(manifests: Manifests, rig: &Rig) -> Manifests {
    let user = rig.setting("BROKER_ADMIN_USER");
    let who = json!({"type": "scram-sha-512", "username": user, "passwordSecret": password("broker-admin")});
    manifests.with_secret("broker-admin", &[("password", rig.setting("BROKER_ADMIN_PASSWORD"))]).set(
        "KafkaConnection/events",
        "spec.adminAuthentication",
        who,
    )
}

/// Settings of a client of the administrator.
fn as_administrator(rig: &Rig) -> [String; 5] {
    [
        "security.protocol=SASL_SSL".to_owned(),
        "sasl.mechanisms=SCRAM-SHA-512".to_owned(),
        format!("sasl.username={}", rig.setting("BROKER_ADMIN_USER")),
        format!("sasl.password={}", rig.setting("BROKER_ADMIN_PASSWORD")),
        format!("ssl.ca.location={}", rig.setting("CA_FILE")),
    ]
}

/// The rights that somebody has, sorted.
pub async fn rights(rig: &Rig, principal: &str) -> Vec<String> {
    reference::rights(rig.setting("SECURE_BROKER"), principal, &as_administrator(rig)).await
}

/// What the secured broker was asked to change so far, of topics, rights and settings, by whomever: as its log has it.
pub fn changes(rig: &Rig) -> Vec<String> {
    let log = Path::new(rig.setting("STATE")).join("log/secure-broker.log");
    let text = std::fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    text.lines().filter(|line| line.contains("(kafka.authorizer.logger)")).map(str::to_owned).collect()
}

/// Gives a user of the secured broker this password; one who is new has no rights.
pub async fn set_password(rig: &Rig, user: &str, password: &str) {
    reference::set_password(rig.setting("SECURE_BROKER"), user, password, &as_administrator(rig)).await;
}

/// The connection `events` is entered with a certificate of its own, whose owner is `User:` and the scenario's name; its
/// topics and rights are the business of the rig's client.
pub fn kafka_with_own_certificate(manifests: Manifests, scenario: &Scenario) -> Manifests {
    let (own_certificate, key) = issue(scenario.rig, scenario.folder(), &scenario.unique);
    let own = json!({"secretName": "own", "certificate": "user.crt", "key": "user.key"});
    kafka(manifests, scenario.rig, "tls", "", "")
        .with_secret("own", &[("user.crt", &own_certificate), ("user.key", &key)])
        .set("KafkaConnection/events", "spec.authentication.certificateAndKey", own)
        .set(
            "KafkaConnection/events",
            "spec.adminAuthentication",
            json!({"type": "tls", "certificateAndKey": certificate()}),
        )
}

/// A certificate of the rig's authority for this common name, and its key; both PEM.
fn issue(rig: &Rig, folder: &Path, name: &str) -> (String, String) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl is there");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let authority = rig.setting("CA_FILE");
    let authority_key = authority.replace(".crt", ".key");
    let subject = format!("/CN={name}");
    openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-keyout", "own.key", "-out", "own.csr", "-subj", &subject]);
    let sign = ["x509", "-req", "-in", "own.csr", "-CA", authority, "-CAkey", &authority_key, "-days", "1"];
    openssl(&[&sign[..], &["-set_serial", "1", "-out", "own.crt"]].concat());
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "own.key", "-out", "own.pk8"]);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("openssl has written it");
    (read("own.crt"), read("own.pk8"))
}

/// All messages of a topic of the secured broker.
pub async fn messages(rig: &Rig, topic: &str, format: Format) -> Vec<Message> {
    let settings = as_administrator(rig);
    let arguments = [&["--registry", rig.registry()], &with_settings(&settings)[..]].concat();
    reference::read_with(rig.setting("SECURE_BROKER"), topic, format, &arguments).await
}

/// Whether a record under this key is the last one of its key in a topic of the secured broker, and no tombstone.
pub async fn has_record(rig: &Rig, topic: &str, key: &str) -> bool {
    let settings = as_administrator(rig);
    let broker = rig.setting("SECURE_BROKER");
    let lines = reference::consume(broker, topic, ("text", "text"), &with_settings(&settings)).await;
    let mut records = lines.iter().map(|line| serde_json::from_str::<Message>(line).expect("a message"));
    records.rfind(|record| record.key == key).is_some_and(|record| !record.value.is_null())
}

fn with_settings(settings: &[String]) -> Vec<&str> {
    settings.iter().flat_map(|setting| ["--config", setting]).collect()
}

/// Gives and takes rights of the user who has none of itself.
pub struct Rights {
    admin: Admin,
    principal: String,
}

impl Rights {
    /// As the broker's administrator.
    pub fn new(scenario: &Scenario) -> Self {
        Self::of(scenario, scenario.rig.setting("BROKER_LIMITED_USER"))
    }

    /// As the broker's administrator, those of another user.
    pub fn of(scenario: &Scenario, user: &str) -> Self {
        let rig = scenario.rig;
        let password_file = scenario.folder().join("broker-admin");
        std::fs::write(&password_file, rig.setting("BROKER_ADMIN_PASSWORD")).expect("the password can be written");
        let plan = KafkaConnectionPlan {
            name: "default/administrator".into(),
            bootstrap_servers: rig.setting("SECURE_BROKER").into(),
            tls: Some(KafkaTlsPlan { ca_file: Some(Path::new(rig.setting("CA_FILE")).into()) }),
            authentication: Some(KafkaAuthenticationPlan::ScramSha512 {
                username: rig.setting("BROKER_ADMIN_USER").into(),
                password_file,
            }),
            principal: None,
            config: Vec::new(),
        };
        let principal = format!("User:{user}");
        Self { admin: Admin::new(&plan).expect("the administrator is configured"), principal }
    }

    fn acls(&self, operations: &[AclOperation], resource: &AclResource) -> Vec<Acl> {
        let acl = |operation| Acl { principal: self.principal.clone(), operation, resource: resource.clone() };
        operations.iter().copied().map(acl).collect()
    }

    /// Makes a topic, to which the user has no right yet.
    pub async fn create_topic(&self, name: &str, config: &[(&str, &str)]) {
        let creation = TopicCreation {
            name: name.to_owned(),
            partitions: Some(1),
            replication_factor: Some(1),
            config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        self.admin.create_topic(&creation).await.expect("the broker makes the topic");
    }

    /// Lets the user do this with that.
    pub async fn allow(&self, operations: &[AclOperation], resource: AclResource) {
        let rights = operations.iter().map(|operation| Right::new(*operation, resource.clone())).collect();
        // Waits until the brokers know of them.
        self.admin.provide_rights(&self.principal, &rights).await.expect("the broker gives rights");
    }

    /// Lets the user do so no more.
    pub async fn disallow(&self, operations: &[AclOperation], resource: AclResource) {
        self.admin.disallow(&self.acls(operations, &resource)).await.expect("the broker takes rights");
    }

    /// All that the reference's table lists for Sinks of this scenario, but for the data topics.
    pub async fn allow_all_but_topics(&self, scenario: &Scenario) {
        use AclOperation::{Create, Describe, DescribeConfigs, Read, Write};
        let progress = AclResource::Topic(scenario.progress_topic());
        let names = format!("afterbay-default-{}.", scenario.unique);
        self.allow(&[Read, Write, Create, Describe, DescribeConfigs], progress).await;
        self.allow(&[Write, Describe], AclResource::TransactionalIdPrefix(names.clone())).await;
        self.allow(&[Read], AclResource::GroupPrefix(names)).await;
        self.allow(&[DescribeConfigs], AclResource::Cluster).await;
    }
}
