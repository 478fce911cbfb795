//! How a life hands over messages, and what it says of one that cannot be.

use afterbay_clients::postgres::quote;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::encoders::EncodeErrorKind;
use afterbay_formats::row::Row as _;

use super::{Arrived, Ending, Life};
use crate::change::{ChangeKind, OldRow};
use crate::sink::messages::{MessageError, Staged};
use crate::sink::problems;
use crate::sink::transaction::{Largest, Place};

/// Messages up to this size, in bytes, are too large for no broker that works.
const NOTEWORTHY: u64 = 256;
/// How much of a column of the key is told where a message is too large.
const KEY_CHARS_MAX: usize = 100;

impl Life<'_> {
    pub(super) fn stage(&mut self, arrived: Arrived<'_>) -> Result<(), Ending> {
        if let Some(shape) = self.shape.take() {
            self.follow(&shape)?;
        }
        loop {
            let staged = match arrived {
                Arrived::Change(_, change) if change.kind == ChangeKind::Truncate => {
                    return Err(problems::truncated(self.context, change).into());
                }
                Arrived::Change(batch, change) => self.messages.stage(&self.producer, batch, change),
                Arrived::Row(batch, row) => {
                    let name = (self.start, self.snapshot_rows);
                    self.messages.stage_snapshot_row(&self.producer, batch, row, self.snapshot_time_us, name)
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
                    if error.kind == EncodeErrorKind::NullInNotNull && self.relation.widen(error.column) =>
                {
                    self.compile()?;
                }
                Err(MessageError::Kafka(error)) => return Err(self.refused(error, arrived)),
                Err(error) => return Err(self.not_encodable(&error, arrived).into()),
            }
        }
    }

    /// A key that nobody has proved to be unique was not: told, and every change is emitted all the same.
    pub(super) fn tell_repeated_keys(&mut self) {
        let Some(repeated) = self.messages.repeated_keys() else { return };
        let plan = &self.context.plan;
        self.context.status.keys_repeated(repeated);
        let message = format!(
            "the key of table {} was not unique: messages of several rows share a key, and who reads the topic keeps the last",
            plan.table
        );
        let hint = "use a key that is unique, or take notEnforced as what it is";
        self.context.status.warning(Reason::KeyRepeated, Some(Reason::KeyRepeated.problem(message, hint)));
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
            Arrived::Row(..) => {
                self.snapshot_rows += 1;
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
            Arrived::Row(batch, row) => batch.row(row),
            Arrived::Nothing => return String::new(),
        };
        let cell = |column: usize| (column < row.len()).then(|| row.cell(column)).flatten();
        let word = |&column: &usize| {
            let text = String::from_utf8_lossy(cell(column).unwrap_or(b"null"));
            format!("{} {}", self.relation.column(column), text.chars().take(KEY_CHARS_MAX).collect::<String>())
        };
        let words: Vec<_> = self.relation.fit.key.iter().map(word).collect();
        if words.is_empty() { String::new() } else { format!(" with the key {}", words.join(", ")) }
    }

    pub(super) fn place(&self, arrived: Arrived<'_>) -> Place {
        match arrived {
            Arrived::Change(_, change) => Place::Change(change.id),
            _ => Place::SnapshotRow(self.snapshot_rows),
        }
    }

    fn not_encodable(&self, error: &MessageError, arrived: Arrived<'_>) -> Problem {
        let table = &self.context.plan.table;
        let place = self.place(arrived);
        match error {
            MessageError::Unchanged { .. } | MessageError::OldRowMissing => Reason::ReplicaIdentityInsufficient.problem(
                format!("{place} of table {table} came without an old value that is needed: {error}"),
                format!("ALTER TABLE {} REPLICA IDENTITY FULL; changes made before cannot be completed: give the Sink a new name and topic", quote::table(table)),
            ),
            MessageError::Encode(encode) => Reason::ValueNotEncodable.problem(
                format!("{place} of table {table}, column {}: {encode}", self.relation.column(encode.column)),
                "correct the value in the source and give the Sink a new name and topic, or change the column's type",
            ),
            _ => Reason::SourceFailed.problem(format!("{place} of table {table}: {error}"), "please report it"),
        }
    }
}
