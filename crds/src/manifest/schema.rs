//! A document held against the schema of its kind: all that differs, at once, and what is left of the document without.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Number, Value};

use super::error::nearest;
use super::refused::Refused;
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

/// A value as far as its schema takes it.
#[derive(Debug)]
pub struct Fitted {
    /// The value without what is refused. Where the schema asks for something nevertheless, a stand-in stands.
    pub value: Value,
    /// What is refused.
    pub refused: Refused,
    /// Why.
    pub differences: Vec<Difference>,
}

/// Holds a value against its schema; `field` is the value's own path.
pub fn fit(schema: &JSONSchemaProps, value: &Value, field: &str) -> Fitted {
    let mut fitting = Fitting::default();
    let value = fitting.value(schema, value, field, true).unwrap_or_else(|| stand_in(schema));
    Fitted { value, refused: fitting.refused, differences: fitting.differences }
}

/// What stands where something has to, and nothing that can be used does: as empty as the schema allows.
pub fn stand_in(schema: &JSONSchemaProps) -> Value {
    if let Some(word) = schema.enum_.iter().flatten().next() {
        return word.0.clone();
    }
    match schema.type_.as_deref() {
        Some("object") => {
            let properties = schema.properties.as_ref();
            let required = schema.required.iter().flatten();
            let fields = required.filter_map(|name| Some((name.clone(), stand_in(properties?.get(name)?))));
            Value::Object(fields.collect())
        }
        Some("array") => Value::Array(Vec::new()),
        Some("integer" | "number") => schema.minimum.map_or(0, |least| least as i64).into(),
        Some("boolean") => false.into(),
        _ => "".into(),
    }
}

/// Of the known names, those that unknown fields are likely meant for: that these are missing needs no telling.
pub fn meant<'a>(object: &Map<String, Value>, known: &[&'a str]) -> BTreeSet<&'a str> {
    let unknown = object.keys().filter(|name| !known.contains(&name.as_str()));
    let meant = unknown.filter_map(|name| nearest(name, known.iter().copied()));
    meant.filter(|name| !object.contains_key(*name)).collect()
}

#[derive(Default)]
struct Fitting {
    differences: Vec<Difference>,
    refused: Refused,
}

impl Fitting {
    fn tell(&mut self, field: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.differences.push(Difference { field: field.to_owned(), what: what.into(), remedy: remedy.into() });
    }

    /// The value, as far as it is taken. `required` says whether the field must be there.
    fn value(&mut self, schema: &JSONSchemaProps, value: &Value, field: &str, required: bool) -> Option<Value> {
        if value.is_null() && schema.nullable == Some(true) && schema.type_.as_deref() != Some("object") {
            return Some(Value::Null);
        }
        let Some((what, remedy)) = wrong(schema, value, field, required) else {
            return Some(match value {
                Value::Object(object) => self.object(schema, object, field),
                Value::Array(items) => self.list(schema, items, field),
                scalar => scalar.clone(),
            });
        };
        self.tell(field, what, remedy);
        self.refused.insert(field);
        required.then(|| stand_in(schema))
    }

    fn list(&mut self, schema: &JSONSchemaProps, items: &[Value], field: &str) -> Value {
        // Its items are told of all the same.
        if let Some(most) = schema.max_items.filter(|most| (items.len() as i64) > *most) {
            self.tell(field, "the list is too long", format!("give at most {most}"));
        }
        let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items else { return items.into() };
        // One that is refused keeps its place, so that the others keep theirs.
        let items = items.iter().enumerate();
        items.filter_map(|(index, item)| self.value(each, item, &format!("{field}[{index}]"), true)).collect()
    }

