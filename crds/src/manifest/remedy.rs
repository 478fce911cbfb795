//! What to do about a value that its schema refuses: the right form, by example.
//!
//! A remedy must not lead into the next error: no field is left out that is required, and `{}` is only offered where
//! nothing has to stand in it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// Examples of fields, by the end of their path. Objects stand here where their schema's `required` is not all they need.
const EXAMPLES: [(&str, &str); 30] = [
    ("spec.postgres", "{host: db, database: shop, authentication: {username: afterbay}}"),
    ("bootstrapServers", "kafka-0:9092"),
    ("certificate", "ca.crt"),
    ("columns", "[id]"),
    ("columns[0]", "id"),
    ("connection", "events"),
    ("database", "shop"),
    ("docs[0]", "{type: public.orders, text: Orders of the shop}"),
    ("docs[0].text", "Orders of the shop"),
    ("format", "{json: {}}"),
    ("format.key", "{json: {}}"),
    ("format.value", "{json: {}}"),
    ("hosts", "[{host: db-0}, {host: db-1}]"),
    ("host", "db"),
    ("key", "user.key"),
    ("password", "password"),
    ("registry", "schemas"),
    ("secretName", "shop-db"),
    ("source.name", "shop"),
    ("table", "public.orders"),
    ("name", "orders"),
    ("spec.source", "{name: shop, table: public.orders}"),
    ("spec.key", "{columns: [id]}"),
    ("tables", "[public.*]"),
    ("tables[0]", "public.*"),
    ("usernameSecret.username", "username"),
    ("username", "afterbay"),
    ("url", "http://registry:8081"),
    ("spec.source", "{name: shop, table: public.orders}"),
    ("query", "SELECT id, total FROM public.orders"),
];

/// Where nothing stands, though something has to.
pub(super) fn of_empty(schema: &JSONSchemaProps, field: &str, required: bool) -> String {
    let name = last(field);
    let or_without = if required { String::new() } else { format!(", or leave {name} out") };
    if schema.type_.as_deref() != Some("object") {
        return match example(schema, field) {
            Some(example) if required => format!("give it a value, e.g. {name}: {example}"),
            _ => format!("give it a value{or_without}"),
        };
    }
    let takes_nothing = schema.required.iter().flatten().next().is_none() && schema.x_kubernetes_validations.is_none();
    if is_map(schema) {
        format!("write name: value below it, indented{or_without}")
    } else if !takes_nothing {
        format!("{}{or_without}", fields_of(schema, field))
    } else if schema.properties.iter().flatten().any(|(name, _)| name == "trustedCertificates") {
        format!("write {{}} for the system's authorities{or_without}")
    } else {
        format!("write {name}: {{}} for its defaults{or_without}")
    }
}

/// Where a field is not there.
pub(super) fn of_missing(schema: &JSONSchemaProps, field: &str) -> String {
    match (&schema.enum_, example(schema, field)) {
        (Some(allowed), _) => {
            let allowed: Vec<_> = allowed.iter().filter_map(|known| known.0.as_str()).collect();
            format!("add it; one of {}", allowed.join(", "))
        }
        (None, Some(example)) => format!("add it, e.g. {}: {example}", last(field)),
        (None, None) => "add it".to_owned(),
    }
}

/// Where the value is of another type.
pub(super) fn of_type(schema: &JSONSchemaProps, expected: &str, value: &Value, field: &str) -> String {
    match (expected, value) {
        ("string", Value::Bool(_)) => {
            "put it in quotes: plain yes, no, on, off, true and false are booleans".to_owned()
        }
        // Quotes alone would make no amount of it.
        ("string", Value::Number(_)) if schema.pattern.is_some() && usual(schema).is_some() => {
            format!("write it with its unit, e.g. {}: {}", last(field), usual(schema).unwrap_or_default())
        }
        ("string", Value::Number(_)) => "put it in quotes: a plain number is no string".to_owned(),
        ("string", Value::Array(_)) => "write one value, and no list".to_owned(),
        ("string", _) => "write one value, with no fields below it".to_owned(),
        ("boolean", Value::String(_)) => "write true or false, without quotes".to_owned(),
        ("boolean", _) => "write true or false".to_owned(),
        ("integer" | "number", Value::String(_)) => "write digits, without quotes".to_owned(),
        ("integer" | "number", _) => "write a whole number".to_owned(),
        ("object", _) if is_map(schema) => "write name: value below it, indented".to_owned(),
        ("object", _) => fields_of(schema, field),
        _ => match example(schema, field) {
            Some(example) => format!("write a list, e.g. {}: {example}", last(field)),
            None => "write a list: [a, b]".to_owned(),
        },
    }
}

