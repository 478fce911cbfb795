//! From changes to messages: envelope, encoding, headers, partition.

use std::io::Write as _;

use afterbay_clients::kafka::{TopicHandle, TransactionError, TransactionalProducer};
use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::Envelope;
use afterbay_formats::encoders::{EncodeError, Encoders};
use afterbay_formats::headers::{Headers, HeadersPlan};
use afterbay_formats::partition::{default_hash, of_hash, partition};
use afterbay_formats::row::Row;
use afterbay_queries::carried::Projection;
use afterbay_queries::{HashExpression, RowError};

use super::hashes::Hashes;
use super::keys_seen::KeysSeen;
use super::projected::Projecting;
use crate::change::{Change, ChangeBatch, ChangeKind, OldRow, RowRef, RowSpan};

/// Why a change does not become a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A value has no form in the Sink's format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Kafka does not take it.
    #[error(transparent)]
    Kafka(#[from] TransactionError),
    /// The source did not send a value that did not change.
    #[error("the value of column {column} was not sent")]
    Unchanged {
        /// Index of the column.
        column: usize,
    },
    /// The source did not send the old row.
    #[error("the old row was not sent")]
    OldRowMissing,
    /// The query has no result for a row.
    #[error(transparent)]
    NotComputable(RowError),
    /// The row has other columns than the table.
    #[error("a row has {found} columns instead of {expected}")]
    Width {
        /// Columns of the table.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
}

/// Messages and bytes (keys and values).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// Messages.
    pub messages: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Those of the largest message.
    pub largest: u64,
}

/// What a change is to the topic: with a query it may be another than to the table.
#[derive(Clone, Copy, Debug)]
pub enum Effect<R> {
    /// A row comes.
    Come(R),
    /// A row changes; what was sent of the one before, if that was needed.
    Change(Option<(R, OldValues)>, R),
    /// A row goes.
    Go(R, OldValues),
    /// Neither the row before nor the one after is in the topic.
    Nothing,
}

/// How much is known of an old row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldValues {
    /// All.
    All,
    /// The columns of the replica identity; the others are NULL without meaning it.
    OfIdentity,
}

/// Turns the changes of one relation into messages of one topic. Buffers are reused from message to message.
pub struct Messages {
    encoders: Encoders,
    /// Columns of the key.
    key: Vec<usize>,
    columns: usize,
    headers: Option<HeadersPlan>,
    keys_seen: Option<KeysSeen>,
    hashes: Option<Hashes>,
    /// The query, where there is one.
    projecting: Option<Box<Projecting>>,
    envelope: Envelope,
    /// The topic.
    pub topic: TopicHandle,
    /// How many partitions the topic has.
    pub partitions: i32,
    timestamp_header: String,
    position_header: String,
    /// The old row's message, where a change has two.
    gone: Encoded,
    /// The message.
    message: Encoded,
    header: Header,
}

/// One encoded message.
#[derive(Default)]
struct Encoded {
    key: Vec<u8>,
    value: Vec<u8>,
    /// A deletion under the upsert envelope has no value.
    tombstone: bool,
    headers: Headers,
    /// What chooses the partition, where it is not the key.
    hash: Option<u64>,
}

#[derive(Default)]
struct Header {
    timestamp: Vec<u8>,
    timestamp_ms: Option<i64>,
    position: Vec<u8>,
    /// The LSN at the front of `position`, and the length of its text with the colon behind it.
    position_lsn: Option<(Lsn, usize)>,
}

/// What [`Messages`] is made of.
pub struct MessagesSpec {
    /// Which relation of the Sink it is.
    pub relation: usize,
    /// Encoders of the relation as it is now.
    pub encoders: Encoders,
    /// Columns of the key, in its order.
    pub key: Vec<usize>,
    /// Where headers are read.
    pub headers: Option<HeadersPlan>,
    /// The keys that come, where nobody has proved them to be unique.
    pub keys_seen: Option<KeysSeen>,
    /// What chooses the partition, where it is not the key.
    pub partition_by: Option<HashExpression>,
    /// What makes the rows; none: they are those of the table.
    pub projection: Option<Projection>,
    /// How many columns a row of the table has.
    pub columns: usize,
    /// How a change becomes a message.
    pub envelope: Envelope,
    /// The topic.
    pub topic: TopicHandle,
    /// Its partitions.
    pub partitions: i32,
    /// The connection's `namePrefix`.
    pub name_prefix: String,
}

