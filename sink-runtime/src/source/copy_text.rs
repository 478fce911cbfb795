//! The text format of `COPY … TO STDOUT`.
//!
//! One CopyData message is one row: cells between tabs, `\N` for NULL, a backslash before what would be mistaken
//! (PostgreSQL documentation, COPY, "Text Format"). The values themselves are in the same text form as on the stream.

use memchr::{memchr, memchr_iter};

use crate::change::{ChangeBatch, RowSpan};

/// A row that is not in this format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CopyTextError {
    /// The row does not have as many cells as the table has columns.
    #[error("a row of the snapshot has {found} cells instead of {expected}")]
    Width {
        /// Columns.
        expected: usize,
        /// Cells.
        found: usize,
    },
    /// A backslash that ends the row.
    #[error("a row of the snapshot ends within an escape sequence")]
    Escape,
}

/// Adds one row, with or without its line end, to the batch.
pub fn push_row(batch: &mut ChangeBatch, line: &[u8], columns: usize) -> Result<RowSpan, CopyTextError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let row = batch.begin_row();
    // A table without columns has empty lines, which are rows without cells.
    if columns > 0 || !line.is_empty() {
        let ends = memchr_iter(b'\t', line).chain([line.len()]);
        if memchr(b'\\', line).is_none() {
            // What most rows are: values as they stand, and no NULL.
            batch.texts(line, ends);
        } else {
            let mut start = 0;
            for end in ends {
                push_cell(batch, &line[start..end])?;
                start = end + 1;
            }
        }
    }
    let span = batch.end_row(&row);
    if span.width() == columns {
        Ok(span)
    } else {
        Err(CopyTextError::Width { expected: columns, found: span.width() })
    }
}

fn push_cell(batch: &mut ChangeBatch, cell: &[u8]) -> Result<(), CopyTextError> {
    if cell == b"\\N" {
        batch.null();
        return Ok(());
    }
    let Some(first) = memchr(b'\\', cell) else {
        batch.text(cell);
        return Ok(());
    };
    let mut truncated = false;
    batch.text_with(|out| {
        let mut rest = cell;
        let mut next = Some(first);
        while let Some(at) = next {
            out.extend_from_slice(&rest[..at]);
            let Some(&escaped) = rest.get(at + 1) else {
                truncated = true;
                return;
            };
            out.push(match escaped {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                // The server writes no octal or hexadecimal sequences; any other byte stands for itself.
                other => other,
            });
            rest = &rest[at + 2..];
            next = memchr(b'\\', rest);
        }
        out.extend_from_slice(rest);
    });
    if truncated { Err(CopyTextError::Escape) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use afterbay_formats::row::Row;

    use super::*;

    fn check(line: &[u8], expected: &[Option<&[u8]>]) {
        let mut batch = ChangeBatch::default();
        let span = push_row(&mut batch, line, expected.len()).unwrap();
        let row = batch.row(span);
        let cells: Vec<_> = (0..row.len()).map(|column| row.cell(column)).collect();
        assert_eq!(cells, expected);
    }

    #[test]
    fn cells_nulls_and_escapes() {
        check(b"1\tabc\t\\N\n", &[Some(b"1"), Some(b"abc"), None]);
        check(b"\t\n", &[Some(b""), Some(b"")]);
        check(b"a\\tb\\\\c\\nd\\re\\bf\\fg\\v\n", &[Some(b"a\tb\\c\nd\re\x08f\x0cg\x0b")]);
        check(b"\\\\N\n", &[Some(b"\\N")]);
        check(b"\\\\x00ff\t{\"a\\\\\"b\"}", &[Some(b"\\x00ff"), Some(b"{\"a\\\"b\"}")]);
        check("grün\n".as_bytes(), &[Some("grün".as_bytes())]);
    }

    #[test]
    fn a_table_without_columns_has_rows() {
        check(b"\n", &[]);
    }

    #[test]
    fn what_is_not_a_row_is_refused() {
        let mut batch = ChangeBatch::default();
        let width = CopyTextError::Width { expected: 3, found: 2 };
        assert_eq!(push_row(&mut batch, b"1\t2\n", 3).unwrap_err(), width);
        assert_eq!(push_row(&mut batch, b"1\\\n", 1).unwrap_err(), CopyTextError::Escape);
    }
}
