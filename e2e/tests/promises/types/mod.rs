//! From values to messages: every SQL type, from the snapshot and from the stream, in JSON and in Avro, as a client that
//! is not ours reads it, compared with what SQL says of the same rows.

mod cases;
mod expressions;

use std::collections::BTreeMap;

use afterbay_e2e::{Database, Format, Message, Scenario, Sink, http};
use serde_json::{Number, Value, json};

use cases::{Case, Read, TYPES, cases};

/// Rows of the stream have the ids of the snapshot's, and this.
const STREAMED: i64 = 1_000;

#[tokio::test]
async fn json_shows_every_type() {
    check("types-json", Format::Json, "").await;
}

#[tokio::test]
async fn avro_shows_every_type() {
    check("types-avro", Format::Avro, "").await;
}

#[tokio::test]
async fn avro_shows_every_type_where_no_null_is_allowed() {
    check("types-strict", Format::Avro, "NOT NULL").await;
}

async fn check(test: &str, format: Format, constraint: &str) {
    let scenario = Scenario::new(test).await;
    let database = &scenario.database;
    let nullable = constraint.is_empty();
    let cases = cases(database).await;
    create(database, &cases, constraint).await;
    database.run(&insert(&cases, 0, nullable)).await;
    let topic = scenario.topic("values");
    let sink = Sink::new("values", "public.\"values\"", &topic).key(&["id"]).debezium().format(format);
    let afterbay = scenario.run(&scenario.manifests().with(sink));
    afterbay.caught_up(&scenario).await;
    database.run(&insert(&cases, STREAMED, nullable)).await;
    database.run(&format!("UPDATE \"values\" SET step = 1 WHERE id < {STREAMED}")).await;
    afterbay.caught_up(&scenario).await;
    if format == Format::Avro {
        check_schema(&scenario, &cases, &topic, nullable).await;
    }
    let expected = expected(database, &cases, format).await;
    let messages = scenario.messages(&topic, format).await;
    let rows = expected.len() / 2;
    assert_eq!(messages.len(), 3 * rows, "each row once from the snapshot, once inserted, once updated");
    for message in &messages {
        let id = message.key["id"].as_i64().expect("a number");
        for row in ["before", "after"].iter().filter_map(|side| message.value[side].as_object()) {
            for (index, case) in cases.iter().enumerate() {
                let found = told(&row[&format!("c{index}")], case, format);
                let wanted = &expected[&id][index];
                let right = match case.read {
                    Read::Float if format == Format::Avro => same_float(&found, wanted),
                    _ => same(&found, wanted),
                };
                assert!(right, "{} of row {id}: {wanted} became {found} in {message:?}", case.sql_type);
            }
        }
    }
    check_sides(&messages, rows);
}

/// What was inserted has no row before, what was updated has both.
fn check_sides(messages: &[Message], rows: usize) {
    let updates = messages.iter().filter(|message| message.value["before"].is_object());
    let steps: Vec<_> =
        updates.map(|message| [&message.value["before"]["step"], &message.value["after"]["step"]]).collect();
    assert_eq!(steps.len(), rows);
    assert!(steps.iter().all(|sides| *sides == [&json!(0), &json!(1)]), "{steps:?}");
}

async fn create(database: &Database, cases: &[&Case], constraint: &str) {
    database.run(TYPES).await;
    let columns: Vec<_> =
        cases.iter().enumerate().map(|(index, case)| format!("c{index} {} {constraint}", case.sql_type)).collect();
    database
        .run(&format!(
            "CREATE TABLE \"values\" (id int PRIMARY KEY, step int NOT NULL DEFAULT 0, {}); \
             ALTER TABLE \"values\" REPLICA IDENTITY FULL",
            columns.join(", ")
        ))
        .await;
    // What expected values are told in.
    database.run_as_superuser("SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; SET lc_monetary = 'C'").await;
}

/// As many rows as the richest type has values; the others begin again. The last row has none but nulls.
fn insert(cases: &[&Case], first: i64, nullable: bool) -> String {
    let rows = cases.iter().map(|case| case.values.len()).max().unwrap_or_default();
    let literal = |value: &str| format!("'{}'", value.replace('\'', "''"));
    let mut statements = Vec::new();
    for row in 0..rows {
        let values: Vec<_> = cases.iter().map(|case| literal(case.values[row % case.values.len()])).collect();
        statements.push(format!("INSERT INTO \"values\" VALUES ({}, 0, {})", first + row as i64, values.join(", ")));
    }
    if nullable {
        statements.push(format!("INSERT INTO \"values\" (id) VALUES ({})", first + rows as i64));
    }
    statements.join("; ")
}

