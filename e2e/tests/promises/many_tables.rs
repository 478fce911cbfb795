//! A Sink that carries many tables: source transactions stay whole across its topics, each table has its snapshot, and
//! tables come and go without anything being lost or repeated.
//!
//! The worker is run on a plan by itself: which tables there are is what the operator tells it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use afterbay_crds::plan::{
    CommitPlan, Compression, Envelope, FormatPlan, HostPort, JsonValues, KafkaConnectionPlan, KafkaSinkPlan,
    OnSlotLoss, OnTruncate, PLAN_VERSION, Plan, PostgresConnectionPlan, PostgresPlan, PostgresTlsMode, PostgresTlsPlan,
    RelationPlan, SchemaChanges, SinkPlan, SnapshotMode, SnapshotPlan, TableName,
};
use afterbay_crds::report::{SinkReport, SinkState, WorkerReport};
use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::database::lsn;
use afterbay_e2e::history::{self, Values};
use afterbay_e2e::{Database, Format, Message, Scenario, await_condition, broker, http, processes, programs};
use tokio::task::JoinHandle;

/// Tables that note what happens to them, and a procedure that changes some of them in one transaction.
const SCHEMA: &str = "
    CREATE TABLE notes (seq bigserial PRIMARY KEY, tab text NOT NULL, id int NOT NULL, n int);
    CREATE SEQUENCE numbers;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id <> NEW.id) THEN
            INSERT INTO notes (tab, id) VALUES (TG_TABLE_NAME, OLD.id);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO notes (tab, id, n) VALUES (TG_TABLE_NAME, NEW.id, NEW.n);
        END IF;
        RETURN NULL;
    END $$;
    CREATE PROCEDURE make(tab text, count int) LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, n int NOT NULL)', tab);
        EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION note()', tab);
        EXECUTE format('INSERT INTO %I SELECT i, nextval(''numbers'') FROM generate_series(1, $1) i', tab) USING count;
    END $$;
    CREATE PROCEDURE work(tabs text[], changes int) LANGUAGE plpgsql AS $$
    DECLARE
        tab text;
        one int;
    BEGIN
        FOR i IN 1..changes LOOP
            tab := tabs[1 + floor(random() * array_length(tabs, 1))];
            one := floor(random() * 300);
            CASE floor(random() * 6)
                WHEN 0 THEN
                    EXECUTE format('DELETE FROM %I WHERE id = $1', tab) USING one;
                WHEN 1 THEN
                    BEGIN
                        EXECUTE format('UPDATE %I SET id = $1, n = nextval(''numbers'') WHERE id = $2', tab)
                            USING floor(random() * 300)::int, one;
                    EXCEPTION WHEN unique_violation THEN NULL;
                    END;
                ELSE
                    EXECUTE format('INSERT INTO %I VALUES ($1, nextval(''numbers''))
                                    ON CONFLICT (id) DO UPDATE SET n = excluded.n', tab) USING one;
            END CASE;
        END LOOP;
    END $$;";

/// A database with these tables, of so many rows each, a publication of them, and topics for all that may come.
pub async fn scenario(test: &str, tables: &[(&str, u32)], topics: &[&str]) -> Scenario {
    let scenario = Scenario::new(test).await;
    scenario.database.run(SCHEMA).await;
    for (table, rows) in tables {
        scenario.database.run(&format!("CALL make('{table}', {rows})")).await;
    }
    let names: Vec<_> = tables.iter().map(|(table, _)| *table).collect();
    let all = if names.is_empty() { String::new() } else { format!("FOR TABLE {}", names.join(", ")) };
    let with = "WITH (publish_via_partition_root = true)";
    scenario.database.run(&format!("CREATE PUBLICATION pub {all} {with}")).await;
    for topic in topics {
        broker::create_topic(scenario.rig, &scenario.topic(topic), 2, &[]).await;
    }
    broker::create_topic(scenario.rig, &scenario.progress_topic(), 1, &[("cleanup.policy", "compact")]).await;
    scenario
}

pub fn relation(scenario: &Scenario, table: &str) -> RelationPlan {
    let json = || FormatPlan::Json { values: JsonValues::Text };
    RelationPlan {
        table: TableName { schema: "public".into(), name: table.into() },
        query: None,
        topic: scenario.topic(table),
        key_columns: vec!["id".into()],
        envelope: Envelope::Upsert,
        key_not_enforced: false,
        key_format: Some(json()),
        value_format: json(),
        // The tables have different rows, so each has values of its own.
        partition_by: Some("seahash(id::text)".into()),
        headers: None,
    }
}

/// A worker with one Sink of these tables, as long as the test runs.
pub struct Worker<'a> {
    scenario: &'a Scenario,
    pub plan: Plan,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl<'a> Worker<'a> {
    pub fn new(scenario: &'a Scenario, snapshot: bool, tables: &[&str]) -> Self {
        let password_file = scenario.folder().join("password");
        std::fs::write(&password_file, &scenario.database.password).expect("the folder can be written");
        let hosts = scenario.servers.iter().map(|(host, port)| HostPort { host: host.clone(), port: *port }).collect();
        let connection = PostgresConnectionPlan {
            hosts,
            database: scenario.database.name.clone(),
            username: scenario.database.role.clone(),
            password_file: Some(password_file),
            tls: PostgresTlsPlan { mode: PostgresTlsMode::Disable, ca_file: None },
        };
        let id = format!("afterbay-default-{}.events-all", scenario.unique);
        let plan = Plan {
            version: PLAN_VERSION,
            worker: format!("{}/shop", scenario.unique),
            listen: "127.0.0.1:0".into(),
            listen_file: Some(scenario.folder().join("address")),
            memory_bytes: 64 << 20,
            source: PostgresPlan {
                name: format!("{}/shop", scenario.unique),
                connection,
                publication: "pub".into(),
                slot: scenario.slot(),
                on_slot_loss: OnSlotLoss::Fail,
                failover_slot: false,
                snapshot: SnapshotPlan { mode: SnapshotMode::Auto, chunk_rows: 40 },
            },
            sinks: vec![SinkPlan {
                name: format!("{}/all", scenario.unique),
                uid: "1".into(),
                paused: false,
                begun: false,
                snapshot,
                by_pattern: true,
                on_truncate: OnTruncate::Stall,
                schema_changes: SchemaChanges::Follow,
                retain_history_ms: None,
                start_at: None,
                relations: tables.iter().map(|table| relation(scenario, table)).collect(),
                kafka: KafkaSinkPlan {
                    connection: KafkaConnectionPlan {
                        name: format!("{}/events", scenario.unique),
                        bootstrap_servers: scenario.rig.broker().into(),
                        tls: None,
                        authentication: None,
                        principal: None,
                        config: Vec::new(),
                    },
                    progress_topic: scenario.progress_topic(),
                    progress_key: scenario.progress_key("all"),
                    transactional_id: id.clone(),
                    progress_group_id: id,
                    name_prefix: "afterbay".into(),
                    compression: Compression::None,
                    commit: CommitPlan::default(),
                },
            }],
        };
        Self { scenario, plan, environment: Vec::new(), child: None }
    }

    /// The worker stands still the nth time that it comes by the fault point.
    pub fn holds_at(mut self, point: &str, nth: u32) -> Self {
        std::fs::write(self.scenario.brake(), "").expect("the brake can be written");
        let brake = self.scenario.brake().to_str().expect("the folder has a plain name").to_owned();
        self.environment.extend([("AFTERBAY_HOLD", format!("{point}:{nth}")), ("AFTERBAY_HOLD_FILE", brake)]);
        self
    }

    /// The worker dies the nth time that it comes by the fault point; the next one does not.
    pub fn dies_at(mut self, point: &str, nth: u32) -> Self {
        self.environment.push(("AFTERBAY_FAULT", format!("{point}:{nth}")));
        self
    }

    /// Waits until it has died, and runs the next one.
    pub async fn dies_and_runs_again(&mut self) {
        let mut child = self.child.take().expect("it runs");
        await_condition("the worker comes by its fault point", PATIENCE, async || {
            child.try_wait().expect("the child can be waited for")
        })
        .await;
        self.begin();
    }

    pub fn run(mut self) -> Self {
        self.begin();
        self
    }

    pub fn begin(&mut self) {
        let path = self.scenario.folder().join("plan.json");
        std::fs::write(&path, serde_json::to_vec(&self.plan).expect("a plan is JSON")).expect("it can be written");
        // The address of the last one is of no use.
        let _ = std::fs::remove_file(self.address());
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("it can be written");
        let child = Command::new(programs::folder().join("sink-runtime"))
            .arg("--plan")
            .arg(path)
            .envs(self.environment.drain(..))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the worker can be started"));
    }

    fn address(&self) -> PathBuf {
        self.scenario.folder().join("address")
    }

    fn log(&self) -> PathBuf {
        self.scenario.folder().join("log")
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            processes::signal(child.id(), "KILL");
            child.wait().expect("the child can be waited for");
        }
    }

    /// Kills it, and runs it with other tables.
    pub fn carries(&mut self, tables: &[&str]) {
        self.kill();
        self.plan.sinks[0].relations = tables.iter().map(|table| relation(self.scenario, table)).collect();
        self.begin();
    }

    pub async fn report(&self) -> Option<SinkReport> {
        let address = std::fs::read_to_string(self.address()).ok()?;
        let (status, body) = http::request("GET", &format!("http://{}/status", address.trim()), "").await?;
        let report: Option<WorkerReport> = (status == 200).then(|| serde_json::from_str(&body).expect("a report"));
        report?.sinks.into_iter().next()
    }

    pub async fn until(&self, what: &str, wanted: impl Fn(&SinkReport) -> bool) -> SinkReport {
        await_condition(what, PATIENCE, async || self.report().await.filter(|report| wanted(report))).await
    }

    /// Waits until it has committed all that the database holds now.
    pub async fn caught_up(&self) -> SinkReport {
        let end = self.scenario.database.log_end().await;
        let done = |report: &SinkReport| {
            report.state == SinkState::Running && report.settled.as_deref().is_some_and(|settled| lsn(settled) >= end)
        };
        self.until("the Sink catches up", done).await
    }

    pub async fn warning(&self, reason: &str) -> String {
        let is = |report: &SinkReport| report.warnings.iter().any(|warning| warning.reason == reason);
        let report = self.until(reason, is).await;
        report.warnings.into_iter().find(|warning| warning.reason == reason).expect("it was just seen").message
    }

    pub async fn messages(&self, table: &str) -> Vec<Message> {
        self.scenario.messages(&self.scenario.topic(table), Format::Json).await
    }

    /// Holds the topic of a table against all that ever happened to it.
    pub async fn check(&self, table: &str) -> usize {
        let messages = self.messages(table).await;
        history::check(&notes(&self.scenario.database, table).await, &messages, true);
        messages.len()
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- worker, log\n{}", std::fs::read_to_string(self.log()).unwrap_or_default());
        }
    }
}