impl Messages {
    /// See [`MessagesSpec`].
    pub fn new(spec: MessagesSpec) -> Self {
        let (hashes, projecting) = match spec.projection {
            Some(projection) => {
                (None, Some(Projecting::new(projection, spec.envelope, spec.partition_by, spec.relation, spec.columns)))
            }
            None => (spec.partition_by.map(|expression| Hashes::new(expression, spec.relation, spec.columns)), None),
        };
        Self {
            encoders: spec.encoders,
            key: spec.key,
            columns: spec.columns,
            headers: spec.headers,
            keys_seen: spec.keys_seen,
            hashes,
            projecting: projecting.map(Box::new),
            envelope: spec.envelope,
            topic: spec.topic,
            partitions: spec.partitions,
            timestamp_header: format!("{}-timestamp", spec.name_prefix),
            position_header: format!("{}-position", spec.name_prefix),
            gone: Encoded::default(),
            message: Encoded::default(),
            header: Header::default(),
        }
    }

    /// The rows of another batch come next.
    pub fn begin_batch(&mut self) {
        if let Some(hashes) = &mut self.hashes {
            hashes.forget();
        }
        if let Some(projecting) = &mut self.projecting {
            projecting.forget();
        }
    }

    /// Whether a change becomes no message. Why one cannot be computed is told where it is staged.
    pub fn leaves_out(&mut self, batch: &ChangeBatch, change: &Change) -> bool {
        self.projecting.as_mut().is_some_and(|projecting| projecting.leaves_out(batch, change))
    }

    /// Another transaction begins.
    pub fn begin_transaction(&mut self) {
        if let Some(keys) = &mut self.keys_seen {
            keys.begin();
        }
    }

    /// How often a key came that was there already, if there is news of it.
    pub fn repeated_keys(&mut self) -> Option<u64> {
        self.keys_seen.as_mut().and_then(KeysSeen::news)
    }

    /// Hands a row of the snapshot to Kafka: an insertion, named by the position of the start and its number. One that does
    /// not pass the query gives no message.
    pub fn stage_snapshot_row(
        &mut self,
        producer: &TransactionalProducer,
        batch: &ChangeBatch,
        row: RowSpan,
        time_us: i64,
        (start, number): (Lsn, u64),
    ) -> Result<Staged, MessageError> {
        self.header.timestamp(time_us);
        self.header.position(start, "s", number, "");
        self.with_projecting(|this, projecting| {
            let Some(projecting) = projecting else {
                this.message.hash = this.hash(batch, Some(row));
                let row = this.whole(batch, row)?;
                return this.come(producer, row);
            };
            let (effect, hash) = projecting.row(batch, row)?;
            this.message.hash = hash;
            if let Effect::Come(row) = effect { this.come(producer, row) } else { Ok(Staged::default()) }
        })
    }

    /// Hands the messages of a change to Kafka; where it has none, there is nothing to hand over. All are encoded before the
    /// first is sent: an error in between leaves nothing half done.
    pub fn stage(
        &mut self,
        producer: &TransactionalProducer,
        batch: &ChangeBatch,
        change: &Change,
    ) -> Result<Staged, MessageError> {
        self.header.timestamp(change.time_us);
        self.header.position(change.id.commit, "", change.id.ordinal, "");
        self.with_projecting(|this, projecting| {
            let Some(projecting) = projecting else {
                this.message.hash = this.hash(batch, change.new);
                this.gone.hash = match change.old {
                    OldRow::Absent => None,
                    OldRow::Identity(old) | OldRow::Full(old) => this.hash(batch, Some(old)),
                };
                let effect = this.effect(batch, change)?;
                return this.emit(producer, change, effect);
            };
            let (effect, hashes) = projecting.change(batch, change)?;
            [this.message.hash, this.gone.hash] = hashes;
            this.emit(producer, change, effect)
        })
    }

