//! How a row of Postgres becomes the bytes of a message. Pure: no I/O, no clock, no client.
//!
//! Rows arrive in Postgres' text form (`DateStyle` ISO, `IntervalStyle` postgres, `TimeZone` UTC, `bytea_output` hex,
//! `extra_float_digits` 3, UTF-8) and are transcoded straight into Avro or JSON by a plan that is compiled once per
//! relation: no name is looked up and nothing is allocated per cell.
//!
//! - [`relation`], [`row`]: what a row is made of, and how its cells are read
//! - [`encoders`]: keys and values of messages, by envelope and format
//! - [`headers`]: headers out of a column; [`documentation`]: what schemas say of types and columns
//! - [`partition`]: where a message goes when nobody says otherwise
//! - [`chunk_key`]: the order in which a snapshot is taken in chunks
//! - [`table`], [`fitness`]: a table as the catalogue has it, and whether it can be carried

pub mod chunk_key;
pub mod documentation;
pub mod encoders;
pub mod fitness;
pub mod headers;
pub mod partition;
pub mod relation;
pub mod row;
pub mod table;
pub mod text;

mod avro;
mod json;
mod single;
