//! `afterbay crds`: what `kubectl apply` takes.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize as _;

use super::{afterbay, check, program};

#[test]
fn four_definitions_that_kubernetes_understands() {
    let ended = afterbay(&["crds"]);
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    let definitions: BTreeMap<_, _> = serde_yaml::Deserializer::from_str(&ended.out)
        .map(|document| CustomResourceDefinition::deserialize(document).expect("it is a CustomResourceDefinition"))
        .map(|definition| (definition.spec.names.kind.clone(), definition))
        .collect();
    let kinds: Vec<_> = definitions.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["KafkaConnection", "SchemaRegistryConnection", "Sink", "SourceConnector"]);
    for (kind, definition) in definitions {
        let spec = definition.spec;
        assert_eq!(spec.group, "afterbay.dev");
        assert_eq!(definition.metadata.name, Some(format!("{}.{}", spec.names.plural, spec.group)));
        let [version] = spec.versions.as_slice() else { panic!("{kind} has several versions") };
        assert!(version.name == "v1alpha1" && version.served && version.storage);
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let properties = schema.and_then(|schema| schema.properties.as_ref()).expect("it has a schema");
        assert!(properties["spec"].properties.as_ref().is_some_and(|fields| !fields.is_empty()), "{kind}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error_and_a_full_disk_is_one() {
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    let ended = program().arg("crds").stdout(writer).output().expect("afterbay can be started");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has /dev/full");
    let ended = super::Ended::from(program().arg("crds").stdout(full).output().expect("afterbay can be started"));
    assert_eq!(ended.code, Some(1));
    check(&ended.log, &["error: cannot write to standard output: ", "No space left"]);
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
}