async fn notes(database: &Database, table: &str) -> Values {
    let mut values: Values = BTreeMap::new();
    for row in database.rows(&format!("SELECT id, n FROM notes WHERE tab = '{table}' ORDER BY seq")).await {
        let number = |index: usize| row[index].as_ref().map(|text| text.parse().expect("an int is a number"));
        values.entry(number(0).expect("id is not null")).or_default().push(number(1));
    }
    values
}

/// A session that changes tables in transactions short and long, until it is told to stop.
pub struct Writer(Arc<AtomicBool>, JoinHandle<()>);

impl Writer {
    pub async fn begin(database: &Database, tables: &str) -> Self {
        let (session, stop) = (database.session().await, Arc::<AtomicBool>::default());
        let (told, call) = (Arc::clone(&stop), format!("CALL work('{{{tables}}}'"));
        let task = tokio::spawn(async move {
            for round in 1_u32.. {
                let changes = if round.is_multiple_of(20) { 200 } else { 1 + round % 7 };
                if told.load(Ordering::Relaxed) || !session.try_run(&format!("{call}, {changes})")).await {
                    return;
                }
            }
        });
        Self(stop, task)
    }

    pub async fn stop(self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.await.expect("the writer does not panic");
    }
}

#[tokio::test]
async fn a_source_transaction_over_two_tables_is_one_kafka_transaction() {
    let scenario = scenario("many-whole", &[("a", 0), ("b", 0)], &["a", "b"]).await;
    // The start is committed first.
    let worker = Worker::new(&scenario, false, &["a", "b"]).holds_at("flushed", 2).run();
    worker.until("streams", |report| report.state == SinkState::Running && report.begun).await;
    let both = "INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (2, 1); INSERT INTO a VALUES (3, 1)";
    scenario.database.run(&format!("BEGIN; {both}; COMMIT")).await;
    let is_held = || std::fs::metadata(scenario.brake()).is_ok_and(|brake| brake.len() > 0);
    await_condition("the worker is about to commit", PATIENCE, async || is_held().then_some(())).await;
    let report = worker.report().await.expect("its status is served by another thread");
    assert_eq!((report.messages_staged, report.messages_committed), (3, 0), "all of them are handed over");
    for table in ["a", "b"] {
        assert_eq!(worker.messages(table).await, [], "and nobody sees one of them");
    }
    scenario.lets_go();
    worker.caught_up().await;
    let names = async |table| {
        let messages = worker.messages(table).await;
        let mut names: Vec<_> = messages.iter().map(|message| message.position().to_owned()).collect();
        names.sort();
        names
    };
    let (a, b) = (names("a").await, names("b").await);
    let (commit, _) = b[0].split_once(':').expect("a position");
    assert_eq!(a, [format!("{commit}:0"), format!("{commit}:1")]);
    assert_eq!(b, [format!("{commit}:0")], "each table counts for itself");
}

