//! What the product needs is away for minutes, while transactions are made all the time: what is said of it is true, nothing runs hot,
//! and afterwards every change stands once, in order per key.

use std::time::{Duration, Instant};

use afterbay_crds::report::SinkState;
use afterbay_e2e::database::lsn;
use afterbay_e2e::kubernetes::carrying::{self, SOURCE};
use afterbay_e2e::kubernetes::{Carrying, Component, LONG, OPERATOR, Operated, condition};
use afterbay_e2e::proxy::{Network, Proxy};
use afterbay_e2e::{Follower, Format, History, Manifests, Rig, Scenario, Sink, await_condition};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::sleep;

use crate::{calm, setting};

/// For how long, unless `AFTERBAY_LONG_AWAY` tells otherwise, in seconds.
const AWAY: Duration = Duration::from_mins(5);

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

fn away() -> Duration {
    setting("AWAY").map_or(AWAY, Duration::from_secs)
}

/// A part of the rig that is away; it is back before another test begins.
struct Away {
    rig: &'static Rig,
    part: &'static str,
}

impl Away {
    fn by(verb: &str, part: &'static str) -> Self {
        let rig = Rig::get();
        rig.run(&[verb, part]);
        Self { rig, part }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.rig.run(&["start", self.part]);
    }
}

/// Waits until a resource is not ready for this reason, and says what to do.
async fn tells(operated: &Operated, resource: &str, reason: &str) {
    let message = operated.not_ready(resource, reason).await;
    eprintln!("long: {resource}: {reason}: {message}");
    assert!(message.contains(" · what to do: "), "{resource}: {reason}: {message}");
}

/// None of these resources may say until this moment that it is ready.
async fn none_is_ready(operated: &Operated, resources: &[&str], until: Instant) {
    while Instant::now() < until {
        for resource in resources {
            let object = operated.namespace.get(resource).await.expect("it is there");
            let ready = condition(&object, "Ready").expect("something is said of it");
            assert_eq!(ready["status"], "False", "{resource} says {ready}");
        }
        sleep(LOOK).await;
    }
}

/// A Sink commits what the database holds, again and again until this moment.
async fn goes_on(operated: &Operated, sink: &str, until: Instant) {
    let name = format!("{}/{sink}", operated.namespace.name);
    while Instant::now() < until {
        let end = operated.scenario.database.log_end().await;
        await_condition(&format!("{sink} goes on"), LONG, async || {
            let report = operated.report(SOURCE).await?;
            let own = report.sinks.iter().find(|own| own.name == name)?;
            let settled = own.settled.as_deref().is_some_and(|settled| lsn(settled) >= end);
            (own.state == SinkState::Running && settled).then_some(())
        })
        .await;
        sleep(LOOK).await;
    }
}

/// Messages come to a topic, again and again until this moment.
async fn flows(follower: &mut Follower, topic: &str, until: Instant) {
    while Instant::now() < until {
        await_condition("messages come", LONG, async || {
            let read = follower.read(&[(topic, Format::Json)]).await;
            read.values().any(|messages| !messages.is_empty()).then_some(())
        })
        .await;
        sleep(LOOK).await;
    }
}

/// One table more, its Sink, and its topic.
async fn another(scenario: &Scenario, name: &str) -> (Manifests, String) {
    scenario.database.run(&format!("CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} VALUES (1)")).await;
    let topic = scenario.topic(name);
    let sink = Sink::new(name, &format!("public.{name}"), &topic).key(&["id"]);
    (Manifests::default().with(sink), topic)
}

/// Checks that the table more is carried too, and that every change stands in the topic once.
async fn with_another(carrying: &Carrying, topic: &str) {
    let operated = &carrying.operated;
    operated.caught_up(SOURCE, 2).await;
    assert_eq!(operated.scenario.messages(topic, Format::Json).await.len(), 1);
    carrying::check(&operated.scenario, &carrying.topic).await;
}

/// The process of a worker's pod is killed, and its node starts another one.
async fn dies(operated: &Operated, pod: &Pod) {
    let before = operated.namespace.processes(pod, "sink-runtime");
    assert_eq!(operated.namespace.signal(pod, "sink-runtime", "KILL"), 1, "its one process");
    await_condition("the node starts the worker again", LONG, async || {
        let now = operated.namespace.processes(pod, "sink-runtime");
        (now.len() == 1 && now != before).then_some(())
    })
    .await;
}

/// A Sink is deleted meanwhile: that ends by itself, and tells what stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker() {
    let carrying = Carrying::of(Operated::alone("broker-away").await).await;
    let operated = &carrying.operated;
    let (leaving, _) = another(&operated.scenario, "leaving").await;
    operated.apply(&leaving).await;
    operated.ready("Sink/leaving").await;
    operated.caught_up(SOURCE, 2).await;
    let outage = async {
        let broker = Away::by("kill", "broker");
        let until = Instant::now() + away();
        tells(operated, "Sink/ledger", "KafkaUnreachable").await;
        tells(operated, "KafkaConnection/events", "KafkaUnreachable").await;
        let leaves = async {
            operated.namespace.delete("Sink/leaving").await;
            let deleted = Instant::now();
            operated.namespace.gone("Sink/leaving", LONG).await;
            eprintln!("long: Sink/leaving is gone after {:.0?}", deleted.elapsed());
            let told = operated.event("Sink/leaving", "LeftBehind").await;
            assert!(told.contains("progress record") && told.contains("may stay behind"), "{told}");
        };
        tokio::join!(leaves, none_is_ready(operated, &["Sink/ledger", "KafkaConnection/events"], until));
        drop(broker);
        operated.ready("Sink/ledger").await;
        operated.ready("KafkaConnection/events").await;
        carrying.goes_on().await;
    };
    carrying.under_writes(outage).await;
    assert!(operated.has_progress("leaving").await, "as was told");
    carrying.check().await;
    calm::check(operated, 0, away()).await;
}

