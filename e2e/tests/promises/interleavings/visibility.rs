//! What a snapshot shows, and what the stream has passed.

use std::time::{Duration, Instant};

use afterbay_e2e::afterbay::{Options, PATIENCE};
use afterbay_e2e::{
    Afterbay, Cluster, Database, Format, History, Manifests, Message, Scenario, Sink, await_condition, processes,
};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Open, at_once, ledger};
use crate::chunks::{in_chunks, stands};

/// A server on which the commit of a session waits for a standby that is not there, if the session so wishes.
async fn with_absent_standby() -> Cluster {
    Cluster::new(&[("synchronous_commit", "local"), ("synchronous_standby_names", "elsewhere")]).await
}

/// A transaction whose commit record is written, and which nobody sees yet.
struct Unseen(JoinHandle<()>);

impl Unseen {
    async fn commit(scenario: &Scenario, first: Open, sql: &str) -> Self {
        let database = &scenario.database;
        let second = next_to_be_waited_for(scenario, first).await;
        let session = database.session().await;
        session.run("SET synchronous_commit = on").await;
        let sql = sql.to_owned();
        let waiting = tokio::spawn(async move { session.run(&sql).await });
        await_condition("the commit waits for its standby", PATIENCE, async || {
            (database.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await > 0)
                .then_some(())
        })
        .await;
        second.session.run("COMMIT").await;
        Self(waiting)
    }

    async fn appears(self, scenario: &Scenario) {
        let waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        scenario.database.run_as_superuser(waiting).await;
        self.0.await.expect("it is committed: only its waiting was ended");
    }
}

/// A transaction whose commit record is written, and which the server itself takes for one that runs: its session stands
/// still between the two.
struct Unnoted {
    pid: u32,
    commit: JoinHandle<()>,
}

impl Unnoted {
    async fn commit(scenario: &Scenario, first: Open, sql: &str) -> Self {
        let database = &scenario.database;
        let second = next_to_be_waited_for(scenario, first).await;
        let stopped = async || Self::try_commit(database, sql).await;
        let unnoted = await_condition("a session is stopped behind its commit record", PATIENCE, stopped).await;
        second.session.run("COMMIT").await;
        unnoted
    }

    /// Stops it while it waits for another session, which writes the records of both. None: it came through before.
    async fn try_commit(database: &Database, sql: &str) -> Option<Self> {
        let (writer, session) = (database.session().await, database.session().await);
        writer.run("SET commit_siblings = 0; BEGIN; INSERT INTO aside VALUES (1)").await;
        session.run(&format!("BEGIN; {sql}")).await;
        let pid = session.text("SELECT pg_backend_pid()").await.parse().expect("a number");
        let begun = Instant::now();
        let written = tokio::spawn(async move { writer.run("COMMIT").await });
        tokio::time::sleep(COMMIT_DELAY / 5).await;
        let commit = tokio::spawn(async move { session.run("COMMIT").await });
        let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'WALWrite'");
        while !commit.is_finished() && database.number(&waits).await == 0 {}
        let unnoted = Self { pid, commit };
        // As long as the other sleeps it waits for sure, and holds nothing that all need.
        if begun.elapsed() < COMMIT_DELAY / 2 && !unnoted.commit.is_finished() {
            processes::signal(pid, "STOP");
        }
        let in_time = begun.elapsed() < COMMIT_DELAY * 9 / 10;
        if !in_time || unnoted.commit.is_finished() {
            unnoted.goes_on().await;
            written.await.expect("it is committed");
            return None;
        }
        written.await.expect("it is committed");
        let runs = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND backend_xid IS NOT NULL");
        (database.number(&runs).await > 0).then_some(unnoted)
    }

    async fn goes_on(mut self) {
        processes::signal(self.pid, "CONT");
        (&mut self.commit).await.expect("it is committed");
    }
}

impl Drop for Unnoted {
    fn drop(&mut self) {
        // The server ends only when all its processes run.
        processes::signal(self.pid, "CONT");
    }
}

/// For how long a session that writes the log waits for the commits of others, if it so wishes.
const COMMIT_DELAY: Duration = Duration::from_millis(100);

/// A server on which a session can be stopped between its commit record and its commit.
async fn with_delayed_commits() -> Cluster {
    let delay = COMMIT_DELAY.as_micros().to_string();
    Cluster::new(&[("fsync", "on"), ("commit_delay", &delay), ("commit_siblings", "1000")]).await
}

