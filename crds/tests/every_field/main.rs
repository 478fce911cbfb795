//! Every field, wrong in every plausible way: where it is told, what is told, and what to do.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

mod kafka_connections;
mod manifests;
mod references;
mod registries;
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

/// One field set to something, or left out: `path = JSON` or `path (left out)`.
fn changed(resource: &str, path: &str, value: Option<Value>) -> (usize, Vec<ManifestError>) {
    let mut manifests = good();
    let index = manifests
        .iter()
        .position(|manifest| {
            format!("{}/{}", manifest["kind"], manifest["metadata"]["name"]).replace('"', "") == resource
        })
        .expect("the resource is there");
    let manifest = &mut manifests[index];
    if let Some(value) = value {
        *place(manifest, path) = value;
    } else {
        let (parent, name) = path.rsplit_once('.').expect("a field of an object");
        place(manifest, parent).as_object_mut().expect("an object").shift_remove(name).expect("the field is there");
    }
    (index + 1, errors_of(&manifests))
}

/// Each change gives one error, in its place, with a remedy and without the secret; the texts are the snapshot's.
fn check(resource: &str, changes: &str) {
    let mut told = String::new();
    for change in changes.trim().lines() {
        let (path, value) = match change.split_once(" = ") {
            Some((path, value)) => (path, Some(serde_json::from_str(value).expect(change))),
            None => (change.strip_suffix(" (left out)").expect(change), None),
        };
        let (document, errors) = changed(resource, path, value);
        let [error] = &errors[..] else { panic!("{resource}: {change}: one error and not {errors:#?}") };
        assert_eq!((error.place.file.as_str(), error.place.document), ("shop.yaml", document), "{change}");
        assert!(!error.remedy.is_empty(), "{change}");
        let text = format!("{}: {} · what to do: {}", error.field, error.what, error.remedy);
        assert!(error.to_string().ends_with(&text), "{change}");
        assert!(!text.contains(SECRET), "{change}: a secret shows in {text}");
        told.extend([change, "\n    ", &text, "\n"]);
    }
    insta::assert_snapshot!(resource.replace('/', "_"), told);
}

#[test]
fn the_good_manifests_are_good() {
    assert_eq!(errors_of(&good()), []);
}
