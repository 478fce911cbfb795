//! What holds whatever bytes the pgoutput decoder is given: run by the fuzz target and by ordinary tests.

use afterbay_clients::postgres::pgoutput::{Cell, DecodeError, Message, Tuple, decode};

/// Decodes the bytes and looks at all that came of it.
pub fn check(bytes: &[u8]) {
    let message = match decode(bytes) {
        Ok(message) => message,
        Err(DecodeError::UnknownKind(kind)) => {
            assert_eq!(kind, bytes.first().copied().unwrap_or_default());
            return;
        }
        Err(DecodeError::Malformed(kind)) => {
            assert_eq!(bytes.first().copied().map(char::from), Some(kind));
            return;
        }
    };
    match message {
        Message::Insert(insert) => row(bytes, insert.new),
        Message::Update(update) => {
            row(bytes, update.new);
            update.old.into_iter().for_each(|old| row(bytes, old.tuple()));
        }
        Message::Delete(delete) => row(bytes, delete.old.tuple()),
        // Each column takes four bytes of type, four of modifier, one of flags and a text's end; each relation four.
        Message::Relation(relation) => assert!(relation.columns.len() * 10 <= bytes.len()),
        Message::Truncate(truncate) => assert_eq!(truncate.relations.len() * 4 + 6, bytes.len()),
        Message::Begin(_) | Message::Commit(_) | Message::Ignored => {}
    }
    // A message says itself where it ends.
    let kind = char::from(bytes[0]);
    assert_eq!(decode(&bytes[..bytes.len() - 1]).err(), Some(shorter(bytes, kind)));
    assert_eq!(decode(&[bytes, b"t"].concat()), Err(DecodeError::Malformed(kind)));
}

fn shorter(bytes: &[u8], kind: char) -> DecodeError {
    if bytes.len() == 1 { DecodeError::UnknownKind(0) } else { DecodeError::Malformed(kind) }
}

/// A row has as many cells as it says, and all that they hold stands in the message.
fn row(bytes: &[u8], tuple: Tuple<'_>) {
    assert_eq!(tuple.cells().count(), tuple.len());
    let held: usize = tuple.cells().map(|cell| if let Cell::Text(text) = cell { text.len() } else { 0 }).sum();
    assert!(held <= tuple.size_bytes() && tuple.size_bytes() < bytes.len());
}