/// What SQL says of each row, column by column.
async fn expected(database: &Database, cases: &[&Case], format: Format) -> BTreeMap<i64, Vec<Value>> {
    let told = |(index, case): (usize, &&Case)| {
        let expression = if format == Format::Json { case.json } else { case.avro };
        let column = format!("c{index}");
        format!(
            "CASE WHEN {column} IS NOT DISTINCT FROM NULL THEN 'null' ELSE {} END::jsonb",
            expression.replace('$', &column)
        )
    };
    let columns: Vec<_> = cases.iter().enumerate().map(told).collect();
    let rows = database.rows(&format!("SELECT id, {} FROM \"values\"", columns.join(", "))).await;
    let value = |cell: &Option<String>| serde_json::from_str(cell.as_deref().unwrap_or("null")).expect("jsonb is JSON");
    rows.iter()
        .map(|row| {
            (row[0].as_deref().and_then(|id| id.parse().ok()).expect("an id"), row[1..].iter().map(value).collect())
        })
        .collect()
}

/// Each column has the type that the reference's table says.
async fn check_schema(scenario: &Scenario, cases: &[&Case], topic: &str, nullable: bool) {
    let url = format!("{}/subjects/{topic}-value/versions/latest", scenario.rig.registry());
    let (_, body) = http::request("GET", &url, "").await.expect("the registry answers");
    let subject: Value = serde_json::from_str(&body).expect("the registry speaks JSON");
    let schema: Value = serde_json::from_str(subject["schema"].as_str().expect("a schema")).expect("a schema is JSON");
    let row = &schema["fields"][0]["type"][1];
    let fields: BTreeMap<_, _> = row["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| (field["name"].as_str(), &field["type"]))
        .collect();
    for (index, case) in cases.iter().enumerate() {
        let plain: Value = serde_json::from_str(case.schema).expect("a type is JSON");
        let wanted = if nullable { json!(["null", plain]) } else { plain };
        let found = fields[&Some(format!("c{index}").as_str())];
        assert_eq!(with_fullnames(found, ""), wanted, "{}", case.sql_type);
    }
}

/// An Avro type with its names in full: a registry may write a name and its namespace apart, and leave out what an
/// enclosing type says.
fn with_fullnames(schema: &Value, enclosing: &str) -> Value {
    const PRIMITIVE: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let full = |name: &str, namespace: &str| match namespace {
        "" => name.to_owned(),
        _ if name.contains('.') => name.to_owned(),
        _ => format!("{namespace}.{name}"),
    };
    match schema {
        Value::String(name) if !PRIMITIVE.contains(&name.as_str()) => json!(full(name, enclosing)),
        Value::Array(branches) => branches.iter().map(|branch| with_fullnames(branch, enclosing)).collect(),
        Value::Object(object) => {
            let mut object = object.clone();
            let namespace = object.remove("namespace").and_then(|namespace| namespace.as_str().map(str::to_owned));
            let mut inner = namespace.unwrap_or_else(|| enclosing.to_owned());
            if let Some(Value::String(name)) = object.get_mut("name") {
                *name = full(name, &inner);
                inner = name.rsplit_once('.').map_or_else(String::new, |(namespace, _)| namespace.to_owned());
            }
            for part in ["items", "values"] {
                if let Some(part) = object.get_mut(part) {
                    *part = with_fullnames(part, &inner);
                }
            }
            for field in object.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
                field["type"] = with_fullnames(&field["type"], &inner);
            }
            Value::Object(object)
        }
        other => other.clone(),
    }
}

/// A value as it was read, with bytes told as the case wants them.
fn told(value: &Value, case: &Case, format: Format) -> Value {
    if format == Format::Json {
        return value.clone();
    }
    match value {
        Value::Object(object) if object.len() == 1 && object.contains_key("bytes") => {
            bytes(object["bytes"].as_str().expect("bytes are told in hex"), case.read)
        }
        Value::Array(items) => items.iter().map(|item| told(item, case, format)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), told(value, case, format))).collect())
        }
        other => other.clone(),
    }
}

fn bytes(hex: &str, read: Read) -> Value {
    match read {
        Read::Plain | Read::Float => json!(hex),
        Read::Decimal => json!(decimal(hex).to_string()),
        // Little-endian months, days, microseconds.
        Read::Interval => json!(format!("{}{}{}", turned(&hex[16..]), turned(&hex[8..16]), turned(&hex[..8]))),
    }
}

