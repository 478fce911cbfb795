//! Whom Afterbay talks to, as whom, and what it never tells.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use afterbay_clients::kafka::acls::{AclOperation, AclResource};
use afterbay_crds::report::SinkReport;
use afterbay_e2e::afterbay::{PATIENCE, plan_file};
use afterbay_e2e::secure::{self, Rights};
use afterbay_e2e::{Format, History, Manifests, Rig, Scenario, Sink, await_condition, processes};
use serde_json::{Value, json};

use crate::telling::{both_tell, validate_tells};

async fn begin(test: &str) -> (Scenario, String, Manifests) {
    let scenario = Scenario::new(test).await;
    let rig = scenario.rig;
    rig.needs("secure-broker", rig.setting("SECURE_BROKER"));
    rig.needs("secure-registry", rig.setting("REGISTRY_BASIC").trim_start_matches("https://"));
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)").await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    let manifests = secure::with_secrets(manifests, rig);
    (scenario, topic, manifests)
}

#[tokio::test]
async fn kafka_is_entered_by_each_mechanism() {
    for kind in ["plain", "scram-sha-256", "scram-sha-512", "tls"] {
        let (scenario, topic, manifests) = begin(&format!("kafka-{kind}")).await;
        scenario.carry(&secure::kafka(manifests, scenario.rig, kind, "afterbay", "broker-user")).await;
        let messages = secure::messages(scenario.rig, &topic, Format::Json).await;
        assert_eq!(messages.len(), 1, "{kind}");
    }
}

/// The Sink speaks Avro, and the registry is entered through this door.
fn registry(manifests: Manifests, rig: &Rig, door: &str, authentication: Value) -> Manifests {
    manifests
        .set("Sink/t", "spec.kafka.format", json!({"avro": {"registry": "schemas"}}))
        .set("SchemaRegistryConnection/schemas", "spec.url", rig.setting(door))
        .set("SchemaRegistryConnection/schemas", "spec.tls", secure::tls("rig-ca"))
        .set("SchemaRegistryConnection/schemas", "spec.authentication", authentication)
}

#[tokio::test]
async fn the_registry_is_entered_with_a_password_a_certificate_and_both() {
    let basic = json!({"username": "afterbay", "passwordSecret": secure::password("registry-user")});
    for (door, authentication) in [
        ("REGISTRY_BASIC", json!({"basic": basic})),
        ("REGISTRY_CERTIFICATE", json!({"certificateAndKey": secure::certificate()})),
        ("REGISTRY_BOTH", json!({"basic": basic, "certificateAndKey": secure::certificate()})),
    ] {
        let (scenario, topic, manifests) = begin(door).await;
        scenario.carry(&registry(manifests, scenario.rig, door, authentication)).await;
        assert_eq!(scenario.messages(&topic, Format::Avro).await.len(), 1, "{door}");
    }
}

