//! One database, its Sinks, and all that stands between: what a campaign sets on fire.

use std::time::{Duration, Instant};

use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::proxy::{Network, Proxy};
use afterbay_e2e::random::Random;
use afterbay_e2e::{Afterbay, Format, Manifests, Rig, Scenario, Sink, broker, manifests};
use serde_json::json;
use tokio_postgres::Config;

use crate::checker::{Carrier, Checker, Topic};
use crate::expectation::{Envelope, Start};
use crate::ledger::{self, Table};
use crate::transactions::markers;
use crate::view::View;

/// `spec.kafka.commit.timeout` of every Sink: so short that a test can wait for it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The proxies, by what stands behind them.
pub struct Proxies {
    pub broker: Proxy,
    pub postgres: Proxy,
    pub registry: Proxy,
}

/// What a campaign sets on fire.
pub struct World {
    pub scenario: Scenario,
    pub proxies: Proxies,
    pub afterbay: Option<Afterbay>,
    checker: Checker,
    manifests: Manifests,
    /// Those that carry since the first round.
    lasting: Vec<Topic>,
    /// One that began in a later round.
    fresh: Option<Topic>,
    begun: u32,
}

impl World {
    /// Tables with rows, and Sinks that have carried them.
    pub async fn make(seed: u64) -> Self {
        let rig = Rig::get();
        let scenario = Scenario::new(&format!("fire-{seed:x}")).await;
        // Some, many, or all rows at once: each chunk waits for the transactions that are open.
        let rows = *Random::new(seed).pick(&[300, 1_000, 20_000]);
        scenario.database.run(include_str!("schema.sql")).await;
        let (postgres_host, postgres_port) = rig.postgres_address();
        let (registry, path) = split_url(rig.registry());
        rig.needs("broker", rig.setting("BROKER_BEHIND_PROXY"));
        let through = rig.setting("BROKER_PROXY");
        let (broker, _) = Proxy::start(through, rig.setting("BROKER_BEHIND_PROXY").to_owned()).await;
        let (postgres, database) = Proxy::start("127.0.0.1:0", format!("{postgres_host}:{postgres_port}")).await;
        let (registry, schemas) = Proxy::start("127.0.0.1:0", registry.to_owned()).await;
        let manifests = scenario
            .manifests()
            .set("SourceConnector/shop", "spec.postgres.host", database.ip().to_string())
            .set("SourceConnector/shop", "spec.postgres.port", database.port())
            .set("SourceConnector/shop", "spec.postgres.snapshot.chunkRows", rows)
            .set("KafkaConnection/events", "spec.bootstrapServers", through)
            .set("SchemaRegistryConnection/schemas", "spec.url", format!("http://{schemas}/{path}"));
        let checker = Checker::open(rig, &scenario.database).await;
        let lasting = [
            ("account", Table::Account, Envelope::Upsert, Format::Json),
            ("line", Table::Line, Envelope::Upsert, Format::Avro),
            ("line-changes", Table::Line, Envelope::Debezium, Format::Avro),
            ("event", Table::Event, Envelope::Debezium, Format::Json),
            ("word", Table::Word, Envelope::Upsert, Format::Json),
            ("word-changes", Table::Word, Envelope::Debezium, Format::Avro),
        ];
        let start = Start::Snapshot { last: i64::MAX };
        let of = |(name, table, envelope, format)| Topic {
            name: scenario.topic(name),
            table,
            envelope,
            format,
            start,
            view: View::Whole,
            carrier: Carrier::Own,
        };
        let mut lasting: Vec<_> = lasting.into_iter().map(of).collect();
        let even = of(("even", Table::Word, Envelope::Upsert, Format::Json));
        lasting.push(Topic { view: View::Even, ..even });
        for (name, table) in [("many.account", Table::Account), ("many.line", Table::Line)] {
            let one = of((name, table, Envelope::Upsert, Format::Json));
            let view = if table == Table::Account { View::Kept } else { View::Whole };
            lasting.push(Topic { carrier: Carrier::Many, view, ..one });
        }
        let proxies = Proxies { broker, postgres, registry };
        let mut world = Self { scenario, proxies, afterbay: None, checker, manifests, lasting, fresh: None, begun: 0 };
        world.run();
        world.scenario.database.run(&markers()).await;
        world.check().await.unwrap_or_else(|error| panic!("before anything went wrong: {error}"));
        world
    }

