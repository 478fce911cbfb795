//! `afterbay operator`: the product in a cluster.

pub mod objects;