    fn object(&mut self, schema: &JSONSchemaProps, object: &Map<String, Value>, field: &str) -> Value {
        let path = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        let properties = schema.properties.as_ref();
        let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let is_required = |name: &str| schema.required.iter().flatten().any(|required| required == name);
        let mut fitted = Map::new();
        let mut has_unknown = false;
        for (name, value) in object {
            let taken = if let Some(property) = properties.and_then(|known| known.get(name)) {
                self.value(property, value, &path(name), is_required(name))
            } else if let Some(JSONSchemaPropsOrBool::Schema(each)) = &schema.additional_properties {
                self.value(each, value, &path(name), false)
            } else if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
                Some(value.clone())
            } else {
                has_unknown = true;
                self.differences.push(unknown(name, &known, path(name)));
                self.refused.insert(path(name));
                None
            };
            fitted.extend(taken.map(|value| (name.clone(), value)));
        }
        let meant = if has_unknown { meant(object, &known) } else { BTreeSet::new() };
        for name in &meant {
            self.refused.insert(path(name));
        }
        for name in schema.required.iter().flatten().filter(|name| !object.contains_key(*name)) {
            let field = path(name);
            let property = properties.and_then(|known| known.get(name));
            if !meant.contains(name.as_str()) {
                let remedy = property.map_or_else(|| "add it".to_owned(), |schema| remedy::of_missing(schema, &field));
                self.tell(&field, "it is missing", remedy);
                self.refused.insert(field);
            }
            fitted.extend(property.map(|schema| (name.clone(), stand_in(schema))));
        }
        Value::Object(fitted)
    }
}

/// What is wrong with a value itself, whatever stands in it, and what to do.
fn wrong(schema: &JSONSchemaProps, value: &Value, field: &str, required: bool) -> Option<(String, String)> {
    if value.is_null() {
        // An optional object with nothing below it is nearly always one that was not finished. To take `tls:` for no
        // encryption would be the worst reading of it.
        return Some(("it is empty".into(), remedy::of_empty(schema, field, required)));
    }
    if schema.x_kubernetes_int_or_string == Some(true) && !is_of("integer", value) && !value.is_string() {
        let what = format!("expected a string or an integer, found {}", describe(value, "string"));
        return Some((what, "put it in quotes".to_owned()));
    }
    if let Some(expected) = &schema.type_
        && !is_of(expected, value)
    {
        let what = format!("expected {}, found {}", article(expected), describe(value, expected));
        return Some((what, remedy::of_type(schema, expected, value, field)));
    }
    match value {
        Value::String(text) => wrong_text(schema, text, field, required),
        Value::Number(number) => wrong_number(schema, number),
        Value::Array(items) => {
            let least = schema.min_items.filter(|least| (items.len() as i64) < *least)?;
            Some(("the list is empty".into(), format!("give at least {least}")))
        }
        _ => None,
    }
}

fn wrong_text(schema: &JSONSchemaProps, text: &str, field: &str, required: bool) -> Option<(String, String)> {
    if let Some(allowed) = &schema.enum_
        && !allowed.iter().any(|known| known.0 == *text)
    {
        let remedy = match nearest(text, allowed.iter().filter_map(|known| known.0.as_str())) {
            Some(like) => format!("did you mean {like}? It is {}", one_of(allowed)),
            None => format!("write {}", one_of(allowed)),
        };
        return Some((format!("\"{text}\" is not known here"), remedy));
    }
    let length = text.chars().count() as i64;
    if schema.min_length.is_some_and(|least| length < least) {
        return Some(("it is empty".into(), remedy::of_empty(schema, field, required)));
    }
    let most = schema.max_length.filter(|most| length > *most)?;
    Some(("it is too long".into(), format!("use at most {most} characters")))
}

fn wrong_number(schema: &JSONSchemaProps, value: &Number) -> Option<(String, String)> {
    let number = value.as_f64()?;
    let is_int32 = schema.format.as_deref() == Some("int32");
    let (least, most) = (schema.minimum, schema.maximum.or(is_int32.then_some(f64::from(i32::MAX))));
    if !least.is_some_and(|least| number < least) && !most.is_some_and(|most| number > most) {
        return None;
    }
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("of at least {least}"),
        (_, most) => format!("of at most {}", most.unwrap_or_default()),
    };
    Some((format!("{value} is out of range"), format!("use a number {range}")))
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