/// How the fields of an object are written.
fn fields_of(schema: &JSONSchemaProps, field: &str) -> String {
    let names: Vec<_> = schema.properties.iter().flatten().map(|(name, _)| name.as_str()).collect();
    match example(schema, field) {
        Some(example) if field.ends_with(']') => format!("write its fields, e.g. {example}"),
        Some(example) => format!("write its fields, e.g. {}: {example}", last(field)),
        None if names.is_empty() => format!("write {}: {{}}", last(field)),
        None => format!("write its fields below it, indented: {}", names.join(", ")),
    }
}

/// A value that the field takes, in YAML; none where that cannot be told.
fn example(schema: &JSONSchemaProps, field: &str) -> Option<String> {
    let ends = |end: &str| field.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    // `key` is a list of columns in a Sink, and a word in a reference to a Secret.
    let is_object = |example: &str| example.starts_with('{');
    let type_ = schema.type_.as_deref()?;
    let known = EXAMPLES.iter().find(|(end, example)| ends(end) && is_object(example) == (type_ == "object"));
    if let Some((_, example)) = known {
        return Some((*example).to_owned());
    }
    if let Some(allowed) = &schema.enum_ {
        return allowed.first().and_then(|first| first.0.as_str()).map(str::to_owned);
    }
    match type_ {
        "object" if schema.x_kubernetes_validations.is_none() && field != "spec" => {
            let required = schema.required.as_ref().filter(|required| !required.is_empty())?;
            let properties = schema.properties.as_ref()?;
            let fields = required.iter().map(|name| {
                let property = properties.get(name)?;
                Some(format!("{name}: {}", example(property, &format!("{field}.{name}"))?))
            });
            Some(format!("{{{}}}", fields.collect::<Option<Vec<_>>>()?.join(", ")))
        }
        "array" => match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(each)) => Some(format!("[{}]", example(each, &format!("{field}[0]"))?)),
            _ => None,
        },
        _ => None,
    }
}

/// The word that stands where nothing is written.
fn usual(schema: &JSONSchemaProps) -> Option<&str> {
    schema.default.as_ref()?.0.as_str()
}

fn is_map(schema: &JSONSchemaProps) -> bool {
    matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Schema(_)))
}

fn last(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

    use super::super::schema::fit;
    use super::*;
    use crate::api::all_crds;

    /// All required fields, with their paths.
    fn required(schema: &JSONSchemaProps, path: &str, found: &mut Vec<(String, JSONSchemaProps)>) {
        for (name, property) in schema.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            if schema.required.iter().flatten().any(|required| required == name) {
                found.push((path.clone(), property.clone()));
            }
            required(property, &path, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
            required(each, &format!("{path}[0]"), found);
        }
    }

    #[test]
    fn each_missing_field_has_an_example_that_its_schema_takes() {
        let mut all = Vec::new();
        for crd in all_crds() {
            let schema = crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
            let spec = schema.and_then(|schema| schema.properties).expect("a schema").remove("spec").expect("a spec");
            required(&spec, "spec", &mut all);
        }
        assert!(all.len() > 20, "{}", all.len());
        for (field, schema) in all {
            let Some(example) = example(&schema, &field) else { panic!("{field} has no example") };
            let value: Value = serde_yaml::from_str(&example).expect(&field);
            assert_eq!(fit(&schema, &value, &field).differences, [], "{field}: {example}");
        }
    }
}
