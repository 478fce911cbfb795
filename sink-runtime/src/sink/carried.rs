//! One relation of a Sink, as a life carries it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_clients::kafka::{TopicHandle, TransactionalProducer};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::RelationPlan;
use afterbay_formats::chunk_key::ChunkKey;

use super::begin::KAFKA_TIMEOUT;
use super::keys_seen::KeysSeen;
use super::life::Ending;
use super::messages::{Messages, MessagesSpec};
use super::relation::{Encoded, SinkRelation};
use super::{SinkContext, problems, status};
use crate::change::Shape;
use crate::kept_columns::KeptColumns;
use crate::protocol::{RelationIdentity, SchemaIds, SnapshotProgress, TableProgress};

/// How often a topic's partitions are counted.
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(30);

/// What a life knows of one of its relations.
pub struct Carried<'a> {
    /// What is wanted of it.
    pub plan: &'a RelationPlan,
    /// What the progress record says of it, or is to say.
    pub recorded: RelationIdentity,
    /// Its columns.
    pub relation: SinkRelation,
    /// Columns of what comes that the relation is not held against yet.
    pub shape: Option<Arc<Shape>>,
    /// Columns of the stream, as it has told them last.
    pub streamed: Option<Arc<Shape>>,
    /// From where on the log holds all that becomes of it, as long as that matters; none: as far as anybody can go back.
    pub since: Option<Lsn>,
    /// In a replay: what commits before is left out, as it had not joined then.
    pub from: Option<Lsn>,
    /// The columns that messages keep, where they are known by now.
    pub kept: Option<KeptColumns>,
    /// What makes messages of its rows; none until the first is to be made.
    pub messages: Option<Messages>,
    /// What tells the topic from another one that had its name before, once it is known.
    pub topic_id: Option<String>,
    /// Schemas of the messages.
    pub schemas: SchemaIds,
    /// Subjects whose compatibility level is another than was asked for.
    pub differing: Vec<String>,
    /// Where its snapshot stands.
    pub standing: Standing,
    /// How many rows of its snapshot are handed over.
    pub rows: u64,
    /// How many there are, by the planner's estimate.
    pub rows_estimated: Option<u64>,
    /// What the record tells of a former time in which the Sink carried it, until it has begun anew.
    pub past: Option<TableProgress>,
    used: bool,
    partitions_counted: Instant,
}

/// Where the snapshot of a relation stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It is through, or there is none: every change goes out.
    Done,
    /// It is the one whose chunks are taken.
    UnderWay,
    /// It has not begun, nothing of it is in the topic: changes are left out, as a chunk will show them. The key is that of
    /// its chunks.
    Waits(ChunkKey),
}

impl<'a> Carried<'a> {
    /// A relation whose snapshot is done, or was never to be.
    pub fn new(plan: &'a RelationPlan, recorded: RelationIdentity, relation: SinkRelation) -> Self {
        Self {
            plan,
            recorded,
            relation,
            shape: None,
            streamed: None,
            since: None,
            from: None,
            kept: None,
            messages: None,
            topic_id: None,
            schemas: SchemaIds::default(),
            differing: Vec::new(),
            standing: Standing::Done,
            rows: 0,
            rows_estimated: None,
            past: None,
            used: false,
            partitions_counted: Instant::now(),
        }
    }

    /// Whether its snapshot has not begun.
    pub fn waits(&self) -> bool {
        matches!(self.standing, Standing::Waits(_))
    }

    /// Makes ready what messages need, its schemas registered. `number` is which relation of the Sink it is.
    pub fn compile(
        &mut self,
        context: &SinkContext,
        producer: &TransactionalProducer,
        number: usize,
    ) -> Result<(), Ending> {
        let (topic, partitions) = match self.messages.take() {
            Some(messages) => (messages.topic, messages.partitions),
            None => self.open(producer)?,
        };
        let Encoded { encoders, ids, differing } = {
            let _in_the_door = context.doors.registry(&context.runtime);
            self.relation.encoders(context, self.plan)?
        };
        (self.schemas, self.differing) = (ids, differing);
        let name_prefix = &context.plan.kafka.name_prefix;
        self.messages = Some(Messages::new(MessagesSpec {
            relation: number,
            encoders,
            key: self.relation.fit.key.clone(),
            headers: self.relation.headers(name_prefix),
            partition_by: self.relation.partition_by.clone(),
            projection: self.relation.projection.clone(),
            keys_seen: self.plan.key_not_enforced.then(KeysSeen::default),
            columns: self.relation.width(),
            envelope: self.plan.envelope,
            topic,
            partitions,
            name_prefix: name_prefix.clone(),
        }));
        Ok(())
    }

