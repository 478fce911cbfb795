//! The example that newcomers begin with: without error, and resolved into the plan that it should be.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;

use afterbay_crds::manifest::{ManifestFile, Manifests, read};
use afterbay_crds::plan::Plan;
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
