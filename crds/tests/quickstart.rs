//! The example that newcomers begin with: without error, and resolved into the plan that it should be.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;

use afterbay_crds::manifest::{ManifestFile, Manifests, read};
use afterbay_crds::plan::{Plan, TableName};
use afterbay_crds::resolve::{ResolveSettings, Worker, resolve};
use afterbay_crds::validate::validate;

fn manifests() -> Manifests {
    let files = [
        ("1-connections.yaml", include_str!("../../examples/quickstart/1-connections.yaml")),
        ("2-source.yaml", include_str!("../../examples/quickstart/2-source.yaml")),
        ("3-sinks.yaml", include_str!("../../examples/quickstart/3-sinks.yaml")),
    ]
    .map(|(name, text)| ManifestFile { name: name.to_owned(), text: text.to_owned() });
    let (manifests, errors) = read(&files, "default");
    assert_eq!(errors, []);
    assert_eq!(validate(&manifests, "default"), []);
    manifests
}

fn workers() -> Vec<Worker> {
    let settings = ResolveSettings {
        instance: "default".into(),
        secrets_dir: "/state/secrets".into(),
        listen: "127.0.0.1:0".into(),
        begun: BTreeSet::new(),
    };
    resolve(&manifests(), &settings)
}

#[test]
fn the_plan_is_as_reviewed() {
    let workers = workers();
    let [worker] = &workers[..] else { panic!("{workers:?}") };
    insta::assert_json_snapshot!(worker.plan);
}

#[test]
fn the_plan_is_read_as_it_was_written() {
    let plan = workers().remove(0).plan;
    let text = serde_json::to_string(&plan).expect("it is JSON");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("it is a plan"), plan);
}

#[test]
fn what_must_exist_before_is_as_reviewed() {
    insta::assert_debug_snapshot!(workers().remove(0).provisioning);
}

#[test]
fn the_example_of_a_whole_schema_is_good_and_brings_its_tables_later() {
    let text = include_str!("../../examples/whole-schema/everything.yaml").to_owned();
    let (manifests, errors) = read(&[ManifestFile { name: "everything.yaml".to_owned(), text }], "default");
    assert_eq!(errors, []);
    assert_eq!(validate(&manifests, "default"), []);
    let settings = ResolveSettings {
        instance: "default".into(),
        secrets_dir: "/state/secrets".into(),
        listen: "127.0.0.1:0".into(),
        begun: BTreeSet::new(),
    };
    let mut worker = resolve(&manifests, &settings).remove(0);
    assert!(worker.plan.sinks[0].by_pattern && worker.plan.sinks[0].relations.is_empty());
    let by_pattern = worker.sinks[0].by_pattern.clone().expect("patterns");
    let table = |name: &str| TableName { schema: "public".to_owned(), name: name.to_owned() };
    assert!(by_pattern.tables.hold(&table("orders")) && !by_pattern.tables.hold(&table("orders_log")));
    worker.carry(0, vec![by_pattern.relation(&table("orders"), &["id".to_owned()])]);
    let relation = &worker.plan.sinks[0].relations[0];
    assert_eq!((relation.topic.as_str(), &relation.key_columns), ("shop.orders", &vec!["id".to_owned()]));
    let topics: Vec<_> =
        worker.provisioning.kafka[0].topics.iter().map(|it| (it.name.as_str(), it.partitions)).collect();
    assert_eq!(topics, [("_afterbay-progress-default-default.events", Some(1)), ("shop.orders", Some(4))]);
    assert_eq!(worker.provisioning.publication.tables, [table("orders")]);
    worker.carry(0, Vec::new());
    assert_eq!(worker.provisioning.kafka[0].topics.len(), 1);
    assert!(worker.provisioning.publication.tables.is_empty());
}
