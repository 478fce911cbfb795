//! A query over one table: the topic holds what the query would give, change by change.

use std::collections::BTreeMap;

use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::afterbay::Options;
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Afterbay, Format, History, Manifests, Message, Scenario, Sink, http, programs};
use serde_json::{Value, json};

use crate::chunks::in_chunks;

const SINK: &str = "Sink/t";

/// A Sink of this query, keyed by these columns of it.
fn queried(query: &str, topic: &str, key: &[&str]) -> Value {
    let mut sink: Value = Sink::new("t", "", topic).key(key).into();
    sink["spec"]["source"] = json!({"name": "shop", "query": query});
    sink
}

fn manifests(scenario: &Scenario, query: &str, topic: &str, key: &[&str]) -> Manifests {
    scenario.manifests().with(queried(query, topic, key))
}

/// Keys and values, in order.
fn pairs(messages: &[Message]) -> Vec<(Value, Value)> {
    messages.iter().map(|message| (message.key.clone(), message.value.clone())).collect()
}

/// Runs a Sink of this query, with JSON in one partition, and gives what comes of these statements one after the other.
async fn stream(test: &str, table: &str, query: &str, key: &[&str], changes: &[&str]) -> Vec<(Value, Value)> {
    let scenario = Scenario::new(test).await;
    scenario.database.run(table).await;
    let topic = scenario.topic("t");
    let manifests = manifests(&scenario, query, &topic, key).set(SINK, "spec.kafka.topic.partitions", 1);
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let before = scenario.messages(&topic, Format::Json).await.len();
    for change in changes {
        scenario.database.run(change).await;
    }
    afterbay.caught_up(&scenario).await;
    pairs(&scenario.messages(&topic, Format::Json).await).split_off(before)
}

#[tokio::test]
async fn columns_expressions_and_casts_in_json_and_avro() {
    let query = "SELECT id AS order_id, customer, (total * 100)::bigint AS cents, status::text, tags, \
                 CASE WHEN total > 10 THEN 'large' ELSE 'small' END AS size, coalesce(note, '-') || '!' AS said \
                 FROM orders o WHERE o.status::text <> 'draft'";
    for format in [Format::Json, Format::Avro] {
        let scenario = Scenario::new("query-expressions").await;
        let database = &scenario.database;
        database
            .run(
                "CREATE TYPE status AS ENUM ('draft', 'open', 'done'); CREATE TABLE orders (id int PRIMARY KEY, \
                 customer text NOT NULL, total numeric(10,2), status status NOT NULL, tags text[], note text, \
                 unread bytea); ALTER TABLE orders REPLICA IDENTITY FULL; \
                 COMMENT ON COLUMN orders.id IS 'which order'; \
                 INSERT INTO orders VALUES (1, 'ada', 12.34, 'open', '{a,NULL}'), (2, 'bob', NULL, 'draft', NULL)",
            )
            .await;
        let topic = scenario.topic("t");
        let mut manifests = manifests(&scenario, query, &topic, &["order_id"]);
        if format == Format::Avro {
            let docs = json!([
                {"column": "public.orders.cents", "text": "of a euro"},
                {"column": "public.orders.id", "for": "key", "text": "told by the table's name"},
            ]);
            manifests =
                manifests.set(SINK, "spec.kafka.format", json!({"avro": {"registry": "schemas", "docs": docs}}));
        }
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        database.run("UPDATE orders SET status = 'open', note = 'now' WHERE id = 2").await;
        database.run("UPDATE orders SET total = 5, unread = '\\x00' WHERE id = 1").await;
        database.run("DELETE FROM orders WHERE id = 2").await;
        afterbay.caught_up(&scenario).await;
        let mut rows: Vec<_> = scenario
            .messages(&topic, format)
            .await
            .into_iter()
            .map(|message| {
                let cells = ["customer", "cents", "status", "tags", "size", "said"];
                let cell = |name: &str| message.value.get(name).cloned().unwrap_or(Value::Null);
                (message.key["order_id"].as_i64().unwrap(), cells.map(cell).to_vec())
            })
            .collect();
        let row = |cells: Value| cells.as_array().unwrap().clone();
        let gone = vec![Value::Null; 6];
        let mut expected = vec![
            (1, row(json!(["ada", 1234, "open", ["a", null], "large", "-!"]))),
            (2, row(json!(["bob", null, "open", null, "small", "now!"]))),
            (1, row(json!(["ada", 500, "open", ["a", null], "small", "-!"]))),
            (2, gone),
        ];
        // By key, as each has its partition.
        expected.sort_by_key(|(id, _)| *id);
        rows.sort_by_key(|(id, _)| *id);
        assert_eq!(rows, expected, "{format:?}");
        if format == Format::Avro {
            let value = schema(&scenario, &format!("{topic}-value")).await;
            let field = |name: &str| {
                let fields = value["fields"].as_array().unwrap();
                fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}: {value}")).clone()
            };
            assert_eq!(field("order_id"), json!({"name": "order_id", "type": "int", "doc": "which order"}));
            assert_eq!(field("cents"), json!({"name": "cents", "type": ["null", "long"], "doc": "of a euro"}));
            assert_eq!(field("status"), json!({"name": "status", "type": "string"}));
            let key = schema(&scenario, &format!("{topic}-key")).await;
            assert_eq!(key["fields"][0]["doc"], json!("told by the table's name"));
        }
    }
}

