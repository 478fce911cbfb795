//! The one place where names and texts become part of an SQL statement.

use std::fmt::Write as _;

use afterbay_crds::plan::TableName;

/// A name as an SQL identifier, always quoted: `a"b` is `"a""b"`.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema.
pub fn table(table: &TableName) -> String {
    format!("{}.{}", identifier(&table.schema), identifier(&table.name))
}

/// A text as an SQL literal. Backslashes are written in the escape form, so that it means the same whatever
/// `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!(" E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// Texts as the elements of a list, `'a', 'b'`.
pub fn literals<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    join(texts.into_iter().map(literal))
}

/// Names as the elements of a list, `"a", "b"`.
pub fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    join(names.into_iter().map(identifier))
}

/// A text as a literal of the replication commands, whose grammar knows no escape form.
pub fn replication_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    let mut list = String::new();
    for part in parts {
        let separator = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{separator}{part}");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_always_quoted() {
        assert_eq!(identifier("orders"), r#""orders""#);
        assert_eq!(identifier(r#"My "Table"; drop"#), r#""My ""Table""; drop""#);
        assert_eq!(table(&TableName { schema: "a.b".into(), name: "c".into() }), r#""a.b"."c""#);
        assert_eq!(identifiers(["a", "b"]), r#""a", "b""#);
    }

    #[test]
    fn literals_escape_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\' b"), r" E'a\\'' b'");
        assert_eq!(literals(["a", "b'"]), "'a', 'b'''");
        assert_eq!(replication_literal(r#""a\b","it's""#), r#"'"a\b","it''s"'"#);
    }
}
