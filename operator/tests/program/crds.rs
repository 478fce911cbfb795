//! `afterbay crds`: what `kubectl apply` takes.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize as _;

use super::afterbay;

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