    fn open(&mut self, producer: &TransactionalProducer) -> Result<(TopicHandle, i32), Ending> {
        let topic = producer.topic(&self.plan.topic)?;
        Ok((topic, self.look_at_topic(producer)?))
    }

    /// How many partitions the topic has. It must be the one that was begun with: in one that was made in its place what was
    /// sent before is missing.
    fn look_at_topic(&mut self, producer: &TransactionalProducer) -> Result<i32, Ending> {
        let topic = &self.plan.topic;
        let count = producer.partition_count(topic, KAFKA_TIMEOUT)?;
        let found = producer.topic_id(topic, KAFKA_TIMEOUT)?;
        self.partitions_counted = Instant::now();
        match (&self.topic_id, found) {
            (Some(known), Some(found)) if *known != found => Err(problems::topic_replaced(topic).into()),
            (_, None) => Ok(count),
            (_, found) => {
                self.topic_id = found;
                Ok(count)
            }
        }
    }

    /// Another transaction begins.
    pub fn begin_transaction(&mut self) {
        self.used = false;
        if let Some(messages) = &mut self.messages {
            messages.begin_transaction();
        }
    }

    /// A message is about to be handed over. Keys go to the partitions that there are, also when the topic grows: they are
    /// counted before the first message of a transaction, so that a replayed one may fall otherwise, but never in part. Says
    /// whether the broker was asked.
    pub fn is_used(&mut self, sink: &str, producer: &TransactionalProducer) -> Result<bool, Ending> {
        if std::mem::replace(&mut self.used, true) || self.partitions_counted.elapsed() < PARTITIONS_INTERVAL {
            return Ok(false);
        }
        let count = self.look_at_topic(producer)?;
        let Some(messages) = &mut self.messages else { return Ok(true) };
        let before = std::mem::replace(&mut messages.partitions, count);
        if count != before {
            let topic = &self.plan.topic;
            tracing::warn!(sink, "topic {topic} has {count} partitions now, it had {before}: keys move");
        }
        Ok(true)
    }

    /// Whether something of it is in the topic, or nothing has to be. `snapshot` is the one that is under way.
    pub fn has_begun(&self, snapshot: Option<&SnapshotProgress>) -> bool {
        match self.standing {
            Standing::Done => true,
            Standing::UnderWay => snapshot.is_some_and(|snapshot| snapshot.after.is_some()),
            Standing::Waits(_) => false,
        }
    }

    /// What the record of a Sink by pattern says of it; nothing while nothing of it is in the topic.
    pub fn progress(&self, snapshot: Option<&SnapshotProgress>) -> Option<TableProgress> {
        if !self.has_begun(snapshot) {
            return self.past.clone();
        }
        let snapshot = snapshot.filter(|_| matches!(self.standing, Standing::UnderWay)).cloned();
        Some(TableProgress {
            table: self.plan.table.clone(),
            relation: self.recorded,
            topic: self.plan.topic.clone(),
            topic_id: self.topic_id.clone(),
            schemas: self.schemas,
            rows: if snapshot.is_some() { 0 } else { self.rows },
            snapshot,
            left: false,
            since: self.since,
            from: self.from,
            columns: self.kept.as_ref().map(KeptColumns::recorded),
        })
    }
}

/// How many relations are carried, and of how many the snapshot is not through.
pub fn counts(relations: &[Option<Carried<'_>>]) -> status::Counts {
    let carried = relations.iter().flatten();
    let waiting = carried.clone().filter(|carried| !matches!(carried.standing, Standing::Done)).count();
    status::Counts { carried: carried.count(), waiting }
}
