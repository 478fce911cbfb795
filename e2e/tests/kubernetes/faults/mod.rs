//! Whatever fails in the cluster while somebody writes: every change stands once, in order per key, and what is declared comes
//! about.

mod api_server;
mod leader;
mod node;
mod operator;
mod worker;

use std::time::Duration;

use afterbay_e2e::{Database, Format, History, Manifests, Scenario, Sink};
use tokio::time::{MissedTickBehavior, interval};

use crate::operated::Operated;

/// The SourceConnector of all these tests.
const SOURCE: &str = "shop";
const ROWS: u32 = 50;

/// An operator whose one Sink carries the table of a history.
struct Carrying {
    operated: Operated,
    topic: String,
}

impl Carrying {
    /// All rows that are there at the start have been carried.
    async fn of(operated: Operated) -> Self {
        let scenario = &operated.scenario;
        History::begin(&scenario.database, ROWS).await;
        let topic = scenario.topic("ledger");
        operated.apply(&manifests(scenario, &topic)).await;
        let carrying = Self { operated, topic };
        carrying.operated.ready("Sink/ledger").await;
        carrying.goes_on().await;
        carrying
    }

    /// Waits until all is committed that the database holds now.
    async fn goes_on(&self) {
        self.operated.caught_up(SOURCE, 1).await;
    }

    /// Does something while transactions are made.
    async fn under_writes<T>(&self, doing: impl Future<Output = T>) -> T {
        tokio::select! {
            done = doing => done,
            () = write(&self.operated.scenario.database) => unreachable!("it writes for ever"),
        }
    }

    /// Checks that every change stands in the topic once, in order per key.
    async fn check(&self) {
        self.goes_on().await;
        check(&self.operated.scenario, &self.topic).await;
    }
}

/// One Sink of the history's table, on several partitions.
fn manifests(scenario: &Scenario, topic: &str) -> Manifests {
    scenario.manifests().with(Sink::new("ledger", "public.ledger", topic).key(&["id"]).partitions(3))
}

/// Makes transactions for ever, as many as a small machine carries beside a cluster.
async fn write(database: &Database) {
    let history = History::of(database);
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        history.work(5).await;
    }
}

async fn check(scenario: &Scenario, topic: &str) {
    let messages = scenario.messages(topic, Format::Json).await;
    History::of(&scenario.database).check(&messages, false).await;
}