/// What commits while this one is open commits between the last look that a slot in the making takes at what runs, and the
/// slot's place: the slot waits for `first`, and then for what had begun by then.
async fn next_to_be_waited_for(scenario: &Scenario, first: Open) -> Open {
    first.is_waited_for(scenario).await;
    let second = Open::begin(&scenario.database).await;
    first.session.run("COMMIT").await;
    second.is_waited_for(scenario).await;
    second
}

/// Waits until rows are held back for a transaction whose commit is in the log only.
async fn rows_wait(scenario: &Scenario) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND backend_type = 'walsender' AND query LIKE '%pg_xact_status%'";
    await_condition("the rows wait for a commit", PATIENCE, async || {
        (scenario.database.number(waits).await > 0).then_some(())
    })
    .await;
}

fn of_key(messages: &[Message], id: i64) -> Vec<&Message> {
    messages.iter().filter(|message| message.key["id"] == id).collect()
}

/// The message of this key is of the snapshot, and holds what the transaction has left.
async fn is_of_the_snapshot(scenario: &Scenario, topic: &str, id: i64) {
    let now = scenario.database.number(&format!("SELECT n FROM ledger WHERE id = {id}")).await;
    let messages = scenario.messages(topic, Format::Json).await;
    let [row] = of_key(&messages, id)[..] else { panic!("not one message of key {id}") };
    assert!(row.position().contains(":s") && row.integer("n") == now, "{row:?}: the row has {now}");
}

/// A Sink begins whose table's rows are at once read, while a transaction commits that changes some of them. The slot of the
/// worker is there: so the next slot in the making is that of the start.
async fn begins_meanwhile(scenario: &Scenario, topic: &str) -> (Afterbay, Open) {
    let slot = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", scenario.slot());
    scenario.database.run_as_superuser(&slot).await;
    let first = Open::begin(&scenario.database).await;
    (scenario.run(&at_once(scenario.manifests().with(ledger(topic)))), first)
}

const CHANGES: &str = "UPDATE ledger SET n = nextval('numbers') WHERE id = 7; DELETE FROM ledger WHERE id = 8; \
     INSERT INTO ledger VALUES (900, nextval('numbers')) ON CONFLICT (id) DO UPDATE SET n = excluded.n";