/// The newest schema of a subject.
async fn schema(scenario: &Scenario, subject: &str) -> Value {
    let url = format!("{}/subjects/{subject}/versions/latest", scenario.rig.registry());
    let (status, body) = http::request("GET", &url, "").await.expect("the registry answers");
    assert_eq!(status, 200, "{subject}: {body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    serde_json::from_str(answer["schema"].as_str().expect("a schema")).expect("a schema in JSON")
}

/// With REPLICA IDENTITY FULL any column may decide.
#[tokio::test]
async fn a_filter_makes_insertions_and_deletions_of_updates() {
    let found = stream(
        "query-filter",
        "CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL; \
         INSERT INTO t VALUES (1, 1), (2, -2), (3, NULL)",
        "SELECT id, n FROM t WHERE n > 0",
        &["id"],
        &[
            "UPDATE t SET n = 2 WHERE id = 1",
            "UPDATE t SET n = -1 WHERE id = 1",
            "UPDATE t SET n = -3 WHERE id = 1",
            "UPDATE t SET n = 4 WHERE id = 2",
            "UPDATE t SET n = 5 WHERE id = 3",
            "UPDATE t SET id = 4 WHERE id = 3",
            "UPDATE t SET id = 5, n = -1 WHERE id = 4",
            "UPDATE t SET id = 6, n = 6 WHERE id = 5",
            "DELETE FROM t WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
            "INSERT INTO t VALUES (7, 0)",
        ],
    )
    .await;
    let row = |id: i64, n: i64| (json!({"id": id}), json!({"id": id, "n": n}));
    let gone = |id: i64| (json!({"id": id}), Value::Null);
    assert_eq!(found, [row(1, 2), gone(1), row(2, 4), row(3, 5), gone(3), row(4, 5), gone(4), row(6, 6), gone(2)]);
}

/// Where the filter looks at the primary key alone, the default identity tells enough; and large values that the query does
/// not read are of no matter.
#[tokio::test]
async fn the_default_identity_does_for_what_it_holds() {
    let found = stream(
        "query-default",
        "CREATE TABLE t (region int, id int, n int, large text, PRIMARY KEY (region, id)); \
         ALTER TABLE t ALTER large SET STORAGE EXTERNAL; \
         INSERT INTO t SELECT i, i, i, repeat('x', 100000) FROM generate_series(0, 2) i",
        "SELECT id, region, n * 2 AS twice FROM t WHERE region <> 0",
        &["region", "id"],
        &[
            "UPDATE t SET n = 5 WHERE region = 1",
            "UPDATE t SET n = 5 WHERE region = 0",
            "UPDATE t SET region = 0 WHERE id = 1",
            "UPDATE t SET region = 3 WHERE id = 0",
            "UPDATE t SET region = 4 WHERE region = 3",
            "UPDATE t SET large = 'y' WHERE region = 2",
            "DELETE FROM t WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
        ],
    )
    .await;
    let key = |region: i64, id: i64| json!({"region": region, "id": id});
    let row = |region: i64, id: i64, twice: i64| (key(region, id), json!({"id": id, "region": region, "twice": twice}));
    let gone = |region: i64, id: i64| (key(region, id), Value::Null);
    let expected = [
        row(1, 1, 10),
        gone(1, 1),
        row(3, 0, 10),
        gone(3, 0),
        row(4, 0, 10),
        // Of what the query does not read nothing changed: the row is told again all the same.
        row(2, 2, 4),
        gone(2, 2),
    ];
    assert_eq!(found, expected);
}

/// What a filter needs of old rows must be in the log.
#[tokio::test]
async fn the_columns_of_the_filter_must_be_in_the_replica_identity() {
    let scenario = Scenario::new("query-identity").await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int, m int, s text)").await;
    for (query, words) in [
        ("SELECT id FROM t WHERE n > 0", "column \"n\", by which the query's WHERE says"),
        ("SELECT id, s FROM t", "column \"s\" can be stored out of line"),
    ] {
        let manifests = manifests(&scenario, query, &scenario.topic("t"), &["id"]);
        let told = scenario.validate(&manifests, &["--online"]).await;
        let log = told.log.concat();
        assert!(!told.success() && log.contains("spec.source.query: ReplicaIdentityInsufficient"), "{log}");
        assert!(log.contains(words) && log.contains("REPLICA IDENTITY FULL"), "{log}");
    }
    let fit = manifests(&scenario, "SELECT id, n + m AS sum FROM t", &scenario.topic("t"), &["id"]);
    let told = scenario.validate(&fit, &["--online"]).await;
    assert!(told.success(), "{told:?}");
}

