//! Formats as the plan has them: one for keys, one for values, all defaults filled in.

use super::connections::Secrets;
use crate::api::{Avro, Doc, Format, MessagePart, PartAvro, PartDoc, PartFormat};
use crate::manifest::Manifests;
use crate::names::ResourceName;
use crate::plan::{AvroPlan, DocPlan, FormatPlan};
use crate::table_name;

/// The fullname of a key's record that is not told.
const KEY_FULLNAME: &str = "row";
/// The fullname of a value's record that is not told.
const VALUE_FULLNAME: &str = "envelope";

/// How keys (if there are any) and values of a Sink are written; none where the manifest does not say.
pub(super) fn plans(
    manifests: &Manifests,
    secrets: &mut Secrets<'_>,
    sink: &ResourceName,
    format: &Format,
    has_key: bool,
) -> Option<(Option<FormatPlan>, FormatPlan)> {
    let mut plan = |part: &PartFormat, fullname: &str| {
        Some(if let Some(avro) = &part.avro {
            let registry_name = sink.sibling(&avro.registry);
            let registry = &manifests.registries.get(&registry_name)?.spec;
            FormatPlan::Avro(Box::new(AvroPlan {
                registry: secrets.registry(&registry_name, registry),
                fullname: avro.fullname.clone().unwrap_or_else(|| fullname.to_owned()),
                null_defaults: avro.null_defaults,
                compatibility_level: avro.compatibility_level,
                docs: avro.docs.iter().map(doc_plan).collect::<Option<_>>()?,
            }))
        } else if let Some(json) = &part.json {
            FormatPlan::Json { values: json.values }
        } else if part.text.is_some() {
            FormatPlan::Text
        } else {
            part.bytes.as_ref().map(|_| FormatPlan::Bytes)?
        })
    };
    let key = match has_key.then(|| part(format, MessagePart::Key)) {
        Some(key) => Some(plan(&key?, KEY_FULLNAME)?),
        None => None,
    };
    Some((key, plan(&part(format, MessagePart::Value)?, VALUE_FULLNAME)?))
}

/// What is said of keys, or of values.
fn part(format: &Format, part: MessagePart) -> Option<PartFormat> {
    if let Some(value) = &format.value {
        return match part {
            MessagePart::Key => format.key.clone(),
            MessagePart::Value => Some(value.clone()),
        };
    }
    Some(PartFormat {
        avro: format.avro.as_ref().map(|avro| part_avro(avro, part)),
        json: format.json.clone(),
        text: format.text.clone(),
        bytes: format.bytes.clone(),
    })
}

fn part_avro(avro: &Avro, part: MessagePart) -> PartAvro {
    let (fullname, compatibility_level) = match part {
        MessagePart::Key => (&avro.key_fullname, avro.key_compatibility_level),
        MessagePart::Value => (&avro.value_fullname, avro.value_compatibility_level),
    };
    // What is for this part goes before what is for both.
    let of = |wanted: Option<MessagePart>| avro.docs.iter().filter(move |doc| doc.part == wanted).map(part_doc);
    PartAvro {
        registry: avro.registry.clone(),
        fullname: fullname.clone(),
        null_defaults: avro.null_defaults,
        compatibility_level,
        docs: of(Some(part)).chain(of(None)).collect(),
    }
}

fn part_doc(doc: &Doc) -> PartDoc {
    PartDoc { r#type: doc.r#type.clone(), column: doc.column.clone(), text: doc.text.clone() }
}

fn doc_plan(doc: &PartDoc) -> Option<DocPlan> {
    let (r#type, column) = match (&doc.r#type, &doc.column) {
        (Some(name), _) => (table_name::parse(name).ok()?, None),
        (None, Some(name)) => {
            let (of, column) = table_name::parse_column(name).ok()?;
            (of, Some(column))
        }
        (None, None) => return None,
    };
    Some(DocPlan { r#type, column, text: doc.text.clone() })
}
