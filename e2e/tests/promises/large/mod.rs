//! Large things: long transactions, large rows, wide tables.

mod columns;
mod held_up;
mod memory;
mod rows;

use std::time::Duration;

/// How long a large thing may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(10);
