//! A worker's pod is told to end, as a drain of its node does it: the worker commits what it holds and is gone within seconds, also
//! where its brokers do not answer.

use afterbay_crds::report::SinkReport;
use afterbay_e2e::kubernetes::carrying::SOURCE;
use afterbay_e2e::kubernetes::{Component, LONG, Operated, is_ready, labels};
use afterbay_e2e::proxy::{Network, Proxy};
use afterbay_e2e::{Format, Namespace, Scenario, Sink, await_condition, broker, processes};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::api::{WatchEvent, WatchParams};
use serde_json::json;

/// In how many seconds it is to be gone.
const PROMISED: i64 = 10;
/// What a slow machine may take to tell it so, and to see that it is gone.
const TOLD: i64 = 10;
/// Of one transaction of the database: it is under way for long enough to be met there.
const ROWS: i64 = 100_000;
/// How many messages of it are handed over when the worker is told to end.
const STAGED: u64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_holds_is_committed_and_it_is_gone_in_seconds() {
    let operated = Operated::alone("leaving").await;
    let (scenario, namespace) = (&operated.scenario, &operated.namespace);
    // The broker tells its clients of the port behind it that this is its address: see e2e/rig/kafka.sh.
    let (host, port) = scenario.rig.broker().rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port is a number");
    let (brokers, address) = Proxy::start(&format!("{host}:{}", port + 3), format!("{host}:{}", port + 2)).await;
    // The database is behind a slow network when the worker is told to end: so it is met in the midst of a transaction.
    let (database, slow) = Proxy::start(&format!("{host}:0"), postgres(scenario)).await;
    let topic = scenario.topic("t");
    // Only the end of what comes, or of the worker, is the end of a transaction.
    let commit = json!({"interval": "30s", "timeout": "60s", "bytes": "1Gi", "records": 10_000_000});
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let manifests = scenario
        .manifests()
        .set("KafkaConnection/events", "spec.bootstrapServers", address.to_string())
        .with(Sink::new("t", "public.t", &topic).key(&["id"]).partitions(1))
        .set("Sink/t", "spec.kafka.commit", commit)
        .set("SourceConnector/shop", "spec.postgres.host", slow.ip().to_string())
        .set("SourceConnector/shop", "spec.postgres.port", slow.port());
    operated.apply(&manifests).await;
    operated.ready("Sink/t").await;
    operated.caught_up(SOURCE, 1).await;

    let budget = "PodDisruptionBudget/afterbay-shop-default";
    namespace.seen(budget, "lets it go", LONG, |budget| budget["status"]["disruptionsAllowed"] == 1).await;
    let pod = operated.worker(SOURCE).await;
    let process = process(namespace, &pod);
    // Nobody makes another pod, which would fence this one.
    let controllers = Component::new(namespace, "kube-controller-manager");
    controllers.pause();
    database.is(Network::Slow);
    insert(&operated, 1).await;
    within_a_transaction(&operated).await;
    processes::signal(process, "STOP");
    database.is(Network::Well);
    let ended = evicted(namespace, &pod, async {
        await_condition("the worker is told to end", LONG, async || processes::is_told_to_end(process).then_some(()))
            .await;
        processes::signal(process, "CONT");
    });
    assert_left(&ended.await);
    let seen = i64::try_from(scenario.messages(&topic, Format::Json).await.len()).expect("a number");
    assert!((1..ROWS).contains(&seen), "in the midst of {ROWS} rows it commits what it holds: {seen}");
    // There is the mark of one transaction beside.
    assert_eq!(broker::end(scenario.rig, &topic, 0), seen + 1, "nothing of what it sent is to be sent again");
    controllers.resume();
    operated.caught_up(SOURCE, 1).await;

    let pod = operated.worker(SOURCE).await;
    insert(&operated, 2).await;
    within_a_transaction(&operated).await;
    brokers.is(Network::Hung);
    assert_left(&evicted(namespace, &pod, async {}).await);
    // The next one does not become ready, and can be evicted all the same.
    let next = await_condition("another worker begins", LONG, async || {
        let next = namespace.pods(&labels(SOURCE)).await.pop()?;
        operated.report(SOURCE).await.map(|_| next)
    })
    .await;
    assert!(!is_ready(&next), "its brokers do not answer");
    assert_left(&evicted(namespace, &next, async {}).await);
    brokers.is(Network::Well);
    operated.caught_up(SOURCE, 1).await;
    operated.ready("Sink/t").await;
    let messages = scenario.messages(&topic, Format::Json).await;
    let mut ids: Vec<_> = messages.iter().map(|message| message.key["id"].as_i64().expect("a number")).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=2 * ROWS), "each row stands once");
}

