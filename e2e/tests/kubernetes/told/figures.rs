//! How far a Sink is, and what is not as it was asked for though nothing stops: in the status, in columns, in events.

use std::time::Duration;

use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::database::lsn;
use afterbay_e2e::kubernetes::{LONG, Operated, condition};
use afterbay_e2e::{Format, Session, Sink, await_condition, broker};
use serde_json::{Value, json};

use crate::worker_pod;

/// How many rows the table has whose snapshot is looked at.
const ROWS: i64 = 2000;

/// Some seconds of Kafka's small transactions, in bytes of the database's log.
const FAR_BEHIND: u64 = 8 << 20;

/// What opens a transaction that snapshots wait for.
const OPEN: &str = "BEGIN; INSERT INTO elsewhere VALUES (1)";

/// A Sink that tells all there is, and one that is slow: its transactions are small. No snapshot begins before the
/// session's transaction ends.
async fn begin() -> (Operated, Session) {
    let operated = Operated::begin("figures").await;
    let scenario = &operated.scenario;
    let tables = format!(
        "CREATE TABLE parts (id int PRIMARY KEY, n int); INSERT INTO parts SELECT i, i FROM generate_series(1, {ROWS}) i;
         ANALYZE parts; CREATE TABLE late (id serial PRIMARY KEY, words text); ALTER TABLE late REPLICA IDENTITY FULL; CREATE TABLE elsewhere (id int)"
    );
    scenario.database.run(&tables).await;
    let topic = scenario.topic("parts");
    broker::create_topic(scenario.rig, &topic, 2, &[]).await;
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.snapshot", json!({"chunkRows": 20}))
        .set("SourceConnector/shop", "spec.worker", worker_pod::asked())
        // The rig's plain broker has no authorizer.
        .set("KafkaConnection/events", "spec.acls", json!({"manage": true, "principal": "User:afterbay"}))
        .with(Sink::new("parts", "public.parts", &topic).key(&["id"]).partitions(4))
        .set("Sink/parts", "spec.retainHistory", "1h")
        .with(Sink::new("late", "public.late", &scenario.topic("late")).key(&["id"]).format(Format::Avro))
        .set("Sink/late", "spec.kafka.commit", json!({"records": 3}));
    let open = scenario.database.session().await;
    open.run(OPEN).await;
    operated.apply(&manifests).await;
    (operated, open)
}

#[tokio::test]
async fn what_a_sink_has_done_and_what_is_not_as_asked_for_is_told() {
    let (operated, open) = begin().await;
    a_snapshot_tells_how_far_it_is(&operated, open).await;
    what_is_not_as_asked_for_is_told_and_stops_nothing(&operated).await;
    worker_pod::is_as_asked(&operated.worker("shop").await);
    a_lag_grows_and_ends(&operated).await;
    what_is_committed_is_counted(&operated).await;
    columns_are_what_people_look_for(&operated).await;
}

/// Every chunk waits for the transactions that are open when it begins. Of two sessions one always has one open, so
/// that the Sink comes on by a chunk with each that ends, and stands still when none does.
async fn a_snapshot_tells_how_far_it_is(operated: &Operated, mut open: Session) {
    let mut next = operated.scenario.database.session().await;
    await_condition("the snapshot has begun", LONG, async || {
        let sinks = operated.report("shop").await.map(|report| report.sinks).unwrap_or_default();
        let is_on_its_way = |sink: &&SinkReport| sink.state == SinkState::Snapshotting && sink.snapshot_rows > 0;
        if sinks.iter().filter(is_on_its_way).any(|sink| sink.table == "public.parts") {
            return Some(());
        }
        next.run(OPEN).await;
        open.run("COMMIT").await;
        std::mem::swap(&mut open, &mut next);
        None
    })
    .await;
    let is_on_its_way = |sink: &Value| {
        let (status, snapshot) = (&sink["status"], &sink["status"]["snapshot"]);
        status["state"] == "snapshotting"
            && snapshot["rows"].as_i64().is_some_and(|rows| rows > 0 && rows < ROWS)
            && snapshot["rowsEstimated"] == ROWS
    };
    let sink = operated.namespace.seen("Sink/parts", "tells of its snapshot", LONG, is_on_its_way).await;
    let ready = condition(&sink, "Ready").expect("it has conditions");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("Snapshotting")), "{ready}");
    open.run("COMMIT").await;
    let is_through = |sink: &Value| sink["status"]["state"] == "running" && sink["status"]["snapshot"]["rows"] == ROWS;
    operated.namespace.seen("Sink/parts", "is through with its snapshot", LONG, is_through).await;
}

