//! How a life hands over messages, and what it says of one that cannot be.

use afterbay_clients::postgres::quote;
use afterbay_crds::plan::{OnTruncate, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::encoders::EncodeErrorKind;
use afterbay_formats::row::Row as _;

use super::{Arrived, Ending, Life};
use crate::change::{Change, ChangeKind, OldRow};
use crate::sink::messages::{MessageError, Messages, Staged};
use crate::sink::problems;
use crate::sink::transaction::{Largest, Place};

/// Messages up to this size, in bytes, are too large for no broker that works.
const NOTEWORTHY: u64 = 256;
/// How much of a column of the key is told where a message is too large.
const KEY_CHARS_MAX: usize = 100;

impl Life<'_> {
    /// Whether a change that nothing is committed of becomes no message: it is passed over, and the end of its transaction
    /// moves the position past it.
    pub(super) fn leaves_out(&mut self, arrived: Arrived<'_>) -> Result<bool, Ending> {
        let Arrived::Change(batch, change) = arrived else { return Ok(false) };
        let number = arrived.relation();
        loop {
            let Some(Some(carried)) = self.relations.get_mut(number) else { return Ok(false) };
            // One that is committed is to be shown to the protocol, which looks for it in a replay.
            if carried.plan.query.is_none() || change.kind == ChangeKind::Truncate || self.protocol.has(&change.id) {
                return Ok(false);
            }
            if let Some(shape) = carried.shape.take() {
                self.follow(number, &shape)?;
                self.seen(number);
                continue;
            }
            match &mut carried.messages {
                Some(messages) => return Ok(messages.leaves_out(batch, change)),
                None => self.compile(number)?,
            }
        }
    }

    pub(super) fn stage(&mut self, arrived: Arrived<'_>) -> Result<(), Ending> {
        let number = arrived.relation();
        loop {
            let Some(Some(carried)) = self.relations.get_mut(number) else {
                return Err(problems::out_of_order(self.context).into());
            };
            if let Some(shape) = carried.shape.take() {
                self.follow(number, &shape)?;
                self.seen(number);
                continue;
            }
            if carried.messages.is_some() && carried.is_used(&self.context.plan.name, &self.producer)? {
                self.has_asked = true;
            }
            let Some(messages) = &mut carried.messages else {
                self.compile(number)?;
                continue;
            };
            let staged = match arrived {
                Arrived::Change(_, change) if change.kind == ChangeKind::Truncate => {
                    return self.passes_truncation(change);
                }
                Arrived::Change(batch, change) => messages.stage(&self.producer, batch, change),
                Arrived::Row(_, batch, row) => {
                    let name = (self.start, carried.rows);
                    messages.stage_snapshot_row(&self.producer, batch, row, self.snapshot_time_us, name)
                }
                Arrived::Nothing => return Err(problems::out_of_order(self.context).into()),
            };
            match staged {
                Ok(staged) => {
                    self.count(staged, arrived);
                    return Ok(());
                }
                // An older row holds a NULL where the catalogue allows none any more: the column is told as nullable.
                Err(MessageError::Encode(error))
                    if error.kind == EncodeErrorKind::NullInNotNull && carried.relation.widen(error.column) =>
                {
                    self.compile(number)?;
                }
                Err(MessageError::Kafka(error)) => return Err(self.refused(error, arrived)),
                Err(error) => return Err(self.not_encodable(&error, arrived).into()),
            }
        }
    }

    fn table(&self, relation: usize) -> Option<&TableName> {
        Some(&self.relations.get(relation)?.as_ref()?.plan.table)
    }

    /// No message can say which rows went. What a snapshot has not brought by now it will find gone; what was sent stays.
    fn passes_truncation(&mut self, change: &Change) -> Result<(), Ending> {
        if self.context.plan.on_truncate == OnTruncate::Stall {
            let Some(table) = self.table(change.relation) else {
                return Err(problems::out_of_order(self.context).into());
            };
            return Err(problems::truncated(table, change).into());
        }
        let before = self.transaction.truncated.map_or(0, |(times, _)| times);
        self.transaction.truncated = Some((before + 1, *change));
        Ok(())
    }

    /// Truncations that are committed as passed: told, since readers hold rows that are gone.
    pub(super) fn tell_truncations(&mut self) {
        let Some((times, last)) = self.transaction.truncated else { return };
        self.context.status.truncated(times);
        let Some(Some(carried)) = self.relations.get(last.relation) else { return };
        let message = format!(
            "table {} was truncated at {}, and the Sink went on: the messages of the rows that went stay in topic {}",
            carried.plan.table, last.id.commit, carried.plan.topic
        );
        let hint = "nothing, if readers know of it; to have them forget these rows, give the Sink a new name and topic";
        self.context.status.warning(Reason::SourceTruncated, Some(Reason::SourceTruncated.problem(message, hint)));
    }

    /// A key that nobody has proved to be unique was not: told, and every change is emitted all the same.
    pub(super) fn tell_repeated_keys(&mut self) {
        for carried in self.relations.iter_mut().flatten() {
            let Some(repeated) = carried.messages.as_mut().and_then(Messages::repeated_keys) else { continue };
            self.context.status.keys_repeated(repeated);
            let message = format!(
                "the key of table {} was not unique: messages of several rows share a key, and who reads the topic keeps the last",
                carried.plan.table
            );
            let hint = "use a key that is unique, or take notEnforced as what it is";
            self.context.status.warning(Reason::KeyRepeated, Some(Reason::KeyRepeated.problem(message, hint)));
        }
    }

    fn count(&mut self, staged: Staged, arrived: Arrived<'_>) {
        self.transaction.staged.messages += staged.messages;
        self.transaction.staged.bytes += staged.bytes;
        // Only of those that could be too large for somebody: words cost more than numbers.
        if staged.largest > self.transaction.largest.bytes.max(NOTEWORTHY) {
            let (place, key) = (self.place(arrived), self.key_in_words(arrived));
            self.transaction.largest = Largest { bytes: staged.largest, place, key };
        }
        self.context.status.staged(staged.messages, staged.bytes);
        match arrived {
            Arrived::Change(_, change) if self.transaction.oldest_us.is_none() => {
                self.transaction.oldest_us = Some(change.time_us);
                self.context.status.waits_since(change.time_us);
            }
            Arrived::Row(number, ..) => {
                if let Some(Some(carried)) = self.relations.get_mut(number) {
                    carried.rows += 1;
                }
                self.context.status.snapshot_row();
            }
            _ => {}
        }
    }

    /// ` with the key …`, for people; nothing where there is no key.
    pub(super) fn key_in_words(&self, arrived: Arrived<'_>) -> String {
        let row = match arrived {
            Arrived::Change(batch, change) => match (change.new, change.old) {
                (Some(row), _) | (None, OldRow::Identity(row) | OldRow::Full(row)) => batch.row(row),
                (None, OldRow::Absent) => return String::new(),
            },
            Arrived::Row(_, batch, row) => batch.row(row),
            Arrived::Nothing => return String::new(),
        };
        let Some(Some(carried)) = self.relations.get(arrived.relation()) else { return String::new() };
        let cell = |column: usize| (column < row.len()).then(|| row.cell(column)).flatten();
        let word = |(column, name): (usize, String)| {
            let text = String::from_utf8_lossy(cell(column).unwrap_or(b"null"));
            format!("{name} {}", text.chars().take(KEY_CHARS_MAX).collect::<String>())
        };
        let words: Vec<_> = carried.relation.key_in_rows().map(word).collect();
        if words.is_empty() { String::new() } else { format!(" with the key {}", words.join(", ")) }
    }

    pub(super) fn place(&self, arrived: Arrived<'_>) -> Place {
        match arrived {
            Arrived::Change(_, change) => Place::Change(change.id),
            _ => Place::SnapshotRow(
                self.relations.get(arrived.relation()).and_then(Option::as_ref).map_or(0, |carried| carried.rows),
            ),
        }
    }

    fn not_encodable(&self, error: &MessageError, arrived: Arrived<'_>) -> Problem {
        let Some(Some(carried)) = self.relations.get(arrived.relation()) else {
            return problems::out_of_order(self.context);
        };
        let table = &carried.plan.table;
        let place = self.place(arrived);
        match error {
            MessageError::Unchanged { .. } | MessageError::OldRowMissing => Reason::ReplicaIdentityInsufficient.problem(
                format!("{place} of table {table} came without an old value that is needed: {error}"),
                format!("ALTER TABLE {} REPLICA IDENTITY FULL; changes made before cannot be completed: give the Sink a new name and topic", quote::table(table)),
            ),
            MessageError::Encode(encode) => Reason::ValueNotEncodable.problem(
                format!("{place} of table {table}, column {}: {encode}", carried.relation.column(encode.column)),
                "correct the value in the source and give the Sink a new name and topic, or change the column's type",
            ),
            MessageError::NotComputable(_) => Reason::ValueNotComputable.problem(
                format!("{place} of table {table}{}: {error}", self.key_in_words(arrived)),
                "write into spec.source.query what becomes of such rows, e.g. CASE WHEN b <> 0 THEN a / b END; it goes on from \
                 this change",
            ),
            _ => Reason::SourceFailed.problem(format!("{place} of table {table}: {error}"), "please report it"),
        }
    }
}