/// Where the database is.
fn postgres(scenario: &Scenario) -> String {
    let (host, port) = scenario.rig.postgres_address();
    format!("{host}:{port}")
}

/// Puts rows into the table, in one transaction: those of the first, of the second time …
async fn insert(operated: &Operated, time: i64) {
    let (first, last) = ((time - 1) * ROWS + 1, time * ROWS);
    operated.scenario.database.run(&format!("INSERT INTO t SELECT generate_series({first}, {last})")).await;
}

/// Waits until the worker has handed over a good deal that it has not committed.
async fn within_a_transaction(operated: &Operated) {
    let is_open = |sink: &SinkReport| sink.messages_staged > sink.messages_committed + STAGED;
    await_condition("a transaction is under way", LONG, async || {
        operated.report(SOURCE).await?.sinks.iter().any(is_open).then_some(())
    })
    .await;
}

/// The process of a worker's pod.
fn process(namespace: &Namespace, pod: &Pod) -> u32 {
    let [process] = namespace.processes(pod, "sink-runtime")[..] else { panic!("a worker is one process") };
    process
}

/// How a worker has left.
#[derive(Debug)]
struct Left {
    status: i32,
    /// From when its pod was deleted, in seconds.
    took: i64,
}

fn assert_left(left: &Left) {
    eprintln!("the worker is gone after {} s", left.took);
    assert_eq!(left.status, 0, "it leaves by itself: {left:?}");
    assert!(left.took < PROMISED + TOLD, "{left:?}");
}

/// Evicts a worker's pod, does something while it ends, and waits until it is gone.
async fn evicted(namespace: &Namespace, pod: &Pod, meanwhile: impl Future<Output = ()>) -> Left {
    let name = pod.metadata.name.as_deref().expect("a pod has a name");
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let since = pod.metadata.resource_version.as_deref().expect("a pod has a version");
    let events = namespace.api::<Pod>().watch(&only, since).await.expect("a pod can be watched");
    await_condition("the pod may be evicted", LONG, async || namespace.evict(name).await.then_some(())).await;
    meanwhile.await;
    let ended = async {
        let (mut events, mut deleted) = (std::pin::pin!(events), None);
        while let Some(event) = events.next().await {
            match event.expect("a pod can be watched") {
                // The first to say so: at its end the pod is deleted once more, at that time.
                WatchEvent::Modified(pod) => deleted = deleted.or_else(|| deleted_at(&pod)),
                WatchEvent::Deleted(pod) => return (pod, deleted),
                WatchEvent::Bookmark(_) => {}
                event => panic!("a pod is watched: {event:?}"),
            }
        }
        panic!("pod {name} is not watched to its end")
    };
    let (last, deleted) = tokio::time::timeout(LONG, ended).await.expect("the pod goes");
    let ended = terminated(&last).unwrap_or_else(|| panic!("nobody knows how it ended: {last:?}"));
    let finished = ended.finished_at.as_ref().expect("it has ended").0.as_second();
    Left { status: ended.exit_code, took: finished - deleted.expect("it was deleted before it was gone") }
}

/// When somebody asked for a pod to be deleted, in seconds; it is written down with the time that the pod was given.
fn deleted_at(pod: &Pod) -> Option<i64> {
    let due = pod.metadata.deletion_timestamp.as_ref()?.0.as_second();
    Some(due - pod.metadata.deletion_grace_period_seconds?)
}

/// How the one container of a pod ended.
fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.terminated.as_ref()
}
