//! Documents of a text, told apart by their marks before anything is parsed: what is wrong with one hides no other.

/// The text of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Which document of the file it is, from 1.
    pub document: usize,
    /// Lines of the file before it.
    pub line: usize,
    /// From its `---`, if it has one, up to the next mark.
    pub text: &'a str,
}

/// All documents that hold anything; empty ones are counted. What stands before the first `---`, or after `...`, is a
/// document only where it holds something.
pub fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut found = Vec::new();
    let mut document = 0;
    let mut add = |line: usize, text| {
        let explicit = is_mark(text, "---");
        let holds = holds_anything(text);
        document += usize::from(explicit || holds);
        if holds {
            found.push(Chunk { document, line, text });
        }
    };
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_mark(line, "---") {
            add(start_line, &text[start..at]);
            (start, start_line) = (at, number);
        } else if is_mark(line, "...") {
            add(start_line, &text[start..at]);
            (start, start_line) = (at + line.len(), number + 1);
        }
        at += line.len();
    }
    add(start_line, &text[start..]);
    found
}

/// Which document of a text ends with it.
pub fn last_document(text: &str) -> usize {
    chunks(text).last().map_or(1, |chunk| chunk.document)
}

fn is_mark(line: &str, mark: &str) -> bool {
    line.strip_prefix(mark).is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace))
}

/// Whether there is more than marks, comments and directives.
fn holds_anything(text: &str) -> bool {
    text.lines().any(|line| {
        let content = if is_mark(line, "---") { &line[3..] } else { line }.trim_start_matches('\u{feff}').trim();
        !content.is_empty() && !content.starts_with('#') && !line.starts_with('%')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, usize, &str)]) {
        let found: Vec<_> = chunks(text).iter().map(|chunk| (chunk.document, chunk.line, chunk.text)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn documents_are_counted_and_empty_ones_left_out() {
        check("", &[]);
        check("a: 1", &[(1, 0, "a: 1")]);
        check("# only a comment\n---\n", &[]);
        check("# top\n---\na: 1\n---\n# nothing\n---\nb: 2\n", &[(1, 1, "---\na: 1\n"), (3, 5, "---\nb: 2\n")]);
        check("a: 1\n--- # comment\nb: 2", &[(1, 0, "a: 1\n"), (2, 1, "--- # comment\nb: 2")]);
        check("--- {a: 1}\n", &[(1, 0, "--- {a: 1}\n")]);
        check("%YAML 1.1\n---\na: 1\n...\nb: 2\n", &[(1, 1, "---\na: 1\n"), (2, 4, "b: 2\n")]);
        check("a: '\n  --- '\nb: ---x\n", &[(1, 0, "a: '\n  --- '\nb: ---x\n")]);
        check("\u{feff}---\r\na: 1\r\n", &[(1, 0, "\u{feff}---\r\na: 1\r\n")]);
    }
}
