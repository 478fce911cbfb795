//! Every field of every kind against values of other types, and with an unknown field beside it.

use std::collections::{BTreeMap, BTreeSet};

use afterbay_crds::api::all_crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::{Value, json};

use super::manifests::good;
use super::{changed, place, with};

/// Values that are not of a type.
fn of_other_types(expected: &str) -> Vec<Value> {
    match expected {
        "string" => vec![json!(true), json!(12), json!(["a"]), json!({"a": "b"})],
        "integer" => vec![json!("four"), json!("4"), json!(1.5), json!([4]), json!(true)],
        "boolean" => vec![json!("true"), json!(1), json!({})],
        "object" | "map" => vec![json!("text"), json!([1]), json!(1), json!(true)],
        "array" => vec![json!("text"), json!({"a": "b"}), json!(0)],
        other => panic!("no values for {other}"),
    }
}

/// Whether the manifest has this field.
fn has(manifest: &Value, path: &str) -> bool {
    let pointer = path.replace('.', "/").replace("[0]", "/0");
    manifest.pointer(&format!("/{pointer}")).is_some()
}

/// All fields of a schema by path and type (`map` where it takes any name); items of lists as `[0]`.
fn fields(schema: &JSONSchemaProps, path: &str, found: &mut Vec<(String, String)>) {
    let type_ = schema.type_.clone().expect("every field has a type");
    found.push((path.to_owned(), if schema.additional_properties.is_some() { "map".to_owned() } else { type_ }));
    for (name, property) in schema.properties.iter().flatten() {
        fields(property, &format!("{path}.{name}"), found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
        fields(each, &format!("{path}[0]"), found);
    }
}

/// The fields of each kind: path and type.
fn all_fields() -> BTreeMap<String, Vec<(String, String)>> {
    let fields_of = |crd: CustomResourceDefinition| {
        let schema = crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
        let mut all = Vec::new();
        fields(&schema.and_then(|schema| schema.properties).expect("a schema")["spec"], "spec", &mut all);
        (crd.spec.names.kind, all)
    };
    all_crds().into_iter().map(fields_of).collect()
}

#[test]
fn every_field_of_every_kind_refuses_every_wrong_type_and_unknown_neighbours() {
    let kinds = all_fields();
    let mut unused: BTreeSet<_> =
        kinds.iter().flat_map(|(kind, all)| all.iter().map(move |(path, _)| (kind.as_str(), path.as_str()))).collect();
    let manifests = good();
    for manifest in manifests.iter().filter(|manifest| manifest["kind"] != "Secret") {
        let (kind, name) = (manifest["kind"].as_str().expect("a kind"), manifest["metadata"]["name"].as_str());
        let resource = format!("{kind}/{}", name.expect("a name"));
        for (path, expected) in kinds[kind].iter().filter(|(path, _)| has(manifest, path)) {
            unused.remove(&(kind, path.as_str()));
            refuses_other_types(&resource, path, expected);
            refuses_another_spelling(&resource, path);
            if expected == "object" {
                refuses_unknown_neighbours(&resource, path);
            }
        }
    }
    assert_eq!(unused, BTreeSet::new(), "no manifest uses these fields");
}

fn refuses_other_types(resource: &str, path: &str, expected: &str) {
    for value in of_other_types(expected) {
        let errors = changed(resource, path, Some(value.clone()));
        let [error] = &errors[..] else { panic!("{resource} {path} = {value}: {errors:#?}") };
        assert_eq!(error.field, path);
        assert!(error.what.starts_with("expected a"), "{error}");
    }
}

fn refuses_unknown_neighbours(resource: &str, path: &str) {
    let unknown = format!("{path}.qqq");
    let errors = changed(resource, &unknown, Some(json!(1)));
    let [error] = &errors[..] else { panic!("{resource} {unknown}: {errors:#?}") };
    assert_eq!((&error.field, error.what.as_str()), (&unknown, "there is no field qqq"));
}

/// A misspelt field is told as that, and not as one that is missing, too.
fn refuses_another_spelling(resource: &str, path: &str) {
    let Some((parent, name)) = path.rsplit_once('.').filter(|_| !path.ends_with(']')) else { return };
    let unknown = format!("{parent}.{name}x");
    let errors = with(resource, |manifest| {
        let parent = place(manifest, parent).as_object_mut().expect("an object");
        let value = parent.shift_remove(name).expect("the field is there");
        parent.insert(format!("{name}x"), value);
    });
    let [error] = &errors[..] else { panic!("{resource} {unknown}: {errors:#?}") };
    assert_eq!((&error.field, &error.remedy), (&unknown, &format!("did you mean {name}?")));
}
