//! Every field, wrong in every plausible way: where it is told, what is told, and what to do.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use afterbay_crds::api::all_crds;
use afterbay_crds::manifest::{ManifestError, ManifestFile, read};
use afterbay_crds::validate::validate;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::{Value, json};

/// All that must not show in any error.
const SECRET: &str = "hunter2";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "afterbay.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Manifests without error, that between them use every field.
fn good() -> Vec<Value> {
    [usual(), unusual()].concat()
}

fn usual() -> Vec<Value> {
    let trusted = json!([{"secretName": "keys", "certificate": "ca.crt"}]);
    let password = json!({"secretName": "keys", "password": "password"});
    let certificate = json!({"secretName": "keys", "certificate": "user.crt", "key": "user.key"});
    vec![
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {
            "password": SECRET, "username": "afterbay", "ca.crt": CERTIFICATE, "user.crt": CERTIFICATE, "user.key": KEY,
            "empty": "", "line": format!("{SECRET}\n"),
        }}),
        resource(
            "KafkaConnection",
            "events",
            &json!({
                "bootstrapServers": "kafka-0:9093,kafka-1:9093",
                "tls": {"trustedCertificates": trusted},
                "authentication": {"type": "scram-sha-512", "username": "afterbay", "passwordSecret": password},
                "adminAuthentication": {"type": "tls", "certificateAndKey": certificate},
                "progressTopic": {"name": "progress", "replicationFactor": 3},
                "namePrefix": "afterbay",
                "config": {"socket.keepalive.enable": "true"},
            }),
        ),
        resource(
            "SchemaRegistryConnection",
            "schemas",
            &json!({
                "url": "https://registry:8081/apis",
                "tls": {"trustedCertificates": trusted},
                "authentication": {
                    "basic": {"usernameSecret": {"secretName": "keys", "username": "username"}, "passwordSecret": password},
                    "certificateAndKey": certificate,
                },
            }),
        ),
        resource(
            "SourceConnector",
            "shop",
            &json!({
                "postgres": {
                    "host": "db", "port": 5432, "database": "shop",
                    "authentication": {"username": "afterbay", "passwordSecret": password},
                    "tls": {"mode": "verify-full", "trustedCertificates": trusted},
                    "publication": {"name": "afterbay_shop", "managed": true},
                    "slot": {"name": "afterbay_shop"},
                },
                "worker": {"memory": "64Mi"},
            }),
        ),
        resource(
            "SourceConnector",
            "replicated",
            &json!({"postgres": {
                "hosts": [{"host": "db-0", "port": 5432}, {"host": "db-1"}], "database": "shop",
                "authentication": {"username": "afterbay"},
            }}),
        ),
        resource(
            "Sink",
            "orders",
            &json!({
                "source": {"name": "shop", "table": "public.orders"},
                "snapshot": true,
                "key": {"columns": ["id", "part"]},
                "kafka": {
                    "connection": "events",
                    "topic": {"name": "orders", "partitions": 4, "replicationFactor": 2, "config": {"cleanup.policy": "compact"}},
                    "compression": "lz4",
                    "envelope": "upsert",
                    "format": {"avro": {"registry": "schemas"}},
                },
            }),
        ),
    ]
}

/// What the usual ones exclude: the other ways to prove who one is, and the other format.
fn unusual() -> Vec<Value> {
    let trusted = json!([{"secretName": "keys", "certificate": "ca.crt"}]);
    let password = json!({"secretName": "keys", "password": "password"});
    let certificate = json!({"secretName": "keys", "certificate": "user.crt", "key": "user.key"});
    vec![
        resource(
            "KafkaConnection",
            "mutual",
            &json!({
                "bootstrapServers": "kafka-0:9094",
                "tls": {"trustedCertificates": trusted},
                "authentication": {"type": "tls", "certificateAndKey": certificate},
                "adminAuthentication": {"type": "scram-sha-512", "username": "admin", "passwordSecret": password},
            }),
        ),
        resource(
            "SchemaRegistryConnection",
            "plain",
            &json!({
                "url": "https://plain:8081",
                "authentication": {"basic": {"username": "afterbay", "passwordSecret": password}},
            }),
        ),
        resource(
            "Sink",
            "customers",
            &json!({
                "source": {"name": "replicated", "table": "public.customers"},
                "kafka": {
                    "connection": "mutual", "topic": {"name": "customers"}, "envelope": "debezium", "format": {"json": {}},
                },
            }),
        ),
    ]
}

