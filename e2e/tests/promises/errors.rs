//! What is wrong is told in words of its own, with what to do about it: by `afterbay run` while it tries again, and by
//! `afterbay validate --online` beforehand.

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Database, Format, History, Manifests, Scenario, Sink, await_condition, broker, scenario};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A scenario with table `t (id int PRIMARY KEY, n int)`, a Sink of it, and its topic.
async fn begin(test: &str) -> (Scenario, Manifests) {
    let scenario = Scenario::new(test).await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)").await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    (scenario, manifests)
}

/// Both programs tell this reason, with these words.
async fn both_tell(scenario: &Scenario, manifests: &Manifests, reason: &str, words: &[&str]) {
    run_tells(scenario, manifests, reason, words).await;
    validate_tells(scenario, manifests, words).await;
}

async fn run_tells(scenario: &Scenario, manifests: &Manifests, reason: &str, words: &[&str]) {
    let afterbay = scenario.run(manifests);
    let (message, hint) = afterbay.problem(reason).await;
    check(&format!("{message} · {hint}"), words);
    assert!(!message.is_empty() && !hint.is_empty(), "{message} · {hint}");
    check_no_secret(scenario, &afterbay.log());
    check_no_secret(scenario, &afterbay.output());
}

async fn validate_tells(scenario: &Scenario, manifests: &Manifests, words: &[&str]) {
    let finished = scenario.validate(manifests, &["--online"]).await;
    let told = finished.output.iter().chain(&finished.log).cloned().collect::<Vec<_>>();
    assert_eq!(finished.status.code(), Some(1), "{told:?}");
    check(&told.join("\n"), words);
    check_no_secret(scenario, &told);
}

/// What is wrong with manifests alone is told by both programs before anything is begun.
async fn both_refuse(scenario: &Scenario, manifests: &Manifests, words: &[&str]) {
    let validated = scenario.validate(manifests, &[]).await;
    let run = scenario.run(manifests).wait().await;
    for finished in [validated, run] {
        let told = finished.output.iter().chain(&finished.log).cloned().collect::<Vec<_>>().join("\n");
        assert_eq!(finished.status.code(), Some(1), "{told}");
        check(&told, words);
    }
}

fn check(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{word:?} is not told in: {told}");
    }
}

fn check_no_secret(scenario: &Scenario, lines: &[String]) {
    let secret = &scenario.database.password;
    assert!(!lines.iter().any(|line| line.contains(secret)), "a password is told");
    assert!(!lines.iter().any(|line| line.contains("panicked")), "something panicked: {lines:?}");
}

#[tokio::test]
async fn a_wrong_database_password() {
    let (scenario, manifests) = begin("pg-password").await;
    let manifests = manifests.set("Secret/shop-db", "stringData.password", "wrong");
    let role = scenario.database.role.clone();
    both_tell(&scenario, &manifests, "SourceAuthenticationFailed", &[&role, "password"]).await;
}

#[tokio::test]
async fn a_database_that_does_not_exist() {
    let (scenario, manifests) = begin("pg-database").await;
    let manifests = manifests.set("SourceConnector/shop", "spec.postgres.database", "nowhere");
    both_tell(&scenario, &manifests, "DatabaseNotFound", &["nowhere"]).await;
}

#[tokio::test]
async fn a_wrong_host_of_each_system() {
    for (resource, field, value, reason, words) in [
        ("SourceConnector/shop", "spec.postgres.port", json!(9), "SourceUnreachable", "127.0.0.1:9"),
        ("KafkaConnection/events", "spec.bootstrapServers", json!("127.0.0.1:9"), "KafkaUnreachable", "127.0.0.1:9"),
        (
            "SourceConnector/shop",
            "spec.postgres.host",
            json!("nowhere.invalid"),
            "SourceUnreachable",
            "nowhere.invalid",
        ),
        (
            "KafkaConnection/events",
            "spec.bootstrapServers",
            json!("nowhere.invalid:9092"),
            "KafkaUnreachable",
            "nowhere.invalid",
        ),
    ] {
        let (scenario, manifests) = begin("host").await;
        both_tell(&scenario, &manifests.set(resource, field, value), reason, &[words]).await;
    }
}

#[tokio::test]
async fn a_wrong_host_of_the_registry() {
    let (scenario, manifests) = begin("registry-host").await;
    let manifests = manifests.set("Sink/t", "spec.kafka.format", json!({"avro": {"registry": "schemas"}})).set(
        "SchemaRegistryConnection/schemas",
        "spec.url",
        "http://127.0.0.1:9",
    );
    both_tell(&scenario, &manifests, "RegistryUnreachable", &["127.0.0.1:9"]).await;
}

#[tokio::test]
async fn a_role_without_replication() {
    let (scenario, manifests) = begin("replication").await;
    let role = &scenario.database.role;
    scenario.database.run_as_superuser(&format!("ALTER ROLE {role} NOREPLICATION")).await;
    let remedy = format!("ALTER ROLE \"{role}\" WITH REPLICATION");
    both_tell(&scenario, &manifests, "SourceNotPermitted", &[&remedy]).await;
}

