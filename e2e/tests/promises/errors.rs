//! What is wrong is told in words of its own, with what to do about it: by `afterbay run` while it tries again, and by
//! `afterbay validate --online` beforehand.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::{Database, Format, History, Manifests, Scenario, Sink, await_condition, scenario};
use serde_json::json;
use tokio::net::TcpListener;

use crate::telling::{both_refuse, both_tell, check};

/// A scenario with table `t (id int PRIMARY KEY, n int)`, a Sink of it, and its topic.
async fn begin(test: &str) -> (Scenario, Manifests) {
    let scenario = Scenario::new(test).await;
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)").await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    (scenario, manifests)
}

#[tokio::test]
async fn a_wrong_database_password() {
    let (scenario, manifests) = begin("pg-password").await;
    let manifests = manifests.set("Secret/shop-db", "stringData.password", "an-old-password");
    let role = scenario.database.role.clone();
    let remedy = "check the role and the password in the referenced Secret";
    both_tell(&scenario, &manifests, "SourceAuthenticationFailed", &[&role, remedy]).await;
}

#[tokio::test]
async fn a_database_that_does_not_exist() {
    let (scenario, manifests) = begin("pg-database").await;
    let manifests = manifests.set("SourceConnector/shop", "spec.postgres.database", "nowhere");
    both_tell(
        &scenario,
        &manifests,
        "DatabaseNotFound",
        &["no database \"nowhere\"", "check the name of the database"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_host_of_each_system() {
    let (postgres, broker) = ("check host and port", "check bootstrapServers");
    let (source, connection) = ("SourceConnector/shop", "KafkaConnection/events");
    for (resource, field, value, reason, words) in [
        (source, "spec.postgres.port", json!(9), "SourceUnreachable", ["127.0.0.1:9 does not answer", postgres]),
        (
            source,
            "spec.postgres.host",
            json!("nowhere.invalid"),
            "SourceUnreachable",
            ["the host of nowhere.invalid:", postgres],
        ),
        (connection, "spec.bootstrapServers", json!("127.0.0.1:9"), "KafkaUnreachable", ["127.0.0.1:9", broker]),
        (
            connection,
            "spec.bootstrapServers",
            json!("nowhere.invalid:9092"),
            "KafkaUnreachable",
            ["nowhere.invalid:9092", broker],
        ),
    ] {
        let (scenario, manifests) = begin("host").await;
        both_tell(&scenario, &manifests.set(resource, field, value), reason, &words).await;
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
    both_tell(&scenario, &manifests, "RegistryUnreachable", &["127.0.0.1:9", "check the URL"]).await;
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
    let remedy = format!("GRANT SELECT ON \"public\".\"t\" TO \"{role}\"");
    both_tell(&scenario, &manifests, "SourceNotPermitted", &[&remedy]).await;
}

#[tokio::test]
async fn a_role_without_select_on_a_table_that_it_publishes() {
    let (scenario, manifests) = begin("select-owned").await;
    // An owner may publish, even where it has taken the right to read from itself.
    let role = &scenario.database.role;
    scenario.database.run(&format!("REVOKE SELECT ON t FROM {role}")).await;
    let remedy = format!("GRANT SELECT ON \"public\".\"t\" TO \"{role}\"");
    both_tell(&scenario, &manifests, "SourceNotPermitted", &[&remedy]).await;
}

#[tokio::test]
async fn a_table_that_the_role_may_not_publish() {
    let (scenario, manifests) = begin("publish").await;
    let role = &scenario.database.role;
    scenario.database.run_as_superuser(&format!("ALTER TABLE t OWNER TO postgres; GRANT SELECT ON t TO {role}")).await;
    let words = ["let the role own the tables", "CREATE PUBLICATION", "FOR TABLE ONLY \"public\".\"t\""];
    both_tell(&scenario, &manifests, "PublicationNotOwned", &words).await;
}

#[tokio::test]
async fn a_publication_owned_by_another() {
    let (scenario, manifests) = begin("publication").await;
    scenario.database.run_as_superuser("CREATE PUBLICATION taken").await;
    let manifests = manifests.set("SourceConnector/shop", "spec.postgres.publication", json!({"name": "taken"}));
    both_tell(
        &scenario,
        &manifests,
        "PublicationNotOwned",
        &["belongs to role postgres", "have its owner run ALTER PUBLICATION \"taken\" ADD TABLE \"public\".\"t\""],
    )
    .await;
}

#[tokio::test]
async fn a_publication_that_lacks_the_table() {
    let (scenario, manifests) = begin("incomplete").await;
    scenario.database.run("CREATE PUBLICATION mine WITH (publish_via_partition_root = true)").await;
    let manifests =
        manifests.set("SourceConnector/shop", "spec.postgres.publication", json!({"name": "mine", "managed": false}));
    let remedy = r#"ALTER PUBLICATION "mine" ADD TABLE "public"."t""#;
    both_tell(&scenario, &manifests, "PublicationIncomplete", &[remedy]).await;
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
    both_tell(&scenario, &manifests, "WalLevelTooLow", &["is \"replica\"", "ALTER SYSTEM SET wal_level = logical"])
        .await;
}

#[tokio::test]
async fn a_table_that_does_not_exist() {
    let (scenario, manifests) = begin("table").await;
    let manifests = manifests.set("Sink/t", "spec.source.table", "public.tt");
    both_tell(&scenario, &manifests, "TableNotFound", &["no table public.tt", "did you mean public.t?"]).await;
}

#[tokio::test]
async fn a_view_is_no_table() {
    let (scenario, manifests) = begin("view").await;
    scenario.database.run("CREATE VIEW v AS SELECT * FROM t").await;
    let manifests = manifests.set("Sink/t", "spec.source.table", "public.v");
    both_tell(&scenario, &manifests, "TableUnfit", &["public.v is a view", "name the tables that it reads"]).await;
}

#[tokio::test]
async fn a_column_that_does_not_exist() {
    let (scenario, manifests) = begin("column").await;
    let manifests = manifests.set("Sink/t", "spec.key.columns", json!(["idd"]));
    both_tell(&scenario, &manifests, "ColumnNotFound", &["no column \"idd\"", "did you mean \"id\"?"]).await;
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
    both_refuse(&scenario, &missing, &["manifests.yaml", "/shop-dbb", place, "did you mean shop-db?"]).await;
    let missing = manifests.set("SourceConnector/shop", place, json!({"secretName": "shop-db", "password": "pass"}));
    both_refuse(
        &scenario,
        &missing,
        &["manifests.yaml", "/shop-db has no key pass", &format!("{place}.password"), "did you mean password?"],
    )
    .await;
}

#[tokio::test]
async fn references_that_lead_nowhere() {
    let (scenario, manifests) = begin("references").await;
    let manifests = manifests
        .set("Sink/t", "spec.kafka.connection", "event")
        .set("Sink/t", "spec.source.name", "shopp")
        .set("Sink/t", "spec.kafka.format", json!({"avro": {"registry": "schema"}}));
    // All in one go.
    let words = [
        "spec.kafka.connection: there is no KafkaConnection",
        "did you mean events?",
        "spec.source.name: there is no SourceConnector",
        "did you mean shop?",
        "spec.kafka.format.avro.registry: there is no SchemaRegistryConnection",
        "did you mean schemas?",
    ];
    both_refuse(&scenario, &manifests, &words).await;
}

#[tokio::test]
async fn a_topic_setting_that_the_broker_refuses() {
    let (scenario, manifests) = begin("topic-config").await;
    let manifests = manifests.set("Sink/t", "spec.kafka.topic.config", json!({"cleanup.policy": "sometimes"}));
    both_tell(&scenario, &manifests, "TopicCreationRefused", &["sometimes", "correct spec.kafka.topic"]).await;
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
    check(&message, &["table public.t was truncated"]);
    check(&hint, &["give the Sink a new name and topic"]);
}

/// Longer than what is waited for at first, by far.
const LONG_WAIT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_system_that_is_away_is_told_once_and_tried_again_ever_more_rarely() {
    let (scenario, manifests) = begin("once").await;
    // A server that hangs up on everybody, and notes when they came.
    let server = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let port = server.local_addr().expect("it is bound").port();
    let afterbay = scenario.run(&manifests.set("SourceConnector/shop", "spec.postgres.port", port));
    // Provisioning and worker come at paces of their own, and both soon at first: so it is several gaps that are to be long.
    let (mut came, mut long) = (Instant::now(), 0);
    for _ in 0..100 {
        tokio::time::timeout(PATIENCE, server.accept()).await.expect("it is tried again").expect("a connection");
        long = if came.elapsed() >= LONG_WAIT { long + 1 } else { 0 };
        came = Instant::now();
        if long == 3 {
            break;
        }
    }
    assert_eq!(long, 3, "the waits do not grow");
    let problems = afterbay.problems();
    let subjects: BTreeSet<_> = problems.iter().map(|problem| problem["subject"].to_string()).collect();
    assert!(!problems.is_empty() && subjects.len() == problems.len(), "told more than once of a subject: {problems:?}");
    assert!(afterbay.log().len() < 30, "{:?}", afterbay.log());
}