fn errors_of(manifests: &[Value]) -> Vec<ManifestError> {
    // JSON is YAML; and its strings are in quotes, so that "no" stays one.
    let text: Vec<_> = manifests.iter().map(Value::to_string).collect();
    let file = ManifestFile { name: "shop.yaml".into(), text: text.join("\n---\n") };
    let (manifests, mut errors) = read(&[file], "default");
    errors.extend(validate(&manifests, "default"));
    errors
}

/// `spec.a.b[0].c` as a place in the manifest, made where it is not there.
fn place<'a>(manifest: &'a mut Value, path: &str) -> &'a mut Value {
    let mut place = manifest;
    for part in path.split('.') {
        let (name, index) = part
            .strip_suffix(']')
            .and_then(|part| part.split_once('['))
            .map_or((part, None), |(name, index)| (name, index.parse::<usize>().ok()));
        place = &mut place[name];
        if let Some(index) = index {
            place = &mut place[index];
        }
    }
    place
}

/// Whether the manifest has this field.
fn has(manifest: &Value, path: &str) -> bool {
    let pointer = path.replace('.', "/").replace("[0]", "/0");
    manifest.pointer(&format!("/{pointer}")).is_some()
}

/// One field set to something, or left out: `path = JSON` or `path (left out)`.
fn changed(resource: &str, path: &str, value: Option<Value>) -> (usize, Vec<ManifestError>) {
    let mut manifests = good();
    let index = manifests
        .iter()
        .position(|manifest| {
            format!("{}/{}", manifest["kind"], manifest["metadata"]["name"]).replace('"', "") == resource
        })
        .expect("the resource is there");
    let manifest = &mut manifests[index];
    if let Some(value) = value {
        *place(manifest, path) = value;
    } else {
        let (parent, name) = path.rsplit_once('.').expect("a field of an object");
        place(manifest, parent).as_object_mut().expect("an object").shift_remove(name).expect("the field is there");
    }
    (index + 1, errors_of(&manifests))
}

/// Each change gives one error, in its place, with a remedy and without the secret; the texts are the snapshot's.
fn check(resource: &str, changes: &str) {
    let mut told = String::new();
    for change in changes.trim().lines() {
        let (path, value) = match change.split_once(" = ") {
            Some((path, value)) => (path, Some(serde_json::from_str(value).expect(change))),
            None => (change.strip_suffix(" (left out)").expect(change), None),
        };
        let (document, errors) = changed(resource, path, value);
        let [error] = &errors[..] else { panic!("{resource}: {change}: one error and not {errors:#?}") };
        assert_eq!((error.place.file.as_str(), error.place.document), ("shop.yaml", document), "{change}");
        assert!(!error.remedy.is_empty(), "{change}");
        let text = format!("{}: {} · what to do: {}", error.field, error.what, error.remedy);
        assert!(error.to_string().ends_with(&text), "{change}");
        assert!(!text.contains(SECRET), "{change}: a secret shows in {text}");
        told.extend([change, "\n    ", &text, "\n"]);
    }
    insta::assert_snapshot!(resource.replace('/', "_"), told);
}

/// Values that are not of a type.
fn of_other_types(expected: &str) -> Vec<Value> {
    match expected {
        "string" => vec![json!(true), json!(12), json!(["a"]), json!({"a": "b"})],
        "integer" => vec![json!("four"), json!("4"), json!(1.5), json!([4]), json!(true)],
        "boolean" => vec![json!("true"), json!(1), json!({})],
        "object" => vec![json!("text"), json!([1]), json!(1), json!(true)],
        "array" => vec![json!("text"), json!({"a": "b"}), json!(0)],
        other => panic!("no values for {other}"),
    }
}

