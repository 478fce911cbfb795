//! The image in the cluster: both programs run in it without any right, and reach what is around the cluster.

use afterbay_e2e::kubernetes::{Ended, PodRun, bring_image};
use afterbay_e2e::scenario::unique;
use afterbay_e2e::{Format, Manifests, Namespace, Scenario, Sink, secure};
use serde_json::json;

/// Carries all that is there, and ends.
const CARRY: [&str; 4] = ["run", "--state-dir", "/tmp/state", "--until-caught-up"];

#[tokio::test]
async fn it_runs_both_programs() {
    let namespace = Namespace::create(&unique("image")).await;

    let definitions = PodRun::new("definitions", &["crds"]).run(&namespace).await;
    assert_eq!(definitions.status, 0, "{}", definitions.log);
    for kind in ["KafkaConnection", "SchemaRegistryConnection", "SourceConnector", "Sink"] {
        assert!(definitions.log.contains(&format!("kind: {kind}\n")), "no {kind} in {}", definitions.log);
    }

    // Another tag, as upgrades have it.
    bring_image("other");
    let worker = PodRun::new("worker", &["--help"]).image("afterbay:other").program("/usr/local/bin/sink-runtime");
    let worker = worker.run(&namespace).await;
    assert_eq!(worker.status, 0, "{}", worker.log);
    assert!(worker.log.contains("--plan"), "{}", worker.log);
}

/// The whole product in one pod: it carries a table through the parts' addresses as pods see them, of which one is a name
/// that only the cluster knows.
#[tokio::test]
async fn a_pod_carries_a_table() {
    let scenario = Scenario::new("a-pod-carries").await;
    let namespace = Namespace::of(&scenario).await;
    scenario.database.run("CREATE TABLE orders (id int PRIMARY KEY, pens int); INSERT INTO orders VALUES (1, 7)").await;
    let topic = scenario.topic("orders");
    let (host, port) = scenario.rig.broker().rsplit_once(':').expect("an address has a port");
    let port: u16 = port.parse().expect("a port is a number");
    namespace.kubectl.apply(&named("broker", host, port)).await;
    let manifests = scenario
        .manifests()
        .with(Sink::new("orders", "public.orders", &topic).key(&["id"]).format(Format::Avro))
        .set("KafkaConnection/events", "spec.bootstrapServers", format!("broker:{port}"));

    let ended = run(&namespace, &CARRY, &manifests).await;

    assert_eq!(ended.status, 0, "{}", ended.log);
    let messages = scenario.messages(&topic, Format::Avro).await;
    let [message] = &messages[..] else { panic!("not one message: {messages:?}") };
    assert_eq!(message.value, json!({"id": 1, "pens": 7}));
}

/// The secured broker has a certificate that holds for its address as pods see it.
#[tokio::test]
async fn a_pod_enters_the_secured_broker() {
    let scenario = Scenario::new("a-pod-enters").await;
    let namespace = Namespace::of(&scenario).await;
    scenario.database.run("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)").await;
    let topic = scenario.topic("orders");
    let manifests = scenario.manifests().with(Sink::new("orders", "public.orders", &topic).key(&["id"]));
    let user = scenario.rig.setting("BROKER_USER");
    let manifests = secure::with_secrets(manifests, scenario.rig);
    let manifests = secure::kafka(manifests, scenario.rig, "scram-sha-512", user, "broker-user");

    let ended = run(&namespace, &CARRY, &manifests).await;

    assert_eq!(ended.status, 0, "{}", ended.log);
    assert_eq!(secure::messages(scenario.rig, &topic, Format::Json).await.len(), 1);
}

/// Runs `afterbay` on manifests in a pod.
async fn run(namespace: &Namespace, arguments: &[&str], manifests: &Manifests) -> Ended {
    let file = Manifests::default().with_secret("manifests", &[("manifests.yaml", &manifests.to_yaml())]);
    namespace.apply(&file).await;
    let arguments = [arguments, &["-f", "/manifests", "--namespace", &namespace.name]].concat();
    PodRun::new(arguments[0], &arguments).secret("manifests", "/manifests").scratch("/tmp").run(namespace).await
}

/// A name in the namespace for something outside of the cluster.
fn named(name: &str, address: &str, port: u16) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"clusterIP": "None", "ports": [{"port": port}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"port": port}],
    });
    format!("{service}\n---\n{slice}")
}
