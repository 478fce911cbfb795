//! What is no longer where it was is refused, on the real thing: the slot, the server, its disk.
//!
//! What hangs on the record and on the progress topic is in `progress`.

mod failover;
mod resnapshot;
mod servers;

use afterbay_e2e::{Cluster, Database, Format, Manifests, Message, Scenario, Sink};
use serde_json::json;

use crate::one_table::TABLE;

/// A Sink `t` of the table `t` on servers of the test's own, with its topic and manifests.
async fn scenario_on(test: &str, servers: &[&Cluster]) -> (Scenario, String, Manifests) {
    let scenario = Scenario::on(test, servers).await;
    scenario.database.run(TABLE).await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    (scenario, topic, manifests)
}

/// A running server, and a standby of it that is not running yet, with these settings beside those that they have.
async fn pair(mut primary: Cluster, of_primary: &[(&str, &str)], of_standby: &[(&str, &str)]) -> (Cluster, Cluster) {
    primary.stop();
    let standby = primary.copy().as_standby_of(&primary, "standby");
    standby.configure(of_standby);
    primary.configure(of_primary);
    primary.start().await;
    (primary, standby)
}

async fn make_slot_of_standby(database: &Database) {
    database.run_as_superuser("SELECT pg_create_physical_replication_slot('standby', true)").await;
}

/// With all rows sent again where the slot is lost.
fn resnapshot(manifests: Manifests) -> Manifests {
    manifests.set("SourceConnector/shop", "spec.postgres.slot.onLoss", json!("Resnapshot"))
}

/// `id=n` of each message, with an `s` before where it is a row of a snapshot.
async fn told(scenario: &Scenario, topic: &str) -> Vec<String> {
    let messages = scenario.messages(topic, Format::Json).await;
    let names: std::collections::BTreeSet<_> = messages.iter().map(Message::position).collect();
    assert_eq!(names.len(), messages.len(), "each message has a name of its own");
    let one = |message: &Message| {
        let row = if message.position().contains(":s") { "s" } else { "" };
        format!("{row}{}={}", message.key["id"], message.value["n"])
    };
    messages.iter().map(one).collect()
}
