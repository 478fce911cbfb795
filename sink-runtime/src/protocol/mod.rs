//! The exactly-once protocol of one Sink, as a pure state machine.
//!
//! One [`Protocol`] lives from fencing to the first thing that goes wrong. There is no second recovery path: whatever
//! ends it, the next one starts at fencing and reads what is committed. The machine does no I/O and reads no clock; it
//! is told what happened ([`Event`]) and says what to do next ([`Action`]). `docs/design/0001-exactly-once.md` argues
//! why this is enough.

mod by_pattern;
mod machine;
mod record;

pub use by_pattern::TableProgress;
pub use machine::{Action, End, Event, Protocol, Start};
pub use record::{
    KeptColumn, ObeyedStart, OneTable, ProgressRecord, RecordError, RelationIdentity, SchemaIds, Skip,
    SnapshotProgress, SourceIdentity, Tables,
};

#[cfg(test)]
mod simulation;
