//! What holds whatever bytes the decoder of `COPY`'s text form is given: run by the fuzz target and by ordinary tests.

use afterbay_formats::row::Row;
use sink_runtime::change::ChangeBatch;
use sink_runtime::source::copy_text::{CopyTextError, push_row};

/// Decodes a row: the first byte says how many columns the table has, the rest is the row.
pub fn check(bytes: &[u8]) {
    let Some((&columns, line)) = bytes.split_first() else { return };
    let columns = usize::from(columns);
    let mut batch = ChangeBatch::default();
    let before = push_row(&mut batch, b"before\n", 1).expect("a row of one cell");
    match push_row(&mut batch, line, columns) {
        Ok(span) => {
            let row = batch.row(span);
            assert_eq!(row.len(), columns);
            let cells: Vec<_> = (0..columns).map(|column| row.cell(column).map(<[u8]>::to_vec)).collect();
            assert_eq!(batch.missing(span), None, "a copy leaves no value out");

            let mut again = ChangeBatch::default();
            let span = push_row(&mut again, &written(&cells), columns).expect("it is a row once more");
            let row = again.row(span);
            assert_eq!((0..columns).map(|column| row.cell(column).map(<[u8]>::to_vec)).collect::<Vec<_>>(), cells);
        }
        Err(CopyTextError::Width { expected, found }) => {
            assert_eq!(expected, columns);
            assert_ne!(found, columns);
        }
        Err(CopyTextError::Escape) => assert!(line.contains(&b'\\')),
    }
    assert_eq!(batch.row(before).cell(0), Some(&b"before"[..]), "the rows before are left alone");
}

/// A row as the server writes it (PostgreSQL, `copyto.c`, `CopyAttributeOutText`).
pub fn written(cells: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut line = Vec::new();
    for (column, cell) in cells.iter().enumerate() {
        if column > 0 {
            line.push(b'\t');
        }
        let Some(text) = cell else {
            line.extend(b"\\N");
            continue;
        };
        for byte in text {
            match byte {
                0x08 => line.extend(b"\\b"),
                0x0c => line.extend(b"\\f"),
                b'\n' => line.extend(b"\\n"),
                b'\r' => line.extend(b"\\r"),
                b'\t' => line.extend(b"\\t"),
                0x0b => line.extend(b"\\v"),
                b'\\' => line.extend(b"\\\\"),
                other => line.push(*other),
            }
        }
    }
    line.push(b'\n');
    line
}
