use secrecy::ExposeSecret as _;

use super::*;
use crate::manifest::{ManifestFile, read};
use crate::plan::{Envelope, KafkaAuthenticationPlan, PostgresTlsMode};
use crate::validate::validate;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n";

/// Everything that can be secured is, with a secret of its own each.
fn secured() -> String {
    format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData:
  postgres: hunter2-postgres
  kafka: hunter2-kafka
  registry: hunter2-registry
  user: hunter2-user
  ca: "{CERTIFICATE}"
  certificate: "{CERTIFICATE}"
  key: "{KEY}"
---
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {{name: events}}
spec:
  bootstrapServers: a:1, b:2
  tls: {{trustedCertificates: [{{secretName: keys, certificate: ca}}, {{secretName: keys, certificate: certificate}}]}}
  authentication: {{type: scram-sha-256, username: worker, passwordSecret: {{secretName: keys, password: kafka}}}}
  adminAuthentication: {{type: tls, certificateAndKey: {{secretName: keys, certificate: certificate, key: key}}}}
  progressTopic: {{replicationFactor: 3}}
  namePrefix: materialize
---
apiVersion: afterbay.dev/v1alpha1
kind: SchemaRegistryConnection
metadata: {{name: schemas}}
spec:
  url: https://registry:8081/
  tls: {{trustedCertificates: []}}
  authentication:
    basic:
      usernameSecret: {{secretName: keys, username: user}}
      passwordSecret: {{secretName: keys, password: registry}}
    certificateAndKey: {{secretName: keys, certificate: certificate, key: key}}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {{name: my-shop}}
spec:
  postgres:
    hosts: [{{host: db-0}}, {{host: db-1, port: 5433}}]
    database: shop
    authentication: {{username: afterbay, passwordSecret: {{secretName: keys, password: postgres}}}}
    tls: {{trustedCertificates: [{{secretName: keys, certificate: ca}}]}}
  worker: {{memory: 32Mi}}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {{name: b}}
spec:
  source: {{name: my-shop, table: public.b}}
  kafka: {{connection: events, topic: {{name: b}}, envelope: debezium, format: {{avro: {{registry: schemas}}}}}}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {{name: a}}
spec:
  source: {{name: my-shop, table: 'Public."A.x"'}}
  snapshot: false
  key: {{columns: [x, z]}}
  kafka:
    connection: events
    topic: {{name: a, partitions: 3}}
    compression: zstd
    envelope: upsert
    commit: {{interval: 1s500ms, bytes: 64Ki, records: 7, timeout: 1m}}
    format: {{json: {{}}}}
"#
    )
}

fn workers(text: &str, begun: &[&str]) -> Vec<Worker> {
    let (manifests, errors) = read(&[ManifestFile { name: "a.yaml".into(), text: text.to_owned() }], "prod");
    assert_eq!(errors, []);
    assert_eq!(validate(&manifests, "default"), []);
    resolve(
        &manifests,
        &ResolveSettings {
            instance: "eu".into(),
            secrets_dir: "/secrets".into(),
            listen: "127.0.0.1:0".into(),
            begun: begun.iter().map(|name| ResourceName::new("prod", *name)).collect(),
        },
    )
}

fn worker() -> Worker {
    let mut workers = workers(&secured(), &["b"]);
    assert_eq!(workers.len(), 1);
    workers.remove(0)
}

#[test]
fn sinks_stand_in_the_order_of_their_names() {
    let Worker { plan, sinks, .. } = worker();
    let names: Vec<_> = plan.sinks.iter().map(|sink| (sink.name.as_str(), sink.begun)).collect();
    assert_eq!(names, [("prod/a", false), ("prod/b", true)]);
    assert_eq!(sinks[0].place.to_string(), "a.yaml: document 6 (Sink prod/a)");
    let a = &plan.sinks[0];
    assert_eq!(a.uid, "eu/prod/a");
    assert_eq!(a.relations[0].table, TableName { schema: "public".into(), name: "A.x".into() });
    assert_eq!(
        (a.snapshot, a.relations[0].envelope, &a.relations[0].key_columns[..]),
        (false, Envelope::Upsert, &["x".into(), "z".into()][..])
    );
    assert_eq!(a.kafka.transactional_id, "materialize-eu-prod.events-prod.a");
    assert_eq!(a.kafka.progress_topic, "_materialize-progress-eu-prod.events");
    assert_eq!(a.kafka.progress_key, "materialize-sink-eu-prod.a");
    assert_eq!(a.kafka.compression.as_str(), "zstd");
    assert_eq!(plan.memory_bytes, 32 << 20);
}