#[tokio::test]
async fn a_registry_that_does_not_know_us_is_told() {
    let wrong = json!({"basic": {"username": "afterbay", "passwordSecret": secure::password("nobody")}});
    for (door, authentication) in [
        ("REGISTRY_BASIC", wrong),
        ("REGISTRY_CERTIFICATE", json!({"basic": {"username": "x", "passwordSecret": secure::password("nobody")}})),
    ] {
        let (scenario, _, manifests) = begin(door).await;
        let manifests = registry(manifests, scenario.rig, door, authentication);
        both_tell(
            &scenario,
            &manifests,
            "RegistryAuthenticationFailed",
            &[
                "does not let us in",
                "check user, password and certificate in the Secrets that the SchemaRegistryConnection names",
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn postgres_is_entered_with_each_mode_of_tls() {
    for (mode, ca) in [("require", None), ("verify-ca", Some("rig-ca")), ("verify-full", Some("rig-ca"))] {
        let (scenario, topic, manifests) = begin(&format!("pg-{mode}")).await;
        let mut tls = ca.map_or_else(|| json!({}), secure::tls);
        tls["mode"] = json!(mode);
        let manifests = manifests.set("SourceConnector/shop", "spec.postgres.tls", tls).set(
            "SourceConnector/shop",
            "spec.postgres.host",
            "localhost",
        );
        let afterbay = scenario.run(&manifests);
        afterbay.caught_up(&scenario).await;
        let plain = "SELECT count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) \
                     WHERE NOT s.ssl AND a.application_name LIKE 'afterbay%' AND a.application_name <> 'afterbay-e2e'";
        let plain = format!("{plain} AND a.usename = '{}'", scenario.database.role);
        assert_eq!(scenario.database.number(&plain).await, 0, "{mode}");
        assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1, "{mode}");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused_by_each_client() {
    let (scenario, _, manifests) = begin("ca-postgres").await;
    let postgres = manifests.set("SourceConnector/shop", "spec.postgres.tls", secure::tls("other-ca")).set(
        "SourceConnector/shop",
        "spec.postgres.host",
        "localhost",
    );
    both_tell(&scenario, &postgres, "SourceTlsFailed", &["is not trusted", "in tls.trustedCertificates"]).await;

    let (scenario, _, manifests) = begin("ca-kafka").await;
    let kafka = secure::kafka(manifests, scenario.rig, "scram-sha-512", "afterbay", "broker-user").set(
        "KafkaConnection/events",
        "spec.tls",
        secure::tls("other-ca"),
    );
    both_tell(&scenario, &kafka, "KafkaTlsFailed", &["TLS handshake", "check that spec.tls.trustedCertificates"]).await;

    let (scenario, _, manifests) = begin("ca-registry").await;
    let basic = json!({"basic": {"username": "afterbay", "passwordSecret": secure::password("registry-user")}});
    let registry = registry(manifests, scenario.rig, "REGISTRY_BASIC", basic).set(
        "SchemaRegistryConnection/schemas",
        "spec.tls",
        secure::tls("other-ca"),
    );
    both_tell(&scenario, &registry, "RegistryTlsFailed", &["TLS handshake", "in tls.trustedCertificates"]).await;
}

#[tokio::test]
async fn a_wrong_kafka_password_is_told() {
    for kind in ["plain", "scram-sha-512"] {
        let (scenario, _, manifests) = begin(&format!("kafka-wrong-{kind}")).await;
        let manifests = secure::kafka(manifests, scenario.rig, kind, "afterbay", "nobody");
        both_tell(
            &scenario,
            &manifests,
            "KafkaAuthenticationFailed",
            &["refuses the user or the password", "correct spec.authentication of the KafkaConnection, or its Secret"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_topic_that_the_user_may_not_write_stops_its_own_sink_only() {
    let scenario = Scenario::new("acl").await;
    let history = History::begin(&scenario.database, 20).await;
    let (well, ailing) = (scenario.topic("well"), scenario.topic("ailing"));
    let rights = Rights::new(&scenario);
    rights.allow_all_but_topics(&scenario).await;
    let all = [AclOperation::Write, AclOperation::Create, AclOperation::Describe];
    rights.allow(&all, AclResource::Topic(well.clone())).await;
    rights.allow(&all[1..], AclResource::Topic(ailing.clone())).await;
    let sink = |name: &str, topic: &str| Sink::new(name, "public.ledger", topic).key(&["id"]);
    let manifests = scenario.manifests().with(sink("well", &well)).with(sink("ailing", &ailing));
    let manifests = secure::with_secrets(manifests, scenario.rig);
    let manifests = secure::kafka(manifests, scenario.rig, "scram-sha-512", "limited", "broker-limited");
    let afterbay = scenario.run(&manifests);
    let (message, hint) = afterbay.stalled("ailing", "KafkaNotAuthorized").await;
    let (lacks, remedy) =
        (format!("lacks Write on topic \"{ailing}\""), format!("--operation Write --topic {ailing};"));
    assert!(message.contains(&lacks) && hint.contains(&remedy), "{message} · {hint}");
    for round in 0..2 {
        for _ in 0..3 {
            history.work(20).await;
            afterbay.sink_caught_up(&scenario, "well").await;
        }
        rights.allow(&all[..1], AclResource::Topic(ailing.clone())).await;
        afterbay.caught_up(&scenario).await;
        if round == 0 {
            // It is taken away again, in the middle of the stream.
            rights.disallow(&all[..1], AclResource::Topic(ailing.clone())).await;
            // The brokers know of it a moment later: there is always one more change for them to refuse.
            await_condition("the Sink is stalled again", PATIENCE, async || {
                history.work(1).await;
                let sinks = afterbay.report().await?.sinks.into_iter();
                let is_refused =
                    |sink: &SinkReport| sink.error.as_ref().is_some_and(|it| it.reason == "KafkaNotAuthorized");
                sinks.filter(|sink| sink.topic == ailing).any(|sink| is_refused(&sink)).then_some(())
            })
            .await;
        }
    }
    history.check(&secure::messages(scenario.rig, &well, Format::Json).await, false).await;
    history.check(&secure::messages(scenario.rig, &ailing, Format::Json).await, true).await;
}

#[tokio::test]
async fn a_topic_that_the_user_may_not_write_is_told_beforehand() {
    let (scenario, topic, manifests) = begin("acl-beforehand").await;
    let manifests = secure::kafka(manifests, scenario.rig, "scram-sha-512", "limited", "broker-limited");
    let rights = Rights::new(&scenario);
    rights.allow_all_but_topics(&scenario).await;
    rights.create_topic(&topic, &[]).await;
    rights.allow(&[AclOperation::Describe], AclResource::Topic(topic.clone())).await;
    let missing = format!("User:limited lacks Write on topic \"{topic}\"");
    let remedy = format!(
        "kafka-acls.sh --bootstrap-server … --add --allow-principal User:limited --operation Write --topic {topic}"
    );
    let words = [missing.as_str(), &remedy];
    validate_tells(&scenario, &manifests, "KafkaNotAuthorized", &words).await;
    rights.allow(&[AclOperation::Write], AclResource::Topic(topic)).await;
    let finished = scenario.validate(&manifests, &["--online"]).await;
    assert!(finished.success(), "{finished:?}");
}

#[tokio::test]
async fn no_secret_is_told_anywhere() {
    let (scenario, _, manifests) = begin("secrets").await;
    let rig = scenario.rig;
    let basic = json!({"basic": {"username": "afterbay", "passwordSecret": secure::password("registry-user")},
        "certificateAndKey": secure::certificate()});
    let manifests = registry(manifests, rig, "REGISTRY_BOTH", basic);
    let manifests = secure::kafka(manifests, rig, "scram-sha-512", "afterbay", "broker-user");
    let key = secure::file(rig, "CLIENT_KEY");
    let secrets = [
        scenario.database.password.clone(),
        rig.setting("BROKER_PASSWORD").to_owned(),
        rig.setting("REGISTRY_PASSWORD").to_owned(),
        key.lines().nth(1).expect("a key has lines").to_owned(),
    ];
    let options = afterbay_e2e::afterbay::Options::default().environment("AFTERBAY_LOG", "debug");
    let afterbay = scenario.run_with(&manifests, &options);
    afterbay.caught_up(&scenario).await;
    let worker = afterbay.worker().await;
    let plan = plan_file(worker).expect("a worker has a plan");
    let report = afterbay.report().await.expect("a worker tells of itself");
    let told = [
        afterbay.log().join("\n"),
        afterbay.output().join("\n"),
        std::fs::read_to_string(&plan).expect("the plan is text"),
        serde_json::to_string(&report).expect("a report is JSON"),
        processes::arguments(worker).join(" "),
        processes::arguments(afterbay.pid()).join(" "),
    ];
    for secret in &secrets {
        assert!(told.iter().all(|text| !text.contains(secret)), "a secret is told");
    }
    let holders: Vec<_> = files(&scenario.state_dir())
        .into_iter()
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            secrets.iter().any(|secret| text.contains(secret))
        })
        .collect();
    assert!(holders.len() >= secrets.len(), "each secret is in a file of its own: {holders:?}");
    for file in &holders {
        assert_eq!(mode(file), 0o600, "{}", file.display());
        assert_eq!(mode(file.parent().expect("a file is in a folder")), 0o700, "{}", file.display());
    }
    assert!(afterbay.stop().await.success());
    assert!(holders.iter().all(|file| !file.exists()), "secrets go with the run");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] }).collect()
}
