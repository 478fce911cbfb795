//! An operator whose worker carries a table that remembers all that happened to it, while something goes wrong.

use super::Operated;
use crate::{Format, History, Manifests, Scenario, Sink};

/// The SourceConnector of these tests.
pub const SOURCE: &str = "shop";

/// How many rows the table has at the start.
pub const ROWS: u32 = 50;

/// An operator whose Sink `ledger` carries the table of a [`History`], maybe beside others.
pub struct Carrying {
    /// The operator.
    pub operated: Operated,
    /// The topic of the Sink `ledger`.
    pub topic: String,
    sinks: usize,
}

impl Carrying {
    /// All rows that are there at the start have been carried.
    pub async fn of(operated: Operated) -> Self {
        Self::with(operated, 1, |manifests| manifests).await
    }

    /// The same with these manifests made of those of the one Sink; with so many Sinks in all.
    pub async fn with(operated: Operated, sinks: usize, more: impl FnOnce(Manifests) -> Manifests) -> Self {
        let scenario = &operated.scenario;
        History::begin(&scenario.database, ROWS).await;
        let topic = scenario.topic("ledger");
        let manifests = more(manifests(scenario, &topic));
        operated.apply(&manifests).await;
        let carrying = Self { operated, topic, sinks };
        carrying.operated.ready("Sink/ledger").await;
        carrying.goes_on().await;
        carrying
    }

    /// Waits until all is committed that the database holds now.
    pub async fn goes_on(&self) {
        self.operated.caught_up(SOURCE, self.sinks).await;
    }

    /// Does something while transactions are made, also where the database goes away and comes back.
    pub async fn under_writes<T>(&self, doing: impl Future<Output = T>) -> T {
        let writer = History::of(&self.operated.scenario.database).lasting_writer();
        let done = doing.await;
        writer.stop().await;
        done
    }

    /// Checks that every change stands in the topic once, in order per key.
    pub async fn check(&self) {
        self.goes_on().await;
        check(&self.operated.scenario, &self.topic).await;
    }
}

/// One Sink of the history's table, on several partitions.
pub fn manifests(scenario: &Scenario, topic: &str) -> Manifests {
    scenario.manifests().with(Sink::new("ledger", "public.ledger", topic).key(&["id"]).partitions(3))
}

/// Checks that every change of the table stands in the topic once, in order per key.
pub async fn check(scenario: &Scenario, topic: &str) {
    let messages = scenario.messages(topic, Format::Json).await;
    History::of(&scenario.database).check(&messages, false).await;
}