#[tokio::test]
async fn the_worker_is_killed_again_and_again_in_the_snapshots_of_several_tables() {
    let tables = [("a", 700), ("b", 900), ("c", 0), ("d", 500)];
    let scenario = scenario("many-killed", &tables, &["a", "b", "c", "d"]).await;
    let writer = Writer::begin(&scenario.database, "a,b,c,d").await;
    let mut worker = Worker::new(&scenario, true, &["a", "b", "c", "d"]).run();
    let mut within = 0;
    for round in 1..=5_u64 {
        let is_through = |report: &SinkReport| report.state == SinkState::Running;
        let goes_on = |report: &SinkReport| report.snapshot_rows >= round * 150 || is_through(report);
        let seen = worker.until("goes on", goes_on).await;
        within += u64::from(!is_through(&seen) && seen.snapshot_rows < 2_000);
        worker.kill();
        worker.begin();
    }
    assert!(within > 1, "the snapshots were through before the worker could be killed");
    let through = |report: &SinkReport| report.tables.as_ref().is_some_and(|it| (it.carried, it.in_snapshot) == (4, 0));
    worker.until("is through", through).await;
    writer.stop().await;
    let report = worker.caught_up().await;
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    for (table, rows) in tables {
        assert!(worker.check(table).await >= rows as usize);
    }
}

