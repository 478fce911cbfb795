//! Whether the brokers allow the transactions of a Sink. Pure.

use std::time::Duration;

use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

/// The brokers' setting that bounds the timeout of every transaction, in milliseconds.
pub const LONGEST: &str = "transaction.max.timeout.ms";

/// What is wrong with a Sink's timeout, where the brokers allow no more than `longest_ms`.
pub fn judge(timeout_ms: u64, longest_ms: u64) -> Option<Problem> {
    (timeout_ms > longest_ms).then(|| {
        let (timeout, longest) = (Duration::from_millis(timeout_ms), Duration::from_millis(longest_ms));
        Reason::KafkaConfigRefused.problem(
            format!("the timeout of transactions is {timeout:?}, and the brokers allow {longest:?} at the most"),
            format!("lower it, or raise {LONGEST} of the brokers"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_within_that_of_the_brokers() {
        assert_eq!(judge(15_000, 900_000), None);
        assert_eq!(judge(15_000, 15_000), None);
        let problem = judge(15_000, 12_500).expect("15 s are more than 12.5");
        assert_eq!(problem.reason, "KafkaConfigRefused");
        assert_eq!(problem.message, "the timeout of transactions is 15s, and the brokers allow 12.5s at the most");
    }
}
