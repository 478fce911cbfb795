//! The status of KafkaConnections and SchemaRegistryConnections.

use afterbay_crds::api::ConnectionStatus;
use afterbay_crds::report::Problem;
use k8s_openapi::jiff::Timestamp;

use super::facet::{Facet, facet};
use super::{Verdict, conditions, ready_of};

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
    /// What came of providing with it what its Sinks need.
    pub provided: Provided,
}

/// What came of providing topics and rights with a connection that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Provided {
    /// Not all who have Sinks that use it have been looked at yet.
    #[default]
    Unknown,
    /// All, but for this.
    Known(Option<Problem>),
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
        ConnectionFacts { answer: Some(Err(problem)), .. }
        | ConnectionFacts { answer: Some(Ok(())), provided: Provided::Known(Some(problem)), .. } => {
            Verdict::of(problem)
        }
        ConnectionFacts { answer: Some(Ok(())), provided: Provided::Unknown, .. } if holds(before, generation) => {
            // The operator has begun anew, and does not know yet whether that is over.
            return before.clone();
        }
        ConnectionFacts { answer: Some(Ok(())), .. } => Verdict::good("Connected", "it answers"),
        ConnectionFacts { answer: None, .. } => Verdict::coming("Starting", "it is being asked"),
    };
    ConnectionStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, generation, &[], &ready, now),
    }
}

/// Whether it was said of this generation that something could not be provided.
pub fn holds(before: &ConnectionStatus, generation: Option<i64>) -> bool {
    ready_of(&before.conditions).is_some_and(|ready| {
        ready.status == "False" && ready.observed_generation == generation && facet(&ready.reason) == Facet::Topic
    })
}
