//! What users set of a worker's pod, in the words that pods have for it.
//!
//! It is settled here, and means something in a cluster only: `afterbay run` starts child processes. What is large in
//! Kubernetes' own API (affinity, topology spread constraints) is an object of any fields in the schema, or each of
//! the definitions would be as large as a pod's; [`typed`] holds it against the type of the pod's field.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// What a container asks for, and what it may use at most: by resource (`cpu`, `memory` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)").message("requests cannot be more than limits"))]
pub struct Resources {
    /// What a node must have free for it, e.g. `{cpu: 100m, memory: 256Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "amounts")]
    pub requests: BTreeMap<String, Amount>,
    /// What it may use at most: with more memory it is ended, with more processor time it is slowed down.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "amounts")]
    pub limits: BTreeMap<String, Amount>,
}

impl Resources {
    /// As a container has it.
    pub fn to_requirements(&self) -> core::ResourceRequirements {
        let of = |amounts: &BTreeMap<String, Amount>| {
            let amounts = amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.0.clone())));
            Some(amounts.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
        };
        core::ResourceRequirements { requests: of(&self.requests), limits: of(&self.limits), claims: None }
    }
}

/// An amount of a resource, as Kubernetes writes it: `500m`, `0.5`, `256Mi`, `2`. A whole number needs no quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                Ok(Amount(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number.to_string()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Amount, E> {
                u64::try_from(number)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
                    .and_then(|number| self.visit_u64(number))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What [`Amount`]s look like; an exponent, and a sign, are not among it.
const AMOUNT: &str = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$";

fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "pattern": AMOUNT,
            "x-kubernetes-int-or-string": true,
        },
    })
}

/// A taint of nodes that the pod does not mind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.key) || self.operator == 'Exists'").message("a toleration without a key takes operator: Exists"),
    validation = Rule::new("self.operator == 'Equal' || !has(self.value)").message("a toleration with operator: Exists takes no value"),
    validation = Rule::new("!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'").message("tolerationSeconds goes with effect: NoExecute")
)]
pub struct Toleration {
    /// The taint's key; without it all taints, which takes the operator `Exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 316))]
    pub key: Option<String>,
    /// Whether the value counts, too.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// The taint's value, with the operator `Equal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// The taint's effect; without it every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// For how many seconds the pod stays on a node that gets the taint, with the effect `NoExecute`; without it for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration is held against a taint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Key and value are the same.
    #[default]
    Equal,
    /// The key is the same.
    Exists,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(clippy::enum_variant_names)] // Kubernetes' words
pub enum TaintEffect {
    /// No pod comes that does not tolerate it.
    NoSchedule,
    /// Such a pod comes only where it has to.
    PreferNoSchedule,
    /// No such pod comes, and those that are there go.
    NoExecute,
}

impl Toleration {
    /// As a pod has it.
    pub fn to_core(&self) -> core::Toleration {
        let operator = match self.operator {
            TolerationOperator::Equal => "Equal",
            TolerationOperator::Exists => "Exists",
        };
        let effect = self.effect.map(|effect| match effect {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::PreferNoSchedule => "PreferNoSchedule",
            TaintEffect::NoExecute => "NoExecute",
        });
        core::Toleration {
            key: self.key.clone(),
            operator: Some(operator.to_owned()),
            value: self.value.clone(),
            effect: effect.map(str::to_owned),
            toleration_seconds: self.toleration_seconds,
        }
    }
}

/// An object whose fields are those of one of Kubernetes' types, see [`typed`].
pub type Foreign = Map<String, Value>;

pub(super) fn foreign(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn foreign_list(_: &mut SchemaGenerator) -> Schema {
    let each = json_schema!({
        "description": "As in a pod: maxSkew, topologyKey, whenUnsatisfiable, labelSelector …",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    });
    json_schema!({"type": "array", "maxItems": 16, "items": each})
}

/// Labels or annotations: a map of strings.
pub(super) fn words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// What is wrong within an object, and where: the path from it, empty for the object itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The path of the field, e.g. `nodeAffinity.qqq`.
    pub field: String,
    /// What is wrong.
    pub what: String,
}