async fn what_is_not_as_asked_for_is_told_and_stops_nothing(operated: &Operated) {
    let topic = operated.scenario.topic("parts");
    let warned = |sink: &Value, reason: &str| {
        let warnings = sink["status"]["warnings"].as_array();
        let own = warnings.into_iter().flatten().find(|warning| warning["reason"] == reason);
        own.map(|warning| warning["message"].as_str().unwrap_or_default().to_owned())
    };
    let (differs, missing) = ("TopicDiffers", "KafkaAuthorizerMissing");
    let is_warned = |sink: &Value| warned(sink, differs).is_some() && warned(sink, missing).is_some();
    let sink = operated.namespace.seen("Sink/parts", "is warned", LONG, is_warned).await;
    let partitions = format!("topic {topic} is there, but has 2 partitions instead of 4");
    assert_eq!(warned(&sink, differs), Some(partitions.clone()));
    let told = operated.event("Sink/parts", differs).await;
    assert!(told.contains(&partitions) && told.contains("what to do: it is used as it is"), "{told}");
    let other = operated.namespace.get("Sink/late").await.expect("it is there");
    assert_eq!(warned(&other, differs), None, "it is no affair of the other's: {other}");

    // It is the connection's mistake. Who carries needs no right where nobody looks at rights.
    let words = "the brokers have no authorizer";
    super::is_told(operated, "KafkaConnection/events", missing, "Stalled", &[words, "set spec.acls.manage: false"])
        .await;
    assert!(operated.event("Sink/parts", missing).await.contains(words));
    for sink in ["Sink/parts", "Sink/late"] {
        operated.ready(sink).await;
    }
    let worker = operated.worker_uid("shop").await;
    operated.namespace.patch("KafkaConnection/events", &json!({"spec": {"acls": {"manage": false}}})).await;
    operated.ready("KafkaConnection/events").await;
    let is_over = |sink: &Value| warned(sink, missing).is_none() && warned(sink, differs).is_some();
    operated.namespace.seen("Sink/parts", "is warned of its topic alone", LONG, is_over).await;
    assert_eq!(operated.worker_uid("shop").await, worker, "it had no reason to go");
}

/// What is written at once goes out in thousands of Kafka's transactions. Figures are told now and then: more is written
/// until it is told how far behind the Sink is.
async fn a_lag_grows_and_ends(operated: &Operated) {
    let namespace = &operated.namespace;
    let bytes = |sink: &Value| sink["status"]["lagBytes"].as_i64();
    let is_at_rest =
        |sink: &Value| sink["status"]["state"] == "running" && bytes(sink).is_some_and(|lag| lag < 1 << 20);
    namespace.seen("Sink/late", "is at rest", LONG, is_at_rest).await;
    let is_behind = |sink: &Value| {
        let (lag, seconds) = (sink["status"]["lag"].as_str(), sink["status"]["lagSeconds"].as_f64());
        bytes(sink).is_some_and(|lag| lag >= 1 << 20)
            && seconds.is_some_and(|seconds| seconds >= 5.0)
            && lag.is_some_and(|lag| lag.contains("s, ") && lag.ends_with("Mi"))
    };
    tokio::select! {
        () = keep_behind(operated) => unreachable!("it ends with the other"),
        _ = namespace.seen("Sink/late", "is behind", LONG, is_behind) => {}
    }
    operated.ready("Sink/late").await;
    let rows = operated.scenario.database.number("SELECT count(*) FROM late").await;
    let is_through = |sink: &Value| sink["status"]["messages"]["committed"] == rows && is_at_rest(sink);
    namespace.seen("Sink/late", "has caught up", LONG, is_through).await;
}

