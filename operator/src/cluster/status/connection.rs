//! The status of KafkaConnections and SchemaRegistryConnections.

use afterbay_crds::api::ConnectionStatus;
use afterbay_crds::report::Problem;
use k8s_openapi::jiff::Timestamp;

use super::{Verdict, conditions};

/// What is found out of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// What is wrong with it.
    pub invalid: Option<Problem>,
    /// What is not there yet, in words: `Secret default/kafka-user`.
    pub waiting_for: Option<String>,
    /// Whether it answers.
    pub answer: Option<Result<(), Problem>>,
    /// What its deletion waits for.
    pub deletion: Option<String>,
}

impl ConnectionFacts {
    /// What its Sinks are told.
    pub fn on_board(&self) -> Option<Result<(), Problem>> {
        match &self.invalid {
            Some(problem) => Some(Err(problem.clone())),
            None => self.answer.clone(),
        }
    }
}

/// The status of a connection.
pub fn connection(
    before: &ConnectionStatus,
    generation: Option<i64>,
    facts: &ConnectionFacts,
    now: Timestamp,
) -> ConnectionStatus {
    let ready = match facts {
        ConnectionFacts { deletion: Some(words), .. } => Verdict::coming("Deleting", words),
        ConnectionFacts { invalid: Some(problem), .. } => Verdict::of(problem),
        ConnectionFacts { waiting_for: Some(what), .. } => {
            Verdict::coming("Waiting", format!("waits for {what}, which is not there"))
        }
        ConnectionFacts { answer: Some(Ok(())), .. } => Verdict::good("Connected", "it answers"),
        ConnectionFacts { answer: Some(Err(problem)), .. } => Verdict::of(problem),
        ConnectionFacts { answer: None, .. } => Verdict::coming("Starting", "it is being asked"),
    };
    ConnectionStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, generation, &[], &ready, now),
    }
}