#[tokio::test]
async fn a_role_without_select() {
    let (scenario, manifests) = begin("select").await;
    let (database, role) = (&scenario.database, &scenario.database.role);
    // The table is another's, and so is its publication.
    database
        .run_as_superuser(&format!(
            "ALTER TABLE t OWNER TO postgres; REVOKE ALL ON t FROM {role}; CREATE PUBLICATION all_of_it FOR TABLE t \
             WITH (publish_via_partition_root = true)"
        ))
        .await;
    let manifests = manifests.set(
        "SourceConnector/shop",
        "spec.postgres.publication",
        json!({"name": "all_of_it", "managed": false}),
    );
    both_tell(&scenario, &manifests, "SourceNotPermitted", &["GRANT SELECT ON", role]).await;
}

#[tokio::test]
async fn a_publication_owned_by_another() {
    let (scenario, manifests) = begin("publication").await;
    scenario.database.run_as_superuser("CREATE PUBLICATION taken").await;
    let manifests = manifests.set("SourceConnector/shop", "spec.postgres.publication", json!({"name": "taken"}));
    both_tell(&scenario, &manifests, "PublicationNotOwned", &["taken", "postgres"]).await;
}

#[tokio::test]
async fn a_publication_that_lacks_the_table() {
    let (scenario, manifests) = begin("incomplete").await;
    scenario.database.run("CREATE PUBLICATION mine WITH (publish_via_partition_root = true)").await;
    let manifests =
        manifests.set("SourceConnector/shop", "spec.postgres.publication", json!({"name": "mine", "managed": false}));
    run_tells(&scenario, &manifests, "PublicationIncomplete", &["mine", "ALTER PUBLICATION", "ADD TABLE"]).await;
}

#[tokio::test]
async fn a_server_whose_log_tells_too_little() {
    let rig = afterbay_e2e::Rig::get();
    rig.run(&["up", "postgres-replica-level"]);
    let (host, port) = rig.replica_level_postgres();
    let unique = scenario::unique("wal-level");
    let database = Database::create_at(rig.postgres_at(&host, port), &unique, "").await;
    let scenario = Scenario::with(rig, database, unique);
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"])).set(
        "SourceConnector/shop",
        "spec.postgres.port",
        port,
    );
    both_tell(&scenario, &manifests, "WalLevelTooLow", &["wal_level", "logical"]).await;
}

#[tokio::test]
async fn a_table_that_does_not_exist() {
    let (scenario, manifests) = begin("table").await;
    let manifests = manifests.set("Sink/t", "spec.source.table", "public.tt");
    both_tell(&scenario, &manifests, "TableNotFound", &["public.tt", "did you mean public.t"]).await;
}

#[tokio::test]
async fn a_view_is_no_table() {
    let (scenario, manifests) = begin("view").await;
    scenario.database.run("CREATE VIEW v AS SELECT * FROM t").await;
    let manifests = manifests.set("Sink/t", "spec.source.table", "public.v");
    both_tell(&scenario, &manifests, "TableUnfit", &["public.v", "view"]).await;
}

#[tokio::test]
async fn a_column_that_does_not_exist() {
    let (scenario, manifests) = begin("column").await;
    let manifests = manifests.set("Sink/t", "spec.key.columns", json!(["idd"]));
    both_tell(&scenario, &manifests, "ColumnNotFound", &["idd", "id"]).await;
}

#[tokio::test]
async fn a_key_that_is_not_unique() {
    let (scenario, manifests) = begin("unique").await;
    let manifests = manifests.set("Sink/t", "spec.key.columns", json!(["n"]));
    both_tell(&scenario, &manifests, "KeyNotUnique", &["upsert key could not be validated as unique", "(\"id\")"])
        .await;
}

#[tokio::test]
async fn a_replica_identity_that_does_not_suffice() {
    let (scenario, manifests) = begin("identity").await;
    let remedy = r#"ALTER TABLE "public"."t" REPLICA IDENTITY FULL"#;
    let debezium = manifests.clone().set("Sink/t", "spec.kafka.envelope", "debezium");
    both_tell(&scenario, &debezium, "ReplicaIdentityInsufficient", &[remedy]).await;
    // A value that can be moved out of the row is not sent where it does not change.
    scenario.database.run("ALTER TABLE t ADD COLUMN large text").await;
    both_tell(&scenario, &manifests, "ReplicaIdentityInsufficient", &[remedy, "large"]).await;
}

#[tokio::test]
async fn a_problem_that_is_solved_is_over() {
    let (scenario, manifests) = begin("solved").await;
    let afterbay = scenario.run(&manifests.set("Sink/t", "spec.kafka.envelope", "debezium"));
    afterbay.problem("ReplicaIdentityInsufficient").await;
    scenario.database.run("ALTER TABLE t REPLICA IDENTITY FULL").await;
    afterbay.caught_up(&scenario).await;
}