/// The worker dies when it comes by this point for the nth time, with tables whose snapshots are through, under way and to
/// come; all of them change.
async fn dies_at(point: &str, nth: u32) {
    let tables = [("a", 100), ("b", 100), ("c", 100)];
    let scenario = scenario(&format!("many-{point}"), &tables, &["a", "b", "c"]).await;
    let writer = Writer::begin(&scenario.database, "a,b,c").await;
    let mut worker = Worker::new(&scenario, true, &["a", "b", "c"]).dies_at(point, nth).run();
    worker.dies_and_runs_again().await;
    let through = |report: &SinkReport| report.tables.as_ref().is_some_and(|it| (it.carried, it.in_snapshot) == (3, 0));
    worker.until("is through", |report| through(report) && report.messages_committed > 150).await;
    writer.stop().await;
    worker.caught_up().await;
    for (table, _) in tables {
        worker.check(table).await;
    }
}

dies! {
    when_the_start_is_committed: "committed", 1;
    when_attached_for_its_tables: "attached", 2;
    with_the_first_chunk_of_a_table_at_hand: "chunk", 4;
    with_the_last_chunk_of_a_table_at_hand: "chunk", 6;
    with_a_row_of_a_later_table_staged: "staged", 180;
    with_the_record_staged: "progress-staged", 5;
    before_the_commit: "flushed", 5;
    behind_a_commit: "committed", 5;
}

