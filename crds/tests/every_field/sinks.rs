//! Sinks.

use serde_json::{Value, json};

use super::manifests::good;
use super::{check, errors_of};

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
spec.state = "stopped"
spec.state = true
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
spec.kafka.commit = "1s"
spec.kafka.commit = null
spec.kafka.commit.interval = 10
spec.kafka.commit.interval = null
spec.kafka.commit.interval = "10"
spec.kafka.commit.interval = "1 s"
spec.kafka.commit.interval = "1.5s"
spec.kafka.commit.interval = "0ms"
spec.kafka.commit.interval = "31s"
spec.kafka.commit.interval = "2501ms"
spec.kafka.commit.interval = "3s"
spec.kafka.commit.intervall = "1s"
spec.kafka.commit.bytes = 65536
spec.kafka.commit.bytes = "16MB"
spec.kafka.commit.bytes = "0Ki"
spec.kafka.commit.bytes = "-1"
spec.kafka.commit.records = 0
spec.kafka.commit.records = -1
spec.kafka.commit.records = "1000"
spec.kafka.commit.records = 3000000000
spec.kafka.commit.timeout = 5000
spec.kafka.commit.timeout = "999ms"
spec.kafka.commit.timeout = "2m"
spec.kafka.commit.timeout = "soon"
spec.kafka.commit.timeout = {"ms": 5000}
spec.kafka.commit.maxRecords = 10
spec.kafka.format (left out)
spec.kafka.format = {}
spec.kafka.format = "json"
spec.kafka.format = {"json": null}
spec.kafka.format = {"json": {"values": "raw"}}
spec.kafka.format.json = {}
spec.kafka.format.avro = {}
spec.kafka.format.avro.registry = "schema"
spec.pool = 1
spec.pool = ""
spec.pool = "Bulk"
spec.pool = "a-b"
spec.pools = ["default"]
spec.kafka.topic.name = "progress"
"#,
    );
}

#[test]
fn queries() {
    check(
        "Sink/open-orders",
        r#"
spec.source.query (left out)
spec.source.query = null
spec.source.query = ["SELECT id FROM public.orders"]
spec.source.query = ""
spec.source.query = " \n"
spec.source.table = "public.orders"
spec.source.querry = "SELECT 1"
"#,
    );
}

#[test]
fn patterns() {
    check(
        "Sink/everything",
        r#"
spec.source.tables (left out)
spec.source.tables = []
spec.source.tables = "public.*"
spec.source.tables = ["public.*", "orders"]
spec.source.tables = ["public.*", "!a.b.c"]
spec.source.tables = ["public.\"x"]
spec.source.tables = ["public.my-*"]
spec.source.tables = ["!public.*"]
spec.source.tables = ["public.*", "sales.*"]
spec.source.tables = ["*.orders"]
spec.source.tables = [1]
spec.source.table = "public.orders"
spec.source.query = "SELECT 1"
spec.key (left out)
spec.key = {}
spec.key = {"columns": ["id"]}
spec.key.primaryKey = false
spec.key.primaryKey = "yes"
spec.key.notEnforced = true
spec.kafka.topic.name = "orders"
spec.kafka.topic.name = "{schema}"
spec.kafka.topic.name = "{table} {schema}"
spec.kafka.topic.name = "{tables}.{table}"
"#,
    );
}