#[test]
fn transactions_end_as_the_sink_says() {
    let sinks = worker().plan.sinks;
    let [a, b] = &sinks[..] else { panic!("two Sinks: {sinks:#?}") };
    let told = CommitPlan { interval_ms: 1_500, bytes: 64 << 10, records: 7, timeout_ms: 60_000 };
    assert_eq!(a.kafka.commit, told);
    assert_eq!(b.kafka.commit, CommitPlan::default(), "the defaults of the schema are those of the plan");
}

#[test]
fn the_source_is_named_after_its_resource() {
    let plan = worker().plan;
    assert_eq!((plan.source.publication.as_str(), plan.source.slot.as_str()), ("afterbay_my_shop", "afterbay_my_shop"));
    let hosts: Vec<_> = plan.source.connection.hosts.iter().map(|at| (at.host.as_str(), at.port)).collect();
    assert_eq!(hosts, [("db-0", 5432), ("db-1", 5433)]);
    assert_eq!(plan.source.connection.tls.mode, PostgresTlsMode::VerifyFull);
}

#[test]
fn every_secret_is_a_file_that_the_plan_names_and_nothing_else_holds_it() {
    let worker = worker();
    let files: BTreeMap<String, String> = worker
        .secrets
        .iter()
        .map(|file| {
            let contents = String::from_utf8(file.contents.expose_secret().to_vec()).expect("it is text");
            (file.path.strip_prefix("/secrets/prod.my-shop").expect("its directory").display().to_string(), contents)
        })
        .collect();
    let certificate = CERTIFICATE.replace("\\n", "\n");
    let expected = [
        ("kafka-events-admin-certificate", certificate.clone()),
        ("kafka-events-admin-key", KEY.replace("\\n", "\n")),
        ("kafka-events-ca", format!("{certificate}\n{certificate}\n")),
        ("kafka-events-worker-password", "hunter2-kafka".into()),
        ("postgres-ca", format!("{certificate}\n")),
        ("postgres-password", "hunter2-postgres".into()),
        ("registry-schemas-certificate", certificate.clone()),
        ("registry-schemas-key", KEY.replace("\\n", "\n")),
        ("registry-schemas-password", "hunter2-registry".into()),
        ("registry-schemas-username", "hunter2-user".into()),
    ];
    assert_eq!(files, expected.map(|(name, contents)| (name.to_owned(), contents)).into());

    let plan = serde_json::to_string(&worker.plan).expect("it is JSON");
    let told = format!("{plan} {:?}", worker.provisioning);
    for file in files.keys() {
        assert!(told.contains(&format!("/secrets/prod.my-shop/{file}\"")), "{file} is not named");
    }
    let shown = format!("{told} {worker:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("BEGIN"), "{shown}");
}

#[test]
fn topics_are_made_as_the_administrator() {
    let provisioning = worker().provisioning;
    let [kafka] = &provisioning.kafka[..] else { panic!("{provisioning:?}") };
    assert_eq!(kafka.connection.bootstrap_servers, "a:1,b:2");
    assert!(matches!(kafka.connection.authentication, Some(KafkaAuthenticationPlan::Tls { .. })));
    let names: Vec<_> =
        kafka.topics.iter().map(|topic| (topic.name.as_str(), topic.kind, topic.sink.as_deref())).collect();
    assert_eq!(
        names,
        [
            ("_materialize-progress-eu-prod.events", TopicKind::Progress, None),
            ("a", TopicKind::Data, Some("prod/a")),
            ("b", TopicKind::Data, Some("prod/b")),
        ]
    );
    assert_eq!((kafka.topics[0].partitions, kafka.topics[0].replication_factor), (Some(1), Some(3)));
    assert_eq!((kafka.topics[1].partitions, kafka.topics[1].replication_factor), (Some(3), None));
}

#[test]
fn the_workers_are_given_what_they_need_and_no_more() {
    let granted = |acls: &str| {
        let text = secured().replacen("  namePrefix: materialize\n", &format!("  namePrefix: materialize\n{acls}"), 1);
        let kafka = workers(&text, &[]).remove(0).provisioning.kafka.remove(0);
        assert!(!kafka.as_workers && kafka.connection.principal.is_none());
        kafka.grants
    };
    assert_eq!(granted(""), None);
    assert_eq!(granted("  acls: {manage: false, principal: 'User:x'}\n"), None);
    let grants = granted("  acls: {manage: true}\n").expect("rights are managed");
    assert_eq!(grants.principal, "User:worker");
    let rights: Vec<_> = grants.rights.iter().map(ToString::to_string).collect();
    let expected = [
        "Read on topic \"_materialize-progress-eu-prod.events\"",
        "Read on groups that begin with \"materialize-eu-prod.events-\"",
        "Write on topic \"_materialize-progress-eu-prod.events\"",
        "Write on topic \"a\"",
        "Write on topic \"b\"",
        "Write on transactional ids that begin with \"materialize-eu-prod.events-\"",
        "DescribeConfigs on the cluster",
    ];
    assert_eq!(rights, expected);
    assert_eq!(granted("  acls: {manage: true, principal: 'User:x'}\n").expect("rights").principal, "User:x");
}

#[test]
fn a_name_that_begins_otherwise_has_a_right_of_its_own() {
    let mut sink = worker().plan.sinks.remove(0);
    sink.kafka.transactional_id = format!("own-{}", sink.kafka.transactional_id);
    let rights = rights::of_sink(&sink, "materialize-eu-prod.events-");
    let told: Vec<_> = rights.iter().map(ToString::to_string).collect();
    assert!(
        told.contains(&"Write on transactional id \"own-materialize-eu-prod.events-prod.a\"".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"Read on groups that begin with \"materialize-eu-prod.events-\"".to_owned()), "{told:?}");
}

#[test]
fn each_pool_has_a_worker_and_a_slot() {
    let text = secured().replace(
        "  source: {name: my-shop, table: public.b}",
        "  pool: bulk\n  source: {name: my-shop, table: public.b}",
    );
    let workers = workers(&text, &[]);
    let told: Vec<_> = workers
        .iter()
        .map(|Worker { plan, provisioning, .. }| {
            let sinks: Vec<_> = plan.sinks.iter().map(|sink| sink.name.as_str()).collect();
            (plan.worker.as_str(), plan.source.slot.as_str(), provisioning.publication.name.as_str(), sinks)
        })
        .collect();
    let publication = "afterbay_my_shop";
    let expected = [
        ("prod/my-shop/bulk", "afterbay_my_shop_bulk", publication, vec!["prod/b"]),
        ("prod/my-shop", "afterbay_my_shop", publication, vec!["prod/a"]),
    ];
    assert_eq!(told, expected);
    let files = workers.iter().flat_map(|worker| &worker.secrets).map(|file| &file.path);
    assert!(
        files
            .clone()
            .all(|path| path.starts_with("/secrets/prod.my-shop") || path.starts_with("/secrets/prod.my-shop.bulk"))
    );
    assert_eq!(files.clone().collect::<BTreeSet<_>>().len(), files.count(), "workers share no files");
}

#[test]
fn what_takes_a_pool_s_slot_takes_no_other_and_none_that_another_source_reads() {
    let heir = r"
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: heir}
spec:
  postgres:
    host: db-1
    port: 5433
    database: shop
    authentication: {username: afterbay}
    slot: {name: afterbay_my_shop_old}
    publication: {name: afterbay_my_shop}
";
    let read = |text: String| {
        let (manifests, errors) = read(&[ManifestFile { name: "test".to_owned(), text }], "default");
        assert!(errors.is_empty(), "{errors:?}");
        manifests
    };
    let settings = ResolveSettings {
        instance: "default".to_owned(),
        secrets_dir: "/secrets".into(),
        listen: String::new(),
        begun: BTreeSet::new(),
    };
    let name = ResourceName::new("default", "my-shop");
    let check = |manifests: &Manifests, slot: &str, with_publication, expected: (&[&str], Option<&str>)| {
        let slots = [slot.to_owned()].into();
        let found = deleted::slots(manifests, &settings, &name, slots, with_publication).unwrap();
        let plan = found.plan;
        assert_eq!((plan.slots, plan.publication.as_deref()), (words(expected.0), expected.1), "{slot}");
        assert!(found.secrets.iter().any(|file| file.path.ends_with("postgres-password")));
    };
    let alone = read(secured());
    check(&alone, "afterbay_my_shop_bulk", false, (&["afterbay_my_shop_bulk"], None));
    check(&alone, "afterbay_my_shop", true, (&["afterbay_my_shop"], Some("afterbay_my_shop")));
    let shared = read(secured() + heir);
    check(&shared, "afterbay_my_shop_old", true, (&[], None));
    check(&shared, "afterbay_my_shop_bulk", true, (&["afterbay_my_shop_bulk"], None));
    let all = deleted::source(&shared, &settings, &name, ["afterbay_my_shop_bulk".to_owned()].into()).unwrap();
    assert_eq!(all.plan.slots, ["afterbay_my_shop", "afterbay_my_shop_bulk"]);
}

