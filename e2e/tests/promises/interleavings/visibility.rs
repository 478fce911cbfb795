//! What a snapshot shows, and what the stream has passed.

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Cluster, Format, History, Manifests, Message, Scenario, Sink, await_condition};
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
    /// Commits between the last look that a slot in the making takes at what runs, and the slot's place: the slot waits
    /// for `first`, and then for what had begun by then.
    async fn commit(scenario: &Scenario, first: Open, sql: &str) -> Self {
        let database = &scenario.database;
        first.is_waited_for(scenario).await;
        let second = Open::begin(database).await;
        first.session.run("COMMIT").await;
        second.is_waited_for(scenario).await;
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

fn of_key(messages: &[Message], id: i64) -> Vec<&Message> {
    messages.iter().filter(|message| message.key["id"] == id).collect()
}

/// The message of this key, of the snapshot, which holds what no session sees yet.
async fn shows_unseen(scenario: &Scenario, topic: &str, id: i64) {
    let seen = scenario.database.number(&format!("SELECT n FROM ledger WHERE id = {id}")).await;
    let messages = scenario.messages(topic, Format::Json).await;
    let [row] = of_key(&messages, id)[..] else { panic!("not one message of key {id}") };
    assert!(row.position().contains(":s"), "{row:?}");
    assert!(row.integer("n") > seen, "the snapshot shows {}, and everybody sees {seen}", row.integer("n"));
}

#[tokio::test]
async fn case_01_a_commit_that_nobody_sees_yet_and_the_seam_of_a_new_sink() {
    let server = with_absent_standby().await;
    let scenario = Scenario::on("unseen-seam", &[&server]).await;
    let history = History::begin(&scenario.database, 300).await;
    let topic = scenario.topic("ledger");
    // That of the worker is there: so the next slot in the making is that of the start.
    let slot = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", scenario.slot());
    scenario.database.run_as_superuser(&slot).await;
    let first = Open::begin(&scenario.database).await;
    let afterbay = scenario.run(&at_once(scenario.manifests().with(ledger(&topic))));
    let unseen = Unseen::commit(
        &scenario,
        first,
        "UPDATE ledger SET n = nextval('numbers') WHERE id = 7; DELETE FROM ledger WHERE id = 8; \
         INSERT INTO ledger VALUES (900, nextval('numbers'))",
    )
    .await;
    afterbay.sink("has the rows", "ledger", |sink| sink.messages_committed >= 300).await;
    shows_unseen(&scenario, &topic, 7).await;
    unseen.appears(&scenario).await;
    history.work(50).await;
    afterbay.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn case_01_a_commit_that_nobody_sees_yet_and_the_rows_of_a_chunk() {
    let server = with_absent_standby().await;
    let scenario = Scenario::on("unseen-chunk", &[&server]).await;
    let database = &scenario.database;
    let history = History::begin(database, 2_000).await;
    let topic = scenario.topic("ledger");
    let afterbay = scenario.run(&in_chunks(scenario.manifests().with(ledger(&topic)), 25));
    afterbay.sink("is under way", "ledger", |sink| sink.snapshot_rows >= 50).await;
    let first = Open::begin(database).await;
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
    afterbay.sink("has the next rows", "ledger", |sink| sink.snapshot_rows > rows).await;
    let next = i64::try_from(next).expect("a small number");
    await_condition("the next rows are committed", PATIENCE, async || {
        let messages = scenario.messages(&topic, Format::Json).await;
        (!of_key(&messages, next).is_empty()).then_some(())
    })
    .await;
    shows_unseen(&scenario, &topic, next).await;
    // A slot that is asked for from here on waits for it, while the stream goes on.
    let rows = stands(&afterbay).await;
    let before = afterbay.report().await.expect("the worker answers").sinks[0].messages_committed;
    database.run("UPDATE ledger SET n = nextval('numbers') WHERE id IN (1, 9)").await;
    afterbay.sink("goes on with the stream", "ledger", |sink| sink.messages_committed >= before + 2).await;
    assert_eq!(stands(&afterbay).await, rows);
    unseen.appears(&scenario).await;
    afterbay.caught_up(&scenario).await;
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