#[test]
fn sinks_of_patterns_and_others_do_not_meet_in_a_topic() {
    let mut manifests = good();
    let first = manifests.iter().position(|it| it["metadata"]["name"] == "everything").expect("it is there");
    let mut second = manifests[first].clone();
    second["metadata"]["name"] = json!("more");
    manifests.push(second);
    let told = |manifests: &[Value]| -> Vec<String> {
        errors_of(manifests).into_iter().map(|error| format!("{}: {}", error.field, error.what)).collect()
    };
    let meets = format!(
        "spec.kafka.topic.name: Sink default/everything (document {} of shop.yaml) can come to fill a topic of the same name",
        first + 1
    );
    assert_eq!(told(&manifests), std::slice::from_ref(&meets));
    let last = manifests.len() - 1;
    manifests[last]["spec"]["source"]["tables"] = json!(["public.customers"]);
    assert_eq!(told(&manifests), [] as [&str; 0], "the other one leaves it out");
    manifests[last]["spec"]["source"]["tables"] = json!(["sales.customers"]);
    assert_eq!(told(&manifests), std::slice::from_ref(&meets), "in another schema it is another table");
    manifests[last]["spec"]["kafka"]["topic"]["name"] = json!("others.{table}");
    assert_eq!(told(&manifests), [] as [&str; 0]);
    manifests[last]["spec"]["kafka"]["topic"]["name"] = json!("{table}");
    assert_eq!(told(&manifests), [] as [&str; 0], "no table there can be named so");
    manifests[last]["spec"]["source"]["tables"] = json!(["sales.\"all.\"*"]);
    assert_eq!(told(&manifests), [meets]);
    manifests[last]["spec"]["kafka"]["connection"] = json!("mutual");
    assert_eq!(told(&manifests), [] as [&str; 0], "it is another cluster's");
}

#[test]
fn snapshots_of_many_tables_are_taken_in_chunks() {
    let mut manifests = good();
    manifests[4]["spec"]["postgres"]["snapshot"] = json!({"mode": "Consistent"});
    let errors = errors_of(&manifests);
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!(error.field, "spec.source.tables");
    assert!(error.what.contains("SourceConnector replicated takes snapshots all at once"), "{error:?}");
    let sink = manifests.iter_mut().find(|it| it["metadata"]["name"] == "everything").expect("it is there");
    sink["spec"]["snapshot"] = json!(false);
    assert_eq!(errors_of(&manifests), []);
}

