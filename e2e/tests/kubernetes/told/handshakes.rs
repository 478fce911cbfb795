//! What connections, registries and databases say that cannot be entered: a table, without a worker. Who mends it is let in.

use afterbay_e2e::kubernetes::Operated;
use afterbay_e2e::manifests::resource;
use afterbay_e2e::{Manifests, Scenario, secure};
use serde_json::{Value, json};

use super::{is_told, let_in};

/// A name that there never is (RFC 6761).
const NOWHERE: &str = "nowhere.invalid";

/// What is wrong with a resource, and what it is to say.
struct Case {
    resource: &'static str,
    spec: Value,
    reason: &'static str,
    kstatus: &'static str,
    words: Vec<&'static str>,
}

fn case<const N: usize>(
    resource: &'static str,
    spec: Value,
    reason: &'static str,
    kstatus: &'static str,
    words: [&'static str; N],
) -> Case {
    Case { resource, spec, reason, kstatus, words: words.into() }
}

/// How the secured broker is entered by somebody with the password in this Secret, who trusts the authority in that one.
fn secured(scenario: &Scenario, password: &str, authority: &str) -> Value {
    let user = scenario.rig.setting("BROKER_USER");
    json!({
        "bootstrapServers": scenario.rig.setting("SECURE_BROKER"),
        "tls": secure::tls(authority),
        "authentication": {"type": "scram-sha-512", "username": user, "passwordSecret": secure::password(password)},
    })
}

fn connections(scenario: &Scenario) -> Vec<Case> {
    let host = scenario.rig.setting("HOST");
    let plain = |servers: String| json!({"bootstrapServers": servers});
    let mut administered = secured(scenario, "broker-user", "rig-ca");
    administered["adminAuthentication"] =
        json!({"type": "scram-sha-512", "username": "admin", "passwordSecret": secure::password("nobody")});
    let password =
        ["refuses the user or the password", "correct spec.authentication of the KafkaConnection, or its Secret"];
    let (refused, untrusted, away) = ("KafkaAuthenticationFailed", "KafkaTlsFailed", "KafkaUnreachable");
    let authority = ["the TLS handshake fails", "check that spec.tls.trustedCertificates holds the authority"];
    vec![
        case("KafkaConnection/password", secured(scenario, "nobody", "rig-ca"), refused, "Stalled", password),
        case("KafkaConnection/administrator", administered, refused, "Stalled", password),
        case(
            "KafkaConnection/authority",
            secured(scenario, "broker-user", "other-ca"),
            untrusted,
            "Stalled",
            authority,
        ),
        case(
            "KafkaConnection/host",
            plain(format!("{NOWHERE}:9092")),
            away,
            "Reconciling",
            ["no broker answers", "Failed to resolve 'nowhere.invalid:9092'", "check bootstrapServers"],
        ),
        case(
            "KafkaConnection/port",
            plain(format!("{host}:1")),
            away,
            "Reconciling",
            ["no broker answers", ":1 failed: Connection refused", "check bootstrapServers"],
        ),
    ]
}

fn registries(operated: &Operated) -> Vec<Case> {
    let rig = operated.scenario.rig;
    let host = rig.setting("HOST");
    let plain = |url: String| json!({"url": url});
    let secured = |password: &str, authority: &str| {
        let basic = json!({"username": rig.setting("REGISTRY_USER"), "passwordSecret": secure::password(password)});
        let url = rig.setting("REGISTRY_BASIC");
        json!({"url": url, "tls": secure::tls(authority), "authentication": {"basic": basic}})
    };
    // The operator's own Service answers, and knows no subjects.
    let other = format!("http://afterbay-metrics.{}:8080", operated.namespace.name);
    vec![
        case(
            "SchemaRegistryConnection/password",
            secured("nobody", "rig-ca"),
            "RegistryAuthenticationFailed",
            "Stalled",
            ["does not let us in: HTTP 401", "check user, password and certificate in the Secrets"],
        ),
        case(
            "SchemaRegistryConnection/authority",
            secured("registry-user", "other-ca"),
            "RegistryTlsFailed",
            "Stalled",
            ["the TLS handshake with the schema registry", "in tls.trustedCertificates"],
        ),
        case(
            "SchemaRegistryConnection/host",
            plain(format!("http://{NOWHERE}:8081")),
            "RegistryUnreachable",
            "Reconciling",
            ["http://nowhere.invalid:8081 does not answer", "failed to lookup address"],
        ),
        case(
            "SchemaRegistryConnection/port",
            plain(format!("http://{host}:1")),
            "RegistryUnreachable",
            "Reconciling",
            ["does not answer", "Connection refused"],
        ),
        case(
            "SchemaRegistryConnection/other",
            plain(other),
            "RegistryFailed",
            "Reconciling",
            ["answers unexpectedly: HTTP 404", "check that the URL is that of Confluent's interface"],
        ),
    ]
}

fn sources(scenario: &Scenario) -> Vec<Case> {
    let source = |field: &str, value: Value| {
        let mut source = scenario.source("", "")["spec"].clone();
        // Each has a slot of its own, which is never made.
        source["postgres"]["slot"] =
            json!({"name": format!("{}_{}", scenario.slot(), field.split('.').next().unwrap_or_default())});
        let place = field.split('.').fold(&mut source["postgres"], |place, part| &mut place[part]);
        *place = value;
        source
    };
    vec![
        case(
            "SourceConnector/password",
            source("authentication.passwordSecret", secure::password("nobody")),
            "SourceAuthenticationFailed",
            "Stalled",
            ["refuses role", "password authentication failed for user", "check "],
        ),
        case(
            "SourceConnector/authority",
            source("tls", secure::tls("other-ca")),
            "SourceTlsFailed",
            "Stalled",
            ["the certificate of Postgres", "is not trusted", "tls.trustedCertificates"],
        ),
        case(
            "SourceConnector/host",
            source("host", json!(NOWHERE)),
            "SourceUnreachable",
            "Reconciling",
            ["the host of nowhere.invalid", "is unknown"],
        ),
        case(
            "SourceConnector/port",
            source("port", json!(1)),
            "SourceUnreachable",
            "Reconciling",
            ["does not answer", "onnection refused"],
        ),
        case(
            "SourceConnector/database",
            source("database", json!("nowhere")),
            "DatabaseNotFound",
            "Stalled",
            ["has no database \"nowhere\"", "database \"nowhere\" does not exist"],
        ),
    ]
}

#[tokio::test]
async fn who_is_not_let_in_says_so_in_the_words_of_the_other_side() {
    let operated = Operated::begin("handshakes").await;
    let scenario = &operated.scenario;
    let cases: Vec<_> =
        [connections(scenario), registries(&operated), sources(scenario)].into_iter().flatten().collect();
    let secrets = Manifests::default().with_secret("shop-db", &[("password", &scenario.database.password)]);
    let manifests = cases.iter().fold(secure::with_secrets(secrets, scenario.rig), |manifests, case| {
        let (kind, name) = case.resource.split_once('/').expect("a resource is Kind/name");
        manifests.with(resource(kind, name, case.spec.clone()))
    });
    operated.apply(&manifests).await;
    for Case { resource, reason, kstatus, words, .. } in &cases {
        is_told(&operated, resource, reason, kstatus, words).await;
    }

    // Who was told and mends it is let in: the Secret, the address, the name.
    let password = json!({"stringData": {"password": scenario.rig.setting("BROKER_PASSWORD")}});
    operated.namespace.patch("Secret/nobody", &password).await;
    let (url, database) = (scenario.rig.registry(), scenario.database.name.as_str());
    operated.namespace.patch("SchemaRegistryConnection/other", &json!({"spec": {"url": url}})).await;
    let postgres = json!({"spec": {"postgres": {"database": database}}});
    operated.namespace.patch("SourceConnector/database", &postgres).await;
    for resource in ["KafkaConnection/password", "SchemaRegistryConnection/other", "SourceConnector/database"] {
        operated.ready(resource).await;
    }
    let_in::carries(&operated).await;
}