/// The worker begins anew meanwhile, and has to ask for its schemas again: who needs none goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry() {
    let operated = Operated::alone("registry-away").await;
    let rig = operated.scenario.rig;
    let (address, path) = rig.registry().trim_start_matches("http://").split_once('/').expect("a URL has a path");
    let (registry, own) = Proxy::start(&format!("{}:0", rig.setting("HOST")), address.to_owned()).await;
    let topic = operated.scenario.topic("schemas");
    let schemas = Sink::new("schemas", "public.ledger", &topic).key(&["id"]).format(Format::Avro).partitions(2);
    let carrying = Carrying::with(operated, 2, |manifests| {
        manifests.with(schemas).set("SchemaRegistryConnection/schemas", "spec.url", format!("http://{own}/{path}"))
    })
    .await;
    let operated = &carrying.operated;
    let outage = async {
        registry.is(Network::Cut);
        let until = Instant::now() + away();
        let pod = operated.worker(SOURCE).await;
        operated.namespace.force_delete(pod.metadata.name.as_deref().expect("a pod has a name")).await;
        tells(operated, "Sink/schemas", "RegistryUnreachable").await;
        tells(operated, "SchemaRegistryConnection/schemas", "RegistryUnreachable").await;
        operated.ready("Sink/ledger").await;
        let silent = ["Sink/schemas", "SchemaRegistryConnection/schemas"];
        tokio::join!(none_is_ready(operated, &silent, until), goes_on(operated, "ledger", until));
        registry.is(Network::Well);
        operated.ready("Sink/schemas").await;
        operated.ready("SchemaRegistryConnection/schemas").await;
        carrying.goes_on().await;
    };
    carrying.under_writes(outage).await;
    carrying.check().await;
    let messages = operated.scenario.messages(&topic, Format::Avro).await;
    History::of(&operated.scenario.database).check(&messages, false).await;
    calm::check(operated, 0, away()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database() {
    let mut carrying = Carrying::of(Operated::alone("database-away").await).await;
    let resources = ["Sink/ledger", "SourceConnector/shop"];
    let operated = &carrying.operated;
    let outage = async {
        let database = Away::by("crash", "postgres");
        let until = Instant::now() + away();
        for resource in resources {
            tells(operated, resource, "SourceUnreachable").await;
        }
        none_is_ready(operated, &resources, until).await;
        drop(database);
    };
    carrying.under_writes(outage).await;
    carrying.operated.scenario.database.reconnect().await;
    let operated = &carrying.operated;
    let back = async {
        for resource in resources {
            operated.ready(resource).await;
        }
        carrying.goes_on().await;
    };
    carrying.under_writes(back).await;
    carrying.check().await;
    calm::check(operated, 0, away()).await;
}

/// The worker dies meanwhile: its node needs nobody to start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server() {
    let carrying = Carrying::of(Operated::alone("api-away-for-long").await).await;
    let operated = &carrying.operated;
    let (late, topic) = another(&operated.scenario, "late").await;
    let server = Component::new(&operated.namespace, "kube-apiserver");
    let mut follower = Follower::start(operated.scenario.rig);
    let pod = operated.worker(SOURCE).await;
    let outage = async {
        server.kill();
        let until = Instant::now() + away();
        dies(operated, &pod).await;
        follower.read(&[(&carrying.topic, Format::Json)]).await;
        flows(&mut follower, &carrying.topic, until).await;
        server.start();
        let back = Instant::now();
        operated.api_server_is_back().await;
        operated.apply(&late).await;
        operated.ready("Sink/late").await;
        eprintln!("long: {:.0?} after the API server is back a new Sink is ready", back.elapsed());
        operated.ready("Sink/ledger").await;
        operated.caught_up(SOURCE, 2).await;
    };
    carrying.under_writes(outage).await;
    with_another(&carrying, &topic).await;
    // Who cannot renew its Lease ends; the next one waits.
    calm::check(operated, 2, away()).await;
}

/// The worker dies meanwhile, its pod as well: neither needs an operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator() {
    let carrying = Carrying::of(Operated::alone("operator-away").await).await;
    let operated = &carrying.operated;
    let (late, topic) = another(&operated.scenario, "late").await;
    let scale = async |replicas: &str| {
        operated.namespace.kubectl.run(&["scale", "deployment/afterbay", replicas]).await;
    };
    let outage = async {
        scale("--replicas=0").await;
        await_condition("the operator goes", LONG, async || {
            operated.namespace.list("Pod", OPERATOR).await.is_empty().then_some(())
        })
        .await;
        let until = Instant::now() + away();
        let pod = operated.worker(SOURCE).await;
        dies(operated, &pod).await;
        carrying.goes_on().await;
        operated.namespace.force_delete(pod.metadata.name.as_deref().expect("a pod has a name")).await;
        operated.apply(&late).await;
        goes_on(operated, "ledger", until).await;
        let declared = operated.namespace.get("Sink/late").await.expect("it is there");
        assert!(declared["status"].is_null(), "nobody has seen it: {declared}");
        scale("--replicas=1").await;
        operated.ready("Sink/late").await;
        operated.ready("Sink/ledger").await;
        operated.caught_up(SOURCE, 2).await;
    };
    carrying.under_writes(outage).await;
    with_another(&carrying, &topic).await;
    calm::check(operated, 0, away()).await;
}
