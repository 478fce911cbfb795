use afterbay_crds::manifest::{ManifestFile, Manifests, read};
use afterbay_crds::names::ResourceName;
use afterbay_crds::resolve::{ResolveSettings, Worker, resolve};

use super::verdict::{Findings, sort};
use crate::cluster::stores::Gathered;
use crate::dereference::judge;

const REST: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {postgres: hunter2, kafka: hunter3}
---
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {name: events}
spec:
  bootstrapServers: kafka:9092
  authentication: {type: plain, username: worker, passwordSecret: {secretName: keys, password: kafka}}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop}
spec:
  postgres:
    host: db
    database: shop
    authentication: {username: afterbay, passwordSecret: {secretName: keys, password: postgres}}
";

fn sink(name: &str) -> String {
    format!(
        "---\napiVersion: afterbay.dev/v1alpha1\nkind: Sink\nmetadata: {{name: {name}}}\nspec:\n  source: {{name: shop, table: \
         public.{name}}}\n  kafka: {{connection: events, topic: {{name: {name}}}, envelope: debezium, format: {{json: {{}}}}}}\n"
    )
}

fn manifests(text: &str) -> Manifests {
    let (manifests, errors) = read(&[ManifestFile { name: "test".to_owned(), text: text.to_owned() }], "eu");
    assert!(errors.is_empty(), "{errors:?}");
    manifests
}

fn with_sinks(sinks: &[&str]) -> String {
    REST.to_owned() + &sinks.iter().map(|name| sink(name)).collect::<String>()
}

/// The worker of these Sinks.
pub fn resolved(sinks: &[&str]) -> Worker {
    let settings = ResolveSettings {
        instance: "default".to_owned(),
        secrets_dir: "/secrets".into(),
        listen: "0.0.0.0:8080".to_owned(),
        begun: [].into(),
    };
    resolve(&manifests(&with_sinks(sinks)), &settings).remove(0)
}

pub fn sinks_of(worker: &Worker) -> Vec<String> {
    worker.plan.sinks.iter().map(|sink| sink.name.clone()).collect()
}

/// What is found of the SourceConnector, and of Sinks `a` and `b`.
fn check(text: &str) -> (Findings, Findings, Findings) {
    let names = ["a", "b"].map(|name| ResourceName::new("eu", name));
    let mut gathered = Gathered { manifests: manifests(text), sinks: names.clone().into() };
    let errors = judge(&mut gathered.manifests, "default");
    let mut verdict = sort(&gathered, &ResourceName::new("eu", "shop"), &errors);
    let [a, b] = names.map(|name| verdict.sinks.remove(&name).unwrap());
    (verdict.source, a, b)
}

#[test]
fn what_is_wrong_with_one_sink_is_no_other_s() {
    let good = with_sinks(&["a", "b"]);
    let (source, a, b) = check(&good);
    assert!(source.is_fine() && a.is_fine() && b.is_fine(), "{source:?} {a:?} {b:?}");
    let (source, a, b) = check(&good.replace("table: public.b", "table: public.b.c.d"));
    assert!(source.is_fine() && a.is_fine());
    assert_eq!(b.invalid[0].field, "spec.source.table");
    assert_eq!(b.waiting_for, None);
}

#[test]
fn what_is_missing_is_waited_for() {
    let good = with_sinks(&["a", "b"]);
    let (source, a, _) = check(&good.replace("name: events}", "name: other}"));
    assert!(source.is_fine());
    assert_eq!(a.waiting_for.as_deref(), Some("KafkaConnection eu/events"));
    assert!(a.invalid.is_empty());
    let (source, a, _) = check(&good.replace("password: kafka", "password: kafka2"));
    assert!(source.is_fine());
    assert_eq!(a.waiting_for.as_deref(), Some("key kafka2 of Secret eu/keys, which KafkaConnection eu/events names"),);
    let (source, a, _) = check(&good.replace("password: postgres", "password: postgres2"));
    assert_eq!(source.waiting_for.as_deref(), Some("key postgres2 of Secret eu/keys"));
    assert!(a.is_fine(), "its SourceConnector tells");
}

#[test]
fn what_is_wrong_with_a_connection_is_wrong_with_its_sinks() {
    let (source, a, b) = check(&with_sinks(&["a", "b"]).replace("kafka:9092", "'kafka:port'"));
    assert!(source.is_fine());
    assert_eq!(a.invalid, b.invalid);
    assert!(a.invalid[0].field.starts_with("spec.bootstrapServers"), "{a:?}");
}

#[test]
fn of_two_sinks_with_one_topic_the_later_is_refused() {
    use afterbay_crds::manifest::Kind;
    let names = ["a", "b"].map(|name| ResourceName::new("eu", name));
    let text = with_sinks(&["a", "b"]).replace("{name: b}, envelope", "{name: a}, envelope");
    let refused = |since: [i64; 2]| {
        let mut manifests = manifests(&text);
        for (name, at) in names.iter().zip(since) {
            manifests.since.insert((Kind::Sink, name.clone()), at);
        }
        let mut gathered = Gathered { manifests, sinks: names.clone().into() };
        let errors = judge(&mut gathered.manifests, "default");
        let verdict = sort(&gathered, &ResourceName::new("eu", "shop"), &errors);
        let refused = verdict.sinks.into_iter().filter(|(_, findings)| !findings.is_fine());
        refused.map(|(name, _)| name.name).collect::<Vec<_>>()
    };
    assert_eq!(refused([1, 2]), ["b"]);
    assert_eq!(refused([2, 1]), ["a"]);
    assert_eq!(refused([1, 1]), ["b"]);
}
