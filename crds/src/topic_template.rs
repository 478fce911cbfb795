//! Names of topics that are made of the names of tables: `shop.{schema}.{table}`.

use crate::plan::TableName;
use crate::table_pattern::{NamePattern, TablePattern};

/// What stands for the table's name.
pub const TABLE: &str = "{table}";
/// What stands for its schema's.
pub const SCHEMA: &str = "{schema}";

/// The topic of a table. Whether it can be one is not looked at.
pub fn topic(template: &str, table: &TableName) -> String {
    let word = |part: Part<'_>| match part {
        Part::Text(text) => text.to_owned(),
        Part::Schema => table.schema.clone(),
        Part::Table => table.name.clone(),
    };
    parts(template).into_iter().map(word).collect()
}

/// Which topics the tables of a pattern can have.
pub fn topics(template: &str, tables: &TablePattern) -> NamePattern {
    parts(template).into_iter().fold(NamePattern::literal(""), |all, part| match part {
        Part::Text(text) => all.then(&NamePattern::literal(text)),
        Part::Schema => all.then(&tables.schema),
        Part::Table => all.then(&tables.table),
    })
}

enum Part<'t> {
    Text(&'t str),
    Schema,
    Table,
}

/// In one go: what a name brings is not looked into.
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((at, part, length)) = [(SCHEMA, Part::Schema), (TABLE, Part::Table)]
        .into_iter()
        .filter_map(|(word, part)| Some((rest.find(word)?, part, word.len())))
        .min_by_key(|(at, _, _)| *at)
    {
        let (text, behind) = rest.split_at(at);
        parts.extend([Part::Text(text), part]);
        rest = &behind[length..];
    }
    parts.push(Part::Text(rest));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_pattern::TablePatterns;

    #[test]
    fn topics_are_made_of_the_names_of_tables() {
        let topic = |template, schema: &str, name: &str| {
            super::topic(template, &TableName { schema: schema.into(), name: name.into() })
        };
        assert_eq!(topic("{table}", "public", "orders"), "orders");
        assert_eq!(topic("shop.{schema}.{table}.v1", "public", "orders"), "shop.public.orders.v1");
        assert_eq!(topic("{table}-{schema}", "{table}", "t"), "t-{table}");
        assert_eq!(topic("orders", "public", "t"), "orders");
    }

    #[test]
    fn topics_of_patterns() {
        let topics = |template: &str, tables: &str| {
            let patterns = TablePatterns::parse(&[tables.to_owned()]).expect("a pattern");
            super::topics(template, &patterns.included()[0])
        };
        assert!(topics("{table}", "public.*").meets(&topics("orders", "shop.x")));
        assert!(!topics("a.{table}", "public.*").meets(&topics("b.{table}", "public.*")));
        assert!(!topics("{schema}.{table}", "a.*").meets(&topics("{schema}.{table}", "b.*")));
        assert!(topics("{schema}.{table}", "a.*").meets(&topics("{table}", "b.*")), "a table can be called a.t");
    }
}
