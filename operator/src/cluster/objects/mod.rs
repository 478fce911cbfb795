//! The objects of a worker, as they are desired. Pure.