#[tokio::test]
async fn the_debezium_envelope_tells_what_the_query_gave_before() {
    let scenario = Scenario::new("query-debezium").await;
    let database = &scenario.database;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t VALUES (1, 1), (2, -2)",
        )
        .await;
    let topic = scenario.topic("t");
    let manifests = manifests(&scenario, "SELECT id AS k, n * 10 AS ten FROM t WHERE n > 0", &topic, &["k"])
        .set(SINK, "spec.kafka.envelope", "debezium")
        .set(SINK, "spec.kafka.partitionBy", "k")
        .set(SINK, "spec.kafka.topic.partitions", 1);
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    for change in [
        "UPDATE t SET n = 2 WHERE id = 1",
        "UPDATE t SET id = 3 WHERE id = 1",
        "UPDATE t SET n = 0 WHERE id = 3",
        "UPDATE t SET n = 4 WHERE id = 2",
        "DELETE FROM t",
    ] {
        database.run(change).await;
    }
    afterbay.caught_up(&scenario).await;
    let row = |k: i64, ten: i64| json!({"k": k, "ten": ten});
    let change = |k: i64, before: Value, after: Value| (json!({"k": k}), json!({"before": before, "after": after}));
    let none = Value::Null;
    let expected = [
        change(1, none.clone(), row(1, 10)),
        change(1, row(1, 10), row(1, 20)),
        change(1, row(1, 20), none.clone()),
        change(3, none.clone(), row(3, 20)),
        change(3, row(3, 20), none.clone()),
        change(2, none.clone(), row(2, 40)),
        change(2, row(2, 40), none),
    ];
    assert_eq!(pairs(&scenario.messages(&topic, Format::Json).await), expected);
}