    /// The owner's way into the database, without a proxy.
    pub fn database(&self) -> Config {
        let database = &self.scenario.database;
        let mut config = self.scenario.rig.postgres();
        config.dbname(&database.name).user(&database.role).password(&database.password);
        config
    }

    /// Starts `afterbay run`, if it does not run.
    pub fn run(&mut self) {
        if self.afterbay.is_none() {
            self.afterbay = Some(self.scenario.run(&self.all_manifests()));
        }
    }

    /// A second `afterbay run` of the same manifests, as from another machine.
    pub fn run_elsewhere(&self) -> Afterbay {
        self.scenario.run_elsewhere(&self.all_manifests())
    }

    /// Ends `afterbay run`, one way or the other.
    pub async fn end(&mut self, random: &mut Random) {
        if let Some(afterbay) = self.afterbay.take() {
            if random.chance(50) { afterbay.kill().await } else { drop(afterbay.stop().await) }
        }
    }

    /// Starts `afterbay run` with some Sinks that stand still.
    pub fn run_with_pauses(&mut self, random: &mut Random) {
        let paused = |manifests: Manifests, topic: &Topic| {
            let state = if random.chance(60) { "paused" } else { "running" };
            manifests.set(&format!("Sink/{}", name_of(topic)), "spec.state", state)
        };
        let own = self.lasting.iter().chain(&self.fresh).filter(|topic| topic.carrier == Carrier::Own);
        let manifests = own.fold(self.all_manifests(), paused);
        self.afterbay = Some(self.scenario.run(&manifests));
    }

    /// Gives one of the topics that are there another partition.
    pub async fn grow_a_topic(&self, random: &mut Random) {
        let topic = random.pick(&self.lasting).name.as_str();
        let count = broker::partitions(self.scenario.rig, topic);
        broker::add_partitions(self.scenario.rig, topic, count + 1).await;
    }

    /// With the Sink that carries several tables, and keeps the columns of the start.
    fn with_many(&self) -> Manifests {
        let topic = self.scenario.topic("many.{table}");
        let timeout = format!("{}s", TRANSACTION_TIMEOUT.as_secs());
        let spec = json!({
            "source": {"name": "shop", "tables": ["public.*", "!public.word", "!public.event", "!public.audit"]},
            "key": {"primaryKey": true},
            "schemaChanges": "Freeze",
            "kafka": {
                "connection": "events",
                "topic": {"name": topic, "partitions": 2},
                "envelope": "upsert",
                "format": {"json": {}},
                "commit": {"timeout": timeout},
            },
        });
        self.manifests.clone().with(manifests::resource("Sink", "many", spec))
    }

    fn all_manifests(&self) -> Manifests {
        let own = self.lasting.iter().chain(&self.fresh).filter(|topic| topic.carrier == Carrier::Own);
        own.fold(self.with_many(), |manifests, topic| {
            let resource = format!("Sink/{}", name_of(topic));
            let timeout = format!("{}s", TRANSACTION_TIMEOUT.as_secs());
            let manifests = manifests.with(sink(topic)).set(&resource, "spec.kafka.commit.timeout", timeout);
            with_options(manifests, &resource, topic)
        })
    }

    /// Puts a Sink that has never begun in the place of the last such one, and starts `afterbay run` anew with it.
    pub async fn begin_a_sink(&mut self, random: &mut Random) {
        self.end(random).await;
        self.begun += 1;
        let (table, envelope) = *random.pick(&[
            (Table::Account, Envelope::Upsert),
            (Table::Line, Envelope::Upsert),
            (Table::Line, Envelope::Debezium),
            (Table::Event, Envelope::Debezium),
            (Table::Word, Envelope::Upsert),
            (Table::Word, Envelope::Debezium),
        ]);
        let format = *random.pick(&[Format::Json, Format::Avro]);
        let name = self.scenario.topic(&format!("fresh-{}", self.begun));
        let start = Start::Snapshot { last: i64::MAX };
        let (view, carrier) = (View::Whole, Carrier::Own);
        self.fresh = Some(Topic { name, table, envelope, format, start, view, carrier });
        self.run();
    }

