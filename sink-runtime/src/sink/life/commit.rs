//! How a life ends its transactions: record, commit, and what a failure means.

use std::time::{Duration, Instant};

use afterbay_clients::kafka::{DELIVERING, ErrorClass, TransactionError};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::{Arrived, Ending, Life, MANY_MESSAGES, MARKERS};
use crate::fault;
use crate::position::Position;
use crate::protocol::ProgressRecord;
use crate::sink::begin::KAFKA_TIMEOUT;
use crate::sink::problems;
use crate::sink::transaction::Transaction;

impl Life<'_> {
    pub(super) fn stage_progress(&mut self, position: Position) -> Result<(), Ending> {
        let plan = &self.context.plan;
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.progress.clone());
        let record = ProgressRecord {
            version: ProgressRecord::version_of(snapshot.as_ref()),
            sink: plan.name.clone(),
            uid: plan.uid.clone(),
            position,
            relation: self.recorded,
            topic: plan.kafka.topic.clone(),
            source: self.identity.clone(),
            schemas: self.schemas,
            snapshot,
        };
        let value = record.to_bytes().map_err(|error| {
            Reason::ProgressUnreadable.problem(error.to_string(), "this is a defect, please report it")
        })?;
        let key = plan.kafka.progress_key.as_bytes();
        let staged = self.producer.topic(&plan.kafka.progress_topic);
        let staged =
            staged.and_then(|topic| self.producer.produce(&topic, 0, Some(key), Some(&value), std::iter::empty()));
        staged.map_err(|error| self.failed(error))
    }

    /// Commits; what is not known to be committed ends this life, and the next one reads what came of it.
    pub(super) fn commit(&mut self) -> Result<(), Ending> {
        let timeout = Duration::from_millis(self.context.plan.kafka.commit.timeout_ms).max(KAFKA_TIMEOUT);
        self.producer.flush(timeout).map_err(|error| self.failed(error))?;
        fault::point("flushed");
        self.commit_tried = true;
        self.producer.commit(timeout).map_err(|error| self.failed(error))
    }

    /// What a failure within a transaction means.
    pub(super) fn failed(&self, error: TransactionError) -> Ending {
        let age = self.transaction.begun.elapsed();
        if error.class == ErrorClass::Fenced && self.protocol.is_open() && age >= Duration::from_millis(self.timeout_ms)
        {
            // The broker fences whose transaction it ends: there need be no other worker.
            return problems::timed_out(self.context, self.timeout_ms, self.fresh).into();
        }
        match error.problem() {
            problem if error.class != ErrorClass::Fenced && problem.reason == Reason::MessageTooLarge.as_str() => {
                if self.context.batches.refused() {
                    return self.divided();
                }
                let largest = &self.transaction.largest;
                if largest.bytes == 0 {
                    return problem.into();
                }
                let message = format!("{}; the largest message at hand is that of {largest}", problem.message);
                Problem { message, ..problem }.into()
            }
            _ => error.into(),
        }
    }

    /// A message that is not even taken.
    pub(super) fn refused(&self, error: TransactionError, arrived: Arrived<'_>) -> Ending {
        match error.problem() {
            // Not one that was taken before this one, and refused since.
            problem if problem.reason == Reason::MessageTooLarge.as_str() && error.operation != DELIVERING => {
                let (place, key) = (self.place(arrived), self.key_in_words(arrived));
                let message = format!("{}; it is that of {place}{key}", problem.message);
                Problem { message, ..problem }.into()
            }
            _ => self.failed(error),
        }
    }

    /// A batch was too large and no message of it: the next life sends the same in smaller ones.
    fn divided(&self) -> Ending {
        let (plan, bytes) = (&self.context.plan, self.context.batches.bytes());
        tracing::info!(sink = %plan.name, topic = %plan.kafka.topic, "the topic takes no batch of this size, going on with up to {bytes} bytes in one");
        Ending::Again
    }

    pub(super) fn acknowledge(&mut self, position: Position) {
        self.tell_repeated_keys();
        let staged = self.transaction.staged;
        self.context.status.committed(position, staged.messages, staged.bytes, self.transaction.oldest_us);
        self.context.floors.raise(self.context.index, position.replay_from());
        if !self.fresh {
            self.works();
        }
        self.last_commit = Instant::now();
        let rest = if staged.messages < MANY_MESSAGES { MARKERS } else { Duration::ZERO };
        self.begin_from = self.last_commit + rest;
        self.transaction = Transaction::new(self.last_commit);
        self.has_committed = true;
    }
}
