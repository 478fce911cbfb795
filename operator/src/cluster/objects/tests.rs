use afterbay_crds::manifest::{ManifestFile, read};
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::resolve::{ResolveSettings, resolve};
use afterbay_crds::retirement::{RETIREMENT_VERSION, RetiredSink, RetirementPlan};
use serde_json::{Value, json};

use super::retirement::Retired;
use super::*;

const MANIFESTS: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: eu}
stringData: {postgres: hunter2, kafka: hunter3, admin: hunter4, ca: '-----BEGIN CERTIFICATE-----'}
---
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {name: events, namespace: eu}
spec:
  bootstrapServers: kafka:9093
  tls: {trustedCertificates: [{secretName: keys, certificate: ca}]}
  authentication: {type: scram-sha-512, username: worker, passwordSecret: {secretName: keys, password: kafka}}
  adminAuthentication: {type: scram-sha-512, username: admin, passwordSecret: {secretName: keys, password: admin}}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop, namespace: eu}
spec:
  postgres:
    host: shop-db
    database: shop
    authentication: {username: afterbay, passwordSecret: {secretName: keys, password: postgres}}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: orders, namespace: eu}
spec:
  source: {name: shop, table: public.orders}
  key: {columns: [id]}
  kafka: {connection: events, topic: {name: orders}, envelope: upsert, format: {json: {}}}
";

fn worker(manifests: &str) -> Worker {
    let file = ManifestFile { name: "test".to_owned(), text: manifests.to_owned() };
    let (manifests, errors) = read(&[file], "eu");
    assert!(errors.is_empty(), "{errors:?}");
    let settings = ResolveSettings {
        instance: "default".to_owned(),
        secrets_dir: plan::SECRETS_DIR.into(),
        listen: deployment::LISTEN.to_owned(),
        begun: BTreeSet::new(),
    };
    resolve(&manifests, &settings).remove(0)
}

/// What the manifests say of the pods.
fn spec(manifests: &str) -> WorkerSpec {
    let file = ManifestFile { name: "test".to_owned(), text: manifests.to_owned() };
    read(&[file], "eu").0.sources.into_values().next().unwrap().spec.worker
}

fn owner() -> OwnerReference {
    OwnerReference {
        api_version: "afterbay.dev/v1alpha1".to_owned(),
        kind: "SourceConnector".to_owned(),
        name: "shop".to_owned(),
        uid: "4711".to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    }
}

fn image() -> WorkerSettings {
    WorkerSettings { image: "afterbay:1".to_owned(), pull_policy: None, pull_secrets: Vec::new(), json_log: false }
}

fn objects(manifests: &str, begun: &[&str]) -> WorkerObjects {
    let begun = begun.iter().map(|name| (*name).to_owned()).collect();
    of_worker(&worker(manifests), &spec(manifests), &begun, &owner(), &image()).unwrap()
}

/// The hash that stands for a plan changes with every field of it; snapshots tell of what is around it.
fn without_hashes(object: &impl serde::Serialize, objects: &WorkerObjects) -> Value {
    let secrets = objects.secrets.as_ref().and_then(|secret| secret.metadata.name.as_deref());
    let secrets_hash = secrets.and_then(|name| name.rsplit('-').next()).unwrap_or("none");
    let text = serde_json::to_string(object).unwrap();
    serde_json::from_str(&text.replace(&objects.plan_hash, "PLAN").replace(secrets_hash, "SECRETS")).unwrap()
}

#[test]
fn the_objects_of_a_worker_are_as_reviewed() {
    let objects = objects(MANIFESTS, &["eu/orders", "eu/another"]);
    insta::assert_json_snapshot!("deployment", without_hashes(&objects.deployment, &objects));
    insta::assert_json_snapshot!("budget", objects.budget);
    insta::assert_json_snapshot!("begun", objects.begun);
    let mut plan = without_hashes(&objects.plan, &objects);
    // The plan itself is reviewed elsewhere.
    plan["data"]["plan.json"] = json!("…");
    insta::assert_json_snapshot!("plan", plan);
    insta::assert_json_snapshot!("secrets", without_hashes(objects.secrets.as_ref().unwrap(), &objects));
}

#[test]
fn a_worker_has_the_secrets_that_its_plan_names_and_no_others() {
    let objects = objects(MANIFESTS, &[]);
    let keys: Vec<_> = objects.secrets.unwrap().data.unwrap().into_keys().collect();
    assert_eq!(keys, ["kafka-events-ca", "kafka-events-worker-password", "postgres-password"]);
    let plan = objects.plan.data.unwrap().remove(plan::PLAN_FILE).unwrap();
    assert!(!plan.contains("hunter"), "{plan}");
    for key in keys {
        assert!(plan.contains(&format!("\"{}/eu.shop/{key}\"", plan::SECRETS_DIR)), "{key}");
    }
}

#[test]
fn another_plan_or_secret_has_another_name_and_what_begun_has_not() {
    let one = objects(MANIFESTS, &[]);
    let names = |objects: &WorkerObjects| {
        [&objects.plan.metadata, &objects.secrets.as_ref().unwrap().metadata, &objects.begun.metadata]
            .map(|metadata| metadata.name.clone().unwrap())
    };
    let same = objects(MANIFESTS, &["eu/orders"]);
    assert_eq!(names(&one), names(&same));
    assert_eq!(one.deployment, same.deployment);
    assert_ne!(one.begun.data, same.begun.data);
    // What only the operator knows is nothing to the worker.
    assert_eq!(names(&one), names(&objects(&MANIFESTS.replace("hunter4", "hunter5"), &[])));
    let rotated = objects(&MANIFESTS.replace("hunter3", "hunter6"), &[]);
    assert_eq!(names(&one)[0], names(&rotated)[0]);
    assert_ne!(names(&one)[1], names(&rotated)[1]);
    assert_ne!(one.deployment, rotated.deployment);
    let other = objects(&MANIFESTS.replace("[id]", "[id, at]"), &[]);
    assert_ne!(names(&one)[0], names(&other)[0]);
    assert_eq!(names(&one)[1], names(&other)[1]);
}

