//! What cannot be taken away with what is deleted: the deletion ends all the same, and what stays is told.

use afterbay_e2e::kubernetes::{LONG, Namespace, OPERATOR, Operated, PATIENCE, Release, condition, definitions};
use afterbay_e2e::proxy::{Network, Proxy};
use afterbay_e2e::secure;
use afterbay_e2e::{Format, Manifests, Scenario, Sink, await_condition};
use serde_json::{Value, json};

const PASSWORD: &str = "a-password";

/// How many deleted resources of a kind the operator has told of.
async fn counted(operator: &Namespace, kind: &str) -> Option<u64> {
    operator.series(&format!("afterbay_operator_left_behind_total{{kind=\"{kind}\"}}")).await
}

/// Waits until the operator has counted: it tells first, and lets the resource go.
async fn is_counted(operator: &Namespace, kind: &str) {
    let has = async || counted(operator, kind).await.filter(|count| *count > 0).map(drop);
    await_condition("it is counted", PATIENCE, has).await;
}

/// An operator in a namespace of its own, which looks after the scenario's, too.
async fn from_elsewhere(test: &str) -> (Namespace, Operated) {
    definitions().await;
    let scenario = Scenario::new(test).await;
    let namespace = Namespace::of(&scenario).await;
    let home = namespace.another(&format!("{}-home", scenario.unique)).await;
    let release = Release::new("afterbay", &home.name);
    let operated = Operated { namespace, release, scenario };
    let mut values = operated.values();
    values["watchNamespaces"] = json!([operated.namespace.name, home.name]);
    operated.release.install(&values).await;
    (home, operated)
}

/// Gives the operator the rights that it has in a namespace everywhere, as where it looks after all of them: they outlive that namespace,
/// and go with the operator's.
async fn give_rights_everywhere(operator: &Namespace, watched: &Namespace) {
    let role = watched.get("Role/afterbay").await.expect("the chart gives it rights");
    let object = operator.kubectl.run(&["get", "namespace", &operator.name, "-o", "json"]).await;
    let object: Value = serde_json::from_str(&object).expect("it is JSON");
    let owner =
        json!({"apiVersion": "v1", "kind": "Namespace", "name": operator.name, "uid": object["metadata"]["uid"]});
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": operator.name, "ownerReferences": [owner]});
    let version = format!("{group}/v1");
    let rights = json!({"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": role["rules"]});
    let binding = json!({
        "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": operator.name},
        "subjects": [{"kind": "ServiceAccount", "name": "afterbay", "namespace": operator.name}],
    });
    for object in [rights, binding] {
        operator.kubectl.apply(&object.to_string()).await;
    }
}

