//! What each rule refuses, and what it lets through.

use serde_json::{Value, json};

/// A rule about what is written.
pub struct Case {
    pub kind: &'static str,
    /// The field that it is told of.
    pub at: &'static str,
    /// Some of its words.
    pub says: &'static str,
    /// Changes of the base that it refuses.
    pub refused: &'static str,
    /// Changes that come near, and are taken.
    pub taken: &'static str,
}

/// A rule about what may change.
pub struct Change {
    pub kind: &'static str,
    pub at: &'static str,
    pub says: &'static str,
    /// Changes of the base before it is there.
    pub first: &'static str,
    pub refused: &'static str,
    pub taken: &'static str,
    /// Whether it holds before anything has begun.
    pub from_the_start: bool,
}

const fn case(
    kind: &'static str,
    at: &'static str,
    says: &'static str,
    refused: &'static str,
    taken: &'static str,
) -> Case {
    Case { kind, at, says, refused, taken }
}

/// The smallest manifest of a kind.
pub fn base(kind: &str) -> Value {
    let spec = match kind {
        "KafkaConnection" => json!({"bootstrapServers": "kafka:9092"}),
        "SchemaRegistryConnection" => json!({"url": "http://registry:8081"}),
        "SourceConnector" => {
            json!({"postgres": {"host": "db", "database": "shop", "authentication": {"username": "afterbay"}}})
        }
        "Sink" => json!({
            "source": {"name": "shop", "table": "public.orders"},
            "key": {"columns": ["id"]},
            "kafka": {
                "connection": "events", "topic": {"name": "orders"}, "envelope": "upsert", "format": {"json": {}},
            },
        }),
        other => panic!("no kind {other}"),
    };
    json!({"apiVersion": "afterbay.dev/v1alpha1", "kind": kind, "metadata": {"name": "base"}, "spec": spec})
}

const DNS_LABEL: &str = "the name must be a DNS label";
const NEEDS: &str = "type tls needs certificateAndKey, the others need username and passwordSecret";
const GOES_WITH: &str = "certificateAndKey goes with type tls, username and passwordSecret with the others";
const EXACTLY_ONE: &str = "give exactly one of avro, json, text and bytes";
const TYPE_OR_COLUMN: &str = "give exactly one of type and column";

