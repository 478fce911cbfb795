//! What refers to another resource.

use serde_json::json;

use super::errors_of;
use super::manifests::good;

#[test]
fn what_stands_in_another_namespace_is_told() {
    let mut manifests = good();
    manifests[5]["metadata"]["namespace"] = json!("sales");
    let errors = errors_of(&manifests);
    let found = errors.iter().find(|error| error.field == "spec.kafka.connection").expect("an error");
    assert_eq!(found.what, "there is no KafkaConnection sales/events");
    assert_eq!(found.remedy, "there is one in namespace default; put both into one namespace");
    assert_eq!(errors.len(), 3, "{errors:#?}");
}

#[test]
fn who_refers_to_a_resource_with_errors_is_not_at_fault() {
    let mut manifests = good();
    manifests[1]["spec"]["namePrefix"] = json!(1);
    manifests[0]["stringData"]["password"] = json!(true);
    let fields: Vec<_> = errors_of(&manifests).into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["stringData.password", "spec.namePrefix"]);
}
