//! The product in a real cluster, against the real parts: `e2e/rig/kubernetes/rig test`.

// What cannot go on is to fail the test, there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chart;
mod image;
mod install;
mod rig;
mod rules;
