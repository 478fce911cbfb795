//! Encoders as tests and small tools want them: one format for keys and values, nothing said about it.
#![allow(dead_code, missing_docs)]

use afterbay_crds::plan::{AvroPlan, Envelope, FormatPlan, JsonValues, RegistryConnectionPlan};
use afterbay_formats::documentation::Comments;
use afterbay_formats::encoders::{CompileError, Encoders, KeySpec, MessageSpec};
use afterbay_formats::relation::Relation;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Avro,
}

impl Format {
    pub fn plan(self, fullname: &str) -> FormatPlan {
        match self {
            Self::Json => FormatPlan::Json { values: JsonValues::Text },
            Self::Avro => FormatPlan::Avro(Box::new(avro(fullname))),
        }
    }
}

pub fn avro(fullname: &str) -> AvroPlan {
    let registry = RegistryConnectionPlan {
        name: "shop/schemas".into(),
        url: "http://localhost:8081".into(),
        ca_file: None,
        basic: None,
        certificate: None,
    };
    AvroPlan { registry, fullname: fullname.into(), null_defaults: false, compatibility_level: None, docs: Vec::new() }
}

/// Encoders for a relation; a key in the order of these columns.
pub fn encoders(
    relation: &Relation,
    key: Option<&[usize]>,
    envelope: Envelope,
    format: Format,
    name_prefix: &str,
) -> Result<Encoders, CompileError> {
    let (key_format, value) = (format.plan("row"), format.plan("envelope"));
    Encoders::compile(&MessageSpec {
        relation,
        comments: &Comments::default(),
        key: key.map(|columns| KeySpec { columns, format: &key_format }),
        envelope,
        value: &value,
        name_prefix,
    })
}
