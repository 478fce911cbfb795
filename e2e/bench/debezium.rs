//! The peer.

use afterbay_e2e::Format;

use crate::report::Report;
use crate::settings::Settings;

/// All of one format.
pub async fn run(_: &Settings, _: Format, _: &mut Report) {}
