//! How a life ends its transactions: record, commit, and what a failure means.

use std::time::{Duration, Instant};

use afterbay_clients::fault;
use afterbay_clients::kafka::{DELIVERING, ErrorClass, TransactionError};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::{Arrived, Ending, Life, MANY_MESSAGES, MARKERS};
use crate::position::Position;
use crate::protocol::{OneTable, ProgressRecord, Tables};
use crate::sink::begin::KAFKA_TIMEOUT;
use crate::sink::problems;
use crate::sink::transaction::Transaction;

impl Life<'_> {
    pub(super) fn stage_progress(&mut self, position: Position) -> Result<(), Ending> {
        let plan = &self.context.plan;
        self.keep_what_has_passed(position);
        self.retain(position);
        let start_at = self.obeyed(position);
        let record = ProgressRecord {
            sink: plan.name.clone(),
            uid: plan.uid.clone(),
            position,
            source: self.identity.clone(),
            history: self.history.clone(),
            start_at,
            tables: self.tables_in_words()?,
        };
        let value = record.to_bytes().map_err(|error| {
            Reason::ProgressUnreadable.problem(error.to_string(), "this is a defect, please report it")
        })?;
        let key = plan.kafka.progress_key.as_bytes();
        let staged = self.producer.topic(&plan.kafka.progress_topic);
        let staged =
            staged.and_then(|topic| self.producer.produce(&topic, 0, Some(key), Some(&value), std::iter::empty()));
        staged.map_err(|error| match error.problem() {
            // Not a message that was taken before, and refused since.
            problem if problem.reason == Reason::MessageTooLarge.as_str() && error.operation != DELIVERING => {
                problems::record_too_large(self.context, value.len(), &problem).into()
            }
            _ => self.failed(error),
        })
    }

    /// What the record says of the tables.
    fn tables_in_words(&self) -> Result<Tables, Ending> {
        if self.context.plan.by_pattern {
            let snapshot = self.snapshot.as_ref().map(|snapshot| &snapshot.progress);
            let carried = self.relations.iter().flatten().filter_map(|carried| carried.progress(snapshot));
            return Ok(Tables::ByPattern(carried.chain(self.past.iter().cloned()).collect()));
        }
        let Some(Some(carried)) = self.relations.first() else {
            return Err(problems::out_of_order(self.context).into());
        };
        Ok(Tables::One(OneTable {
            relation: carried.recorded,
            topic: carried.plan.topic.clone(),
            topic_id: carried.topic_id.clone(),
            schemas: carried.schemas,
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.progress.clone()),
            columns: carried.kept.as_ref().map(|kept| kept.recorded().to_vec()),
        }))
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
        let (context, bytes) = (self.context, self.context.batches.bytes());
        tracing::info!(sink = %context.plan.name, topic = %context.plan.topic_in_words(), "the topic takes no batch of this size, going on with up to {bytes} bytes in one");
        Ending::Again
    }

    pub(super) fn acknowledge(&mut self, position: Position) {
        self.tell_repeated_keys();
        self.tell_truncations();
        let staged = self.transaction.staged;
        self.context.status.committed(position, staged.messages, staged.bytes, self.transaction.oldest_us);
        if let Some(start) = &self.start_at {
            self.context.status.obeys(&start.asked);
        }
        // What is to be retained is known before more could be forgotten.
        self.retains();
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