/// All fields of a schema by path and type; items of lists as `[0]`.
fn fields(schema: &JSONSchemaProps, path: &str, found: &mut Vec<(String, String)>) {
    found.push((path.to_owned(), schema.type_.clone().expect("every field has a type")));
    for (name, property) in schema.properties.iter().flatten() {
        fields(property, &format!("{path}.{name}"), found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
        fields(each, &format!("{path}[0]"), found);
    }
}

#[test]
fn the_good_manifests_are_good() {
    assert_eq!(errors_of(&good()), []);
}

/// The fields of each kind: path and type.
fn all_fields() -> BTreeMap<String, Vec<(String, String)>> {
    let fields_of = |crd: CustomResourceDefinition| {
        let schema = crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
        let mut all = Vec::new();
        fields(&schema.and_then(|schema| schema.properties).expect("a schema")["spec"], "spec", &mut all);
        (crd.spec.names.kind, all)
    };
    all_crds().into_iter().map(fields_of).collect()
}

#[test]
fn every_field_of_every_kind_refuses_every_wrong_type_and_unknown_neighbours() {
    let kinds = all_fields();
    let mut unused: BTreeSet<_> =
        kinds.iter().flat_map(|(kind, all)| all.iter().map(move |(path, _)| (kind.as_str(), path.as_str()))).collect();
    let manifests = good();
    for manifest in manifests.iter().filter(|manifest| manifest["kind"] != "Secret") {
        let (kind, name) = (manifest["kind"].as_str().expect("a kind"), manifest["metadata"]["name"].as_str());
        let resource = format!("{kind}/{}", name.expect("a name"));
        for (path, expected) in kinds[kind].iter().filter(|(path, _)| has(manifest, path)) {
            unused.remove(&(kind, path.as_str()));
            refuses_other_types(&resource, path, expected);
            // Maps take any name.
            if expected == "object" && !path.ends_with("onfig") {
                refuses_unknown_neighbours(&resource, path);
            }
        }
    }
    assert_eq!(unused, BTreeSet::new(), "no manifest uses these fields");
}

fn refuses_other_types(resource: &str, path: &str, expected: &str) {
    for value in of_other_types(expected) {
        let (_, errors) = changed(resource, path, Some(value.clone()));
        let [error] = &errors[..] else { panic!("{resource} {path} = {value}: {errors:#?}") };
        assert_eq!(error.field, path);
        assert!(error.what.starts_with("expected a"), "{error}");
    }
}

fn refuses_unknown_neighbours(resource: &str, path: &str) {
    let unknown = format!("{path}.qqq");
    let (_, errors) = changed(resource, &unknown, Some(json!(1)));
    let [error] = &errors[..] else { panic!("{resource} {unknown}: {errors:#?}") };
    assert_eq!((&error.field, error.what.as_str()), (&unknown, "there is no field qqq"));
}

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
spec.acls = {"manage": true}
"#,
    );
}

#[test]
fn registries() {
    check(
        "SchemaRegistryConnection/schemas",
        r#"
spec.url (left out)
spec.url = "registry:8081"
spec.url = "ftp://registry"
spec.url = "https://"
spec.url = "https:///apis"
spec.url = "https://registry:port"
spec.url = "https://u:hunter2@registry"
spec.url = "https://registry?key=hunter2"
spec.url = "https://[zz]:1"
spec.url = "https://r<x>:1"
spec.url = "https://r%zz"
spec.url = "https://r..x"
spec.url = "https://r:8081/a b"
spec.url = "https://r:8081,https://s:8081"
spec.tls = null
spec.authentication = null
spec.authentication.basic = null
spec.tls.trustedCertificates[0].secretName = "keyz"
spec.authentication = {}
spec.authentication.basic.usernameSecret (left out)
spec.authentication.basic.username = "u"
spec.authentication.basic.usernameSecret.username = "user"
spec.authentication.basic.passwordSecret (left out)
spec.authentication.basic.passwordSecret.password = "line"
spec.authentication.certificateAndKey.key = "password"
spec.authentication.type = "basic"
spec.authentication.basic = {"username": "a:b", "passwordSecret": {"secretName": "keys", "password": "password"}}
spec.uri = "http://registry:8081"
"#,
    );
}