#[test]
fn formats() {
    check(
        "Sink/full",
        r#"
spec.kafka.format.avro.keyFullname (left out)
spec.kafka.format.avro.valueFullname (left out)
spec.kafka.format.avro.valueFullname = "com..Order"
spec.kafka.format.avro.nullDefaults = "true"
spec.kafka.format.avro.keyCompatibilityLevel = "backward"
spec.kafka.format.avro.valueCompatibilityLevel = "SOME"
spec.kafka.format.avro.fullname = "row"
spec.kafka.format.avro.docs = {"type": "public.orders"}
spec.kafka.format.avro.docs = [{"text": "nothing"}]
spec.kafka.format.avro.docs = [{"type": "orders", "text": "a"}]
spec.kafka.format.avro.docs = [{"column": "public.orders", "text": "a"}]
spec.kafka.format.avro.docs = [{"type": "public.orders"}]
spec.kafka.format.avro.docs = [{"type": "public.orders", "column": "public.orders.id", "text": "a"}]
spec.kafka.format.avro.docs = [{"type": "public.orders", "text": "a", "for": "keys"}]
spec.kafka.format.avro.docs = [{"type": "public.orders", "text": "a"}, {"type": "public.orders", "text": "b"}]
spec.kafka.format = {"json": {}, "text": {}}
spec.kafka.format = {"text": {}, "bytes": {}}
spec.kafka.format = {"value": {"json": {}}}
spec.kafka.format = {"key": {"json": {}}, "value": {"json": {}, "bytes": {}}}
spec.kafka.format = {"key": {}, "value": {"json": {}}}
spec.kafka.format = {"key": {"json": {}}, "json": {}}
spec.kafka.format = {"key": {"avro": {"registry": "schema"}}, "value": {"json": {}}}
spec.kafka.format = {"key": {"json": {}}, "value": {"avro": {"registry": "schemas", "fullname": "1"}}}
spec.kafka.format = {"key": {"json": {}}, "value": {"avro": {"registry": "schemas", "docs": [{"column": "public.\"t", "text": ""}]}}}
spec.kafka.format = {"key": {"json": {}}, "value": {"avro": {"registry": "schemas", "valueFullname": "a"}}}
spec.key.notEnforced = "yes"
spec.kafka.headers = ""
spec.kafka.headers = ["h"]
spec.kafka.partitionBy = 1
spec.kafka.partitionBy = ""
spec.kafka.transactionalIdPrefix = ""
spec.kafka.transactionalIdPrefix = "a\n"
spec.kafka.progressGroupIdPrefix = ""
"#,
    );
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
fn two_sinks_do_not_fill_one_topic() {
    let mut manifests = good();
    let mut second = manifests[5].clone();
    second["metadata"]["name"] = json!("orders-too");
    manifests.push(second);
    let errors = errors_of(&manifests);
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!((error.field.as_str(), error.place.document), ("spec.kafka.topic.name", Some(manifests.len())));
    assert_eq!(error.what, "Sink default/orders (document 6 of shop.yaml) fills topic orders of default/events too");
    let last = manifests.last_mut().expect("one was added");
    last["spec"]["kafka"]["connection"] = json!("mutual");
    assert_eq!(errors_of(&manifests), [], "it is another cluster's");
}

/// What is asked of the good Sink when its spec is changed: the errors, as `field: what`.
fn told(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut manifests = good();
    let spec = &mut manifests[5]["spec"];
    spec["key"]["columns"] = json!(["id"]);
    spec["kafka"]["topic"].as_object_mut().expect("an object").shift_remove("config");
    change(spec);
    errors_of(&manifests).into_iter().map(|error| format!("{}: {}", error.field, error.what)).collect()
}

#[test]
fn formats_that_envelope_or_key_do_not_go_with() {
    let avro = |more: Value| {
        let mut avro = json!({"registry": "schemas"});
        avro.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"avro": avro})
    };
    let debezium =
        |format: Value| told(|spec| (spec["kafka"]["envelope"], spec["kafka"]["format"]) = (json!("debezium"), format));
    let field = "spec.kafka.format";
    assert_eq!(debezium(json!({"key": {"text": {}}, "value": {"json": {}}})), [] as [&str; 0]);
    let one = "holds one column, and the debezium envelope has before and after";
    assert_eq!(debezium(json!({"text": {}})), [format!("{field}: text {one}")]);
    assert_eq!(debezium(json!({"key": {"json": {}}, "value": {"bytes": {}}})), [format!("{field}.value: bytes {one}")]);
    let named = avro(json!({"keyFullname": "a.row", "valueFullname": "a.row"}));
    let row = "the debezium envelope names the record of the row so";
    assert_eq!(debezium(named), [format!("{field}.avro.valueFullname: {row}")]);
    let headers =
        |spec: &mut Value| (spec["kafka"]["envelope"], spec["kafka"]["headers"]) = (json!("debezium"), json!("h"));
    assert_eq!(told(headers), ["spec.kafka.headers: headers go with the upsert envelope only"]);
    let keyless = |format: Value| {
        told(|spec| {
            spec.as_object_mut().expect("an object").shift_remove("key");
            (spec["kafka"]["envelope"], spec["kafka"]["format"]) = (json!("debezium"), format);
        })
    };
    assert_eq!(keyless(avro(json!({"valueFullname": "a.b"}))), [] as [&str; 0], "there is no key to be named");
    assert_eq!(keyless(json!({"value": {"json": {}}})), [] as [&str; 0]);
    assert_eq!(
        keyless(json!({"key": {"json": {}}, "value": {"json": {}}})),
        [format!("{field}.key: the Sink has no key")]
    );
    let level = avro(json!({"keyCompatibilityLevel": "NONE"}));
    assert_eq!(keyless(level), [format!("{field}.avro.keyCompatibilityLevel: the Sink has no key")]);
    let many =
        told(|spec| (spec["key"]["columns"], spec["kafka"]["format"]) = (json!(["id", "n"]), json!({"text": {}})));
    assert_eq!(many, [format!("{field}: text holds one column, and the key has 2")]);
}
