//! How a Sink writes keys and values.

use std::collections::BTreeSet;

use super::subject::Subject;
use crate::api::{Avro, Doc, Format, MessagePart, PartAvro, PartDoc, PartFormat, SinkSpec};
use crate::manifest::Kind;
use crate::plan::Envelope;
use crate::table_name;

const FIELD: &str = "spec.kafka.format";
/// The name of the row's record in values of the debezium envelope.
const ROW: &str = "row";

pub(super) fn check(subject: &mut Subject<'_>, spec: &SinkSpec) {
    let format = &spec.kafka.format;
    let has_key = spec.key.is_some() || !subject.knows("spec.key");
    let Format { avro, json, text, bytes, key, value } = format;
    let named = [
        ("avro", avro.is_some()),
        ("json", json.is_some()),
        ("text", text.is_some()),
        ("bytes", bytes.is_some()),
        ("value", value.is_some()),
    ];
    one_of(subject, FIELD, &named, "write json: {} or avro: {registry: …} below it");
    if let Some(avro) = avro {
        both(subject, avro, has_key);
    }
    match (key, value) {
        (Some(_), None) if subject.knows(&format!("{FIELD}.value")) => {
            let remedy = "add value: the format of values, or name one format for both";
            subject.tell(format!("{FIELD}.key"), "it goes with value", remedy);
        }
        (Some(_), Some(_)) if !has_key => {
            subject.tell(format!("{FIELD}.key"), "the Sink has no key", "leave it out, or add spec.key");
        }
        (None, Some(_)) if spec.key.is_some() && subject.knows(&format!("{FIELD}.key")) => {
            subject.tell(
                format!("{FIELD}.key"),
                "it is missing",
                "add it: the Sink has a key, and value speaks of values",
            );
        }
        _ => {}
    }
    for (part, field) in [(key, "key"), (value, "value")] {
        if let Some(part) = part {
            self::part(subject, part, &format!("{FIELD}.{field}"));
        }
    }
    let is_debezium = spec.kafka.envelope == Envelope::Debezium && subject.knows("spec.kafka.envelope");
    if is_debezium {
        debezium(subject, format);
    }
    let columns = spec.key.as_ref().and_then(|key| key.columns.as_ref()).map_or(0, Vec::len);
    if let Some(key) = key.as_ref().or(as_part(format).as_ref())
        && columns > 1
        && let Some(word) = single(key)
    {
        let what = format!("{word} holds one column, and the key has {columns}");
        subject.tell(
            format!("{FIELD}{}", if value.is_some() { ".key" } else { "" }),
            what,
            "use json or avro for keys",
        );
    }
}

/// Exactly one is to be there.
fn one_of(subject: &mut Subject<'_>, field: &str, named: &[(&str, bool)], remedy: &str) {
    let there: Vec<_> = named.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    match &there[..] {
        [] if subject.knows(field) => subject.tell(field, "it is empty", remedy),
        [] | [_] => {}
        [first, second, ..] => {
            subject.tell(field, format!("{first} and {second} are both there"), "give one of the two");
        }
    }
}

