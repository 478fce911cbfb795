//! The definitions, as they are given to an API server.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use afterbay_crds::api::{all_crds, crds_as_yaml};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

#[test]
fn the_definitions_are_as_reviewed() {
    insta::assert_snapshot!(crds_as_yaml().expect("the definitions are YAML"));
}

/// An object in etcd has a limit of about 1.5 MB; what clients keep of it as an annotation has one of 256 KB.
#[test]
fn each_definition_is_small() {
    for crd in all_crds() {
        let size = serde_json::to_string(&crd).expect("a definition is JSON").len();
        assert!(size < 100_000, "{} has {size} bytes", crd.spec.names.kind);
    }
}

/// Each part of a schema with its path; `part` is told whether it stands in `spec`.
fn walk(schema: &JSONSchemaProps, path: &str, part: &mut dyn FnMut(&str, &JSONSchemaProps, bool)) {
    part(path, schema, false);
    for (name, property) in schema.properties.iter().flatten() {
        part(&format!("{path}.{name}"), property, true);
        walk(property, &format!("{path}.{name}"), part);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
        walk(each, &format!("{path}[]"), part);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(each)) = &schema.additional_properties {
        walk(each, &format!("{path}{{}}"), part);
    }
}

fn every_part(part: &mut dyn FnMut(&str, &JSONSchemaProps, bool)) {
    for crd in all_crds() {
        let schema = crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
        walk(&schema.expect("a schema"), &crd.spec.names.kind, part);
    }
}

#[test]
fn every_field_is_described() {
    let mut seen = 0;
    every_part(&mut |path, schema, is_field| {
        seen += usize::from(is_field);
        let is_described = schema.description.as_ref().is_some_and(|text| text.len() > 3);
        assert!(!is_field || is_described, "{path} has no description");
    });
    assert!(seen > 150, "{seen}");
}

/// What a rule costs is reckoned from the longest that can be given: without a limit no API server takes the rule. What
/// the operator writes itself has none, or it could come not to be told.
#[test]
fn everything_that_users_give_has_a_limit() {
    every_part(&mut |path, schema, _| {
        if path.split(['.', '[']).nth(1) != Some("spec") {
            return;
        }
        let is_word = schema.enum_.is_some();
        match schema.type_.as_deref() {
            Some("string") if !is_word => assert!(schema.max_length.is_some(), "{path} may be of any length"),
            Some("array") => assert!(schema.max_items.is_some(), "{path} may be of any length"),
            Some("object") if schema.additional_properties.is_some() => {
                assert!(schema.max_properties.is_some(), "{path} may have any number of names");
            }
            None => assert!(schema.x_kubernetes_int_or_string == Some(true) && schema.max_length.is_some(), "{path}"),
            _ => {}
        }
    });
}

#[test]
fn every_rule_says_what_is_wrong() {
    every_part(&mut |path, schema, _| {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            assert!(rule.message.as_ref().is_some_and(|text| text.len() > 10), "{path}: {}", rule.rule);
        }
    });
}