/// Two's complement, big-endian.
fn decimal(hex: &str) -> i128 {
    let octets = octets(hex);
    let sign = |octet: u8| if octet & 0x80 == 0 { 0 } else { -1 };
    let number = octets.iter().fold(i128::from(sign(octets[0])), |number, octet| number << 8 | i128::from(*octet));
    let needed = octets.len() == 1 || sign(octets[1]) != sign(octets[0]) || ![0, 0xff].contains(&octets[0]);
    assert!(needed, "{hex} is longer than it needs to be");
    number
}

fn turned(hex: &str) -> String {
    octets(hex).iter().rev().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// Equal, as near as the test's own JSON reader reads a number.
fn same_float(found: &Value, text: &Value) -> bool {
    if let (Value::Array(found), Value::Array(text)) = (found, text) {
        return found.len() == text.len() && found.iter().zip(text).all(|(found, text)| same_float(found, text));
    }
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    match (number(found), number(text)) {
        (Some(found), Some(wanted)) if wanted.is_finite() => {
            (found - wanted).abs() <= wanted.abs() * f64::EPSILON
                && found.is_sign_negative() == wanted.is_sign_negative()
        }
        // What is no number in JSON is told in Postgres' words, as null is in JSON's.
        _ => found == text,
    }
}

/// Equal, where one number may be written in two ways; integers to the last digit.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (exact(one), exact(other)) {
            (Some(one), Some(other)) => one == other,
            (None, None) => one.as_f64() == other.as_f64(),
            _ => false,
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

/// The integer that a number is, however it is written.
fn exact(number: &Number) -> Option<i128> {
    let written = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e38);
    number.as_i128().or_else(|| written().map(|float| float as i128))
}

#[test]
fn a_number_differs_by_its_last_digit() {
    assert!(same(&json!(i64::MAX), &json!(i64::MAX)) && same(&json!(2), &json!(2.0)) && same(&json!(0.5), &json!(0.5)));
    for (one, other) in [
        (json!(i64::MAX), json!(i64::MAX - 1)),
        (json!(i64::MIN), json!(i64::MIN + 1)),
        (json!(i64::MAX), json!(9_223_372_036_854_775_807_f64)),
        (json!([1_u64 << 60]), json!([(1_u64 << 60) + 1])),
        (json!({"a": 1}), json!({"a": 1.5})),
    ] {
        assert!(!same(&one, &other), "{one} is not {other}");
    }
}

#[tokio::test]
async fn a_large_value_that_does_not_change_is_shown_all_the_same() {
    let scenario = Scenario::new("toast").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int, large text); ALTER TABLE t REPLICA IDENTITY FULL").await;
    // Random digits do not compress: the value is moved out of the row.
    database
        .run("INSERT INTO t SELECT 1, 1, string_agg(md5(i::text || random()), '') FROM generate_series(1, 4000) i")
        .await;
    let topic = scenario.topic("t");
    let afterbay = scenario.run(&scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])));
    afterbay.caught_up(&scenario).await;
    database.run("UPDATE t SET n = 2").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let large = database.text("SELECT large FROM t").await;
    assert_eq!(messages.iter().map(|message| message.integer("n")).collect::<Vec<_>>(), [1, 2]);
    assert!(messages.iter().all(|message| message.field("large") == large.as_str()));
}

#[tokio::test]
async fn what_the_format_cannot_hold_stalls_the_sink() {
    for (name, sql_type, literal, text) in [
        ("nan", "numeric(10,2)", "NaN", "NaN"),
        ("late", "timestamp", "294276-12-31 23:59:59.999999", "9224318015999999.999"),
    ] {
        let scenario = Scenario::new(name).await;
        let database = &scenario.database;
        let create = format!("CREATE TABLE t (id int PRIMARY KEY, v {sql_type}); ALTER TABLE t REPLICA IDENTITY FULL");
        database.run(&create).await;
        let (avro, json) = (scenario.topic("avro"), scenario.topic("json"));
        let sink = |name: &str, topic: &str| Sink::new(name, "public.t", topic).key(&["id"]);
        let manifests =
            scenario.manifests().with(sink("binary", &avro).format(Format::Avro)).with(sink("plain", &json));
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        database.run(&format!("INSERT INTO t VALUES (1, '{literal}')")).await;
        let (message, hint) = afterbay.stalled("binary", "ValueNotEncodable").await;
        assert!(message.contains("of table public.t, column v"), "{message}");
        assert!(hint.contains("correct the value in the source"), "{hint}");
        afterbay.sink_caught_up(&scenario, "plain").await;
        assert_eq!(scenario.messages(&json, Format::Json).await[0].field("v"), text);
        assert!(scenario.messages(&avro, Format::Avro).await.is_empty(), "nothing is skipped or rounded");
    }
}
