//! When the transactions of a Sink end.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::subject::Subject;
use crate::api::Commit;
use crate::quantity;

/// Longer would need a timeout that is longer than the longest.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(30);
/// Kafka's clients take no less than a second; readers of committed messages may have to wait for the whole of it.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

const INTERVAL_FIELD: &str = "spec.kafka.commit.interval";
const BYTES_FIELD: &str = "spec.kafka.commit.bytes";
const TIMEOUT_FIELD: &str = "spec.kafka.commit.timeout";

/// Judges all but `records`, whose range is the schema's. No limit is set to `bytes`: what is sent does not wait in the
/// worker's memory for the end of its transaction.
pub(super) fn check(subject: &mut Subject<'_>, commit: &Commit) {
    let interval = length(subject, INTERVAL_FIELD, &commit.interval, &INTERVAL);
    let timeout = length(subject, TIMEOUT_FIELD, &commit.timeout, &TIMEOUT);
    if let (Some(interval), Some(timeout)) = (interval, timeout)
        && timeout < 2 * interval
        && subject.knows(INTERVAL_FIELD)
    {
        let what = format!("{} is less than twice the interval of {}", commit.timeout, commit.interval);
        let remedy = format!("give it at least {}, or shorten the interval", words(2 * interval));
        subject.tell(TIMEOUT_FIELD, what, remedy);
    }
    let bytes = &commit.bytes;
    match quantity::bytes(bytes) {
        None => {
            let what = format!("\"{bytes}\" is no amount of bytes");
            subject.tell(BYTES_FIELD, what, "write digits and Ki, Mi or Gi, e.g. 16Mi");
        }
        Some(0) => {
            let what = format!("{bytes} is too little for a transaction");
            subject.tell(BYTES_FIELD, what, "give it at least 1; 16Mi is the default");
        }
        Some(_) => {}
    }
}

/// The length of time, where it is one and in its range.
fn length(subject: &mut Subject<'_>, field: &str, text: &str, range: &RangeInclusive<Duration>) -> Option<Duration> {
    let (least, most) = (words(*range.start()), words(*range.end()));
    let Some(length) = quantity::duration(text) else {
        let what = format!("\"{text}\" is no length of time");
        subject.tell(field, what, format!("write digits and ms, s or m, from {least} to {most}"));
        return None;
    };
    if !range.contains(&length) {
        subject.tell(field, format!("{text} is out of range"), format!("use {least} to {most}"));
        return None;
    }
    Some(length)
}

/// As a manifest has it.
fn words(length: Duration) -> String {
    match length.as_millis() {
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}
