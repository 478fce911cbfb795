//! What two resources share without saying so.

use serde_json::json;

use super::errors_of;
use super::manifests::good;

#[test]
fn two_connections_that_share_a_server_lead_to_the_same_topics() {
    // The errors when the other connection's servers and namespace are these, and a second Sink fills the topic through it.
    let with = |servers: &str, namespace: &str| {
        let mut manifests = good();
        let (mut connection, mut sink) = (manifests[6].clone(), manifests[8].clone());
        connection["metadata"] = json!({"name": "other", "namespace": namespace});
        connection["spec"] = json!({"bootstrapServers": servers});
        sink["metadata"] = json!({"name": "orders-too", "namespace": namespace});
        sink["spec"]["source"]["name"] = json!("shop");
        sink["spec"]["kafka"]["connection"] = json!("other");
        sink["spec"]["kafka"]["topic"]["name"] = json!("orders");
        let mut source = manifests[3].clone();
        source["metadata"]["namespace"] = json!(namespace);
        source["spec"]["postgres"] = json!({"host": "else", "database": "shop", "authentication": {"username": "u"}});
        manifests.extend([connection, sink]);
        manifests.extend((namespace != "default").then_some(source));
        manifests[1]["spec"]["bootstrapServers"] = json!("kafka-0:9093, Kafka.example:9093,localhost:9092,[::1]:9092");
        errors_of(&manifests)
    };
    let same = ["kafka-0:9093", "x:1,kafka.example:9093", "localhost:9092", "[::1]:9092"];
    for servers in same {
        let errors = with(servers, "default");
        let [error] = &errors[..] else { panic!("{servers}: {errors:#?}") };
        assert_eq!(error.field, "spec.kafka.topic.name");
        let what = "Sink default/orders (document 6 of shop.yaml) fills topic orders of default/events, which shares a server with default/other, too";
        assert_eq!(error.what, what);
    }
    assert_eq!(with("kafka-0:9094,kafka-1:9093", "default"), []);
    // In another namespace a name without a dot is another server.
    assert_eq!(with("kafka-0:9093", "sales"), []);
    assert_eq!(with("kafka.example:9093", "sales").len(), 1);
}