#[tokio::test]
async fn partition_and_headers_are_those_of_the_outputs() {
    let scenario = Scenario::new("query-partition").await;
    let database = &scenario.database;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n int, h jsonb, unread text); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t SELECT i, i, jsonb_build_object('n', i::text) FROM generate_series(1, 300) i",
        )
        .await;
    let topic = scenario.topic("t");
    let query = "SELECT id, n + 1 AS place, h AS said FROM t WHERE n % 10 <> 0";
    let manifests = in_chunks(manifests(&scenario, query, &topic, &["id"]), 40)
        .set(SINK, "spec.kafka.partitionBy", "place * 2")
        .set(SINK, "spec.kafka.headers", "said")
        .set(SINK, "spec.kafka.topic.partitions", 7);
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database.run("UPDATE t SET n = n + 1 WHERE id <= 100; DELETE FROM t WHERE id > 250").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let of_snapshot = messages.iter().filter(|message| message.position().contains(":s")).count();
    assert_eq!(of_snapshot, 270);
    let mut gone = 0;
    for message in &messages {
        let place = if message.value.is_null() {
            gone += 1;
            // One that left the filter had n before; one that was deleted, too.
            message.key["id"].as_i64().unwrap() + 1
        } else {
            message.integer("place")
        };
        assert_eq!(i64::from(message.partition), place * 2 % 7, "{message:?}");
        assert!(!message.header("n").is_empty());
    }
    // Ten have come to a multiple of ten, and of the last fifty five were none of the topic's.
    assert_eq!(gone, 10 + 45);
}

#[tokio::test]
async fn a_key_is_unique_under_its_new_name() {
    let scenario = Scenario::new("query-key").await;
    scenario
        .database
        .run("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, g int GENERATED ALWAYS AS (n + 1) STORED)")
        .await;
    let query = "SELECT id AS a, n AS b, id + 1 AS c FROM t";
    for (query, key, field, words) in [
        (query, "id", "spec.key.columns: ColumnNotFound", "the query over table public.t has no column \"id\""),
        (query, "b", "spec.key.columns: KeyNotUnique", "upsert key could not be validated as unique"),
        (query, "b", "spec.key.columns: KeyNotUnique", "(\"a\")"),
        (query, "c", "spec.key.columns: KeyNotUnique", "The following keys are known to be unique"),
        (
            "SELECT n AS b FROM t",
            "b",
            "spec.key.columns: KeyNotUnique",
            "There are no known valid unique keys for the upstream relation.",
        ),
        (
            "SELECT id, g FROM t",
            "id",
            "spec.source.query: QueryInvalid",
            "column \"g\" is a generated column, which is not replicated",
        ),
        ("SELECT id, m FROM t", "id", "spec.source.query: QueryInvalid", "there is no column \"m\" in public.t"),
        ("SELECT id FROM t WHERE n", "id", "spec.source.query: QueryInvalid", "WHERE"),
        ("SELECT id FROM nobody", "id", "spec.source.query: TableNotFound", "public.nobody"),
    ] {
        let manifests = manifests(&scenario, query, &scenario.topic("t"), &[key]);
        let told = scenario.validate(&manifests, &["--online"]).await;
        let log = told.log.concat();
        assert!(!told.success() && log.contains(field) && log.contains(words), "{query}, {key}: {log}");
    }
    let told = scenario.validate(&manifests(&scenario, query, &scenario.topic("t"), &["b", "a"]), &["--online"]).await;
    assert!(!told.success() && told.log.concat().contains("old value of key column \"n\""), "{told:?}");
    let told = scenario.validate(&manifests(&scenario, query, &scenario.topic("t"), &["a"]), &["--online"]).await;
    assert!(told.success(), "{told:?}");
}

#[tokio::test]
async fn what_is_not_stateless_is_refused_by_name() {
    let scenario = Scenario::new("query-refused").await;
    for (query, words) in [
        ("SELECT * FROM a JOIN b ON a.id = b.id", "JOIN is not supported"),
        ("SELECT count(*) FROM t", "count"),
        ("SELECT DISTINCT id FROM t", "DISTINCT is not supported"),
        ("SELECT id, now() AS at FROM t", "now"),
        ("SELECT id FROM t ORDER BY id", "ORDER BY is not supported"),
        ("SELECT id,\n  current_date AS at FROM t", "(at line 2, character 3)"),
        ("SELECT id FROM t WHERE (id > 0", "syntax error"),
    ] {
        let manifests = manifests(&scenario, query, &scenario.topic("t"), &["id"]);
        let told = scenario.validate(&manifests, &[]).await;
        let log = told.log.concat();
        assert!(!told.success() && log.contains("spec.source.query: ") && log.contains(words), "{query}: {log}");
    }
    let both = manifests(&scenario, "SELECT id FROM t", &scenario.topic("t"), &["id"]);
    let told = scenario.validate(&both.set(SINK, "spec.source.table", "public.t"), &[]).await;
    assert!(!told.success() && told.log.concat().contains("spec.source.query: table is there too"), "{told:?}");
}

