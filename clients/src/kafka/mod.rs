//! Kafka: the transactional producer, the reader of progress records, and the administration of topics.
//!
//! All are librdkafka underneath. The producer speaks to it directly ([`ffi`]), as the safe crate waits 100 ms in every
//! commit; the rest goes through the `rdkafka` crate.

pub mod admin;
pub mod config;
pub mod error;
mod ffi;
pub mod producer;
pub mod progress;
pub mod trouble;

pub use error::{ErrorClass, KafkaError, TransactionError};
pub use producer::{ProducerSettings, TopicHandle, TransactionalProducer};
