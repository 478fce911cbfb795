//! What people do with `kubectl`, and what it tells them.

use afterbay_e2e::kubernetes::{LONG, Operated, condition, labels};
use afterbay_e2e::{Format, Sink};

/// A SourceConnector of which no Sink can be carried now is as it should be: that is told of its Sinks.
async fn is_ready_and_reads_nothing(operated: &Operated) {
    let is = |source: &serde_json::Value| {
        let is_connected = &source["status"]["workers"][0]["connected"];
        is_connected == false && condition(source, "Ready").is_some_and(|ready| ready["status"] == "True")
    };
    operated.namespace.seen("SourceConnector/shop", "is ready, and reads nothing", LONG, is).await;
}

#[tokio::test]
async fn a_sink_is_paused_and_goes_on_and_one_that_is_wrong_says_why() {
    let operated = Operated::begin("operating").await;
    let scenario = &operated.scenario;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE keyless (n int)").await;
    scenario.database.run("INSERT INTO t VALUES (1)").await;
    let topic = scenario.topic("t");
    // What has to be there before its Sinks is ready without them.
    operated.apply(&scenario.manifests()).await;
    operated.ready("SourceConnector/shop").await;
    operated.apply(&scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]))).await;
    let kubectl = &operated.namespace.kubectl;
    kubectl.run(&["wait", "--for=condition=Ready", "sink/t", "--timeout=180s"]).await;
    operated.event("Sink/t", "Running").await;

    let patch = |state: &str| format!("{{\"spec\":{{\"state\":\"{state}\"}}}}");
    kubectl.run(&["patch", "sink", "t", "--type=merge", "-p", &patch("paused")]).await;
    kubectl.run(&["wait", "--for=jsonpath={.status.state}=paused", "sink/t", "--timeout=300s"]).await;
    operated.event("Sink/t", "Paused").await;
    // It is so on purpose.
    operated.ready("Sink/t").await;
    is_ready_and_reads_nothing(&operated).await;
    scenario.database.run("INSERT INTO t VALUES (2)").await;

    // Another one comes meanwhile, which cannot be carried.
    let wrong = Sink::new("wrong", "public.keyless", &scenario.topic("keyless")).key(&["n"]);
    operated.apply(&afterbay_e2e::Manifests::default().with(wrong)).await;
    kubectl.run(&["wait", "--for=condition=Stalled", "sink/wrong", "--timeout=180s"]).await;
    let message = operated.not_ready("Sink/wrong", "KeyNotUnique").await;
    assert!(message.contains("(\"n\")") && message.contains(" · what to do: make the key unique"), "{message}");
    let told = operated.event("Sink/wrong", "KeyNotUnique").await;
    assert!(told.contains("could not be validated as unique"), "{told}");
    is_ready_and_reads_nothing(&operated).await;
    let shown = kubectl.run(&["describe", "sink", "wrong"]).await;
    assert!(shown.contains("KeyNotUnique"), "{shown}");

    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1, "it is paused");
    kubectl.run(&["patch", "sink", "t", "--type=merge", "-p", &patch("running")]).await;
    kubectl.run(&["wait", "--for=jsonpath={.status.state}=running", "sink/t", "--timeout=180s"]).await;
    afterbay_e2e::await_condition("it has caught up", LONG, async || {
        (scenario.messages(&topic, Format::Json).await.len() == 2).then_some(())
    })
    .await;
    // What was wrong can be made right.
    scenario.database.run("ALTER TABLE keyless ADD PRIMARY KEY (n)").await;
    operated.ready("Sink/wrong").await;
}

#[tokio::test]
async fn a_sink_whose_finalizer_is_taken_away_keeps_its_place_and_gets_another() {
    let operated = Operated::begin("finalizer").await;
    let scenario = &operated.scenario;
    scenario.database.run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)").await;
    let sink = |name: &str| Sink::new(name, &format!("public.{name}"), &scenario.topic(name)).key(&["id"]);
    operated.apply(&scenario.manifests().with(sink("a")).with(sink("b"))).await;
    for resource in ["Sink/a", "Sink/b"] {
        operated.ready(resource).await;
    }
    let generation = async || {
        let deployments = operated.namespace.list("Deployment", &labels("shop")).await;
        deployments.first().and_then(|found| found["metadata"]["generation"].as_i64()).expect("it is there")
    };
    let before = generation().await;
    let kubectl = &operated.namespace.kubectl;
    for _ in 0..3 {
        kubectl.run(&["patch", "sink", "a", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"]).await;
        let finalizer = "--for=jsonpath={.metadata.finalizers[0]}=afterbay.dev/sink";
        kubectl.run(&["wait", finalizer, "sink/a", "--timeout=300s"]).await;
    }
    // Whatever the operator does about them, it has done when the next change of theirs has come about.
    let patch = "{\"spec\":{\"state\":\"paused\"}}";
    kubectl.run(&["patch", "sink", "b", "--type=merge", "-p", patch]).await;
    kubectl.run(&["wait", "--for=jsonpath={.status.state}=paused", "sink/b", "--timeout=300s"]).await;
    assert_eq!(generation().await, before + 1, "the pause made the one other plan");
}
