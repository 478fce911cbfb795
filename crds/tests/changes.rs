//! `docs/manifests.md` says of each field what becomes of a change of it.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use afterbay_crds::api::all_crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};

const DOCUMENT: &str = include_str!("../../docs/manifests.md");
const SECTION: &str = "\n## What can be changed later\n";
/// What is no field of `spec` and has a row all the same.
const BESIDE: [&str; 1] = ["metadata.name"];

/// A row: the fields that it names, and its other cells.
struct Row {
    fields: Vec<&'static str>,
    effects: Vec<&'static str>,
}

/// The rows of each kind.
fn tables() -> BTreeMap<&'static str, Vec<Row>> {
    let (_, section) = DOCUMENT.split_once(SECTION).expect("the document has the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    section.split("\n### ").skip(1).map(|table| (table.lines().next().unwrap_or_default(), rows(table))).collect()
}

fn rows(table: &'static str) -> Vec<Row> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fields, effects @ ..] = &cells[..] else { panic!("no row: {row}") };
        let fields = fields.split(", ").map(|field| field.trim_matches('`')).collect();
        Row { fields, effects: effects.to_vec() }
    })
    .collect()
}

/// The path of each part of `spec`, and whether it has no parts itself.
fn parts(schema: &JSONSchemaProps, path: &str, found: &mut BTreeMap<String, bool>) {
    for (name, property) in schema.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let inner = match &property.items {
            Some(JSONSchemaPropsOrArray::Schema(each)) => each,
            _ => property,
        };
        found.insert(path.clone(), inner.properties.iter().flatten().next().is_none());
        parts(inner, &path, found);
    }
}

fn kinds() -> BTreeMap<String, BTreeMap<String, bool>> {
    let fields = |schema: &JSONSchemaProps| {
        let mut found = BTreeMap::new();
        parts(&schema.properties.as_ref().expect("an object")["spec"], "", &mut found);
        found
    };
    let kinds = all_crds().into_iter().map(|crd| {
        let schema = crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
        (crd.spec.names.kind, fields(&schema.expect("a schema")))
    });
    kinds.collect()
}

#[test]
fn each_field_has_one_row() {
    let tables = tables();
    for (kind, fields) in kinds() {
        let rows = tables.get(kind.as_str()).unwrap_or_else(|| panic!("{kind} has no table"));
        for field in fields.iter().filter(|(_, is_leaf)| **is_leaf).map(|(field, _)| field) {
            let is_told =
                |name: &str| field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            let told = rows.iter().flat_map(|row| &row.fields).filter(|name| is_told(name)).count();
            assert_eq!(told, 1, "docs/manifests.md, \"What can be changed later\": rows of {kind}'s spec.{field}");
        }
    }
}

#[test]
fn each_row_is_of_fields_and_says_what_becomes_of_them_with_a_cluster_and_without() {
    let kinds = kinds();
    for (kind, rows) in tables() {
        let fields = kinds.get(kind).unwrap_or_else(|| panic!("there is no kind {kind}"));
        for row in rows {
            for name in &row.fields {
                assert!(fields.contains_key(*name) || BESIDE.contains(name), "{kind} has no field {name}");
            }
            let says = row.effects.len() == 2 && row.effects.iter().all(|effect| !effect.is_empty());
            assert!(says, "{kind}, {:?}: {:?}", row.fields, row.effects);
        }
    }
}

/// What the definitions refuse to change is told so, and nothing else is.
#[test]
fn what_is_refused_is_what_rules_refuse() {
    let refused = |kind: &str| -> Vec<&'static str> {
        let tables = tables();
        let rows = tables[kind].iter().filter(|row| row.effects[1].contains("refused"));
        rows.flat_map(|row| row.fields.clone()).collect()
    };
    for crd in all_crds() {
        let definition = serde_json::to_value(&crd).expect("a definition is JSON");
        let mut rules = Vec::new();
        transitions(&definition, &mut rules);
        let told = refused(&crd.spec.names.kind);
        for name in &told {
            assert!(rules.iter().any(|rule| rule.contains(name)), "no rule of {} keeps {name}", crd.spec.names.kind);
        }
        for rule in &rules {
            assert!(told.iter().any(|name| rule.contains(name)), "no row says so: {rule}");
        }
    }
}

/// The rules that compare with what was before.
fn transitions(value: &serde_json::Value, rules: &mut Vec<String>) {
    if let Some(rule) = value["rule"].as_str().filter(|rule| rule.contains("oldSelf")) {
        rules.push(rule.to_owned());
    }
    match value {
        serde_json::Value::Object(fields) => fields.values().for_each(|value| transitions(value, rules)),
        serde_json::Value::Array(values) => values.iter().for_each(|value| transitions(value, rules)),
        _ => {}
    }
}