#[test]
fn a_worker_without_secrets_has_none() {
    let mut worker = worker(MANIFESTS);
    worker.plan.source.connection.password_file = None;
    worker.plan.sinks[0].kafka.connection.authentication = None;
    worker.plan.sinks[0].kafka.connection.tls = None;
    let objects = of_worker(&worker, &spec(MANIFESTS), &BTreeSet::new(), &owner(), &image()).unwrap();
    assert!(objects.secrets.is_none());
    let pod = objects.deployment.spec.unwrap().template.spec.unwrap();
    let volumes: Vec<_> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
    assert_eq!(volumes, ["plan", "begun"]);
}

#[test]
fn users_place_the_pods_and_the_rest_stays() {
    let placed = MANIFESTS.replace(
        "spec:\n  postgres:",
        "spec:\n  worker:\n    resources: {requests: {cpu: 1}, limits: {memory: 1Gi, cpu: 2}}\n    nodeSelector: {disk: ssd}\n    \
         tolerations: [{key: dedicated, value: afterbay}]\n    affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}\n    \
         topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]\n    \
         priorityClassName: high\n    podLabels: {team: shop}\n    podAnnotations: {mesh: 'no'}\n  postgres:",
    );
    let objects = objects(&placed, &[]);
    let template = objects.deployment.spec.as_ref().unwrap().template.clone();
    insta::assert_json_snapshot!("placed", without_hashes(&template, &objects));
    // To place a pod elsewhere is no other plan.
    assert_eq!(objects.plan_hash, self::objects(MANIFESTS, &[]).plan_hash);
}

#[test]
fn a_plan_that_no_config_map_takes_is_told() {
    let mut worker = worker(MANIFESTS);
    let relation = worker.plan.sinks[0].relations[0].clone();
    worker.plan.sinks[0].relations = vec![relation; 10_000];
    let told = of_worker(&worker, &spec(MANIFESTS), &BTreeSet::new(), &owner(), &image()).unwrap_err().to_string();
    assert!(told.contains("1000000"), "{told}");
}

#[test]
fn what_retires_a_sink_is_as_reviewed() {
    let worker = worker(MANIFESTS);
    let sink = &worker.plan.sinks[0];
    let plan = RetirementPlan {
        version: RETIREMENT_VERSION,
        sinks: vec![RetiredSink {
            name: sink.name.clone(),
            uid: sink.uid.clone(),
            connection: sink.kafka.connection.clone(),
            progress_topic: sink.kafka.progress_topic.clone(),
            progress_key: sink.kafka.progress_key.clone(),
            progress_group_id: sink.kafka.progress_group_id.clone(),
            transactional_id: sink.kafka.transactional_id.clone(),
        }],
        sources: Vec::new(),
    };
    let name = ResourceName::new("eu", "orders");
    let owner = OwnerReference { kind: "Sink".to_owned(), name: "orders".to_owned(), ..owner() };
    let retired = Retired { kind: "Sink", label: crate::cluster::labels::SINK, name: &name, owner: &owner };
    let papers = retired.papers(&plan, &worker.secrets).unwrap();
    let keys: Vec<_> = papers.secrets.as_ref().unwrap().data.as_ref().unwrap().keys().collect();
    assert_eq!(keys, ["kafka-events-ca", "kafka-events-worker-password"]);
    let job = retired.job(Some("/etc/afterbay/secrets/eu.shop".to_owned()), &image());
    assert_eq!(job.metadata.name, papers.plan.metadata.name);
    insta::assert_json_snapshot!("retirement", [json!(papers.plan), json!(job)]);
}

#[test]
fn topics_are_kept_for_the_sink_and_are_none_of_its_worker_s_objects() {
    let (name, owner) = (ResourceName::new("eu", "all"), OwnerReference { kind: "Sink".to_owned(), ..owner() });
    let retired = Retired { kind: "Sink", label: crate::cluster::labels::SINK, name: &name, owner: &owner };
    let kept = retired.topics(&["b".to_owned(), "a".to_owned()].into()).unwrap();
    assert_eq!(kept.data.unwrap()[super::retirement::TOPICS_FILE], "[\"a\",\"b\"]");
    assert_eq!(kept.metadata.name.unwrap(), names::topics(&name, &owner.uid));
    let labels = kept.metadata.labels.unwrap();
    assert!(!labels.contains_key(crate::cluster::labels::POOL) && labels[crate::cluster::labels::SINK] == "all");
    assert_eq!(kept.metadata.owner_references, Some(vec![owner]));
}

#[test]
fn a_worker_s_name_stands_in_all_of_its_objects() {
    let worker = WorkerName { source: ResourceName::new("eu", "shop"), pool: "default".to_owned() };
    let objects = objects(MANIFESTS, &[]);
    let metadata = [
        objects.plan.metadata,
        objects.secrets.unwrap().metadata,
        objects.begun.metadata,
        objects.deployment.metadata,
        objects.budget.metadata,
    ];
    for metadata in metadata {
        assert!(metadata.name.unwrap().starts_with(&names::deployment(&worker)));
        assert_eq!(metadata.labels, Some(names::labels(&worker)));
        assert_eq!(metadata.owner_references, Some(vec![owner()]));
    }
}
