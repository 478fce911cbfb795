//! The peer: Debezium on Kafka Connect with exactly-once on, for the same table, changes and figures.
//!
//! Its settings are those that were found to be fastest: larger batches and queues than its defaults, and batches of the
//! producer that are compressed.

use std::process::Command;
use std::time::Duration;

use afterbay_e2e::programs::repository;
use afterbay_e2e::{Format, Scenario, await_condition, http};
use serde_json::{Value, json};

use crate::figures::{Figures, Run};
use crate::report::{Report, Subject};
use crate::settings::Settings;
use crate::topic::Topic;
use crate::{table, usage};

/// How long a connector may need for a change of its state.
const PATIENCE: Duration = Duration::from_mins(1);

/// Snapshot, changes while they are made, changes that have waited.
pub async fn run(settings: &Settings, format: Format, report: &mut Report) {
    let peer = Peer::new(settings, format).await;
    let (database, updates) = (&peer.scenario.database, settings.updates);

    let run = Run::begin_with(peer.worker);
    peer.ask("PUT", "/config", &peer.config(format)).await;
    report.add("snapshot", format, Subject::Debezium, peer.carried(&run, 0, settings.rows));

    peer.is_streaming().await;
    let (run, from) = (Run::begin_with(peer.worker), peer.topic.visible());
    table::update(database, updates).await;
    report.add("stream, live", format, Subject::Debezium, peer.carried(&run, from, updates));

    peer.ask("PUT", "/stop", &Value::Null).await;
    peer.has_let_go().await;
    let from = peer.topic.visible();
    table::update(database, updates).await;
    let run = Run::begin_with(peer.worker);
    peer.ask("PUT", "/resume", &Value::Null).await;
    report.add("stream, backlog", format, Subject::Debezium, peer.carried(&run, from, updates));
    peer.ask("DELETE", "", &Value::Null).await;
}

struct Peer {
    scenario: Scenario,
    topic: Topic,
    /// Connect's process.
    worker: u32,
}

impl Peer {
    /// Connect is up, in a new process, and has nothing to do yet.
    async fn new(settings: &Settings, format: Format) -> Self {
        connect("down");
        connect("up");
        let scenario = Scenario::new(&format!("peer-{}", format.as_str())).await;
        table::create(&scenario.database, settings.rows).await;
        let topic = Topic::create(scenario.rig, scenario.topic(table::TABLE)).await;
        let worker = usage::part("connect").expect("connect.sh has told its process");
        Self { scenario, topic, worker }
    }

    fn config(&self, format: Format) -> Value {
        let Scenario { rig, database, unique, .. } = &self.scenario;
        let (host, port) = rig.postgres_address();
        let mut config = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "database.hostname": host,
            "database.port": port.to_string(),
            "database.user": database.role,
            "database.password": database.password,
            "database.dbname": database.name,
            "topic.prefix": unique,
            "table.include.list": table::TABLE,
            "plugin.name": "pgoutput",
            "slot.name": self.slot(),
            "publication.name": self.slot(),
            "publication.autocreate.mode": "filtered",
            "snapshot.mode": "initial",
            "decimal.handling.mode": "string",
            "tombstones.on.delete": "false",
            "exactly.once.support": "required",
            "transaction.boundary": "poll",
            "max.batch.size": "8192",
            "max.queue.size": "32768",
            "snapshot.fetch.size": "10240",
            "poll.interval.ms": "50",
            "producer.override.linger.ms": "5",
            "producer.override.batch.size": "262144",
            "producer.override.compression.type": "lz4",
        });
        if format == Format::Avro {
            // The registry's own interface, beside the one that is compatible.
            let registry = rig.registry().replace("/ccompat/v7", "/registry/v2");
            for converter in ["key.converter", "value.converter"] {
                config[converter] = json!("io.apicurio.registry.utils.converter.AvroConverter");
                for (name, value) in [
                    ("url", registry.as_str()),
                    ("auto-register", "true"),
                    ("find-latest", "true"),
                    ("as-confluent", "true"),
                    ("headers.enabled", "false"),
                    ("use-id", "contentId"),
                ] {
                    config[format!("{converter}.apicurio.registry.{name}")] = json!(value);
                }
            }
        }
        config
    }

    fn carried(&self, run: &Run, from: i64, rows: u64) -> Figures {
        let done = self.topic.await_records(from, rows, || run.end(self.worker));
        done.figures(&self.topic.read(from, rows))
    }

    async fn is_streaming(&self) {
        self.slot_is("true").await;
    }

    async fn has_let_go(&self) {
        self.slot_is("false").await;
    }

    async fn slot_is(&self, active: &str) {
        let look =
            format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{}' AND active = {active}", self.slot());
        await_condition("the connector changes its state", PATIENCE, async || {
            (!self.scenario.database.rows(&look).await.is_empty()).then_some(())
        })
        .await;
    }

    fn slot(&self) -> String {
        format!("{}_debezium", self.scenario.database.name)
    }

    /// A request about the connector, which Connect has to agree to.
    async fn ask(&self, method: &str, path: &str, body: &Value) {
        let port = std::env::var("AFTERBAY_RIG_CONNECT_PORT").unwrap_or_else(|_| "28083".to_owned());
        let url = format!("http://127.0.0.1:{port}/connectors/{}{path}", self.scenario.unique);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http::request(method, &url, &body).await;
        let is_agreed = answer.as_ref().is_some_and(|(status, _)| (200..300).contains(status));
        assert!(is_agreed, "{method} {path}: Connect answers {answer:?}");
    }
}

fn connect(verb: &str) {
    let script = repository().join("e2e/bench/peers/connect.sh");
    let status = Command::new(&script).arg(verb).status();
    assert!(status.is_ok_and(|status| status.success()), "{} {verb} fails", script.display());
}
