//! Kafka: the transactional producer, the reader of progress records, and the administration of topics.
//!
//! All are librdkafka underneath. Producer and administration speak to it directly (`ffi`, which says why); the reader
//! goes through the `rdkafka` crate.

pub mod acls;
pub mod admin;
mod client;
pub mod config;
pub mod error;
mod ffi;
pub mod producer;
pub mod progress;
pub mod trouble;

pub use error::{DELIVERING, ErrorClass, KafkaError, TransactionError};
pub use producer::{ProducerSettings, TopicHandle, TransactionalProducer};
