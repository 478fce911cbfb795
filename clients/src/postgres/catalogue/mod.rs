//! The catalogue: what the server says about itself, its tables, publications and slots.
//!
//! Only asks and tells; what follows from the answers is decided elsewhere (`afterbay_formats::fitness`, the operator, the
//! worker). Every name in the statements is qualified, as the sessions' `search_path` holds `pg_catalog` only.

pub mod collation;
pub mod publication;
pub mod server;
pub mod slot;
pub mod table;

mod types;
