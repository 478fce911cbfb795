//! What a SourceConnector says of its workers' pods. It is judged without a cluster, too: it is the same manifest.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::subject::Subject;
use crate::api::Worker;
use crate::api::pod::{Amount, Foreign, TaintEffect, Toleration, TolerationOperator, typed};
use crate::quantity;

/// What labels and annotations of Afterbay's own begin with, and those that Kubernetes recommends, which it sets.
const OWN: [&str; 2] = ["afterbay.dev/", "app.kubernetes.io/"];

pub(super) fn check(subject: &mut Subject<'_>, worker: &Worker) {
    resources(subject, worker);
    labels(subject, "spec.worker.nodeSelector", &worker.node_selector);
    for (field, words) in
        [("spec.worker.podLabels", &worker.pod_labels), ("spec.worker.podAnnotations", &worker.pod_annotations)]
    {
        for name in words.keys().filter(|name| OWN.iter().any(|own| name.starts_with(own))) {
            let remedy = "leave it out: Afterbay sets those of afterbay.dev and app.kubernetes.io itself";
            subject.tell(format!("{field}.{name}"), format!("{name} cannot be set"), remedy);
        }
    }
    labels(subject, "spec.worker.podLabels", &worker.pod_labels);
    for name in worker.pod_annotations.keys() {
        label_name(subject, "spec.worker.podAnnotations", name);
    }
    for (index, each) in worker.tolerations.iter().enumerate() {
        toleration(subject, &format!("spec.worker.tolerations[{index}]"), each);
    }
    if let Some(affinity) = &worker.affinity {
        foreign::<core::Affinity>(subject, "spec.worker.affinity", affinity);
    }
    for (index, each) in worker.topology_spread_constraints.iter().enumerate() {
        let field = format!("spec.worker.topologySpreadConstraints[{index}]");
        foreign::<core::TopologySpreadConstraint>(subject, &field, each);
    }
    let class = worker.priority_class_name.as_deref();
    if let Some(class) = class.filter(|class| !is_dns_name(class)) {
        let remedy = "use lower-case letters, digits, dashes and dots";
        subject.tell("spec.worker.priorityClassName", format!("\"{class}\" cannot name a PriorityClass"), remedy);
    }
}

fn resources(subject: &mut Subject<'_>, worker: &Worker) {
    let field = "spec.worker.resources";
    let (requests, limits) = (&worker.resources.requests, &worker.resources.limits);
    for (part, amounts) in [("requests", requests), ("limits", limits)] {
        for (name, Amount(amount)) in amounts {
            if quantity::amount(amount).is_none() {
                let remedy = "write digits, and m, Ki, Mi or Gi where needed, e.g. 500m or 256Mi";
                subject.tell(format!("{field}.{part}.{name}"), format!("\"{amount}\" is no amount"), remedy);
            }
        }
    }
    for (name, Amount(limit)) in limits {
        let Some(most) = quantity::amount(limit) else { continue };
        let Some(Amount(request)) = requests.get(name) else { continue };
        if quantity::amount(request).is_some_and(|request| request > most) {
            let what = format!("{request} is more than the limit of {limit}");
            subject.tell(format!("{field}.requests.{name}"), what, "give it at most the limit, or raise the limit");
        }
    }
    let memory = limits.get("memory").and_then(|Amount(limit)| Some((limit, quantity::amount(limit)?)));
    if let Some((limit, most)) = memory
        && quantity::amount(&worker.memory).is_some_and(|buffers| most <= buffers)
        && subject.knows("spec.worker.memory")
    {
        let what = format!("{limit} leaves nothing beside the {} of queues and buffers", worker.memory);
        let remedy = "give it 128Mi more than spec.worker.memory, or make that less";
        subject.tell(format!("{field}.limits.memory"), what, remedy);
    }
}

fn toleration(subject: &mut Subject<'_>, field: &str, toleration: &Toleration) {
    let Toleration { key, operator, value, effect, toleration_seconds } = toleration;
    if key.as_ref().is_none_or(String::is_empty) && *operator == TolerationOperator::Equal {
        let knows = subject.knows(&format!("{field}.key")) && subject.knows(&format!("{field}.operator"));
        if knows {
            let remedy = "name the taint's key, or write operator: Exists for all taints";
            subject.tell(format!("{field}.key"), "it is missing", remedy);
        }
    }
    if value.is_some() && *operator == TolerationOperator::Exists {
        subject.tell(format!("{field}.value"), "it does not go with operator Exists", "leave it out, or use Equal");
    }
    if toleration_seconds.is_some()
        && *effect != Some(TaintEffect::NoExecute)
        && subject.knows(&format!("{field}.effect"))
    {
        let remedy = "leave it out, or write effect: NoExecute";
        subject.tell(format!("{field}.tolerationSeconds"), "it goes with effect NoExecute", remedy);
    }
}

/// An object of Kubernetes' own, whose fields no schema of ours knows.
fn foreign<T: serde::de::DeserializeOwned + serde::Serialize>(
    subject: &mut Subject<'_>,
    field: &str,
    object: &Foreign,
) {
    let Err(misfit) = typed::<T>(object) else { return };
    let field = if misfit.field.is_empty() { field.to_owned() } else { format!("{field}.{}", misfit.field) };
    subject.tell(field, misfit.what, "write it as in the spec of a pod");
}

fn labels(subject: &mut Subject<'_>, field: &str, labels: &BTreeMap<String, String>) {
    for (name, value) in labels {
        label_name(subject, field, name);
        if !value.is_empty() && !is_label_word(value) {
            let remedy = "use up to 63 letters, digits, dashes, underscores and dots, a letter or digit at both ends";
            subject.tell(format!("{field}.{name}"), format!("\"{value}\" is no value of a label"), remedy);
        }
    }
}

fn label_name(subject: &mut Subject<'_>, field: &str, name: &str) {
    let (prefix, word) = name.split_once('/').map_or((None, name), |(prefix, word)| (Some(prefix), word));
    if !is_label_word(word) || prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
        let remedy = "write a word of letters, digits, dashes, underscores and dots, with a domain and / before it where it has one";
        subject.tell(format!("{field}.{name}"), format!("\"{name}\" is no name of a label or annotation"), remedy);
    }
}

fn is_label_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    let ends_well = bytes
        .first()
        .zip(bytes.last())
        .is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric());
    ends_well
        && bytes.len() <= 63
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(crate::names::is_dns_label)
}