/// Nothing is lost and nothing repeated: with a query that says what becomes of the row it goes on from there.
#[tokio::test]
async fn a_row_that_cannot_be_computed_stops_the_sink_until_the_query_can() {
    for (wrong, right, clause, expected) in [
        (
            "SELECT id, a / b AS q FROM t",
            "SELECT id, CASE WHEN b <> 0 THEN a / b END AS q FROM t",
            "output column \"q\" cannot be computed: division by zero",
            json!([[1, 2], [2, null], [3, 3], [1, 12]]),
        ),
        (
            "SELECT id, a AS q FROM t WHERE 7777 / b > 0",
            "SELECT id, a AS q FROM t WHERE b <> 0 AND 7777 / b > 0",
            "the condition after WHERE cannot be computed: division by zero",
            json!([[1, 8888], [3, 9], [1, 48]]),
        ),
    ] {
        let scenario = Scenario::new("query-row").await;
        let database = &scenario.database;
        database.run("CREATE TABLE t (id int PRIMARY KEY, a int, b int); ALTER TABLE t REPLICA IDENTITY FULL").await;
        let a = if wrong.contains("WHERE") { 8888 } else { 8 };
        database.run(&format!("INSERT INTO t VALUES (1, {a}, 4)")).await;
        let topic = scenario.topic("t");
        let manifests = manifests(&scenario, wrong, &topic, &["id"]).set(SINK, "spec.kafka.topic.partitions", 1);
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        database.run("INSERT INTO t VALUES (2, 6543, 0), (3, 9, 3)").await;
        database.run("UPDATE t SET a = 48 WHERE id = 1").await;
        let (message, hint) = afterbay.stalled("t", "ValueNotComputable").await;
        assert!(message.contains(clause) && message.contains("public.t"), "{message}");
        assert!(message.contains("with the key id 2") && !message.contains("6543"), "{message}");
        assert!(hint.contains("spec.source.query"), "{hint}");
        assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
        afterbay.stop().await;
        scenario.carry(&manifests.set(SINK, "spec.source.query", right)).await;
        let messages = scenario.messages(&topic, Format::Json).await;
        let found: Vec<_> = messages.iter().map(|message| json!([message.value["id"], message.value["q"]])).collect();
        assert_eq!(Value::from(found), expected);
    }
}

/// What is read by its name stays what it is; `*` is what the table has.
#[tokio::test]
async fn columns_that_change_matter_where_the_query_reads_them() {
    let scenario = Scenario::new("query-columns").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL").await;
    let (named, all) = (scenario.topic("named"), scenario.topic("all"));
    let mut second = queried("SELECT * FROM t", &all, &["id"]);
    second["metadata"]["name"] = json!("all");
    let manifests = manifests(&scenario, "SELECT id, n FROM t", &named, &["id"])
        .with(second)
        .set(SINK, "spec.kafka.topic.partitions", 1)
        .set("Sink/all", "spec.kafka.topic.partitions", 1);
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    database
        .run("INSERT INTO t VALUES (1, 1); ALTER TABLE t ADD COLUMN more text; INSERT INTO t VALUES (2, 2, 'x')")
        .await;
    afterbay.caught_up(&scenario).await;
    let values = async |topic: &str| -> Vec<Value> {
        scenario.messages(topic, Format::Json).await.into_iter().map(|message| message.value).collect()
    };
    let row = |id: i64| json!({"id": id, "n": id});
    assert_eq!(values(&named).await, [row(1), row(2)]);
    assert_eq!(values(&all).await, [row(1), json!({"id": 2, "n": 2, "more": "x"})]);
    database.run("ALTER TABLE t RENAME COLUMN n TO m; INSERT INTO t VALUES (3, 3)").await;
    let (message, _) = afterbay.stalled("t", "QueryInvalid").await;
    assert!(message.contains("there is no column \"n\""), "{message}");
    afterbay.sink_caught_up(&scenario, "all").await;
    assert_eq!(values(&all).await[2], json!({"id": 3, "m": 3, "more": null}));
    assert_eq!(values(&named).await.len(), 2);
    afterbay.stop().await;
    scenario.carry(&manifests.set(SINK, "spec.source.query", "SELECT id, m AS n FROM t")).await;
    assert_eq!(values(&named).await, [row(1), row(2), row(3)]);
}