#[test]
fn a_slot_whose_name_begins_like_another_source_s_is_not_that_one_s() {
    let source = |name: &str| {
        format!(
            "---\napiVersion: afterbay.dev/v1alpha1\nkind: SourceConnector\nmetadata: {{name: {name}}}\nspec:\n  postgres: {{host: db, \
             database: shop, authentication: {{username: afterbay}}}}\n"
        )
    };
    let sink = "---\napiVersion: afterbay.dev/v1alpha1\nkind: Sink\nmetadata: {name: a}\nspec:\n  pool: bulk\n  source: {name: shop, \
                table: public.a}\n  kafka: {connection: events, topic: {name: a}, envelope: debezium, format: {json: {}}}\n";
    let kafka = "---\napiVersion: afterbay.dev/v1alpha1\nkind: KafkaConnection\nmetadata: {name: events}\nspec: {bootstrapServers: \
                 kafka:9092}\n";
    let gathered = |text: &[&str]| {
        let text = ["shop", "shop2", "shop-bulk"].map(source).concat() + &text.concat();
        read(&[ManifestFile { name: "test".to_owned(), text }], "eu").0
    };
    let settings = ResolveSettings {
        instance: "default".to_owned(),
        secrets_dir: "/secrets".into(),
        listen: String::new(),
        begun: BTreeSet::new(),
    };
    let named = |name: &str| ResourceName::new("eu", name);
    let heir = |manifests: &Manifests, name: &str, slot: &str| {
        let found = deleted::slots(manifests, &settings, &named(name), [slot.to_owned()].into(), false).unwrap();
        assert_eq!(
            found.plan.slots.is_empty(),
            found.inherited.contains_key(slot),
            "{slot} is dropped, or it is told who has it"
        );
        found.inherited.get(slot).map(|heir| heir.name.clone())
    };
    let plain = gathered(&[]);
    assert_eq!(heir(&plain, "shop2", "afterbay_shop2"), None);
    assert_eq!(heir(&plain, "shop-bulk", "afterbay_shop_bulk"), None);
    assert_eq!(heir(&plain, "shop", "afterbay_shop"), None);
    assert_eq!(heir(&plain, "shop2", "afterbay_shop2_bulk"), None);
    // The default pool of one, and pool bulk of the other.
    assert_eq!(heir(&plain, "shop", "afterbay_shop_bulk").as_deref(), Some("shop-bulk"));
    assert_eq!(heir(&gathered(&[kafka, sink]), "shop-bulk", "afterbay_shop_bulk").as_deref(), Some("shop"));
    let mut known = gathered(&[]);
    known.slots.insert(named("shop"), ["afterbay_shop_bulk".to_owned()].into());
    assert_eq!(heir(&known, "shop-bulk", "afterbay_shop_bulk").as_deref(), Some("shop"));
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_source_without_sinks_has_no_worker() {
    let text = secured();
    let until_sinks = text.find("kind: Sink\n").and_then(|at| text[..at].rfind("---")).expect("a Sink");
    assert!(workers(&text[..until_sinks], &[]).is_empty());
}
