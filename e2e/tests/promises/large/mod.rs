//! Large things: many Sinks, long transactions, large rows, wide tables.

mod columns;
mod held_up;
mod many_sinks;
mod memory;
mod rows;

use std::time::Duration;

use afterbay_crds::report::{SinkReport, SinkState};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Afterbay, Scenario, await_condition};

/// How long a large thing may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(10);

/// Waits until so many Sinks run and have committed all that the database held when this was called.
async fn all_run(afterbay: &Afterbay, scenario: &Scenario, sinks: usize) {
    let end = scenario.database.log_end().await;
    let runs = |sink: &SinkReport| {
        sink.state == SinkState::Running && sink.settled.as_deref().is_some_and(|settled| lsn(settled) >= end)
    };
    await_condition("all Sinks run and catch up", PATIENCE, async || {
        let report = afterbay.report().await?;
        (report.sinks.len() == sinks && report.sinks.iter().all(runs)).then_some(())
    })
    .await;
}
