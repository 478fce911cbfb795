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
                "state": "paused",
                "postgres": {
                    "host": "db", "port": 5432, "database": "shop",
                    "authentication": {"username": "afterbay", "passwordSecret": password},
                    "tls": {"mode": "verify-full", "trustedCertificates": trusted},
                    "publication": {"name": "afterbay_shop", "managed": true},
                    "slot": {"name": "afterbay_shop", "onLoss": "Resnapshot", "failover": true},
                    "snapshot": {"mode": "Auto", "chunkRows": 20_000},
                },
                "worker": {
                    "memory": "64Mi",
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": 2, "memory": "256Mi"}},
                    "nodeSelector": {"kubernetes.io/arch": "amd64"},
                    "tolerations": [
                        {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoExecute", "tolerationSeconds": 60},
                        {"operator": "Exists"},
                    ],
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "postgres"}}},
                    ]}},
                    "topologySpreadConstraints": [
                        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
                    ],
                    "priorityClassName": "data",
                    "podLabels": {"team": "shop"},
                    "podAnnotations": {"example.com/note": "the shop's, with a space"},
                },
                "deletionPolicy": "Retain",
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
                "state": "running",
                "pool": "default",
                "source": {"name": "shop", "table": "public.orders", "startAt": {"position": "0/16B3748"}},
                "retainHistory": "24h",
                "snapshot": true,
                "key": {"columns": ["id", "part"]},
                "onTruncate": "Ignore",
                "schemaChanges": "Freeze",
                "deletionPolicy": "Retain",
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
    let avro = |docs: Value| {
        json!({"avro": {
            "registry": "schemas", "fullname": "com.example.A", "nullDefaults": true, "compatibilityLevel": "NONE",
            "docs": docs,
        }})
    };
    let (of_type, of_column) = (
        json!([{"type": "public.orders", "text": "Orders"}]),
        json!([{"column": "public.orders.id", "text": "Identifies"}]),
    );
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
                "source": {
                    "name": "replicated", "table": "public.customers", "startAt": {"time": "2026-11-21T10:00:00Z"},
                },
                "kafka": {
                    "connection": "mutual", "topic": {"name": "customers"}, "envelope": "debezium", "format": {"json": {}},
                },
            }),
        ),
        resource(
            "Sink",
            "everything",
            &json!({
                "source": {"name": "replicated", "tables": ["public.*", "!public.customers"]},
                "key": {"primaryKey": true},
                "kafka": {
                    "connection": "events", "topic": {"name": "all.{table}"}, "envelope": "upsert", "format": {"json": {}},
                },
            }),
        ),
        sink_of(
            "full",
            &json!({"avro": {
                "registry": "schemas", "keyFullname": "com.example.Key", "valueFullname": "com.example.Order",
                "nullDefaults": true, "keyCompatibilityLevel": "BACKWARD", "valueCompatibilityLevel": "FULL_TRANSITIVE",
                "docs": [{"type": "public.orders", "for": "value", "text": "Orders"}],
            }}),
        ),
        resource(
            "Sink",
            "open-orders",
            &json!({
                "source": {"name": "replicated", "query": "SELECT id, total FROM public.orders WHERE status = 'open'"},
                "key": {"columns": ["id"]},
                "kafka": {
                    "connection": "mutual", "topic": {"name": "open"}, "envelope": "upsert", "format": {"json": {}},
                },
            }),
        ),
        sink_of("texts", &json!({"text": {}})),
        sink_of("bytes", &json!({"bytes": {}})),
        sink_of("native", &json!({"json": {"values": "native"}})),
        sink_of("documented", &json!({"avro": {"registry": "schemas", "docs": of_column.clone()}})),
        sink_of("text-and-bytes", &json!({"key": {"text": {}}, "value": {"bytes": {}}})),
        sink_of("bytes-and-text", &json!({"key": {"bytes": {}}, "value": {"text": {}}})),
        sink_of("both-json", &json!({"key": {"json": {"values": "text"}}, "value": {"json": {"values": "native"}}})),
        sink_of("both-avro", &json!({"key": avro(of_type.clone()), "value": avro(of_column.clone())})),
        sink_of("also-avro", &json!({"key": avro(of_column), "value": avro(of_type)})),
    ]
}

/// A Sink with a key of one column and this format.
fn sink_of(name: &str, format: &Value) -> Value {
    resource(
        "Sink",
        name,
        &json!({
            "source": {"name": "replicated", "table": "public.orders"},
            "key": {"columns": ["id"], "notEnforced": true},
            "kafka": {
                "connection": "events", "topic": {"name": name}, "envelope": "upsert", "format": format,
                "headers": "hdrs", "partitionBy": "seahash(id::text)", "transactionalIdPrefix": "eu-", "progressGroupIdPrefix": "eu-",
            },
        }),
    )
}
