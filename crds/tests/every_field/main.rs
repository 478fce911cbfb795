//! Every field, wrong in every plausible way: where it is told, what is told, and what to do.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

mod at_once;
mod kafka_connections;
mod manifests;
mod references;
mod registries;
mod secrets;
mod shared;
mod sinks;
mod sources;
mod types;

use afterbay_crds::manifest::{ManifestError, ManifestFile, read};
use afterbay_crds::validate::validate;
use manifests::good;
use serde_json::Value;

/// All that must not show in any error.
const SECRET: &str = "hunter2";

fn errors_of(manifests: &[Value]) -> Vec<ManifestError> {
    // JSON is YAML; and its strings are in quotes, so that "no" stays one.
    let text: Vec<_> = manifests.iter().map(Value::to_string).collect();
    let file = ManifestFile { name: "shop.yaml".into(), text: text.join("\n---\n") };
    let (manifests, mut errors) = read(&[file], "default");
    errors.extend(validate(&manifests, "default"));
    errors
}

/// `spec.a.b[0].c` as a place in the manifest, made where it is not there.
fn place<'a>(manifest: &'a mut Value, path: &str) -> &'a mut Value {
    let mut place = manifest;
    for part in path.split('.') {
        let (name, index) = part
            .strip_suffix(']')
            .and_then(|part| part.split_once('['))
            .map_or((part, None), |(name, index)| (name, index.parse::<usize>().ok()));
        place = &mut place[name];
        if let Some(index) = index {
            place = &mut place[index];
        }
    }
    place
}

/// Which of the good manifests it is.
fn index_of(resource: &str) -> usize {
    let is_it = |manifest: &Value| {
        format!("{}/{}", manifest["kind"], manifest["metadata"]["name"]).replace('"', "") == resource
    };
    good().iter().position(is_it).expect("the resource is there")
}

/// The errors of the good manifests when one of them is changed.
fn with(resource: &str, change: impl FnOnce(&mut Value)) -> Vec<ManifestError> {
    let mut manifests = good();
    change(&mut manifests[index_of(resource)]);
    errors_of(&manifests)
}

/// One field set to something, or left out.
fn change(manifest: &mut Value, path: &str, value: Option<Value>) {
    if let Some(value) = value {
        *place(manifest, path) = value;
    } else {
        let (parent, name) = path.rsplit_once('.').expect("a field of an object");
        place(manifest, parent).as_object_mut().expect("an object").shift_remove(name).expect("the field is there");
    }
}

fn changed(resource: &str, path: &str, value: Option<Value>) -> Vec<ManifestError> {
    with(resource, |manifest| change(manifest, path, value))
}

/// Each change (`path = JSON` or `path (left out)`) gives one error, in its place, with a remedy and without the secret; the
/// texts are the snapshot's. Where something else is wrong with the manifest, the error is the same.
fn check(resource: &str, changes: &str) {
    let mut told = String::new();
    for change in changes.trim().lines() {
        let (path, value) = match change.split_once(" = ") {
            Some((path, value)) => (path, Some(serde_json::from_str(value).expect(change))),
            None => (change.strip_suffix(" (left out)").expect(change), None),
        };
        let errors = changed(resource, path, value.clone());
        let [error] = &errors[..] else { panic!("{resource}: {change}: one error and not {errors:#?}") };
        let document = Some(index_of(resource) + 1);
        assert_eq!((error.place.file.as_str(), error.place.document), ("shop.yaml", document), "{change}");
        assert!(!error.remedy.is_empty(), "{change}");
        let text = format!("{}: {} · what to do: {}", error.field, error.what, error.remedy);
        assert!(error.to_string().ends_with(&text), "{change}");
        assert!(!text.contains(SECRET), "{change}: a secret shows in {text}");
        let beside_another = with(resource, |manifest| {
            self::change(manifest, path, value);
            manifest["spec"]["qqq"] = Value::Null;
        });
        let is_another = |found: &&ManifestError| found.field == "spec.qqq";
        let (another, same): (Vec<_>, Vec<_>) = beside_another.iter().partition(is_another);
        assert_eq!((another.len(), same), (1, vec![error]), "{change}");
        told.extend([change, "\n    ", &text, "\n"]);
    }
    insta::assert_snapshot!(resource.replace('/', "_"), told);
}

#[test]
fn the_good_manifests_are_good() {
    assert_eq!(errors_of(&good()), []);
}