#[tokio::test]
async fn a_table_that_joins_under_load_has_its_rows_and_changes_once() {
    let scenario = scenario("many-joins", &[("a", 300)], &["a", "b"]).await;
    let mut worker = Worker::new(&scenario, true, &["a"]).run();
    worker.caught_up().await;
    scenario.database.run("CALL make('b', 300)").await;
    let writer = Writer::begin(&scenario.database, "a,b").await;
    worker.until("carries", |report| report.messages_committed > 600).await;
    // The plan may come before the publication holds the table.
    worker.carries(&["a", "b"]);
    assert!(worker.warning("TablesLeftOut").await.contains("does not hold table public.b"));
    scenario
        .database
        .run("BEGIN; LOCK TABLE b IN SHARE ROW EXCLUSIVE MODE; ALTER PUBLICATION pub ADD TABLE b; COMMIT")
        .await;
    worker.carries(&["a", "b"]);
    worker.until("has begun with it", |report| report.snapshot_rows > 340).await;
    worker.carries(&["a", "b"]);
    let through = |report: &SinkReport| report.tables.as_ref().is_some_and(|it| (it.carried, it.in_snapshot) == (2, 0));
    worker.until("is through", through).await;
    writer.stop().await;
    let report = worker.caught_up().await;
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(worker.check("a").await > 300 && worker.check("b").await >= 300);
}

#[tokio::test]
async fn tables_leave_and_the_others_go_on() {
    let scenario = scenario("many-leave", &[("a", 50), ("b", 50), ("c", 50)], &["a", "b", "c"]).await;
    let database = &scenario.database;
    let mut worker = Worker::new(&scenario, true, &["a", "b", "c"]).run();
    worker.caught_up().await;
    // One is dropped while the plan still names it, one is in the plan no more.
    database.run("INSERT INTO b VALUES (100, 100)").await;
    worker.caught_up().await;
    database.run("DROP TABLE b").await;
    worker.carries(&["a", "b"]);
    let told = worker.warning("TablesLeft").await;
    assert!(told.contains("public.c") && told.contains("there is no table public.b"), "{told}");
    database.run("INSERT INTO a VALUES (100, 100); INSERT INTO c VALUES (100, 100)").await;
    worker.caught_up().await;
    let carried = worker.check("a").await;
    assert_eq!((worker.check("b").await, worker.messages("c").await.len()), (51, 50));
    // Another table has the name of the first: its rows do not go into the topic of the first. The other one comes back.
    database.run("CALL make('b', 5); ALTER PUBLICATION pub ADD TABLE b").await;
    worker.carries(&["a", "b", "c"]);
    let told = worker.warning("TablesLeftOut").await;
    assert!(told.contains("table public.b was dropped and made again"), "{told}");
    assert!(worker.warning("TablesReturned").await.contains("public.c"));
    database.run("INSERT INTO a VALUES (101, 101)").await;
    let report = worker.caught_up().await;
    let tables = report.tables.expect("it is by pattern");
    assert_eq!((tables.carried, tables.left_out.len()), (2, 1));
    assert_eq!((worker.check("a").await, worker.messages("b").await.len()), (carried + 1, 51));
    let again = worker.messages("c").await;
    assert_eq!(again.len(), 50 + 51, "all rows once more, with the one that was missed");
}

#[tokio::test]
async fn one_that_is_not_fit_is_told_and_a_sink_without_tables_runs() {
    let scenario = scenario("many-unfit", &[], &["a", "b"]).await;
    let mut worker = Worker::new(&scenario, true, &[]).run();
    let idle = worker.caught_up().await;
    assert_eq!(idle.tables.expect("it is by pattern").carried, 0);
    scenario.database.run("CALL make('a', 20); CREATE TABLE b (id int, n int)").await;
    scenario.database.run("ALTER PUBLICATION pub ADD TABLE a").await;
    worker.carries(&["a", "b"]);
    let told = worker.warning("TablesLeftOut").await;
    assert!(told.contains("public.b"), "{told}");
    scenario.database.run("INSERT INTO a VALUES (21, 21)").await;
    worker.caught_up().await;
    assert_eq!(worker.check("a").await, 21);
    // One that is carried and becomes unfit is another matter: to leave it out would lose its changes.
    scenario.database.run("ALTER TABLE a REPLICA IDENTITY NOTHING").await;
    worker.carries(&["a", "b"]);
    let stalled = |report: &SinkReport| report.error.as_ref().is_some_and(|error| error.message.contains("public.a"));
    let report = worker.until("is stalled", stalled).await;
    assert_eq!(report.state, SinkState::Stalled);
}