/// The object as Kubernetes' type, with nothing left out. Its reader passes over fields that it does not know, and makes
/// up those that it misses: so what comes out is held against what went in.
pub fn typed<T: DeserializeOwned + Serialize>(object: &Foreign) -> Result<T, Misfit> {
    let original = Value::Object(object.clone());
    let whole = |error: &serde_json::Error| Misfit { field: String::new(), what: error.to_string() };
    let read: T = serde_json::from_value(original.clone()).map_err(|error| whole(&error))?;
    let back = serde_json::to_value(&read).map_err(|error| whole(&serde_json::Error::custom(error)))?;
    difference(&original, &back, "").map_or(Ok(read), Err)
}

/// The first field that is in only one of the two.
fn difference(original: &Value, back: &Value, path: &str) -> Option<Misfit> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (original, back) {
        (Value::Object(original), Value::Object(back)) => {
            let unknown = original.iter().find(|(name, value)| !value.is_null() && !back.contains_key(*name));
            if let Some((name, _)) = unknown {
                return Some(Misfit { field: below(name), what: format!("there is no field {name}") });
            }
            if let Some((name, _)) = back.iter().find(|(name, _)| !original.contains_key(*name)) {
                return Some(Misfit { field: below(name), what: "it is missing".to_owned() });
            }
            back.iter().find_map(|(name, back)| difference(original.get(name)?, back, &below(name)))
        }
        (Value::Array(original), Value::Array(back)) => {
            let mut pairs = original.iter().zip(back).enumerate();
            pairs.find_map(|(index, (original, back))| difference(original, back, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check<T: DeserializeOwned + Serialize>(object: Value, expected: Result<(), (&str, &str)>) {
        let Value::Object(object) = object else { panic!("an object") };
        let found = typed::<T>(&object).map(|_| ()).map_err(|misfit| (misfit.field, misfit.what));
        assert_eq!(found, expected.map_err(|(field, what)| (field.to_owned(), what.to_owned())), "{object:?}");
    }

    #[test]
    fn objects_of_kubernetes_are_read_whole_or_refused() {
        let term = |term: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
        let at = "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]";
        let good = json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]});
        check::<core::Affinity>(term(good), Ok(()));
        let unknown = format!("{at}.matchExpression");
        check::<core::Affinity>(
            term(json!({"matchExpression": []})),
            Err((&unknown, "there is no field matchExpression")),
        );
        let missing = format!("{at}.matchExpressions[0].operator");
        check::<core::Affinity>(term(json!({"matchExpressions": [{"key": "disk"}]})), Err((&missing, "it is missing")));
        check::<core::Affinity>(json!({}), Ok(()));
        check::<core::Affinity>(
            json!({"nodeAffinity": 3}),
            Err(("", "invalid type: integer `3`, expected NodeAffinity")),
        );
        check::<core::TopologySpreadConstraint>(
            json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}),
            Ok(()),
        );
        check::<core::TopologySpreadConstraint>(
            json!({"maxSkew": 1, "topologyKey": "zone"}),
            Err(("whenUnsatisfiable", "it is missing")),
        );
    }

    #[test]
    fn amounts_are_words_or_whole_numbers() {
        let read = |value: Value| serde_json::from_value::<Amount>(value).ok();
        assert_eq!(read(json!(2)), Some(Amount("2".into())));
        assert_eq!(read(json!(8_589_934_592_u64)), Some(Amount("8589934592".into())));
        assert_eq!(read(json!("500m")), Some(Amount("500m".into())));
        for wrong in [json!(-1), json!(0.5), json!(true), json!([])] {
            assert_eq!(read(wrong), None);
        }
    }
}
