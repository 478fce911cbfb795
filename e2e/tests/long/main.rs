//! What takes too long for every run of the tests: `e2e/rig/kubernetes/rig test-long`, in a real cluster, against the real parts.
//!
//! Each test is alone in the cluster, so they take as long one after the other as beside each other.

// What cannot go on is to fail the test, there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calm;
mod campaign;
mod fault;
mod lost;
mod outages;
mod reboot;
mod scale;
mod world;

use std::str::FromStr;

/// A setting of these tests: `AFTERBAY_LONG_…`.
fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(format!("AFTERBAY_LONG_{name}")).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("AFTERBAY_LONG_{name} makes no sense: {text}")))
}