#[tokio::test]
async fn a_secret_or_a_key_of_it_that_is_not_there() {
    let (scenario, manifests) = begin("secret").await;
    let place = "spec.postgres.authentication.passwordSecret";
    let missing =
        manifests.clone().set("SourceConnector/shop", place, json!({"secretName": "shop-dbb", "password": "password"}));
    both_refuse(&scenario, &missing, &["manifests.yaml", "shop-dbb", place, "shop-db"]).await;
    let missing = manifests.set("SourceConnector/shop", place, json!({"secretName": "shop-db", "password": "pass"}));
    both_refuse(&scenario, &missing, &["manifests.yaml", "shop-db", "pass", place, "password"]).await;
}

#[tokio::test]
async fn references_that_lead_nowhere() {
    let (scenario, manifests) = begin("references").await;
    let manifests = manifests
        .set("Sink/t", "spec.kafka.connection", "event")
        .set("Sink/t", "spec.source.name", "shopp")
        .set("Sink/t", "spec.kafka.format", json!({"avro": {"registry": "schema"}}));
    // All in one go.
    both_refuse(&scenario, &manifests, &["events", "shop", "schemas", "spec.kafka.connection", "spec.source.name"])
        .await;
}

#[tokio::test]
async fn a_topic_that_differs_is_used_as_it_is_and_told() {
    let (scenario, manifests) = begin("differs").await;
    let topic = scenario.topic("t");
    broker::create_topic(scenario.rig, &topic, 2, &[]).await;
    let afterbay = scenario.run(&manifests.set("Sink/t", "spec.kafka.topic.partitions", 5));
    let (message, _) = afterbay.problem("TopicDiffers").await;
    check(&message, &[&topic, "2", "5"]);
    afterbay.caught_up(&scenario).await;
}

#[tokio::test]
async fn a_topic_setting_that_the_broker_refuses() {
    let (scenario, manifests) = begin("topic-config").await;
    let manifests = manifests.set("Sink/t", "spec.kafka.topic.config", json!({"cleanup.policy": "sometimes"}));
    run_tells(&scenario, &manifests, "TopicCreationRefused", &["cleanup.policy"]).await;
}

#[tokio::test]
async fn two_that_run_the_same_sinks() {
    let scenario = Scenario::new("fenced").await;
    let history = History::begin(&scenario.database, 20).await;
    let topic = scenario.topic("ledger");
    let manifests = scenario.manifests().with(Sink::new("ledger", "public.ledger", &topic).key(&["id"]));
    let first = scenario.run(&manifests);
    first.caught_up(&scenario).await;
    let writer = history.writer().await;
    let second = scenario.run_elsewhere(&manifests);
    let told = await_condition("one of them is told of the other", PATIENCE, async || {
        let lines = [first.output(), first.log(), second.output(), second.log()].concat();
        lines.into_iter().find(|line| line.contains("Fenced"))
    })
    .await;
    assert!(!told.is_empty());
    assert!(first.stop().await.success());
    writer.stop().await;
    second.caught_up(&scenario).await;
    history.check(&scenario.messages(&topic, Format::Json).await, true).await;
}

#[tokio::test]
async fn a_state_directory_in_use() {
    let (scenario, manifests) = begin("state-dir").await;
    let first = scenario.run(&manifests);
    first.caught_up(&scenario).await;
    let second = scenario.run(&manifests).wait().await;
    assert_eq!(second.status.code(), Some(1));
    check(&second.log.join("\n"), &[&first.pid().to_string()]);
    // The first has not noticed.
    scenario.database.run("INSERT INTO t VALUES (2, 2)").await;
    first.caught_up(&scenario).await;
}

#[tokio::test]
async fn a_table_that_is_truncated() {
    let (scenario, manifests) = begin("truncated").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("TRUNCATE t").await;
    let (message, hint) = afterbay.stalled("t", "SourceTruncated").await;
    check(&message, &["public.t"]);
    assert!(!hint.is_empty());
}

#[tokio::test]
async fn a_system_that_is_away_is_told_once_and_tried_again() {
    let (scenario, manifests) = begin("once").await;
    // A server that hangs up on everybody, and counts.
    let server = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let port = server.local_addr().expect("it is bound").port();
    let afterbay = scenario.run(&manifests.set("SourceConnector/shop", "spec.postgres.port", port));
    for _ in 0..8 {
        tokio::time::timeout(PATIENCE, server.accept()).await.expect("it is tried again").expect("a connection");
    }
    let lines = afterbay.output();
    let told = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    let problems = told.filter(|event| event["event"] == "problem");
    let mut subjects: Vec<_> = problems.map(|problem| problem["subject"].to_string()).collect();
    let all = subjects.len();
    subjects.sort();
    subjects.dedup();
    assert!(all > 0 && subjects.len() == all, "told more than once of a subject: {lines:?}");
    assert!(afterbay.log().len() < 30, "{:?}", afterbay.log());
}
