//! A Sink whose broker hangs does not hold up the others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use afterbay_e2e::manifests::resource;
use afterbay_e2e::proxy::{Network, Proxy};
use afterbay_e2e::{Format, Scenario, Sink, await_condition};
use serde_json::json;

use super::PATIENCE;

/// How long others may wait in all for a Sink that is held up: ten seconds until that is noticed, and a machine that does
/// much else. Its broker would be waited for more than half a minute.
const WAIT_MAX: Duration = Duration::from_secs(28);
/// How long the broker hangs.
const HUNG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_sink_whose_broker_hangs_does_not_hold_up_the_others() {
    let scenario = Scenario::new("held-up").await;
    let database = &scenario.database;
    database
        .run(
            "CREATE TABLE well (id int PRIMARY KEY, n int NOT NULL); INSERT INTO well VALUES (1, 0); \
              CREATE TABLE ailing (id int PRIMARY KEY, body text NOT NULL); \
             ALTER TABLE ailing REPLICA IDENTITY FULL",
        )
        .await;
    let (host, port) = scenario.rig.broker().rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port is a number");
    // The broker tells its clients of the port behind it that this is its address: see e2e/rig/kafka.sh.
    let (proxy, address) = Proxy::start(&format!("{host}:{}", port + 3), format!("{host}:{}", port + 2)).await;
    let slow = json!({"bootstrapServers": address.to_string(), "progressTopic": {"name": scenario.topic("progress")}});
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.worker.memory", "8Mi")
        .with(resource("KafkaConnection", "proxied", slow))
        .with(Sink::new("well", "public.well", &well).key(&["id"]))
        .with(Sink::new("ailing", "public.ailing", &ailing).key(&["id"]))
        .set("Sink/ailing", "spec.kafka.connection", "proxied");
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up_within(&scenario, PATIENCE).await;
    proxy.is(Network::Hung);
    let hung = Instant::now();
    // Several times what its queues hold.
    let mut rows = 0;
    let mut longest = Duration::ZERO;
    while hung.elapsed() < HUNG {
        if rows < 20_000 {
            database
                .run(&format!(
                    "INSERT INTO ailing SELECT i, repeat('x', 1000) FROM generate_series({}, {}) i",
                    rows + 1,
                    rows + 2_000
                ))
                .await;
            rows += 2_000;
        }
        let begun = Instant::now();
        database.run("UPDATE well SET n = n + 1").await;
        afterbay.sink_caught_up(&scenario, "well").await;
        longest = longest.max(begun.elapsed());
    }
    eprintln!("the other Sink waited {longest:.1?} at the longest");
    assert!(longest <= WAIT_MAX, "the other Sink waited {longest:.1?}");
    proxy.is(Network::Well);
    afterbay.caught_up_within(&scenario, PATIENCE).await;
    let numbers: Vec<_> =
        scenario.messages(&well, Format::Json).await.iter().map(|message| message.value["n"].as_i64()).collect();
    let expected: Vec<_> = (0..=database.number("SELECT n FROM well").await).map(Some).collect();
    assert_eq!(numbers, expected);
    let mut found: BTreeMap<i64, u32> = BTreeMap::new();
    for message in scenario.messages(&ailing, Format::Json).await {
        *found.entry(message.value["id"].as_i64().expect("a number")).or_default() += 1;
    }
    assert_eq!(found.len(), rows as usize);
    assert!(found.values().all(|times| *times == 1), "a row stands twice");
}

/// Making a slot waits for the transactions that write, and the server's process that does so does not look by itself
/// whether anybody still waits for it.
#[tokio::test]
async fn a_killed_worker_leaves_no_process_of_the_servers_behind() {
    let scenario = Scenario::new("left-behind").await;
    let database = &scenario.database;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)").await;
    let open = database.session().await;
    let topic = scenario.topic("t");
    let afterbay = scenario.run(&scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])));
    afterbay.caught_up(&scenario).await;
    open.run("BEGIN; INSERT INTO t VALUES (11)").await;
    let other = scenario.topic("other");
    let manifests = scenario.manifests().with(Sink::new("other", "public.t", &other).key(&["id"]));
    afterbay.stop().await;
    let afterbay = scenario.run(&manifests);
    let walsenders = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND backend_type = 'walsender' AND wait_event_type = 'Lock'",
        database.role
    );
    await_condition("a start waits for the open transaction", PATIENCE, async || {
        (database.number(&walsenders).await == 1).then_some(())
    })
    .await;
    afterbay.kill().await;
    await_condition("the server gives the start up", PATIENCE, async || {
        (database.number(&walsenders).await == 0).then_some(())
    })
    .await;
    open.run("ROLLBACK").await;
}
