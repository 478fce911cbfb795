//! The catalogue: what the server says about tables, publications, slots and itself.
