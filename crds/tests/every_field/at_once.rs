//! What is wrong in shape hides nothing that is wrong in meaning, and is told once.

use afterbay_crds::manifest::{ManifestFile, read};
use afterbay_crds::validate::validate;
use serde_json::json;

use super::manifests::good;
use super::{errors_of, index_of};

/// All that is told of a file, each as `document: field: what`.
fn check(text: &str, expected: &[&str]) {
    let file = ManifestFile { name: "shop.yaml".into(), text: text.to_owned() };
    let (manifests, mut errors) = read(&[file], "default");
    errors.extend(validate(&manifests, "default"));
    errors.sort();
    let told: Vec<_> = errors
        .iter()
        .map(|error| format!("{}: {}: {}", error.place.document.expect("a document"), error.field, error.what))
        .collect();
    assert_eq!(told, expected, "{text}");
}

#[test]
fn all_that_is_wrong_with_a_file_is_told_in_one_go_and_nothing_twice() {
    check(
        r#"
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: 12, user: "", line: "x\n"}
---
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {name: events}
spec:
  bootstrapServer: kafka
  tsl: {}
  authentication: {type: scram, username: "", passwordSecret: {secretName: keys, password: password}}
  adminAuthentication: {type: tls, username: u, certificateAndKey: {secretName: none, key: user.key}}
  progressTopic: {name: pro gress, partitions: 1}
  config: {acks: "1", message.max.bytes: 1000}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop}
spec:
  postgres:
    hosts: db
    port: many
    database: ""
    authentication: {user: afterbay, passwordSecret: {secretName: keys, password: line}}
    tls: {mode: verify, trustedCertificates: [{secretName: keys}, {secretName: keyz, certificate: ca.crt}]}
    slot: {name: My-Slot, plugin: wal2json}
  worker: {memory: lots, cpu: 1}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: orders}
spec:
  source: {name: shpo, tabel: public.orders}
  keys: {columns: [id]}
  kafka:
    connection: events
    topic: {name: my orders, partitions: 0, config: {cleanup policy: compact}}
    envelope: upsert
    format: {avro: {registry: schemas, url: x}}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: returns}
spec:
  source: {name: shop, table: returns}
  key: {columns: [id, 5, id]}
  kafka:
    connection: 7
    topic: {name: returns, config: {cleanup.policy: compact}}
    envelope: upserts
    format: {avro: null}
"#,
        &[
            "1: stringData.password: expected a string",
            "2: spec.adminAuthentication.certificateAndKey.certificate: it is missing",
            "2: spec.adminAuthentication.certificateAndKey.secretName: there is no Secret default/none",
            "2: spec.adminAuthentication.username: it does not go with type tls",
            "2: spec.authentication.type: \"scram\" is not known here",
            "2: spec.authentication.username: it is empty",
            "2: spec.bootstrapServer: there is no field bootstrapServer",
            "2: spec.config.acks: acks cannot be set",
            "2: spec.config.message.max.bytes: expected a string, found the number 1000",
            "2: spec.progressTopic.name: \"pro gress\" cannot name a topic",
            "2: spec.progressTopic.partitions: there is no field partitions",
            "2: spec.tsl: there is no field tsl",
            "3: spec.postgres.authentication.passwordSecret.password: key line of Secret keys (document 1 of shop.yaml, stringData.line): it ends with a line end, which would be part of the word",
            "3: spec.postgres.authentication.user: there is no field user",
            "3: spec.postgres.database: it is empty",
            "3: spec.postgres.hosts: expected a list, found a string",
            "3: spec.postgres.port: expected an integer, found the string \"many\"",
            "3: spec.postgres.slot.name: \"My-Slot\" cannot name a slot",
            "3: spec.postgres.slot.plugin: there is no field plugin",
            "3: spec.postgres.tls.mode: \"verify\" is not known here",
            "3: spec.postgres.tls.trustedCertificates[0].certificate: it is missing",
            "3: spec.postgres.tls.trustedCertificates[1].secretName: there is no Secret default/keyz",
            "3: spec.worker.cpu: there is no field cpu",
            "3: spec.worker.memory: \"lots\" is no amount of memory",
            "4: spec.kafka.format.avro.registry: there is no SchemaRegistryConnection default/schemas",
            "4: spec.kafka.format.avro.url: there is no field url",
            "4: spec.kafka.topic.config.cleanup policy: \"cleanup policy\" is no setting",
            "4: spec.kafka.topic.name: \"my orders\" cannot name a topic",
            "4: spec.kafka.topic.partitions: 0 is out of range",
            "4: spec.keys: there is no field keys",
            "4: spec.source.name: there is no SourceConnector default/shpo",
            "4: spec.source.tabel: there is no field tabel",
            "5: spec.kafka.connection: expected a string, found the number 7",
            "5: spec.kafka.envelope: \"upserts\" is not known here",
            "5: spec.kafka.format.avro: it is empty",
            "5: spec.key.columns[1]: expected a string, found the number 5",
            "5: spec.key.columns[2]: column id is named twice",
            "5: spec.source.table: \"returns\" names no table: the schema is missing",
        ],
    );
}