    /// Rows that a query gives are lent by it.
    fn with_projecting<T>(&mut self, work: impl FnOnce(&mut Self, Option<&mut Projecting>) -> T) -> T {
        let mut projecting = self.projecting.take();
        let done = work(self, projecting.as_deref_mut());
        self.projecting = projecting;
        done
    }

    /// What a change of the table as it is is to the topic.
    fn effect<'a>(&self, batch: &'a ChangeBatch, change: &Change) -> Result<Effect<RowRef<'a>>, MessageError> {
        let old = match change.old {
            OldRow::Absent => None,
            OldRow::Identity(old) => Some((batch.row(old), OldValues::OfIdentity)),
            OldRow::Full(old) => Some((batch.row(old), OldValues::All)),
        };
        Ok(match (change.kind, change.new, old) {
            (ChangeKind::Insert, Some(new), _) => Effect::Come(self.whole(batch, new)?),
            (ChangeKind::Update, Some(new), old) => Effect::Change(old, self.whole(batch, new)?),
            (ChangeKind::Delete, _, Some((old, values))) => Effect::Go(old, values),
            _ => return Err(MessageError::OldRowMissing),
        })
    }

    fn emit<R: Row + Copy>(
        &mut self,
        producer: &TransactionalProducer,
        change: &Change,
        effect: Effect<R>,
    ) -> Result<Staged, MessageError> {
        match effect {
            Effect::Come(new) => self.come(producer, new),
            Effect::Change(old, new) => {
                if self.envelope == Envelope::Debezium && !matches!(old, Some((_, OldValues::All))) {
                    return Err(MessageError::OldRowMissing);
                }
                let Some((gone, values)) = old.filter(|(old, _)| self.is_another(old, &new)) else {
                    self.encode_new(old.as_ref().map(|(old, _)| old), &new)?;
                    return self.send(producer, &self.message);
                };
                // Another key, or none to pair the two by: the old row goes, then the new one comes.
                self.encode_old(&gone, values)?;
                self.encode_new(None, &new)?;
                self.count_key(true, true);
                let (commit, ordinal) = (change.id.commit, change.id.ordinal);
                self.header.position(commit, "", ordinal, ".0");
                let gone = self.send(producer, &self.gone)?;
                self.header.position(commit, "", ordinal, ".1");
                let come = self.send(producer, &self.message)?;
                Ok(Staged {
                    messages: gone.messages + come.messages,
                    bytes: gone.bytes + come.bytes,
                    largest: gone.largest.max(come.largest),
                })
            }
            Effect::Go(old, values) => {
                self.encode_old(&old, values)?;
                self.count_key(true, false);
                self.send(producer, &self.gone)
            }
            Effect::Nothing => Ok(Staged::default()),
        }
    }

    /// An insertion.
    fn come<R: Row>(&mut self, producer: &TransactionalProducer, new: R) -> Result<Staged, MessageError> {
        self.encode_new(None, &new)?;
        self.count_key(false, true);
        self.send(producer, &self.message)
    }

    /// An insertion, or an update under one key.
    fn encode_new<R: Row>(&mut self, before: Option<&R>, new: &R) -> Result<(), MessageError> {
        let Encoded { key, value, tombstone, headers, .. } = &mut self.message;
        key.clear();
        value.clear();
        *tombstone = false;
        match self.envelope {
            Envelope::Upsert => self.encoders.value.encode_row(new, value)?,
            Envelope::Debezium => self.encoders.value.encode_change(before, Some(new), value)?,
        }
        if let Some(encoder) = &self.encoders.key {
            encoder.encode(new, key)?;
        }
        if let Some(plan) = &self.headers {
            plan.read(new, headers)?;
        }
        Ok(())
    }

    /// A deletion.
    fn encode_old<R: Row>(&mut self, old: &R, values: OldValues) -> Result<(), MessageError> {
        let Encoded { key, value, tombstone, headers, .. } = &mut self.gone;
        key.clear();
        value.clear();
        *tombstone = self.envelope == Envelope::Upsert;
        if self.envelope == Envelope::Debezium {
            if values != OldValues::All {
                return Err(MessageError::OldRowMissing);
            }
            self.encoders.value.encode_change(Some(old), None, value)?;
        }
        if let Some(encoder) = &self.encoders.key {
            encoder.encode(old, key)?;
        }
        if let Some(plan) = &self.headers {
            plan.read(old, headers)?;
        }
        Ok(())
    }

    fn hash(&mut self, batch: &ChangeBatch, row: Option<RowSpan>) -> Option<u64> {
        Some(self.hashes.as_mut()?.of(batch, row?))
    }

    /// A row went under the old key, or came under the new one.
    fn count_key(&mut self, went: bool, came: bool) {
        let Some(keys) = &mut self.keys_seen else { return };
        if went {
            keys.went(default_hash(&self.gone.key));
        }
        if came {
            keys.came(default_hash(&self.message.key));
        }
    }

    /// Whether the new row is not the old one changed, but another: its key differs, or there is no key. Different texts
    /// may still be one key, so they are encoded.
    fn is_another<R: Row>(&mut self, old: &R, new: &R) -> bool {
        let Some(encoder) = &self.encoders.key else { return true };
        if self.key.iter().all(|&column| old.cell(column) == new.cell(column)) {
            return false;
        }
        let (old_key, new_key) = (&mut self.gone.key, &mut self.message.key);
        old_key.clear();
        new_key.clear();
        // What cannot be encoded is told where it is to be sent.
        let encoded = encoder.encode(old, old_key).is_ok() && encoder.encode(new, new_key).is_ok();
        !encoded || old_key != new_key
    }

    fn send(&self, producer: &TransactionalProducer, message: &Encoded) -> Result<Staged, MessageError> {
        let (key, frame_len) = match &self.encoders.key {
            Some(encoder) => (Some(message.key.as_slice()), encoder.frame_len()),
            None => (None, 0),
        };
        let value = (!message.tombstone).then_some(message.value.as_slice());
        let own = [
            (self.timestamp_header.as_str(), Some(self.header.timestamp.as_slice())),
            (self.position_header.as_str(), Some(self.header.position.as_slice())),
        ];
        let headers = own.into_iter().chain(message.headers.iter());
        let partition = match message.hash {
            Some(hash) => of_hash(hash, self.partitions),
            None => partition(key, frame_len, self.partitions),
        };
        producer.produce(&self.topic, partition, key, value, headers)?;
        let bytes = (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
        Ok(Staged { messages: 1, bytes, largest: bytes })
    }

    fn whole<'a>(&self, batch: &'a ChangeBatch, row: RowSpan) -> Result<RowRef<'a>, MessageError> {
        if let Some(column) = batch.missing(row) {
            return Err(MessageError::Unchanged { column });
        }
        let row = batch.row(row);
        if row.len() == self.columns {
            Ok(row)
        } else {
            Err(MessageError::Width { expected: self.columns, found: row.len() })
        }
    }
}

impl Header {
    /// The commit time in milliseconds; most changes in a row have the same one.
    fn timestamp(&mut self, time_us: i64) {
        let time_ms = time_us.div_euclid(1_000);
        if self.timestamp_ms != Some(time_ms) {
            self.timestamp_ms = Some(time_ms);
            self.timestamp.clear();
            // Writing to a vector cannot fail.
            let _ = write!(self.timestamp, "{time_ms}");
        }
    }

    /// The name of the change, or of the row; most in a row have the same LSN.
    fn position(&mut self, lsn: Lsn, kind: &str, number: u64, half: &str) {
        let front = match self.position_lsn {
            Some((known, front)) if known == lsn => front,
            _ => {
                self.position.clear();
                // As above.
                let _ = write!(self.position, "{lsn}:");
                self.position.len()
            }
        };
        self.position_lsn = Some((lsn, front));
        self.position.truncate(front);
        for part in [kind, itoa::Buffer::new().format(number), half] {
            self.position.extend_from_slice(part.as_bytes());
        }
    }
}
