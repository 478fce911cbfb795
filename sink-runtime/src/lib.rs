//! The data plane of Afterbay: one worker that carries the changes of one source into Kafka, exactly once.
//!
//! The way of a change: [`source`] → [`feed`] → [`sink`] (envelope, encoding, partition) → a Kafka transaction, whose
//! course the pure [`protocol`] decides. Imports point that way and never back.

pub mod begun;
pub mod change;
pub mod feed;
pub mod history;
pub mod kept_columns;
pub mod outcome;
pub mod position;
pub mod protocol;
pub mod retire;
pub mod serve;
pub mod sink;
pub mod source;
pub mod worker;