#[test]
fn a_resource_without_a_name_of_its_own_is_judged() {
    check(
        "
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {labels: {}}
spec: {bootstrapServers: kafka, namePrefix: 1}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop}
spec: {postgres: {host: db, database: shop, authentication: {username: shop}}}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop}
spec: {postgres: {host: 'db:1', database: shop, authentication: {username: shop}}, x: 1}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: orders}
spec:
  source: {name: shop, table: orders}
  kafka: {connection: events, topic: {name: orders}, envelope: debezium, format: {avro: {registry: schemas}}}
",
        &[
            "1: metadata.name: it is missing",
            "1: spec.bootstrapServers: \"kafka\" is not host:port",
            "1: spec.namePrefix: expected a string, found the number 1",
            "3: metadata.name: SourceConnector default/shop is there already, in document 2 of shop.yaml",
            "3: spec.postgres.host: \"db:1\" holds a port",
            "3: spec.x: there is no field x",
            // Its connection may be the one without a name; its registry may not.
            "4: spec.kafka.format.avro.registry: there is no SchemaRegistryConnection default/schemas",
            "4: spec.source.table: \"orders\" names no table: the schema is missing",
        ],
    );
}

#[test]
fn a_resource_without_spec_is_there_and_no_more_is_told_of_it() {
    let mut manifests = good();
    for manifest in manifests.iter_mut().filter(|manifest| manifest["kind"] != "Secret") {
        manifest.as_object_mut().expect("an object").shift_remove("spec");
    }
    let count = manifests.len() - 1;
    let errors = errors_of(&manifests);
    let told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.what.as_str())).collect();
    assert_eq!(told, vec![("spec", "it is missing"); count]);
    for manifest in manifests.iter_mut().filter(|manifest| manifest["kind"] != "Secret") {
        manifest["Spec"] = json!({});
    }
    let fields: Vec<_> = errors_of(&manifests).into_iter().map(|error| error.field).collect();
    assert_eq!(fields, vec!["Spec"; count]);
}

/// What is refused is the same for all: it makes no two resources share anything.
#[test]
fn what_is_refused_collides_with_nothing() {
    for (resource, path) in [
        ("Sink/orders", "/spec/kafka/topic/name"),
        ("Sink/orders", "/spec/kafka/connection"),
        ("SourceConnector/shop", "/spec/postgres/slot/name"),
        ("SourceConnector/shop", "/spec/postgres/database"),
        ("SourceConnector/shop", "/spec/postgres/host"),
        ("SourceConnector/shop", "/spec/postgres/port"),
    ] {
        let mut manifests = good();
        let mut second = manifests[index_of(resource)].clone();
        second["metadata"]["name"] = json!("second");
        for manifest in [&mut manifests[index_of(resource)], &mut second] {
            *manifest.pointer_mut(path).expect(path) = json!(["refused"]);
        }
        manifests.push(second);
        let field = path[1..].replace('/', ".");
        let fields: Vec<_> = errors_of(&manifests).into_iter().map(|error| error.field).collect();
        assert_eq!(fields, [field.as_str(), &field], "{resource}");
    }
}

/// As kubectl reads them, plain numbers in any form are no strings; what is told is the number that was read.
#[test]
fn numbers_of_all_forms_are_numbers() {
    for (written, read) in [("09", "9"), ("0o7", "7"), ("1_000", "1000"), ("0x1F", "31"), ("1e3", "1000")] {
        let source = format!(
            "
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {{name: shop}}
spec:
  postgres: {{host: {written}, port: {written}, database: '{written}', authentication: {{username: shop}}}}
"
        );
        check(&source, &[&format!("1: spec.postgres.host: expected a string, found the number {read}")]);
    }
}
