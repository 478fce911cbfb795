//! `schema.table`, quoted as in SQL.

use crate::plan::TableName;

/// Reads a table's name: parts in double quotes are taken as they are, others are folded to lower case, as SQL does.
/// The error says what is wrong with it.
pub fn parse(text: &str) -> Result<TableName, String> {
    match <[String; 2]>::try_from(parts(text)?) {
        Ok([schema, name]) => Ok(TableName { schema, name }),
        Err(parts) if parts.len() == 1 => Err("the schema is missing".to_owned()),
        Err(parts) => Err(format!("it has {} parts instead of two", parts.len())),
    }
}

/// Reads a column's name, `schema.table.column`, as [`parse`] does.
pub fn parse_column(text: &str) -> Result<(TableName, String), String> {
    match <[String; 3]>::try_from(parts(text)?) {
        Ok([schema, name, column]) => Ok((TableName { schema, name }, column)),
        Err(parts) => Err(format!("it has {} parts instead of three", parts.len())),
    }
}

fn parts(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = part(rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(parts),
            None => return Err(format!("\"{after}\" follows a quoted name")),
        }
    }
}

fn part(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        // Non-ASCII letters are taken as they are: only ASCII is folded in a database whose encoding is UTF-8.
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        return match name.chars().find(|c| !fits(*c)) {
            _ if name.is_empty() => Err("a part of it is empty".to_owned()),
            Some('*' | '?') => Err("it is a pattern: those go into spec.source.tables".to_owned()),
            Some(c) => Err(format!("'{c}' needs quotes around the name")),
            None if name.starts_with(|c: char| c.is_ascii_digit() || c == '$') => {
                Err(format!("'{}' at the beginning needs quotes around the name", &name[..1]))
            }
            None => Ok((fits_into_a_name(&name.to_ascii_lowercase())?, rest)),
        };
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c != '"' {
            name.push(c);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else if name.is_empty() {
            return Err("a part of it is empty".to_owned());
        } else {
            return Ok((fits_into_a_name(&name)?, &quoted[at + 1..]));
        }
    }
    Err("a quote is not closed".to_owned())
}

/// Longer names would be cut by Postgres, and so name another table.
fn fits_into_a_name(name: &str) -> Result<String, String> {
    if name.contains(char::is_control) {
        return Err("a part of it holds a control character".to_owned());
    }
    if name.len() > 63 { Err("a part of it is longer than 63 bytes".to_owned()) } else { Ok(name.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        let found = parse(text).map(|table| (table.schema, table.name));
        let found = found.as_ref().map(|(schema, name)| (schema.as_str(), name.as_str())).map_err(String::as_str);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        check("public.orders", Ok(("public", "orders")));
        check("Public.Orders", Ok(("public", "orders")));
        check("\"My Schema\".\"T.x\"", Ok(("My Schema", "T.x")));
        check("a.\"say \"\"hi\"\"\"", Ok(("a", "say \"hi\"")));
        check("orders", Err("the schema is missing"));
        check("db.public.orders", Err("it has 3 parts instead of two"));
        check("public.my-orders", Err("'-' needs quotes around the name"));
        check("public.", Err("a part of it is empty"));
        check("public.\"x", Err("a quote is not closed"));
        check("public.*", Err("it is a pattern: those go into spec.source.tables"));
        check("public.1st", Err("'1' at the beginning needs quotes around the name"));
        check("public.Größe", Ok(("public", "größe")));
        check(&format!("public.{}", "a".repeat(64)), Err("a part of it is longer than 63 bytes"));
        check("", Err("a part of it is empty"));
        check("\"a\"b.c", Err("\"b.c\" follows a quoted name"));
    }
}
