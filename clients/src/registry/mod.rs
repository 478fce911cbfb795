//! The schema registry (the interface of Confluent's).
