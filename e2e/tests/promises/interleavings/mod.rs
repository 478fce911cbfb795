//! The interleavings of `docs/design/0001-exactly-once.md`, by their numbers there, made to happen on the real thing: with
//! sessions that are held open, workers that stand still at a fault point, and a server whose commits wait.
//!
//! What is shown elsewhere is not shown here again; the table there says where.

mod chunks_in_flight;
mod positions;
mod producers;
mod publications;
mod servers;
mod tables;
mod visibility;

use afterbay_e2e::afterbay::PATIENCE;
use afterbay_e2e::database::Session;
use afterbay_e2e::{Database, Manifests, Scenario, Sink, await_condition};
use serde_json::json;

/// One Sink of the history's table.
fn ledger(topic: &str) -> Sink {
    Sink::new("ledger", "public.ledger", topic).key(&["id"])
}

/// Its rows are taken at once.
fn at_once(manifests: Manifests) -> Manifests {
    manifests.set("SourceConnector/shop", "spec.postgres.snapshot", json!({"mode": "Consistent"}))
}

/// A transaction that is open and has an id.
struct Open {
    session: Session,
    xid: String,
}

impl Open {
    async fn begin(database: &Database) -> Self {
        let session = database.session().await;
        session.run("BEGIN").await;
        let xid = session.text("SELECT pg_current_xact_id()").await;
        Self { session, xid }
    }

    /// Waits until somebody waits for its end: who makes a slot.
    async fn is_waited_for(&self, scenario: &Scenario) {
        let waits = format!(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() \
             AND locktype = 'transactionid' AND NOT granted AND transactionid = '{}'",
            self.xid
        );
        await_condition("somebody waits for the transaction", PATIENCE, async || {
            (scenario.database.number(&waits).await > 0).then_some(())
        })
        .await;
    }
}