/// Writes for as long as the Sink is not far behind.
async fn keep_behind(operated: &Operated) {
    let database = &operated.scenario.database;
    let lag = async || {
        let sink = operated.report("shop").await?.sinks.into_iter().find(|sink| sink.table == "public.late")?;
        sink.lag_bytes
    };
    loop {
        if lag().await.is_some_and(|lag| lag < FAR_BEHIND) {
            let rows = "DO $$ BEGIN FOR n IN 1..10 LOOP \
                        INSERT INTO late (words) SELECT repeat(md5(i::text), 8) FROM generate_series(1, 100) i; COMMIT; \
                        END LOOP; END $$";
            database.run(rows).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn what_is_committed_is_counted(operated: &Operated) {
    let retains = |sink: &Value| sink["status"]["retainedBytes"].as_i64().is_some_and(|bytes| bytes >= 1 << 20);
    let sink = operated.namespace.seen("Sink/parts", "retains history", LONG, retains).await;
    let status = &sink["status"];
    for kind in ["messages", "bytes"] {
        let (staged, committed) = (status[kind]["staged"].as_i64(), status[kind]["committed"].as_i64());
        assert!(staged == committed && committed >= Some(ROWS), "{kind}: {status}");
    }
    let late = operated.namespace.get("Sink/late").await.expect("it is there");
    assert_eq!(late["status"]["retainedBytes"], Value::Null, "it retains nothing");
    for (sink, schema) in [(&sink, "NoRegistry"), (&late, "Connected")] {
        for (kind, reason) in [
            ("ConnectionReady", "Connected"),
            ("TopicReady", "Provided"),
            ("SchemaReady", schema),
            ("SourceReady", "Connected"),
            ("RuntimeReady", "Running"),
        ] {
            let condition = condition(sink, kind).unwrap_or_else(|| panic!("no {kind}: {sink}"));
            assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!(reason)), "{condition}");
        }
    }
}

/// By their short names, and all of them by their category.
async fn columns_are_what_people_look_for(operated: &Operated) {
    let kubectl = &operated.namespace.kubectl;
    let scenario = &operated.scenario;
    let sink = operated.namespace.get("Sink/parts").await.expect("it is there");
    let position = sink["status"]["position"].as_str().expect("it has committed").to_owned();
    let destination = format!("kafka/events/{}", scenario.topic("parts"));
    for (name, columns, resource, cells) in [
        ("kafkaconn", "NAME SERVERS READY AGE REASON MESSAGE", "events", vec![scenario.rig.broker(), "True"]),
        ("registryconn", "NAME URL READY AGE REASON MESSAGE", "schemas", vec![scenario.rig.registry(), "True"]),
        (
            "source",
            "NAME DATABASE SINKS READY AGE STATE REASON MESSAGE",
            "shop",
            vec![&scenario.database.name, "2", "True"],
        ),
        ("sourceconn", "NAME DATABASE SINKS READY AGE STATE REASON MESSAGE", "shop", vec![&scenario.database.name]),
        (
            "sk",
            "NAME SOURCE DESTINATION STATUS LAG AGE READY POSITION REASON MESSAGE",
            "parts",
            vec!["shop", &destination, "running"],
        ),
    ] {
        let shown = kubectl.run(&["get", name, resource, "-o", "wide"]).await;
        let [head, row] = shown.lines().collect::<Vec<_>>()[..] else { panic!("not one {name}: {shown}") };
        assert_eq!(head.split_whitespace().collect::<Vec<_>>(), columns.split(' ').collect::<Vec<_>>(), "{name}");
        let own: Vec<_> = row.split_whitespace().collect();
        assert_eq!(own[0], resource, "{shown}");
        assert_eq!(own[1..=cells.len()], cells, "{shown}");
        if name == "sk" {
            // It comes on while others write to the same server.
            let shown_position = own.iter().skip_while(|cell| **cell != "True").nth(1).expect("a cell behind READY");
            assert!(lsn(shown_position) >= lsn(&position), "{position}: {shown}");
            assert!(row.contains(" Running ") && row.contains("are carried into"), "{shown}");
        }
    }
    let all = kubectl.run(&["get", "afterbay", "-o", "name"]).await;
    for resource in ["kafkaconnection", "schemaregistryconnection", "sourceconnector", "sink"] {
        assert!(all.lines().any(|line| line.starts_with(&format!("{resource}.afterbay.dev/"))), "no {resource}: {all}");
    }
}