#[tokio::test]
async fn with_a_namespace_go_slots_and_rights_and_the_records_that_stay_are_told() {
    let (home, operated) = from_elsewhere("ending").await;
    let (scenario, namespace) = (&operated.scenario, &operated.namespace);
    let (rig, user) = (scenario.rig, scenario.unique.as_str());
    let tables =
        "CREATE TABLE plain (id int PRIMARY KEY); CREATE TABLE bulk (id int PRIMARY KEY); INSERT INTO plain VALUES (1)";
    scenario.database.run(tables).await;
    secure::set_password(rig, user, PASSWORD).await;
    let manifests = secure::with_administrator(secure::with_secrets(scenario.manifests(), rig), rig);
    let sink = |name: &str| Sink::new(name, &format!("public.{name}"), &scenario.topic(name)).key(&["id"]);
    let manifests = secure::kafka(manifests, rig, "scram-sha-512", user, "own")
        .with_secret("own", &[("password", PASSWORD)])
        .set("KafkaConnection/events", "spec.acls", json!({"manage": true}))
        .with(sink("plain"))
        .with(sink("bulk"))
        .set("Sink/bulk", "spec.pool", "bulk")
        .set("Sink/bulk", "spec.deletionPolicy", "Retain");
    operated.apply(&manifests).await;
    for sink in ["Sink/plain", "Sink/bulk"] {
        operated.ready(sink).await;
        namespace.seen(sink, "has begun", LONG, |sink| sink["status"]["begun"] == true).await;
    }
    assert_eq!(operated.held().await, (2, 1));
    let principal = format!("User:{user}");
    let rights = async || secure::rights(rig, &principal).await.concat();
    assert_ne!(rights().await, "");

    give_rights_everywhere(&home, namespace).await;
    home.kubectl.run(&["delete", "namespace", &namespace.name, "--wait=false"]).await;
    let ended = ["wait", "--for=delete", &format!("namespace/{}", namespace.name), "--timeout=300s"];
    home.kubectl.run(&ended).await;

    assert_eq!(operated.held().await, (0, 0), "slots and publication go");
    assert_eq!(rights().await, "", "nobody needs anything any more");
    for sink in ["plain", "bulk"] {
        let (topic, key) = (scenario.progress_topic(), scenario.progress_key(sink));
        assert!(secure::has_record(rig, &topic, &key).await, "the record of {sink} stays");
    }
    let told = await_condition("an event of the operator's pod", PATIENCE, async || {
        let events = home.list("Event", "").await;
        let left = events.into_iter().filter(|event| event["reason"] == "LeftBehind");
        let left: Vec<_> = left.filter(|event| event["involvedObject"]["kind"] == "Pod").collect();
        (!left.is_empty()).then_some(left)
    })
    .await;
    let [told] = &told[..] else { panic!("one that is retained is not left behind: {told:?}") };
    let message = told["message"].as_str().unwrap_or_default();
    let expected = format!("Sink {user}/plain: its progress record in KafkaConnection {user}/events may stay behind");
    assert!(message.starts_with(&expected), "{message}");
    let operator = home.ready_pod(OPERATOR).await;
    assert_eq!(told["involvedObject"]["uid"], json!(operator.metadata.uid), "else nobody finds it with the pod");
    is_counted(&home, "Sink").await;
    assert_eq!((counted(&home, "Sink").await, counted(&home, "SourceConnector").await), (Some(1), Some(0)));
}

#[tokio::test]
async fn with_the_database_gone_a_deletion_can_be_given_up_and_names_the_slot_that_stays() {
    let operated = Operated::begin("database-gone").await;
    let scenario = &operated.scenario;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let topic = scenario.topic("t");
    let (host, port) = scenario.rig.postgres_address();
    let listen = format!("{}:0", scenario.rig.setting("HOST"));
    let (network, address) = Proxy::start(&listen, format!("{host}:{port}")).await;
    let manifests = scenario
        .manifests()
        .set("SourceConnector/shop", "spec.postgres.host", address.ip().to_string())
        .set("SourceConnector/shop", "spec.postgres.port", address.port())
        .with(Sink::new("t", "public.t", &topic).key(&["id"]));
    operated.apply(&manifests).await;
    operated.ready("Sink/t").await;
    await_condition("the row is carried", LONG, async || {
        (scenario.messages(&topic, Format::Json).await.len() == 1).then_some(())
    })
    .await;
    network.is(Network::Cut);
    operated.namespace.delete("SourceConnector/shop").await;
    operated.namespace.delete("Sink/t").await;
    // It needs no database.
    operated.namespace.gone("Sink/t", LONG).await;
    assert!(!operated.has_progress("t").await, "the record goes");
    let slot = scenario.slot();
    let says_how = |source: &Value| {
        let message = condition(source, "Ready").map(|ready| ready["message"].as_str().unwrap_or_default());
        message.is_some_and(|message| message.contains(&slot) && message.contains("afterbay.dev/abandon"))
    };
    operated.namespace.seen("SourceConnector/shop", "says how to give up its slot", LONG, says_how).await;
    let abandon = json!({"metadata": {"annotations": {"afterbay.dev/abandon": "true"}}});
    operated.namespace.patch("SourceConnector/shop", &abandon).await;
    operated.namespace.gone("SourceConnector/shop", PATIENCE).await;
    let told = operated.event("SourceConnector/shop", "LeftBehind").await;
    assert!(told.contains(&format!("replication slot {slot}")) && told.contains("keep its log"), "{told}");
    is_counted(&operated.namespace, "SourceConnector").await;
    assert_eq!(counted(&operated.namespace, "SourceConnector").await, Some(1));
    assert_eq!(operated.held().await, (1, 1), "as was told");
}