#[test]
fn sources() {
    check(
        "SourceConnector/shop",
        r#"
spec.postgres = null
spec.mysql = {}
spec.postgres.host (left out)
spec.postgres.host = ""
spec.postgres.host = "db:5433"
spec.postgres.host = "postgres://u:hunter2@db/shop"
spec.postgres.host = "db-0,db-1"
spec.postgres.hosts = [{"host": "db"}]
spec.postgres.port = 0
spec.postgres.port = 65536
spec.postgres.port = "5432"
spec.postgres.database (left out)
spec.postgres.database = ""
spec.postgres.dbname = "x"
spec.postgres.authentication (left out)
spec.postgres.authentication.username (left out)
spec.postgres.authentication.username = ""
spec.postgres.authentication.password = "hunter2"
spec.postgres.authentication.passwordSecret.secretName = "shop-db"
spec.postgres.authentication.passwordSecret.password = "pasword"
spec.postgres.authentication.passwordSecret.key = "x"
spec.postgres.authentication.passwordSecret = {"secretName": "keys"}
spec.postgres.tls = null
spec.postgres.authentication = null
spec.postgres.authentication.passwordSecret = null
spec.postgres.database = null
spec.postgres.database = ["shop"]
spec.postgres.publication = null
spec.postgres.publication.managed = 1
spec.postgres.slot = "afterbay_shop"
spec.postgres.slot.nome.x = 1
spec.postgres.database = "shop\u0000"
spec.postgres.authentication.username = "after\nbay"
spec.postgres.tls.mode = "prefer"
spec.postgres.tls.mode = "verifyfull"
spec.postgres.tls.mode = "require"
spec.postgres.tls.trustedCertificates[0].certificate = "password"
spec.postgres.publication.name = ""
spec.postgres.publication.managed = "no"
spec.postgres.slot.name = "afterbay-shop"
spec.postgres.slot.name = "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"
spec.worker.memory = "64MB"
spec.worker.memory = "lots"
spec.worker.memory = "1Mi"
spec.worker.memory = 67108864
spec.worker.memry = "64Mi"
"#,
    );
    check(
        "SourceConnector/replicated",
        r#"
spec.postgres.hosts = []
spec.postgres.hosts[1].host = "db 1"
spec.postgres.hosts[1] = {"host": "db-0"}
spec.postgres.port = 5433
spec.postgres.hosts[0].port = -1
spec.postgres.hosts[0] = "db-0:5432"
spec.postgres.hosts[0] = {"port": 1}
"#,
    );
}

#[test]
fn sinks() {
    check(
        "Sink/orders",
        r#"
spec.kafka.topic.name = "progress"
spec.source (left out)
spec.source.name = "shopp"
spec.source.name = "events"
spec.source.table (left out)
spec.source.table = "orders"
spec.source.table = "a.b.c"
spec.source.table = "public.my orders"
spec.source.table = "public.*"
spec.source.table = "public.\"x"
spec.source.tables = ["public.*"]
spec.snapshot = "false"
spec.key (left out)
spec.key = null
spec.key = "id"
spec.key.fields = ["id"]
spec.source.table = null
spec.source.table = {"name": "orders"}
spec.kafka = null
spec.kafka.format = null
spec.kafka.format.avro = null
spec.kafka.format.avro.url = "a"
spec.kafka.topic.partitions = 1.5
spec.key.columns = []
spec.key.columns = "id"
spec.key.columns[1] = "id"
spec.key.columns[1] = ""
spec.key.column = "id"
spec.kafka (left out)
spec.kafka.connection (left out)
spec.kafka.connection = "event"
spec.kafka.topic = "orders"
spec.kafka.topic.name (left out)
spec.kafka.topic.name = "my orders"
spec.kafka.topic.name = ""
spec.kafka.topic.name = ".."
spec.kafka.topic.name = "__transaction_state"
spec.kafka.topic.partitions = 0
spec.kafka.topic.partitions = -1
spec.kafka.topic.partitions = "four"
spec.kafka.topic.partitions = 3000000000
spec.kafka.topic.replicationFactor = 0
spec.kafka.topic.replicas = 3
spec.kafka.topic.config = {"retention.ms": -1}
spec.kafka.topic.config = {"cleanup policy": "compact"}
spec.kafka.compression = "LZ4"
spec.kafka.compression = "brotli"
spec.kafka.envelope (left out)
spec.kafka.envelope = "upserts"
spec.kafka.format (left out)
spec.kafka.format = {}
spec.kafka.format = "json"
spec.kafka.format = {"json": null}
spec.kafka.format = {"json": {"values": "native"}}
spec.kafka.format.json = {}
spec.kafka.format.avro = {}
spec.kafka.format.avro.registry = "schema"
spec.pool = "default"
spec.kafka.topic.name = "progress"
"#,
    );
}

