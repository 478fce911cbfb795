//! All that one test has to itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::afterbay::{Afterbay, Finished, Options, PATIENCE};
use crate::manifests::resource;
use crate::{Cluster, Database, Format, Manifests, Message, Rig, await_condition, broker, reference};

/// A database, a namespace, topics and a folder of a test's own, on the plain parts of the rig.
pub struct Scenario {
    /// The parts.
    pub rig: &'static Rig,
    /// The database.
    pub database: Database,
    /// What makes all names of this test its own.
    pub unique: String,
    /// Where the database is, for the manifests: the rig's server unless told otherwise.
    pub servers: Vec<(String, u16)>,
    folder: TempDir,
    topics: Mutex<BTreeSet<String>>,
}

impl Scenario {
    /// Everything made, nothing running.
    pub async fn new(test: &str) -> Self {
        let rig = Rig::get();
        let unique = unique(test);
        let database = Database::create(rig, &unique).await;
        Self::with(rig, database, unique)
    }

    /// On a database that is made already.
    pub fn with(rig: &'static Rig, database: Database, unique: String) -> Self {
        let folder = tempfile::Builder::new().prefix("afterbay-e2e-").tempdir().expect("a folder can be made");
        Self { rig, database, unique, servers: vec![rig.postgres_address()], folder, topics: Mutex::default() }
    }

    /// On servers of the test's own, of which the first is the primary and has the database.
    pub async fn on(test: &str, servers: &[&Cluster]) -> Self {
        let unique = unique(test);
        let database = Database::create_at(servers[0].superuser(), &unique, "").await;
        let mut scenario = Self::with(Rig::get(), database, unique);
        scenario.servers = servers.iter().map(|server| server.address()).collect();
        scenario
    }

    /// A topic name that no other test uses. The topic is deleted at the end, if somebody makes it.
    pub fn topic(&self, name: &str) -> String {
        let topic = format!("{}.{name}", self.unique);
        self.topics.lock().expect("no thread has panicked").insert(topic.clone());
        topic
    }

    /// The connection's progress topic.
    pub fn progress_topic(&self) -> String {
        format!("_afterbay-progress-default-{}.events", self.unique)
    }

    /// The key of a Sink's progress record.
    pub fn progress_key(&self, sink: &str) -> String {
        format!("afterbay-sink-default-{}.{sink}", self.unique)
    }

    /// The replication slot of the source `shop`, as the manifests of [`Scenario::manifests`] name it.
    pub fn slot(&self) -> String {
        format!("{}_slot", self.database.name)
    }

    /// Drops the slot, as somebody may.
    pub async fn drop_slot(&self) {
        self.slot_is_free().await;
        self.database.run_as_superuser(&format!("SELECT pg_drop_replication_slot('{}')", self.slot())).await;
    }

    /// Moves the slot on to the end of the log, as somebody may who reads from it.
    pub async fn advance_slot(&self) {
        self.slot_is_free().await;
        let advance = format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", self.slot());
        self.database.run_as_superuser(&advance).await;
    }

    /// Waits until nobody reads from the slot: the server notices the end of a worker a moment after it.
    async fn slot_is_free(&self) {
        let reads = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND active", self.slot());
        await_condition("nobody reads from the slot", PATIENCE, async || {
            (self.database.number(&reads).await == 0).then_some(())
        })
        .await;
    }

    /// The source `shop`, the Kafka connection `events`, the registry connection `schemas`, and the Secret of the
    /// database; Sinks are to be added.
    pub fn manifests(&self) -> Manifests {
        Manifests::default()
            .with_secret("shop-db", &[("password", &self.database.password)])
            .with(self.source("shop", &self.slot()))
            .with(resource("KafkaConnection", "events", json!({"bootstrapServers": self.rig.broker()})))
            .with(resource("SchemaRegistryConnection", "schemas", json!({"url": self.rig.registry()})))
    }

    /// A SourceConnector on the database, with a slot of this name, and the credentials of [`Scenario::manifests`].
    pub fn source(&self, name: &str, slot: &str) -> Value {
        let mut source = json!({"postgres": {
            "database": self.database.name,
            "authentication": {
                "username": self.database.role,
                "passwordSecret": {"secretName": "shop-db", "password": "password"},
            },
            "slot": {"name": slot},
        }});
        let postgres = &mut source["postgres"];
        match &self.servers[..] {
            [(host, port)] => (postgres["host"], postgres["port"]) = (json!(host), json!(port)),
            servers => {
                let server = |(host, port): &(String, u16)| json!({"host": host, "port": port});
                postgres["hosts"] = servers.iter().map(server).collect();
            }
        }
        resource("SourceConnector", name, source)
    }

    /// `afterbay run` of the same manifests, with a state directory of its own: as from another machine.
    pub fn run_elsewhere(&self, manifests: &Manifests) -> Afterbay {
        let state = self.folder.path().join("elsewhere");
        self.run_with(manifests, &Options::default().state_dir(state))
    }

    /// The state directory that runs of this test share.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The file that a fault point removes when it ends the worker, see [`Options::dies_at`].
    pub fn fuse(&self) -> PathBuf {
        self.folder.path().join("fuse")
    }

    /// The file for as long as which a worker stands still at a fault point, see [`Options::holds_at`].
    pub fn brake(&self) -> PathBuf {
        self.folder.path().join("brake")
    }

    /// Lets a worker go on that stands still.
    pub fn lets_go(&self) {
        std::fs::remove_file(self.brake()).expect("there is a brake");
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `afterbay run`.
    pub fn run(&self, manifests: &Manifests) -> Afterbay {
        self.run_with(manifests, &Options::default())
    }

    /// Starts `afterbay run` with arguments and environment of its own.
    pub fn run_with(&self, manifests: &Manifests, options: &Options) -> Afterbay {
        Afterbay::start(self, &self.write(manifests), options)
    }

    /// `afterbay run --until-caught-up`, up to its end.
    pub async fn carry(&self, manifests: &Manifests) {
        let finished = self.run_with(manifests, &Options::default().argument("--until-caught-up")).wait().await;
        assert!(finished.success(), "afterbay run --until-caught-up ended with {finished:?}");
    }

    /// `afterbay validate`, up to its end.
    pub async fn validate(&self, manifests: &Manifests, arguments: &[&str]) -> Finished {
        crate::afterbay::validate(self, &self.write(manifests), arguments).await
    }

    /// All messages of a topic that a read_committed reader sees now.
    pub async fn messages(&self, topic: &str, format: Format) -> Vec<Message> {
        reference::read(self.rig, topic, format).await
    }

    fn write(&self, manifests: &Manifests) -> PathBuf {
        let path = self.folder.path().join("manifests.yaml");
        std::fs::write(&path, manifests.to_yaml()).expect("the manifests can be written");
        path
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut *self.topics.lock().expect("no thread has panicked"));
        broker::delete_topics(self.rig, topics.into_iter().chain([self.progress_topic()]).collect());
    }
}

/// A DNS label that no other test has, now or in an earlier run: the test's name, and a number.
pub fn unique(test: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name: String =
        test.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(24).collect();
    format!("{}-{:x}-{:x}-{count}", name.trim_matches('-'), seconds & 0xff_ffff, std::process::id())
}
