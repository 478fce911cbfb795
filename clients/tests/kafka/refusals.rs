//! Whatever stands between us and a broker, the true cause is told: by the check of a connection, by the producer and by
//! the reader of progress.

use std::time::{Duration, Instant};

use afterbay_clients::kafka::admin::Admin;
use afterbay_clients::kafka::progress::read_progress;
use afterbay_clients::kafka::{ErrorClass, ProducerSettings, TransactionalProducer};
use afterbay_crds::plan::{KafkaAuthenticationPlan, KafkaConnectionPlan, KafkaTlsPlan};

use crate::cluster::{User, ca_file, plain, secret, secure, setting, unsecured};

/// What of the words is not for this user's eyes.
const SECRET: &str = "wrong-se cret";

/// All three clients give this reason, with these words, and the first within the time.
async fn check(plan: &KafkaConnectionPlan, reason: &str, words: &[&str], limit: Duration) {
    let begun = Instant::now();
    let error = Admin::new(plan).unwrap().check_connection().await.unwrap_err();
    assert!(begun.elapsed() < limit, "it took {:?}", begun.elapsed());
    let mut problems = vec![error.problem()];
    println!("{}: {}\n  {}", problems[0].reason, problems[0].message, problems[0].hint);

    // What a broker that is ending could do as well is waited for.
    let refused = limit == AT_ONCE;
    let patience = Duration::from_secs(if refused { 30 } else { 8 });
    let producer = TransactionalProducer::new(plan, &ProducerSettings::new("afterbay-tests")).unwrap();
    let error = producer.init_transactions(patience).unwrap_err();
    assert_eq!(error.class == ErrorClass::Misconfigured, refused, "{error:?}");
    problems.push(error.problem());

    let error = read_progress(plan, "t", "g", "k", patience).unwrap_err();
    assert_eq!(error.transient(), !refused, "{error:?}");
    problems.push(error.problem());
    for problem in problems {
        assert_eq!(problem.reason, reason, "{problem:?}");
        for word in words {
            assert!(problem.message.contains(word) || problem.hint.contains(word), "{word}: {problem:?}");
        }
        assert!(!format!("{problem:?}").contains(SECRET), "{problem:?}");
    }
}

/// Before the ten seconds are over after which there is no answer.
const AT_ONCE: Duration = Duration::from_secs(9);
const IN_TIME: Duration = Duration::from_mins(1);

#[tokio::test]
async fn who_is_let_in_is_told_nothing() {
    for plan in [&plain(), &User::admin().plan] {
        Admin::new(plan).unwrap().check_connection().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password() {
    let user = User::of(&setting("BROKER_ADMIN_USER"), SECRET);
    check(&user.plan, "KafkaAuthenticationFailed", &["Authentication failed", "spec.authentication"], AT_ONCE).await;
}

#[tokio::test]
async fn a_mechanism_that_the_broker_does_not_have() {
    let password = secret(SECRET);
    let plan = KafkaConnectionPlan {
        authentication: Some(KafkaAuthenticationPlan::Plain {
            username: "u".into(),
            password_file: password.path().into(),
        }),
        ..secure(&ca_file(), "u", password.path())
    };
    check(&plan, "KafkaAuthenticationFailed", &["spec.authentication"], AT_ONCE).await;
}

#[tokio::test]
async fn an_authority_that_did_not_sign_the_brokers_certificate() {
    let password = secret(SECRET);
    let other: std::path::PathBuf = setting("OTHER_CA_FILE").into();
    let plan = secure(&other, "u", password.path());
    check(&plan, "KafkaTlsFailed", &["certificate", "spec.tls.trustedCertificates"], AT_ONCE).await;
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let password = secret(SECRET);
    let plan = secure(&ca_file(), "u", password.path());
    // The certificate is for 127.0.0.1 and localhost; this is the same address under another name.
    let servers = plan.bootstrap_servers.replace("127.0.0.1", "0.0.0.0").replace("localhost", "0.0.0.0");
    let plan = KafkaConnectionPlan { bootstrap_servers: servers, ..plan };
    check(&plan, "KafkaTlsFailed", &["name the hosts of bootstrapServers"], AT_ONCE).await;
}

#[tokio::test]
async fn plain_text_to_a_port_for_tls() {
    let plan = unsecured(&setting("SECURE_BROKER"));
    check(&plan, "KafkaUnreachable", &["expects TLS", "spec.tls"], IN_TIME).await;
}

#[tokio::test]
async fn tls_to_a_port_for_plain_text() {
    let plan = KafkaConnectionPlan { tls: Some(KafkaTlsPlan { ca_file: Some(ca_file()) }), ..plain() };
    check(&plan, "KafkaTlsFailed", &["speaks plain text"], IN_TIME).await;
}

#[tokio::test]
async fn no_certificate_where_one_is_asked_for() {
    let plan = KafkaConnectionPlan {
        tls: Some(KafkaTlsPlan { ca_file: Some(ca_file()) }),
        ..unsecured(&setting("SECURE_BROKER_MTLS"))
    };
    check(&plan, "KafkaTlsFailed", &["spec.authentication (type: tls)"], AT_ONCE).await;
}

#[tokio::test]
async fn a_certificate_is_let_in() {
    let plan = KafkaConnectionPlan {
        tls: Some(KafkaTlsPlan { ca_file: Some(ca_file()) }),
        authentication: Some(KafkaAuthenticationPlan::Tls {
            certificate_file: setting("CLIENT_CERTIFICATE_FILE").into(),
            key_file: setting("CLIENT_KEY_FILE").into(),
        }),
        ..unsecured(&setting("SECURE_BROKER_MTLS"))
    };
    Admin::new(&plan).unwrap().check_connection().await.unwrap();
}

#[tokio::test]
async fn nobody_listens() {
    check(&unsecured("127.0.0.1:9"), "KafkaUnreachable", &["127.0.0.1:9", "refused"], IN_TIME).await;
}

#[tokio::test]
async fn a_host_that_nobody_knows() {
    check(&unsecured("no-such-host.invalid:9092"), "KafkaUnreachable", &["no-such-host.invalid"], IN_TIME).await;
}

#[test]
fn certificates_that_cannot_be_read_are_told_when_the_client_is_made() {
    let plan = KafkaConnectionPlan {
        tls: Some(KafkaTlsPlan { ca_file: Some("/nowhere/ca.crt".into()) }),
        ..unsecured("127.0.0.1:9")
    };
    let Err(error) = TransactionalProducer::new(&plan, &ProducerSettings::new("id")) else { panic!("it is not there") };
    assert_eq!(error.problem().reason, "KafkaConfigRefused");
}