/// The example, as it stands, on a shop of the test's own.
#[tokio::test]
async fn the_example_carries_what_it_says() {
    let scenario = Scenario::new("query-example").await;
    let database = &scenario.database;
    database
        .run(
            "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text NOT NULL, \
             total numeric(10, 2) NOT NULL, placed_at timestamptz NOT NULL DEFAULT now()); \
             ALTER TABLE orders REPLICA IDENTITY FULL; \
             INSERT INTO orders VALUES (1, 7, 'new', 12.34), (2, 7, 'cancelled', 1), (3, 8, 'new', 100)",
        )
        .await;
    let topic = scenario.topic("open-orders");
    let example = std::fs::read_to_string(programs::repository().join("examples/queries/sinks.yaml")).unwrap();
    let of_topic = "      name: open-orders";
    assert_eq!(example.matches(of_topic).count(), 1);
    let file = scenario.folder().join("example.yaml");
    let example = example.replace(of_topic, &format!("      name: {topic}"));
    std::fs::write(&file, format!("{}\n---\n{example}", scenario.manifests().to_yaml())).unwrap();
    for change in ["SELECT 1", "UPDATE orders SET status = 'cancelled' WHERE id = 1"] {
        database.run(change).await;
        let once = Options::default().argument("--until-caught-up");
        let finished = Afterbay::start(&scenario, &file, &once).wait().await;
        assert!(finished.success(), "{finished:?}");
    }
    let mut found = pairs(&scenario.messages(&topic, Format::Json).await);
    found.sort_by_key(|(key, _)| key["order_id"].as_i64());
    let key = |id: i64| json!({"order_id": id});
    let row = |id: i64, customer: i64, cents: i64, size: &str| {
        (key(id), json!({"order_id": id, "customer_id": customer, "cents": cents, "size": size}))
    };
    assert_eq!(found, [row(1, 7, 1234, "small"), (key(1), Value::Null), row(3, 8, 10_000, "large")]);
}

/// What the query gives when it is run in the database, and what a reader who keeps the last of each key has.
async fn is_what_the_database_says(scenario: &Scenario, query: &str, messages: &[Message]) {
    let mut kept: BTreeMap<i64, Value> = BTreeMap::new();
    for message in messages {
        let id = message.key["id"].as_i64().unwrap();
        if message.value.is_null() {
            kept.remove(&id);
        } else {
            kept.insert(id, message.value.clone());
        }
    }
    let rows = scenario.database.rows(&format!("SELECT q.id, to_jsonb(q)::text FROM ({query}) q")).await;
    let expected = rows.into_iter().map(|row| {
        let mut cells = row.into_iter().flatten();
        let mut next = || cells.next().expect("a value");
        (next().parse().expect("a number"), serde_json::from_str(&next()).expect("JSON"))
    });
    assert_eq!(kept, expected.collect());
}

const FILTERED: &str = "SELECT id, n, n * 2 + 1 AS more FROM ledger WHERE n % 3 <> 0";
/// Of what was noted, what the filter leaves: a key that leaves it is gone.
const NOTES_OF_FILTERED: &str = "
    CREATE TABLE judged AS SELECT seq, passes, lag(passes, 1, false) OVER (PARTITION BY id ORDER BY seq) AS passed
        FROM (SELECT seq, id, coalesce(n % 3 <> 0, false) AS passes FROM notes) noted;
    DELETE FROM notes USING judged WHERE notes.seq = judged.seq AND NOT passes AND NOT passed;
    UPDATE notes SET n = NULL FROM judged WHERE notes.seq = judged.seq AND NOT passes";

async fn history_is_exact(scenario: &Scenario, history: &History<'_>, topic: &str) {
    let messages = scenario.messages(topic, Format::Json).await;
    is_what_the_database_says(scenario, FILTERED, &messages).await;
    scenario.database.run(NOTES_OF_FILTERED).await;
    history.check(&messages, true).await;
}

