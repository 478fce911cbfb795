//! A document held against the schema of its kind: all that differs, at once.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::error::nearest;
use super::remedy;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// All differences between a value and its schema; `field` is the value's own path.
pub fn differences(schema: &JSONSchemaProps, value: &Value, field: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(schema, value, field, true, &mut found);
    found
}

/// `required` says whether the field must be there.
fn compare(schema: &JSONSchemaProps, value: &Value, field: &str, required: bool, found: &mut Vec<Difference>) {
    let mut tell = |what: String, remedy: String| {
        found.push(Difference { field: field.to_owned(), what, remedy });
    };
    if value.is_null() {
        // An optional object with nothing below it is nearly always one that was not finished. To take `tls:` for no
        // encryption would be the worst reading of it.
        if schema.nullable != Some(true) || schema.type_.as_deref() == Some("object") {
            tell("it is empty".into(), remedy::of_empty(schema, field, required));
        }
        return;
    }
    if let Some(expected) = &schema.type_
        && !is_of(expected, value)
    {
        let remedy = remedy::of_type(schema, expected, value, field);
        tell(format!("expected {}, found {}", article(expected), describe(value, expected)), remedy);
        return;
    }
    if let Some(allowed) = &schema.enum_
        && let Some(word) = value.as_str()
        && !allowed.iter().any(|known| known.0 == *value)
    {
        let remedy = match nearest(word, allowed.iter().filter_map(|known| known.0.as_str())) {
            Some(like) => format!("did you mean {like}? It is {}", one_of(allowed)),
            None => format!("write {}", one_of(allowed)),
        };
        tell(format!("\"{word}\" is not known here"), remedy);
        return;
    }
    if let Some(number) = value.as_f64() {
        let is_int32 = schema.format.as_deref() == Some("int32");
        let (least, most) = (schema.minimum, schema.maximum.or(is_int32.then_some(f64::from(i32::MAX))));
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("of at least {least}"),
                (_, most) => format!("of at most {}", most.unwrap_or_default()),
            };
            tell(format!("{value} is out of range"), format!("use a number {range}"));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as i64;
        if schema.min_length.is_some_and(|least| length < least) {
            tell("it is empty".into(), remedy::of_empty(schema, field, required));
        } else if let Some(most) = schema.max_length.filter(|most| length > *most) {
            tell("it is too long".into(), format!("use at most {most} characters"));
        }
    }
    match value {
        Value::Object(object) => compare_object(schema, object, field, found),
        Value::Array(items) => {
            if let Some(least) = schema.min_items
                && (items.len() as i64) < least
            {
                tell("the list is empty".into(), format!("give at least {least}"));
            }
            if let Some(most) = schema.max_items.filter(|most| (items.len() as i64) > *most) {
                tell("the list is too long".into(), format!("give at most {most}"));
            }
            if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    compare(each, item, &format!("{field}[{index}]"), true, found);
                }
            }
        }
        _ => {}
    }
}

fn compare_object(
    schema: &JSONSchemaProps,
    object: &serde_json::Map<String, Value>,
    field: &str,
    found: &mut Vec<Difference>,
) {
    let path = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    let known = schema.properties.as_ref();
    for (name, value) in object {
        if let Some(property) = known.and_then(|known| known.get(name)) {
            let required = schema.required.iter().flatten().any(|required| required == name);
            compare(property, value, &path(name), required, found);
        } else if let Some(JSONSchemaPropsOrBool::Schema(each)) = &schema.additional_properties {
            compare(each, value, &path(name), false, found);
        } else if schema.x_kubernetes_preserve_unknown_fields != Some(true) {
            let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            found.push(unknown(name, &known, path(name)));
        }
    }
    for name in schema.required.iter().flatten() {
        if !object.contains_key(name) {
            let field = path(name);
            let remedy = known.and_then(|known| known.get(name)).map(|schema| remedy::of_missing(schema, &field));
            let remedy = remedy.unwrap_or_else(|| "add it".to_owned());
            found.push(Difference { field, what: "it is missing".to_owned(), remedy });
        }
    }
}

fn unknown(name: &str, known: &[&str], field: String) -> Difference {
    let remedy = match nearest(name, known.iter().copied()) {
        Some(like) => format!("did you mean {like}?"),
        None if known.is_empty() => "leave it out: nothing is to be said here".to_owned(),
        None if known.len() == 1 => format!("the only field here is {}", known[0]),
        None => format!("use one of {}", known.join(", ")),
    };
    Difference { field, what: format!("there is no field {name}"), remedy }
}

fn one_of(allowed: &[JSON]) -> String {
    format!("one of {}", allowed.iter().filter_map(|known| known.0.as_str()).collect::<Vec<_>>().join(", "))
}

fn is_of(expected: &str, value: &Value) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn article(expected: &str) -> &str {
    match expected {
        "object" => "an object with fields",
        "array" => "a list",
        "integer" => "an integer",
        "boolean" => "a boolean",
        "number" => "a number",
        _ => "a string",
    }
}

fn describe(value: &Value, expected: &str) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        // Nobody writes a secret where a number goes. Elsewhere it may be one in the wrong place: it is not repeated.
        Value::String(text) if matches!(expected, "integer" | "boolean") && text.len() <= 20 => {
            format!("the string \"{text}\"")
        }
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object with fields".to_owned(),
    }
}
