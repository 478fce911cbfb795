//! KafkaConnections.

use afterbay_crds::manifest::{ManifestFile, read};
use afterbay_crds::validate::validate;
use serde_json::{Value, json};

use super::{check, with};

#[test]
fn kafka_connections() {
    check(
        "KafkaConnection/events",
        r#"
spec.bootstrapServers (left out)
spec.bootstrapServers = null
spec.bootstrapServers = ""
spec.bootstrapServers = "kafka"
spec.bootstrapServers = "kafka:x"
spec.bootstrapServers = "kafka:0"
spec.bootstrapServers = "kafka:70000"
spec.bootstrapServers = "a:1,"
spec.bootstrapServers = "a:1;b:2"
spec.bootstrapServers = "SASL_SSL://a:1"
spec.bootstrapServers = "u:hunter2@a:1"
spec.bootstrapserver = "a:1"
spec.tls = null
spec.authentication = null
spec.adminAuthentication = null
spec.adminAuthentication.certificateAndKey = null
spec.progressTopic = null
spec.progressTopic = "progress"
spec.config = null
spec.tls.trustedCertificates = null
spec.tls.trustedCertificates = "ca.crt"
spec.tls.trustedCertificates[0].secretName = "key"
spec.tls.trustedCertificates[0].certificate = "ca.cert"
spec.tls.trustedCertificates[0].certificate = "password"
spec.tls.trustedCertificates[0].certificate (left out)
spec.authentication.type (left out)
spec.authentication.type = "SCRAM-SHA-512"
spec.authentication.type = "oauth"
spec.authentication.username (left out)
spec.authentication.username = ""
spec.authentication.username = "after\u0000bay"
spec.authentication.user = "u"
spec.authentication.passwordSecret (left out)
spec.authentication.password = "hunter2"
spec.authentication.passwordSecret = "hunter2"
spec.authentication.passwordSecret.secretName = "nothing"
spec.authentication.passwordSecret.password = "zzz"
spec.authentication.passwordSecret.password = "empty"
spec.authentication.passwordSecret.password = "line"
spec.authentication.certificateAndKey = {"secretName": "keys", "certificate": "user.crt", "key": "user.key"}
spec.adminAuthentication.certificateAndKey (left out)
spec.adminAuthentication.certificateAndKey.key = "user.crt"
spec.adminAuthentication.certificateAndKey.certificate = "user.key"
spec.adminAuthentication.username = "u"
spec.tls (left out)
spec.progressTopic.name = "pro gress"
spec.progressTopic.name = "__consumer_offsets"
spec.progressTopic.replicationFactor = 0
spec.progressTopic.replicationFactor = 40000
spec.progressTopic.partitions = 1
spec.namePrefix = "After_bay"
spec.namePrefix = ""
spec.namePrefix = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
spec.config = {"acks": "1"}
spec.config = {"bootstrap.servers": "a:1"}
spec.config = {"sasl.password": "hunter2"}
spec.config = {"ssl.ca.location": "/ca"}
spec.config = {"compression.type": "lz4"}
spec.config = {"transactional.id": "x"}
spec.config = {"plugin.library.paths": "x"}
spec.config = {"socket.keepalive.enable": true}
spec.config = {"message.max.bytes": 1000}
spec.config = {"client.rack": "a\u0000b"}
spec.config = {"client=rack": "a"}
spec.acls = null
spec.acls = {"manage": "yes"}
spec.acls.principals = ["User:afterbay"]
spec.acls.principal = ""
spec.acls.principal = "afterbay"
spec.acls.principal = "User:"
spec.acls.principal = "User:*"
spec.acls.principal = "User:after\u0000bay"
"#,
    );
}

#[test]
fn rights_are_given_to_somebody_only() {
    check(
        "KafkaConnection/mutual",
        r#"
spec.acls = {"manage": true}
"#,
    );
    let told = |change: fn(&mut Value)| {
        let errors = with("KafkaConnection/mutual", |connection| {
            connection["spec"]["acls"] = json!({"manage": true});
            change(connection);
        });
        errors.into_iter().map(|error| (error.field, error.what)).collect::<Vec<_>>()
    };
    assert_eq!(told(|connection| connection["spec"]["acls"]["principal"] = json!("User:CN=x,O=y")), []);
    let user = |connection: &mut Value| {
        connection["spec"]["authentication"] = connection["spec"]["adminAuthentication"].clone();
    };
    assert_eq!(told(user), []);
    let nobody = |connection: &mut Value| {
        connection["spec"].as_object_mut().expect("an object").shift_remove("authentication");
    };
    let missing = "it is missing, and nothing else says to whom rights are to be given";
    assert_eq!(told(nobody), [("spec.acls.principal".to_owned(), missing.to_owned())]);
}

#[test]
fn a_progress_topic_is_not_longer_than_kafka_has_it() {
    let long = "n".repeat(63);
    let text = json!({
        "apiVersion": "afterbay.dev/v1alpha1", "kind": "KafkaConnection",
        "metadata": {"name": long, "namespace": long}, "spec": {"bootstrapServers": "a:1", "namePrefix": long},
    });
    let (manifests, errors) = read(&[ManifestFile { name: "a.yaml".into(), text: text.to_string() }], "default");
    assert_eq!(errors, []);
    assert_eq!(validate(&manifests, &"i".repeat(47)), [], "it has 249 characters");
    let errors = validate(&manifests, &"i".repeat(48));
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!(error.field, "spec.progressTopic.name");
    assert!(error.what.contains("250 characters"), "{error}");
}
