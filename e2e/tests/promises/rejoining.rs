//! Sinks whose session ends come back one by one, each from where it was.

use afterbay_e2e::{Cluster, Format, History, Scenario, Sink, broker};

const WALSENDERS: &str = "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE active";

/// The session of all begins where the first of them stands; the server reads its log anew from further back, and says
/// of the way only that it is on it. A Sink that stands before that beginning must not be let in meanwhile.
#[tokio::test]
async fn a_sink_behind_the_others_is_not_let_in_before_it_has_caught_up() {
    // A server of its own: here all sessions end, and a transaction stays open for which slots of others would wait.
    let server = Cluster::new(&[]).await;
    let scenario = Scenario::on("rejoin", &[&server]).await;
    let history = History::begin(&scenario.database, 50).await;
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]);
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    let afterbay = scenario.run(&scenario.manifests().with(sink("well", &well)).with(sink("ailing", &ailing)));
    afterbay.caught_up(&scenario).await;
    // A transaction that stays open keeps the place from which the server reads where it is.
    let open = scenario.database.session().await;
    open.run("BEGIN; CREATE TABLE filler (t text); INSERT INTO filler VALUES ('')").await;
    for _ in 0..4 {
        broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "100").await;
        history.work(50).await;
        afterbay.stalled("ailing", "MessageTooLarge").await;
        // What takes the server a while to read.
        scenario
            .database
            .run("CREATE TABLE IF NOT EXISTS much (n int, t text); INSERT INTO much SELECT i, repeat('x', 100) FROM generate_series(1, 200000) i; CALL work(50)")
            .await;
        afterbay.sink_caught_up(&scenario, "well").await;
        broker::configure_topic(scenario.rig, &ailing, "max.message.bytes", "1000000").await;
        scenario.database.run_as_superuser(WALSENDERS).await;
        let writer = history.writer().await;
        afterbay.sink("runs again", "ailing", |sink| sink.error.is_none()).await;
        afterbay.sink("runs again", "well", |sink| sink.error.is_none()).await;
        writer.stop().await;
        afterbay.caught_up(&scenario).await;
    }
    open.run("ROLLBACK").await;
    history.check(&scenario.messages(&well, Format::Json).await, false).await;
    history.check(&scenario.messages(&ailing, Format::Json).await, false).await;
}
