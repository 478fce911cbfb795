//! What the tests begin with that need one small table.

use afterbay_e2e::{Manifests, Message, Scenario, Sink};
use serde_json::Value;

/// A Sink `t` of table `t`, which this SQL makes; with its topic and manifests.
pub async fn scenario(test: &str, table: &str) -> (Scenario, String, Manifests) {
    let scenario = Scenario::new(test).await;
    scenario.database.run(table).await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    (scenario, topic, manifests)
}

/// One row of two columns.
pub const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)";

/// What the messages hold.
pub fn values(messages: &[Message]) -> Vec<&Value> {
    messages.iter().map(|message| &message.value).collect()
}
