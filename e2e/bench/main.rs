//! `make bench`: what carrying a table costs, beside a producer that only sends, and beside a peer.
//!
//! Each run is read back and counted: a figure of a run that lost or doubled something is no figure. CPU that other
//! processes use meanwhile is recorded with each run, since on a busy machine nothing here means much.

// As in the tests: what cannot go on is to end the program, there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod afterbay;
mod aims;
mod bare;
mod debezium;
mod figures;
mod latency;
mod machine;
mod report;
mod restart;
mod settings;
mod steady;
mod table;
mod topic;
mod usage;

use afterbay_e2e::Format;

use report::Report;
use settings::Settings;

#[tokio::main]
async fn main() {
    let settings = Settings::read();
    let mut report = Report::new(&settings, machine::describe().await);
    afterbay::warm_up(&settings).await;
    for format in [Format::Avro, Format::Json] {
        afterbay::run(&settings, format, &mut report).await;
        if settings.peers {
            debezium::run(&settings, format, &mut report).await;
        }
    }
    afterbay::run_by_turns(&settings, &mut report).await;
    latency::run(&settings, &mut report).await;
    restart::run(&settings, &mut report).await;
    report.publish();
}