pub const INPUTS: &[Case] = &[
    case("KafkaConnection", "", DNS_LABEL, r#"metadata.name = "events.eu""#, r#"metadata.name = "events-eu""#),
    case(
        "KafkaConnection",
        "",
        "acls.manage needs acls.principal",
        "spec.acls.manage = true",
        r#"spec.acls = {"manage": true, "principal": "User:afterbay"}"#,
    ),
    case(
        "KafkaConnection",
        "spec.authentication",
        NEEDS,
        r#"spec.authentication = {"type": "scram-sha-512", "username": "a"}"#,
        r#"spec.authentication = {"type": "scram-sha-512", "username": "a", "passwordSecret": {"secretName": "s", "password": "p"}}"#,
    ),
    case(
        "KafkaConnection",
        "spec.authentication",
        GOES_WITH,
        r#"spec.authentication = {"type": "tls", "username": "a", "certificateAndKey": {"secretName": "s", "certificate": "c", "key": "k"}}"#,
        r#"spec.authentication = {"type": "tls", "certificateAndKey": {"secretName": "s", "certificate": "c", "key": "k"}}"#,
    ),
    case(
        "KafkaConnection",
        "spec.adminAuthentication",
        NEEDS,
        r#"spec.adminAuthentication = {"type": "tls"}"#,
        r#"spec.adminAuthentication = {"type": "tls", "certificateAndKey": {"secretName": "s", "certificate": "c", "key": "k"}}"#,
    ),
    case(
        "KafkaConnection",
        "spec.adminAuthentication",
        GOES_WITH,
        r#"spec.adminAuthentication = {"type": "plain", "username": "a", "passwordSecret": {"secretName": "s", "password": "p"}, "certificateAndKey": {"secretName": "s", "certificate": "c", "key": "k"}}"#,
        r#"spec.adminAuthentication = {"type": "plain", "username": "a", "passwordSecret": {"secretName": "s", "password": "p"}}"#,
    ),
    case(
        "KafkaConnection",
        "spec.namePrefix",
        "lower-case letters, digits and dashes",
        r#"spec.namePrefix = "After_bay""#,
        r#"spec.namePrefix = "after-bay""#,
    ),
    case("SchemaRegistryConnection", "", DNS_LABEL, r#"metadata.name = "a.b""#, r#"metadata.name = "a-b""#),
    case(
        "SchemaRegistryConnection",
        "spec.authentication",
        "give basic, certificateAndKey, or both",
        "spec.authentication = {}",
        r#"spec.authentication.basic = {"username": "a", "passwordSecret": {"secretName": "s", "password": "p"}}"#,
    ),
    case(
        "SchemaRegistryConnection",
        "spec.authentication.basic",
        "give username or usernameSecret, not both",
        r#"spec.authentication.basic = {"username": "a", "usernameSecret": {"secretName": "s", "username": "u"}, "passwordSecret": {"secretName": "s", "password": "p"}}"#,
        r#"spec.authentication.basic = {"usernameSecret": {"secretName": "s", "username": "u"}, "passwordSecret": {"secretName": "s", "password": "p"}}"#,
    ),
    case(
        "SchemaRegistryConnection",
        "spec.url",
        "an http or https URL without user and password",
        r#"spec.url = "https://user:word@registry:8081""#,
        r#"spec.url = "https://registry:8081/apis/ccompat/v7""#,
    ),
    case("SourceConnector", "", DNS_LABEL, r#"metadata.name = "a.b""#, r#"metadata.name = "a-b""#),
    case(
        "SourceConnector",
        "spec.postgres",
        "give host or hosts, not both",
        r#"spec.postgres.hosts = [{"host": "db-1"}]"#,
        "spec.postgres.host (left out)\nspec.postgres.hosts = [{\"host\": \"db-1\"}]",
    ),
    case(
        "SourceConnector",
        "spec.postgres",
        "port goes with host; each of hosts has its own",
        "spec.postgres.host (left out)\nspec.postgres.hosts = [{\"host\": \"db-1\"}]\nspec.postgres.port = 5433",
        "spec.postgres.port = 5433",
    ),
    case(
        "SourceConnector",
        "spec.worker",
        "memory must be at least 8Mi",
        r#"spec.worker.memory = "8191Ki""#,
        r#"spec.worker.memory = "8388608""#,
    ),
    case(
        "SourceConnector",
        "spec.worker.resources",
        "requests cannot be more than limits",
        r#"spec.worker.resources = {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}"#,
        r#"spec.worker.resources = {"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"cpu": 2}}"#,
    ),
    case(
        "SourceConnector",
        "spec.worker.tolerations[]",
        "a toleration without a key takes operator: Exists",
        r#"spec.worker.tolerations = [{"value": "true"}]"#,
        r#"spec.worker.tolerations = [{"operator": "Exists"}]"#,
    ),
    case(
        "SourceConnector",
        "spec.worker.tolerations[]",
        "a toleration with operator: Exists takes no value",
        r#"spec.worker.tolerations = [{"key": "spot", "operator": "Exists", "value": "true"}]"#,
        r#"spec.worker.tolerations = [{"key": "spot", "value": "true"}]"#,
    ),
    case(
        "SourceConnector",
        "spec.worker.tolerations[]",
        "tolerationSeconds goes with effect: NoExecute",
        r#"spec.worker.tolerations = [{"key": "spot", "effect": "NoSchedule", "tolerationSeconds": 5}]"#,
        r#"spec.worker.tolerations = [{"key": "spot", "effect": "NoExecute", "tolerationSeconds": 5}]"#,
    ),
    case("Sink", "", DNS_LABEL, r#"metadata.name = "shop.orders""#, r#"metadata.name = "shop-orders""#),
    case(
        "Sink",
        "spec",
        "upsert sinks must specify a key",
        "spec.key (left out)",
        "spec.key (left out)\nspec.kafka.envelope = \"debezium\"",
    ),
    case(
        "Sink",
        "spec",
        "format.key goes with a key, and beside format.value a key needs it",
        r#"spec.kafka.format = {"value": {"json": {}}}"#,
        r#"spec.kafka.format = {"key": {"json": {}}, "value": {"json": {}}}"#,
    ),
    case(
        "Sink",
        "spec",
        "with a key, give both of keyFullname and valueFullname or none",
        r#"spec.kafka.format = {"avro": {"registry": "schemas", "valueFullname": "shop.Order"}}"#,
        r#"spec.kafka.format = {"avro": {"registry": "schemas", "keyFullname": "shop.Id", "valueFullname": "shop.Order"}}"#,
    ),
    case(
        "Sink",
        "spec",
        "keyFullname goes with a key",
        r#"spec.key (left out)
           spec.kafka.envelope = "debezium"
           spec.kafka.format = {"avro": {"registry": "schemas", "keyFullname": "shop.Id"}}"#,
        r#"spec.key (left out)
           spec.kafka.envelope = "debezium"
           spec.kafka.format = {"avro": {"registry": "schemas", "valueFullname": "shop.Order"}}"#,
    ),
    case(
        "Sink",
        "spec",
        "headers go with the upsert envelope",
        "spec.kafka.envelope = \"debezium\"\nspec.kafka.headers = \"hdrs\"",
        r#"spec.kafka.headers = "hdrs""#,
    ),
    case(
        "Sink",
        "spec",
        "text and bytes hold one column, and the debezium envelope has before and after",
        "spec.kafka.envelope = \"debezium\"\nspec.kafka.format = {\"text\": {}}",
        r#"spec.kafka.format = {"text": {}}"#,
    ),
    case(
        "Sink",
        "spec",
        "text and bytes hold one column, and the key has more",
        r#"spec.key.columns = ["id", "part"]
           spec.kafka.format = {"key": {"bytes": {}}, "value": {"json": {}}}"#,
        r#"spec.key.columns = ["id", "part"]
           spec.kafka.format = {"key": {"json": {}}, "value": {"text": {}}}"#,
    ),
    case(
        "Sink",
        "spec",
        "keyCompatibilityLevel goes with a key",
        r#"spec.key (left out)
           spec.kafka.envelope = "debezium"
           spec.kafka.format = {"avro": {"registry": "schemas", "keyCompatibilityLevel": "FULL"}}"#,
        r#"spec.kafka.format = {"avro": {"registry": "schemas", "keyCompatibilityLevel": "FULL"}}"#,
    ),
    case(
        "Sink",
        "spec",
        "with source.tables the key is primaryKey: true",
        r#"spec.source = {"name": "shop", "tables": ["public.*"]}
           spec.kafka.topic.name = "shop.{table}""#,
        r#"spec.source = {"name": "shop", "tables": ["public.*"]}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "shop.{table}""#,
    ),
    case(
        "Sink",
        "spec",
        "with source.tables topic.name must contain {table}, and without it cannot",
        r#"spec.kafka.topic.name = "shop.{table}""#,
        r#"spec.kafka.topic.name = "shop.table""#,
    ),
    case(
        "Sink",
        "spec",
        "{schema} goes with source.tables",
        r#"spec.kafka.topic.name = "{schema}.orders""#,
        r#"spec.source = {"name": "shop", "tables": ["*.*"]}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "{schema}.{table}""#,
    ),
    case(
        "Sink",
        "spec",
        "tables of more than one schema can match: topic.name must contain {schema}",
        r#"spec.source = {"name": "shop", "tables": ["public.*", "audit.*"]}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "shop.{table}""#,
        r#"spec.source = {"name": "shop", "tables": ["public.a*", "!audit.*", "public.b?"]}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "shop.{table}""#,
    ),
    case(
        "Sink",
        "spec",
        "retainHistory must be from 1s to 720h",
        r#"spec.retainHistory = "721h""#,
        r#"spec.source = {"name": "shop", "tables": ["public.*"], "startAt": {"position": "0/1"}}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "shop.{table}"
           spec.retainHistory = "720h"
           spec.schemaChanges = "Freeze""#,
    ),
    case(
        "Sink",
        "spec.kafka.commit",
        "interval must be from 1ms to 30s",
        r#"spec.kafka.commit = {"interval": "31s", "timeout": "60s"}"#,
        r#"spec.kafka.commit = {"interval": "30s", "timeout": "60s"}"#,
    ),
    case(
        "Sink",
        "spec.kafka.commit",
        "timeout must be from 1s to 60s",
        r#"spec.kafka.commit.timeout = "2m""#,
        r#"spec.kafka.commit.timeout = "1m""#,
    ),
    case(
        "Sink",
        "spec.kafka.commit",
        "timeout must be at least twice the interval",
        r#"spec.kafka.commit = {"interval": "10s", "timeout": "19s"}"#,
        r#"spec.kafka.commit = {"interval": "10s", "timeout": "20s"}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format",
        "give exactly one of avro, json, text and bytes, or value (and key)",
        r#"spec.kafka.format = {"json": {}, "text": {}}"#,
        r#"spec.kafka.format = {"bytes": {}}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format",
        "key goes with value",
        r#"spec.kafka.format = {"json": {}, "key": {"json": {}}}"#,
        r#"spec.kafka.format = {"key": {"text": {}}, "value": {"json": {}}}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format.avro.docs[]",
        TYPE_OR_COLUMN,
        r#"spec.kafka.format = {"avro": {"registry": "schemas", "docs": [{"text": "what?"}]}}"#,
        r#"spec.kafka.format = {"avro": {"registry": "schemas", "docs": [{"type": "public.orders", "text": "Orders"}]}}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format.key",
        EXACTLY_ONE,
        r#"spec.kafka.format = {"key": {}, "value": {"json": {}}}"#,
        r#"spec.kafka.format = {"key": {"text": {}}, "value": {"json": {}}}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format.value",
        EXACTLY_ONE,
        r#"spec.kafka.format = {"key": {"json": {}}, "value": {"json": {}, "bytes": {}}}"#,
        r#"spec.kafka.format = {"key": {"json": {}}, "value": {"bytes": {}}}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format.key.avro.docs[]",
        TYPE_OR_COLUMN,
        r#"spec.kafka.format = {"key": {"avro": {"registry": "schemas", "docs": [{"text": "?"}]}}, "value": {"json": {}}}"#,
        r#"spec.kafka.format = {"key": {"avro": {"registry": "schemas", "docs": [{"column": "public.orders.id", "text": "The id"}]}}, "value": {"json": {}}}"#,
    ),
    case(
        "Sink",
        "spec.kafka.format.value.avro.docs[]",
        TYPE_OR_COLUMN,
        r#"spec.kafka.format = {"key": {"json": {}}, "value": {"avro": {"registry": "schemas", "docs": [{"type": "a.b", "column": "a.b.c", "text": "?"}]}}}"#,
        r#"spec.kafka.format = {"key": {"json": {}}, "value": {"avro": {"registry": "schemas", "docs": [{"type": "a.b", "text": "B"}]}}}"#,
    ),
    case(
        "Sink",
        "spec.key",
        "give columns, or with source.tables primaryKey: true",
        "spec.key = {}",
        r#"spec.key = {"columns": ["id"], "notEnforced": true}"#,
    ),
    case(
        "Sink",
        "spec.key",
        "a primary key is unique: notEnforced goes with columns",
        r#"spec.source = {"name": "shop", "tables": ["public.*"]}
           spec.key = {"primaryKey": true, "notEnforced": true}
           spec.kafka.topic.name = "shop.{table}""#,
        r#"spec.source = {"name": "shop", "tables": ["public.*"]}
           spec.key = {"primaryKey": true, "notEnforced": false}
           spec.kafka.topic.name = "shop.{table}""#,
    ),
    case(
        "Sink",
        "spec.source",
        "give one of table, tables and query",
        r#"spec.source.query = "SELECT id FROM public.orders""#,
        r#"spec.source = {"name": "shop", "query": "SELECT id FROM public.orders"}"#,
    ),
    case(
        "Sink",
        "spec.source",
        "a pattern with ! leaves tables out, and there is none that brings any",
        r#"spec.source = {"name": "shop", "tables": ["!public.*"]}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "shop.{table}""#,
        r#"spec.source = {"name": "shop", "tables": ["public.*", "!public.log"]}
           spec.key = {"primaryKey": true}
           spec.kafka.topic.name = "shop.{table}""#,
    ),
    case(
        "Sink",
        "spec.source.startAt",
        "give time or position",
        r#"spec.source.startAt = {"time": "2026-11-21T10:00:00Z", "position": "0/1"}"#,
        r#"spec.source.startAt = {"time": "2026-11-21T10:00:00Z"}"#,
    ),
];

pub const CHANGES: &[Change] = &[
    Change {
        kind: "KafkaConnection",
        at: "spec.namePrefix",
        says: "namePrefix cannot change, as the Sinks would not find what they have committed: make another KafkaConnection",
        first: "",
        refused: r#"spec.namePrefix = "other""#,
        taken: r#"spec.bootstrapServers = "kafka-1:9092""#,
        from_the_start: true,
    },
    Change {
        kind: "KafkaConnection",
        at: "spec.progressTopic.name",
        says: "progressTopic.name cannot change, as the Sinks would not find what they have committed: make another KafkaConnection",
        first: r#"spec.progressTopic.name = "progress""#,
        refused: "spec.progressTopic.name (left out)",
        taken: "spec.progressTopic.replicationFactor = 3",
        from_the_start: true,
    },
    Change {
        kind: "SourceConnector",
        at: "spec.postgres.database",
        says: "postgres.database cannot change once a Sink has begun",
        first: "",
        refused: r#"spec.postgres.database = "other""#,
        taken: r#"spec.postgres.host = "db-after-a-failover""#,
        from_the_start: false,
    },
    Change {
        kind: "SourceConnector",
        at: "spec.postgres.slot.name",
        says: "postgres.slot.name cannot change once a Sink has begun",
        first: "",
        refused: r#"spec.postgres.slot.name = "other""#,
        taken: r#"spec.postgres.slot.onLoss = "Resnapshot""#,
        from_the_start: false,
    },
    Change {
        kind: "Sink",
        at: "spec.source.name",
        says: "source.name cannot change once the Sink has begun",
        first: "",
        refused: r#"spec.source.name = "warehouse""#,
        taken: r#"spec.state = "paused""#,
        from_the_start: false,
    },
    Change {
        kind: "Sink",
        at: "spec.source",
        says: "source.table and source.tables cannot take each other's place once the Sink has begun",
        first: r#"spec.source = {"name": "shop", "tables": ["public.*"]}
                  spec.key = {"primaryKey": true}
                  spec.kafka.topic.name = "shop.{table}""#,
        refused: r#"spec.source = {"name": "shop", "table": "public.orders"}
                    spec.key = {"columns": ["id"]}
                    spec.kafka.topic.name = "shop.orders""#,
        taken: r#"spec.source.tables = ["public.*", "!public.log"]"#,
        from_the_start: false,
    },
    Change {
        kind: "Sink",
        at: "spec.pool",
        says: "pool cannot change once the Sink has begun",
        first: "",
        refused: r#"spec.pool = "bulk""#,
        taken: r#"spec.kafka.compression = "lz4""#,
        from_the_start: false,
    },
    Change {
        kind: "Sink",
        at: "spec.kafka.connection",
        says: "kafka.connection cannot change once the Sink has begun",
        first: "",
        refused: r#"spec.kafka.connection = "other""#,
        taken: r#"spec.kafka.commit.interval = "2s""#,
        from_the_start: false,
    },
    Change {
        kind: "Sink",
        at: "spec.kafka.topic.name",
        says: "kafka.topic.name cannot change once the Sink has begun",
        first: "",
        refused: r#"spec.kafka.topic.name = "orders-2""#,
        taken: "spec.kafka.topic.partitions = 8",
        from_the_start: false,
    },
    Change {
        kind: "Sink",
        at: "spec.kafka.transactionalIdPrefix",
        says: "kafka.transactionalIdPrefix cannot change once the Sink has begun",
        first: r#"spec.kafka.transactionalIdPrefix = "eu-""#,
        refused: "spec.kafka.transactionalIdPrefix (left out)",
        taken: r#"spec.kafka.progressGroupIdPrefix = "eu-""#,
        from_the_start: false,
    },
];
