//! Who waits does nothing else: programs do not end again and again, and do not fill their logs.

use std::time::Duration;

use afterbay_e2e::kubernetes::carrying::SOURCE;
use afterbay_e2e::kubernetes::{OPERATOR, Operated, labels};

/// Lines that a program may write as it starts, and as things change.
const LINES: u64 = 150;

/// Lines more for each minute that something is away.
const LINES_A_MINUTE: u64 = 30;

/// Checks that the pods of the worker and of the operator have not been started again more often than this, and have not written more
/// than one can read, where something was away for so long.
pub async fn check(operated: &Operated, restarts: i32, away: Duration) {
    let lines_max = LINES + LINES_A_MINUTE * away.as_secs().div_ceil(60);
    for labels in [labels(SOURCE), OPERATOR.to_owned()] {
        for pod in operated.namespace.pods(&labels).await {
            let name = pod.metadata.name.expect("a pod has a name");
            let containers = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            let count: i32 = containers.iter().map(|container| container.restart_count).sum();
            let log = operated.namespace.log(&name).await;
            let lines = log.lines().count() as u64;
            eprintln!("long: {name}: started again {count} times, {lines} lines in its log");
            assert!(count <= restarts, "{name} was started again {count} times");
            assert!(lines <= lines_max, "{lines} lines in the log of {name}:\n{log}");
        }
    }
}