#[tokio::test]
async fn case_01_a_commit_that_nobody_sees_yet_and_the_seam_of_a_new_sink() {
    let server = with_absent_standby().await;
    let scenario = Scenario::on("unseen-seam", &[&server]).await;
    let history = History::begin(&scenario.database, 300).await;
    let topic = scenario.topic("ledger");
    let (afterbay, first) = begins_meanwhile(&scenario, &topic).await;
    let unseen = Unseen::commit(&scenario, first, CHANGES).await;
    rows_wait(&scenario).await;
    unseen.appears(&scenario).await;
    afterbay.sink("has the rows", "ledger", |sink| sink.messages_committed >= 300).await;
    is_of_the_snapshot(&scenario, &topic, 7).await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// Who reads rows of such a transaction by its record in the log takes it for one that failed, and so does everybody from then
/// on: the server notes it on the rows.
#[tokio::test]
async fn case_01_a_commit_that_the_server_does_not_know_yet_and_the_seam_of_a_new_sink() {
    let server = with_delayed_commits().await;
    let scenario = Scenario::on("unnoted-seam", &[&server]).await;
    let history = History::begin(&scenario.database, 300).await;
    scenario.database.run("CREATE TABLE aside (i int)").await;
    let topic = scenario.topic("ledger");
    let (afterbay, first) = begins_meanwhile(&scenario, &topic).await;
    let unnoted = Unnoted::commit(&scenario, first, CHANGES).await;
    rows_wait(&scenario).await;
    unnoted.goes_on().await;
    afterbay.sink("has the rows", "ledger", |sink| sink.messages_committed >= 300).await;
    is_of_the_snapshot(&scenario, &topic, 7).await;
    history.check_table().await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
    history.check_table().await;
}

#[tokio::test]
async fn case_01_a_commit_that_nobody_sees_yet_and_the_rows_of_a_chunk() {
    let server = with_absent_standby().await;
    let scenario = Scenario::on("unseen-chunk", &[&server]).await;
    let database = &scenario.database;
    let history = History::begin(database, 2_000).await;
    let topic = scenario.topic("ledger");
    let holds = Options::default().holds_at(&scenario, "chunk-begun", 3);
    let afterbay = scenario.run_with(&in_chunks(scenario.manifests().with(ledger(&topic)), 25), &holds);
    afterbay.worker_stands_still().await;
    let first = Open::begin(database).await;
    // The chunk after this one, the third, waits.
    scenario.lets_go();
    afterbay.sink("has the chunk that was held", "ledger", |sink| sink.snapshot_rows >= 75).await;
    let rows = stands(&afterbay).await;
    assert!(rows < 1_900, "the snapshot is through already");
    // Of rows that are sent, of the next chunk's first and others, of later ones; and across the cursor.
    let (next, second, third, fourth) = (rows + 1, rows + 2, rows + 3, rows + 4);
    let sql = format!(
        "UPDATE ledger SET n = nextval('numbers') WHERE id IN (2, {next}, 1990); \
         DELETE FROM ledger WHERE id IN (3, {second}, 1991); \
         UPDATE ledger SET id = -4, n = nextval('numbers') WHERE id = {third}; \
         UPDATE ledger SET id = 3000 + id, n = nextval('numbers') WHERE id IN (5, {fourth})"
    );
    let unseen = Unseen::commit(&scenario, first, &sql).await;
    rows_wait(&scenario).await;
    let before = afterbay.report().await.expect("the worker answers").sinks[0].messages_committed;
    database.run("UPDATE ledger SET n = nextval('numbers') WHERE id IN (1, 9)").await;
    afterbay.sink("goes on with the stream", "ledger", |sink| sink.messages_committed >= before + 2).await;
    assert_eq!(stands(&afterbay).await, rows, "rows are read before they may be");
    unseen.appears(&scenario).await;
    afterbay.caught_up(&scenario).await;
    is_of_the_snapshot(&scenario, &topic, i64::try_from(next).expect("a small number")).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// Carries another table of the database, so that publication and slot live already.
async fn slot_lives(scenario: &Scenario, manifests: Manifests) -> Manifests {
    let manifests = manifests.with(Sink::new("other", "public.other", &scenario.topic("other")).key(&["id"]));
    scenario.carry(&manifests).await;
    manifests
}

#[tokio::test]
async fn case_02_a_table_joins_the_publication_while_a_transaction_writes_to_it() {
    let scenario = Scenario::new("joins").await;
    let database = &scenario.database;
    let history = History::begin(database, 100).await;
    let topic = scenario.topic("ledger");
    database.run("CREATE TABLE other (id int PRIMARY KEY)").await;
    let manifests = slot_lives(&scenario, scenario.manifests()).await;
    let writes = Open::begin(database).await;
    let change = "UPDATE ledger SET n = nextval('numbers') WHERE id = 7; DELETE FROM ledger WHERE id = 8";
    writes.session.run(change).await;
    let afterbay = scenario.run(&manifests.with(ledger(&topic)));
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                 WHERE NOT granted AND datname = current_database() AND relation = 'ledger'::regclass";
    await_condition("the publication waits for the table", PATIENCE, async || {
        (database.number(waits).await > 0).then_some(())
    })
    .await;
    writes.session.run("INSERT INTO ledger VALUES (900, nextval('numbers')); COMMIT").await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

/// Nobody locks the table where people tend the publication themselves: then it is the slot of the start that waits.
#[tokio::test]
async fn case_02_a_table_joins_a_publication_of_others_while_a_transaction_writes_to_it() {
    let scenario = Scenario::new("joins-others").await;
    let database = &scenario.database;
    let history = History::begin(database, 100).await;
    let topic = scenario.topic("ledger");
    let publication = "CREATE PUBLICATION mine FOR TABLE other WITH (publish_via_partition_root = true)";
    database.run(&format!("CREATE TABLE other (id int PRIMARY KEY); {publication}")).await;
    let mine = json!({"name": "mine", "managed": false});
    let manifests = scenario.manifests().set("SourceConnector/shop", "spec.postgres.publication", mine);
    let manifests = slot_lives(&scenario, manifests).await;
    let writes = Open::begin(database).await;
    let change = "UPDATE ledger SET n = nextval('numbers') WHERE id = 7; DELETE FROM ledger WHERE id = 8";
    writes.session.run(change).await;
    database.run("ALTER PUBLICATION mine ADD TABLE ledger").await;
    let afterbay = scenario.run(&manifests.with(ledger(&topic)));
    writes.is_waited_for(&scenario).await;
    writes.session.run("INSERT INTO ledger VALUES (900, nextval('numbers')); COMMIT").await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}
