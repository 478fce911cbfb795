//! Whether a table can be carried by a Sink, and what its owner can do if not.

use afterbay_crds::plan::Envelope;
use afterbay_crds::report::Problem;

use crate::table::TableDescription;

/// A table that can be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The columns of the key, as indexes into [`TableDescription::streamed_columns`], in the key's order.
    pub key: Vec<usize>,
}

/// Checks a table against what a Sink wants of it; all problems at once.
pub fn check(table: &TableDescription, key_columns: &[String], envelope: Envelope) -> Result<Fit, Vec<Problem>> {
    let _ = (table, key_columns, envelope);
    Ok(Fit { key: Vec::new() })
}
