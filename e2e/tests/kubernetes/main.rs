//! The product in a real cluster, against the real parts: `e2e/rig/kubernetes/rig test`.

// What cannot go on is to fail the test, there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allowed;
mod any_order;
mod chart;
mod documented;
mod examples;
mod faults;
mod image;
mod install;
mod left_behind;
mod monitoring;
mod operating;
mod patterns;
mod pools;
mod promql;
mod quickstart;
mod quiet;
mod rig;
mod rights;
mod rotation;
mod rules;
mod told;
mod worker_pod;
