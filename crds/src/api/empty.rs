//! Objects that were not finished: `tls:` with nothing below it.
//!
//! Kubernetes takes that for an object that is not there, which for `tls` would be no encryption. [`crate::manifest`] refuses
//! it; here it is refused by an API server as well. A schema alone cannot: what may not be null is left out unseen.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};

/// Gives each object of the `spec` a rule for each object in it that need not be there.
pub(super) fn refuse_empty(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(spec) = schema.and_then(|schema| schema.properties.as_mut()?.get_mut("spec")) {
            refuse_within(spec);
        }
    }
    crd
}

fn refuse_within(schema: &mut JSONSchemaProps) {
    let mut rules = Vec::new();
    for (name, property) in schema.properties.iter_mut().flatten() {
        if property.type_.as_deref() == Some("object") && property.nullable == Some(true) {
            rules.push(rule(name));
        }
        refuse_within(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(each)) = &mut schema.items {
        refuse_within(each);
    }
    if !rules.is_empty() {
        schema.x_kubernetes_validations.get_or_insert_default().extend(rules);
    }
}

fn rule(name: &str) -> ValidationRule {
    ValidationRule {
        rule: format!("!has(self.{name}) || self.{name} != null"),
        message: Some(format!("{name} is empty: write its fields below it, or {{}}, or leave it out")),
        ..ValidationRule::default()
    }
}