    /// What the worker says of the Sink that began last, or of one of the others.
    pub async fn report(&self) -> Option<SinkReport> {
        let topic = self.fresh.as_ref().or(self.lasting.first())?;
        let report = self.afterbay.as_ref()?.report().await?;
        report.sinks.into_iter().find(|sink| sink.topic == topic.name)
    }

    /// The topic of the Sink that began last, while its snapshot is not known to be over.
    fn beginning(&mut self) -> Option<&mut Topic> {
        let open = |topic: &&mut Topic| topic.start == Start::Snapshot { last: i64::MAX };
        self.fresh.as_mut().filter(open)
    }

    /// Waits until the Sink that began last carries changes, and notes that its snapshot is over: what is written from
    /// now on has to come as changes. Gives up in silence when that does not come: the check will tell.
    pub async fn snapshot_is_over(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        while self.beginning().is_some() && Instant::now() < end {
            let running = self.report().await.is_some_and(|report| report.state == SinkState::Running);
            if running {
                let last = ledger::last(&self.scenario.database).await;
                if let Some(topic) = self.beginning() {
                    topic.start = Start::Snapshot { last };
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all topics tell what was done, and nothing else; how long that took.
    pub async fn check(&mut self) -> Result<Duration, String> {
        let topics: Vec<_> = self.lasting.iter().chain(&self.fresh).cloned().collect();
        let took = self.checker.check(&self.scenario.database, &topics).await?;
        for topic in self.lasting.iter_mut().chain(&mut self.fresh) {
            topic.start = Start::Streaming;
        }
        Ok(took)
    }

    /// All networks are as they should be.
    pub fn is_well(&self) {
        for proxy in [&self.proxies.broker, &self.proxies.postgres, &self.proxies.registry] {
            proxy.is(Network::Well);
        }
    }
}

/// The name of a topic's Sink.
fn name_of(topic: &Topic) -> &str {
    topic.name.rsplit('.').next().expect("there is always a last part")
}

/// The Sink of a topic.
fn sink(topic: &Topic) -> Sink {
    let table = format!("public.{}", topic.table.name());
    let mut sink = Sink::new(name_of(topic), &table, &topic.name).format(topic.format).partitions(2);
    if !topic.table.key().is_empty() {
        sink = sink.key(topic.table.key());
    }
    match topic.envelope {
        Envelope::Upsert => sink,
        Envelope::Debezium => sink.debezium(),
    }
}

/// What the Sinks of the table with all kinds of columns make use of.
fn with_options(manifests: Manifests, resource: &str, topic: &Topic) -> Manifests {
    if let Some(query) = topic.view.query() {
        return manifests.set(resource, "spec.source", json!({"name": "shop", "query": query}));
    }
    let manifests = match (topic.table, topic.format) {
        (Table::Word, Format::Json) => manifests.set(resource, "spec.kafka.format.json.values", "native"),
        // Columns join, and the registry asks for a default.
        (Table::Word | Table::Account, Format::Avro) => {
            manifests.set(resource, "spec.kafka.format.avro.nullDefaults", true)
        }
        _ => manifests,
    };
    if topic.table != Table::Word {
        return manifests;
    }
    match topic.envelope {
        Envelope::Upsert => manifests.set(resource, "spec.kafka.partitionBy", "seahash(owner::text)").set(
            resource,
            "spec.kafka.headers",
            "labels",
        ),
        Envelope::Debezium => manifests.set(resource, "spec.kafka.partitionBy", "crc32(code)"),
    }
}

/// Host and port, and path.
fn split_url(url: &str) -> (&str, &str) {
    let rest = url.trim_start_matches("http://");
    rest.split_once('/').unwrap_or((rest, ""))
}
