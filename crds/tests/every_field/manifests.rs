//! Manifests without error.

use serde_json::{Value, json};

use super::SECRET;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "afterbay.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Manifests without error, that between them use every field.
pub fn good() -> Vec<Value> {
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
                "acls": {"manage": true, "principal": "User:afterbay"},
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
                    "slot": {"name": "afterbay_shop", "onLoss": "Resnapshot", "failover": true},
                    "snapshot": {"mode": "Auto", "chunkRows": 20_000},
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
                    "commit": {"interval": "10ms", "bytes": "1Mi", "records": 1000, "timeout": "5s"},
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
