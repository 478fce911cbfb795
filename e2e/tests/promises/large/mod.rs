//! Large things: many Sinks, long transactions, large rows, wide tables.

mod many_sinks;