fn part(subject: &mut Subject<'_>, format: &PartFormat, field: &str) {
    let PartFormat { avro, json, text, bytes } = format;
    let named =
        [("avro", avro.is_some()), ("json", json.is_some()), ("text", text.is_some()), ("bytes", bytes.is_some())];
    one_of(subject, field, &named, "write json: {} or avro: {registry: …} below it");
    let Some(PartAvro { registry, fullname, docs, .. }) = avro else { return };
    let manifests = subject.manifests;
    let avro = format!("{field}.avro");
    subject.refers_to(&format!("{avro}.registry"), Kind::SchemaRegistryConnection, registry, &manifests.registries);
    self::fullname(subject, &format!("{avro}.fullname"), fullname.as_deref());
    for (index, PartDoc { r#type, column, .. }) in docs.iter().enumerate() {
        doc(subject, &format!("{avro}.docs[{index}]"), r#type.as_deref(), column.as_deref());
    }
}

fn both(subject: &mut Subject<'_>, avro: &Avro, has_key: bool) {
    let manifests = subject.manifests;
    let field = format!("{FIELD}.avro");
    subject.refers_to(
        &format!("{field}.registry"),
        Kind::SchemaRegistryConnection,
        &avro.registry,
        &manifests.registries,
    );
    let (key, value) = (avro.key_fullname.as_deref(), avro.value_fullname.as_deref());
    let (key_field, value_field) = (format!("{field}.keyFullname"), format!("{field}.valueFullname"));
    fullname(subject, &key_field, key);
    fullname(subject, &value_field, value);
    match (key, value) {
        (Some(_), _) if !has_key => {
            subject.tell(key_field, "the Sink has no key", "leave it out, or add spec.key");
        }
        (Some(_), None) if subject.knows(&value_field) => {
            subject.tell(value_field, "it is missing beside keyFullname", "give both names, or none");
        }
        (None, Some(_)) if has_key && subject.knows(&key_field) && subject.knows("spec.key") => {
            subject.tell(
                key_field,
                "it is missing beside valueFullname",
                "give both names, or none: the Sink has a key",
            );
        }
        _ => {}
    }
    if !has_key && avro.key_compatibility_level.is_some() {
        let field = format!("{field}.keyCompatibilityLevel");
        subject.tell(field, "the Sink has no key", "leave it out, or add spec.key");
    }
    for (index, Doc { r#type, column, part, .. }) in avro.docs.iter().enumerate() {
        let field = format!("{field}.docs[{index}]");
        doc(subject, &field, r#type.as_deref(), column.as_deref());
        if *part == Some(MessagePart::Key) && !has_key {
            subject.tell(format!("{field}.for"), "the Sink has no key", "leave it out, or add spec.key");
        }
    }
    twice(subject, &field, &avro.docs);
}

/// Of two texts for the same, one would never be read.
fn twice(subject: &mut Subject<'_>, field: &str, docs: &[Doc]) {
    let mut seen = BTreeSet::new();
    for (index, Doc { r#type, column, part, .. }) in docs.iter().enumerate() {
        let part = part.map(|part| part == MessagePart::Key);
        if !seen.insert((r#type, column, part)) {
            let field = format!("{field}.docs[{index}]");
            subject.tell(field, "it is documented twice", "leave one of the two out");
        }
    }
}

fn doc(subject: &mut Subject<'_>, field: &str, name: Option<&str>, column: Option<&str>) {
    let (leaf, wrong) = match (name, column) {
        (Some(name), None) => {
            ("type", table_name::parse(name).err().map(|what| (name, what, "schema.table or schema.type")))
        }
        (None, Some(column)) => {
            ("column", table_name::parse_column(column).err().map(|what| (column, what, "schema.table.column")))
        }
        (None, None) => {
            if subject.knows(field) {
                subject.tell(
                    field,
                    "it names neither a type nor a column",
                    "add type: schema.table or column: schema.table.column",
                );
            }
            return;
        }
        (Some(_), Some(_)) => return subject.tell(field, "type and column are both there", "give one of the two"),
    };
    if let Some((name, what, form)) = wrong {
        let remedy = format!("write {form}, with double quotes as in SQL where needed");
        subject.tell(format!("{field}.{leaf}"), format!("\"{name}\" names no {leaf}: {what}"), remedy);
    }
}

/// Tells where a name cannot be one (Avro specification, "Names").
fn fullname(subject: &mut Subject<'_>, field: &str, fullname: Option<&str>) {
    let Some(fullname) = fullname else { return };
    let is_name = |name: &str| {
        let mut characters = name.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !fullname.split('.').all(is_name) {
        let remedy = "use letters, digits and underscores, in parts separated by dots: com.example.Order";
        subject.tell(field, format!("\"{fullname}\" is no fullname"), remedy);
    }
}

fn debezium(subject: &mut Subject<'_>, format: &Format) {
    let (field, value) = match &format.value {
        Some(value) => (format!("{FIELD}.value"), Some(value.clone())),
        None => (FIELD.to_owned(), as_part(format)),
    };
    let Some(value) = value else { return };
    if let Some(word) = single(&value) {
        let what = format!("{word} holds one column, and the debezium envelope has before and after");
        subject.tell(field, what, "use json or avro for values, or the upsert envelope");
        return;
    }
    let (field, fullname) = match (&format.avro, value.avro) {
        (Some(avro), _) => (format!("{FIELD}.avro.valueFullname"), avro.value_fullname.clone()),
        (None, Some(avro)) => (format!("{FIELD}.value.avro.fullname"), avro.fullname),
        (None, None) => return,
    };
    if fullname.is_some_and(|name| name.rsplit('.').next() == Some(ROW)) {
        let what = "the debezium envelope names the record of the row so";
        subject.tell(field, what, "give the value another name");
    }
}

/// The one format for both, as far as it is not Avro.
fn as_part(format: &Format) -> Option<PartFormat> {
    let Format { json, text, bytes, value, .. } = format.clone();
    value.is_none().then_some(PartFormat { avro: None, json, text, bytes })
}

/// The word for a format that holds one column.
fn single(format: &PartFormat) -> Option<&'static str> {
    if format.text.is_some() { Some("text") } else { format.bytes.as_ref().map(|_| "bytes") }
}
