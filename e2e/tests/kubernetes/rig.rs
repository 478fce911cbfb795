//! What tests rely on: the cluster tells who asked it for what, and its components can be ended and come back.

use afterbay_e2e::kubernetes::{Component, PATIENCE, PodRun, requests};
use afterbay_e2e::{Manifests, Namespace, Scenario, Sink, await_condition};
use serde_json::{Value, json};

/// The one who runs the tests.
const ADMINISTRATOR: &str = "admin";

#[tokio::test]
async fn requests_are_told_by_who_asks() {
    let scenario = Scenario::new("requests").await;
    let namespace = Namespace::of(&scenario).await;
    namespace.apply(&Manifests::default().with_secret("told", &[("password", "not-to-be-told")])).await;
    assert!(namespace.get("Secret/told").await.is_some());

    let asked: Vec<_> = requests(ADMINISTRATOR).into_iter().filter(|request| request.name == "told").collect();
    let written: Vec<_> = asked.iter().filter(|request| request.writes()).collect();
    let [apply] = written[..] else { panic!("not one write: {asked:?}") };
    assert_eq!((apply.verb.as_str(), apply.resource.as_str(), apply.code), ("patch", "secrets", 201));
    assert_eq!(apply.namespace, namespace.name);
    assert!(asked.iter().any(|request| request.verb == "get"), "{asked:?}");
}

/// As when a program fails, or memory runs out: the container ends with 137, and the kubelet starts it again.
#[tokio::test]
async fn a_program_in_a_pod_can_be_killed() {
    let scenario = Scenario::new("killed").await;
    let namespace = Namespace::of(&scenario).await;
    scenario.database.run("CREATE TABLE orders (id int PRIMARY KEY)").await;
    let sink = Sink::new("orders", "public.orders", &scenario.topic("orders")).key(&["id"]);
    let manifests = scenario.manifests().with(sink).to_yaml();
    namespace.apply(&Manifests::default().with_secret("manifests", &[("manifests.yaml", &manifests)])).await;
    let arguments = ["run", "--state-dir", "/tmp/state", "-f", "/manifests", "--namespace", &namespace.name];
    let pod =
        PodRun::new("carry", &arguments).secret("manifests", "/manifests").scratch("/tmp").start(&namespace).await;

    // A container runs before its program does.
    let runs = async || (namespace.processes(&pod, "/afterbay").len() == 1).then_some(());
    await_condition("the program runs", PATIENCE, runs).await;
    assert_eq!(namespace.signal(&pod, "/afterbay", "KILL"), 1);

    let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] == 1;
    let pod = namespace.seen("Pod/carry", "is started again", PATIENCE, restarted).await;
    let ended = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(ended["exitCode"], 137, "{pod}");
}

#[tokio::test]
async fn a_component_can_be_away() {
    let scenario = Scenario::new("away").await;
    let namespace = Namespace::alone(&scenario).await;
    {
        let server = Component::new(&namespace, "kube-apiserver");
        server.kill();
        let refused = namespace.kubectl.try_run(&["get", "pods"], "").await;
        assert!(refused.is_err(), "nobody should answer: {refused:?}");
        server.start();
        await_condition("the API server comes back", PATIENCE, async || {
            namespace.kubectl.try_run(&["get", "pods"], "").await.ok()
        })
        .await;
    }
    {
        let controllers = Component::new(&namespace, "kube-controller-manager");
        controllers.pause();
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "idle"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "idle"}}, "template": {
                "metadata": {"labels": {"app": "idle"}}, "spec": {"containers": [{"name": "main", "image": "none"}]},
            }},
        });
        namespace.kubectl.apply(&deployment.to_string()).await;
    }
    // Whoever it was that stood still, it is back with the end of its part.
    namespace
        .seen("Deployment/idle", "is looked at", PATIENCE, |object| object["status"]["observedGeneration"] == 1)
        .await;
}
