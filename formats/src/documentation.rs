//! What is said of types and columns: by the Sink, and by the comments in the database.

use std::collections::BTreeMap;

use afterbay_crds::plan::DocPlan;

use crate::relation::{Relation, SqlType};

/// The comments of the database (`COMMENT ON`) on a relation, on its columns and on the types that they are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    types: BTreeMap<String, String>,
    columns: BTreeMap<(String, String), String>,
}

impl Comments {
    /// Keeps the comment on a relation or a composite type, `schema.name`.
    pub fn on_type(&mut self, name: impl Into<String>, comment: impl Into<String>) {
        self.types.insert(name.into(), comment.into());
    }

    /// Keeps the comment on a column of one.
    pub fn on_column(&mut self, of: impl Into<String>, column: impl Into<String>, comment: impl Into<String>) {
        self.columns.insert((of.into(), column.into()), comment.into());
    }

    /// Takes in all comments of another.
    pub fn extend(&mut self, other: Self) {
        self.types.extend(other.types);
        self.columns.extend(other.columns);
    }
}

/// Where texts are looked for: what the Sink says goes before the comments (reference, "Avro schema documentation").
#[derive(Clone, Copy, Debug)]
pub struct Documentation<'a> {
    /// By the Sink; of two for the same the first.
    pub told: &'a [DocPlan],
    /// In the database.
    pub comments: &'a Comments,
}

impl<'a> Documentation<'a> {
    /// What is said of a relation or a composite type, `schema.name`.
    pub fn of_type(&self, name: &str) -> Option<&'a str> {
        self.told(name, None).or_else(|| self.comments.types.get(name).map(String::as_str))
    }

    /// What is said of a column of one.
    pub fn of_column(&self, of: &str, column: &str) -> Option<&'a str> {
        let comment = || self.comments.columns.get(&(of.to_owned(), column.to_owned())).map(String::as_str);
        self.told(of, Some(column)).or_else(comment)
    }

    fn told(&self, name: &str, column: Option<&str>) -> Option<&'a str> {
        let is_it = |doc: &&DocPlan| doc.column.as_deref() == column && doc.r#type.to_string() == name;
        self.told.iter().find(is_it).map(|doc| doc.text.as_str())
    }
}

/// The first text that is about nothing that a relation is made of, by the name of what it is about.
pub fn about_nothing(told: &[DocPlan], relation: &Relation) -> Option<String> {
    let mut known = vec![(relation.full_name(), relation.columns.iter().map(|column| column.name.as_str()).collect())];
    for column in &relation.columns {
        collect(&column.sql_type, &mut known);
    }
    let is_known = |doc: &DocPlan| {
        let name = doc.r#type.to_string();
        let has = |columns: &Vec<&str>| doc.column.as_deref().is_none_or(|column| columns.contains(&column));
        known.iter().any(|(known, columns)| *known == name && has(columns))
    };
    let unknown = told.iter().find(|doc| !is_known(doc))?;
    Some(match &unknown.column {
        Some(column) => format!("column {}.{column}", unknown.r#type),
        None => format!("type {}", unknown.r#type),
    })
}

/// All composite types that a type is made of, with their fields.
fn collect<'a>(sql_type: &'a SqlType, known: &mut Vec<(String, Vec<&'a str>)>) {
    match sql_type {
        SqlType::Array(items) | SqlType::List(items) | SqlType::Map(items) => collect(items, known),
        SqlType::Record { name, fields } => {
            known.push((name.clone(), fields.iter().map(|field| field.name.as_str()).collect()));
            for field in fields {
                collect(&field.sql_type, known);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use afterbay_crds::plan::TableName;

    use super::*;
    use crate::relation::Column;

    fn doc(name: &str, column: Option<&str>, text: &str) -> DocPlan {
        let r#type = TableName { schema: "public".into(), name: name.into() };
        DocPlan { r#type, column: column.map(str::to_owned), text: text.into() }
    }

    #[test]
    fn what_the_sink_says_goes_before_the_comments() {
        let mut comments = Comments::default();
        comments.on_type("public.t", "comment on t");
        comments.on_column("public.t", "a", "comment on a");
        comments.on_column("public.t", "b", "comment on b");
        let told =
            [doc("t", Some("a"), "a of the Sink"), doc("t", Some("a"), "never read"), doc("t", None, "t of the Sink")];
        let all = Documentation { told: &told, comments: &comments };
        assert_eq!(all.of_type("public.t"), Some("t of the Sink"));
        assert_eq!(all.of_column("public.t", "a"), Some("a of the Sink"));
        assert_eq!(all.of_column("public.t", "b"), Some("comment on b"));
        assert_eq!(all.of_column("public.t", "c"), None);
        assert_eq!(Documentation { told: &[], comments: &comments }.of_type("public.t"), Some("comment on t"));
    }

    #[test]
    fn texts_about_nothing() {
        let point = SqlType::Record { name: "public.point".into(), fields: vec![Column::nullable("x", SqlType::Int4)] };
        let columns =
            vec![Column::not_null("id", SqlType::Int4), Column::nullable("at", SqlType::Array(Box::new(point)))];
        let relation = Relation { schema: "public".into(), name: "t".into(), columns };
        let known = [doc("t", None, ""), doc("t", Some("id"), ""), doc("point", None, ""), doc("point", Some("x"), "")];
        assert_eq!(about_nothing(&known, &relation), None);
        assert_eq!(about_nothing(&[doc("u", None, "")], &relation).as_deref(), Some("type public.u"));
        assert_eq!(about_nothing(&[doc("point", Some("y"), "")], &relation).as_deref(), Some("column public.point.y"));
    }
}