#[test]
fn without_encryption_there_are_no_certificates() {
    let (_, errors) = changed("SchemaRegistryConnection/schemas", "spec.url", Some(json!("http://registry:8081")));
    let fields: Vec<_> = errors.into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["spec.authentication.certificateAndKey", "spec.tls"]);
}

#[test]
fn a_compacted_topic_needs_keys() {
    let mut manifests = good();
    manifests[5]["spec"]["kafka"]["envelope"] = json!("debezium");
    assert_eq!(errors_of(&manifests), [], "a key is there");
    manifests[5]["spec"].as_object_mut().expect("an object").shift_remove("key");
    let errors = errors_of(&manifests);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].what.contains("no messages without a key"), "{errors:#?}");
}

#[test]
fn two_sources_do_not_share_a_slot() {
    let mut manifests = good();
    let mut second = manifests[3].clone();
    second["metadata"]["name"] = json!("warehouse");
    manifests.push(second);
    let errors = errors_of(&manifests);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0].field, "spec.postgres.slot.name");
    assert!(errors[0].what.contains("SourceConnector default/shop reads slot afterbay_shop"), "{errors:#?}");
    let last = manifests.last_mut().expect("one was added");
    last["spec"]["postgres"]["slot"]["name"] = json!("afterbay_warehouse");
    assert_eq!(errors_of(&manifests), []);
}

#[test]
fn two_sinks_do_not_fill_one_topic() {
    let mut manifests = good();
    let mut second = manifests[5].clone();
    second["metadata"]["name"] = json!("orders-too");
    manifests.push(second);
    let errors = errors_of(&manifests);
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!((error.field.as_str(), error.place.document), ("spec.kafka.topic.name", manifests.len()));
    assert_eq!(error.what, "Sink default/orders (document 6 of shop.yaml) fills topic orders of default/events too");
    let last = manifests.last_mut().expect("one was added");
    last["spec"]["kafka"]["connection"] = json!("mutual");
    assert_eq!(errors_of(&manifests), [], "it is another cluster's");
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

#[test]
fn a_worker_has_memory_for_each_of_its_sinks() {
    let with = |memory: &str, sinks: usize| {
        let mut manifests = good();
        manifests[3]["spec"]["worker"]["memory"] = json!(memory);
        for number in 1..sinks {
            let mut sink = manifests[5].clone();
            sink["metadata"]["name"] = json!(format!("orders-{number}"));
            sink["spec"]["kafka"]["topic"]["name"] = json!(format!("orders-{number}"));
            manifests.push(sink);
        }
        errors_of(&manifests)
    };
    for (memory, most) in [("8Mi", 4), ("64Mi", 32), ("67108863", 31)] {
        assert_eq!(with(memory, most), [], "{memory}");
        let errors = with(memory, most + 1);
        let [error] = &errors[..] else { panic!("{memory}: {errors:#?}") };
        assert_eq!(error.field, "spec.worker.memory");
        let what = format!("{memory} is too little for a worker with {} Sinks, of which each takes 2Mi", most + 1);
        assert_eq!((&error.what, &error.remedy), (&what, &format!("give it at least {}Mi", 2 * (most + 1))));
    }
}

#[test]
fn what_stands_in_another_namespace_is_told() {
    let mut manifests = good();
    manifests[5]["metadata"]["namespace"] = json!("sales");
    let errors = errors_of(&manifests);
    let found = errors.iter().find(|error| error.field == "spec.kafka.connection").expect("an error");
    assert_eq!(found.what, "there is no KafkaConnection sales/events");
    assert_eq!(found.remedy, "there is one in namespace default; put both into one namespace");
    assert_eq!(errors.len(), 3, "{errors:#?}");
}

#[test]
fn who_refers_to_a_resource_with_errors_is_not_at_fault() {
    let mut manifests = good();
    manifests[1]["spec"]["namePrefix"] = json!(1);
    manifests[0]["stringData"]["password"] = json!(true);
    let fields: Vec<_> = errors_of(&manifests).into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["stringData.password", "spec.namePrefix"]);
}