async fn ledger(scenario: &Scenario, rows: u32, chunk_rows: u32) -> (History<'_>, String, Manifests) {
    let history = History::begin(&scenario.database, rows).await;
    scenario.database.run("ALTER TABLE ledger REPLICA IDENTITY FULL").await;
    let topic = scenario.topic("ledger");
    let manifests = manifests(scenario, FILTERED, &topic, &["id"]).set(SINK, "spec.kafka.topic.partitions", 3);
    (history, topic, in_chunks(manifests, chunk_rows))
}

#[tokio::test]
async fn a_worker_that_is_killed_under_load_carries_the_query_exactly() {
    let scenario = Scenario::new("query-killed").await;
    let (history, topic, manifests) = ledger(&scenario, 2_000, 50).await;
    let writers = [history.writer().await, history.writer().await];
    let afterbay = scenario.run(&manifests);
    for round in 1..=3_u64 {
        // On a fast machine the snapshot may be through.
        let goes_on = |sink: &SinkReport| sink.snapshot_rows >= round * 400 || sink.state == SinkState::Running;
        afterbay.sink("goes on", "t", goes_on).await;
        afterbay.kill_worker().await;
    }
    let committed = async |afterbay: &Afterbay, more: u64| {
        let now = afterbay.report().await.map_or(0, |report| report.sinks[0].messages_committed);
        afterbay.sink("goes on", "t", move |sink| sink.messages_committed > now + more).await
    };
    for _ in 0..3 {
        committed(&afterbay, 50).await;
        afterbay.kill_worker().await;
    }
    committed(&afterbay, 50).await;
    for writer in writers {
        writer.stop().await;
    }
    afterbay.caught_up(&scenario).await;
    history_is_exact(&scenario, &history, &topic).await;
}

/// With changes on both sides of the cursor, and a record that lags behind what was left out.
#[tokio::test]
async fn a_worker_that_dies_at_a_commit_carries_the_query_exactly() {
    for (point, nth) in [("staged", 70), ("progress-staged", 3), ("flushed", 3), ("committed", 3)] {
        let scenario = Scenario::new(&format!("query-{point}")).await;
        let (history, topic, manifests) = ledger(&scenario, 400, 20).await;
        let writer = history.writer().await;
        let afterbay = scenario.run_with(&manifests, &Options::default().dies_at(&scenario, point, nth));
        afterbay.worker_has_died().await;
        // On a fast machine the worker that died may have been through the snapshot: what counts is that the writer goes on behind it.
        let is_through = |sink: &SinkReport| sink.state == SinkState::Running && sink.messages_committed > 150;
        afterbay.sink("is through", "t", is_through).await;
        writer.stop().await;
        afterbay.caught_up(&scenario).await;
        history_is_exact(&scenario, &history, &topic).await;
    }
}

/// The whole table in one transaction, and no transaction for what is left out of the stream.
#[tokio::test]
async fn what_is_left_out_moves_the_position_all_the_same() {
    let scenario = Scenario::new("query-left-out").await;
    let (history, topic, manifests) = ledger(&scenario, 30, 1).await;
    let manifests = manifests.set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": "Consistent"})).set(
        SINK,
        "spec.source.query",
        "SELECT id, n FROM ledger WHERE n < 0",
    );
    scenario.carry(&manifests).await;
    history.work(200).await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    afterbay.kill_worker().await;
    history.work(200).await;
    afterbay.caught_up(&scenario).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 0);
    scenario.database.run("INSERT INTO ledger VALUES (-1, -1)").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert_eq!(pairs(&messages), [(json!({"id": -1}), json!({"id": -1, "n": -1}))]);
    // The log before what was left out is needed no more.
    let place = |position: &Option<String>| position.as_deref().and_then(|it| it.split(':').next()).map(lsn);
    let before = place(&afterbay.report().await.expect("the worker answers").sinks[0].position);
    history.work(200).await;
    let moved = afterbay.sink("its position moves", "t", |sink| place(&sink.position) > before).await;
    assert_eq!(moved.messages_committed, 1);
}