#[tokio::test]
async fn where_no_job_is_let_in_a_deletion_ends_all_the_same() {
    let operated = Operated::begin("no-job").await;
    let scenario = &operated.scenario;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let sink = Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"]);
    operated.apply(&scenario.manifests().with(sink)).await;
    operated.ready("Sink/t").await;
    operated.namespace.seen("Sink/t", "has begun", LONG, |sink| sink["status"]["begun"] == true).await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-jobs"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    });
    operated.namespace.kubectl.apply(&quota.to_string()).await;
    await_condition("the quota is in force", PATIENCE, async || {
        let quota = operated.namespace.kubectl.run(&["get", "resourcequota", "no-jobs", "-o", "json"]).await;
        let quota: Value = serde_json::from_str(&quota).expect("it is JSON");
        (quota["status"]["hard"]["count/jobs.batch"] == "0").then_some(())
    })
    .await;
    for resource in ["Secret/shop-db", "SourceConnector/shop", "Sink/t"] {
        operated.namespace.delete(resource).await;
    }
    let message = operated.not_ready("Sink/t", "Deleting").await;
    assert!(message.contains("afterbay.dev/abandon"), "{message}");
    operated.namespace.gone("Sink/t", LONG).await;
    await_condition("the worker has gone", LONG, async || {
        operated.namespace.list("Deployment", "afterbay.dev/source=shop").await.is_empty().then_some(())
    })
    .await;
    let forgotten = begun_anew_behind_a_deletion(&operated).await;
    operated.namespace.gone("SourceConnector/shop", LONG).await;
    let told = operated.event("Sink/t", "LeftBehind").await;
    assert!(told.contains("its progress record") && told.contains("exceeded quota: no-jobs"), "{told}");
    assert!(operated.has_progress("t").await, "as was told");
    assert_eq!(operated.held().await, (1, 0), "slot and publication need no Job");
    operated.namespace.gone("SourceConnector/forgotten", LONG).await;
    let told = operated.event("SourceConnector/forgotten", "LeftBehind").await;
    assert!(told.contains(&format!("The database has {forgotten}: drop what nobody needs")), "{told}");
}

/// Another operator begins. Meanwhile what the Job of `shop` was to read goes, so that the credentials are left which its worker was given;
/// and another SourceConnector is deleted, of whose slot nothing tells any more: gives that.
async fn begun_anew_behind_a_deletion(operated: &Operated) -> String {
    let (scenario, namespace) = (&operated.scenario, &operated.namespace);
    namespace.patch("Deployment/afterbay", &json!({"spec": {"replicas": 0}})).await;
    await_condition("the operator ends", LONG, async || namespace.list("Pod", OPERATOR).await.is_empty().then_some(()))
        .await;
    let papers = "afterbay.dev/source=shop,app.kubernetes.io/component=retirement";
    namespace.kubectl.run(&["delete", "configmaps,secrets", "--selector", papers]).await;
    let base = format!("{}_forgotten", scenario.slot());
    let slot = format!("{base}_bulk");
    let password = "spec.postgres.authentication.passwordSecret.secretName";
    let forgotten = Manifests::default()
        .with_secret("forgotten-db", &[("password", &scenario.database.password)])
        .with(scenario.source("forgotten", &base))
        .set("SourceConnector/forgotten", password, "forgotten-db")
        .set("SourceConnector/forgotten", "metadata.finalizers", json!(["afterbay.dev/source"]));
    operated.apply(&forgotten).await;
    let status = r#"{"status": {"begun": true}}"#;
    namespace
        .kubectl
        .run(&["patch", "sourceconnector", "forgotten", "--subresource=status", "--type=merge", "--patch", status])
        .await;
    namespace.delete("SourceConnector/forgotten").await;
    scenario.database.run(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    namespace.patch("Deployment/afterbay", &json!({"spec": {"replicas": 1}})).await;
    slot
}
