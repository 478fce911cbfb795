//! What is said of types and columns: by the Sink, and by the comments in the database.

use std::collections::BTreeMap;

use afterbay_crds::plan::DocPlan;

use crate::relation::{Relation, SqlType};

/// The comments of the database (`COMMENT ON`) on a relation, on its columns and on the types that they are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    types: BTreeMap<String, String>,
    columns: BTreeMap<(String, String), String>,
    /// Of a column that a query gives another name, the one that it has in the table.
    origins: BTreeMap<(String, String), String>,
}

impl Comments {
    /// What is said of a relation whose columns a query gives: of each output that is a column as it is, what is said of
    /// that; of others nothing. `outputs` are their names, each with the column's own.
    #[must_use]
    pub fn through(&self, of: &str, outputs: &[(&str, Option<&str>)]) -> Self {
        let mut columns = self.columns.clone();
        columns.retain(|(known, _), _| known != of);
        let mut origins = BTreeMap::new();
        for (output, origin) in outputs {
            let Some(origin) = origin else { continue };
            if let Some(comment) = self.columns.get(&(of.to_owned(), (*origin).to_owned())) {
                columns.insert((of.to_owned(), (*output).to_owned()), comment.clone());
            }
            // A name that an output has means that output, and no other that is the column of that name.
            if outputs.iter().all(|(output, _)| output != origin) {
                origins.insert((of.to_owned(), (*output).to_owned()), (*origin).to_owned());
            }
        }
        Self { types: self.types.clone(), columns, origins }
    }

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
        self.origins.extend(other.origins);
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
        let place = (of.to_owned(), column.to_owned());
        let by_origin = || self.told(of, Some(self.comments.origins.get(&place)?));
        let comment = || self.comments.columns.get(&place).map(String::as_str);
        self.told(of, Some(column)).or_else(by_origin).or_else(comment)
    }

    fn told(&self, name: &str, column: Option<&str>) -> Option<&'a str> {
        let is_it = |doc: &&DocPlan| doc.column.as_deref() == column && doc.r#type.to_string() == name;
        self.told.iter().find(is_it).map(|doc| doc.text.as_str())
    }
}

/// The first text that is about nothing that a relation is made of, by the name of what it is about; `comments` are those on
/// the relation.
pub fn about_nothing(told: &[DocPlan], relation: &Relation, comments: &Comments) -> Option<String> {
    let columns = relation.columns.iter().map(|column| column.name.as_str());
    let origins = comments.origins.iter().filter(|((of, _), _)| *of == relation.full_name());
    let mut known =
        vec![(relation.full_name(), columns.chain(origins.map(|(_, origin)| origin.as_str())).collect::<Vec<_>>())];
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
    fn a_column_keeps_what_is_said_of_it_through_a_query() {
        let mut comments = Comments::default();
        comments.on_type("public.t", "comment on t");
        for column in ["a", "b", "c"] {
            comments.on_column("public.t", column, format!("comment on {column}"));
        }
        // SELECT a AS x, b AS a, upper(c) AS c FROM public.t
        let through = comments.through("public.t", &[("x", Some("a")), ("a", Some("b")), ("c", None)]);
        let all = Documentation { told: &[], comments: &through };
        let said = ["x", "a", "b", "c"].map(|column| all.of_column("public.t", column));
        assert_eq!(said, [Some("comment on a"), Some("comment on b"), None, None]);
        assert_eq!(all.of_type("public.t"), Some("comment on t"));
        let told = [doc("t", Some("b"), "told of b"), doc("t", Some("a"), "told of a")];
        let all = Documentation { told: &told, comments: &through };
        assert_eq!(all.of_column("public.t", "a"), Some("told of a"), "its own name goes before that in the table");
        assert_eq!(all.of_column("public.t", "x"), Some("comment on a"), "a is another output");
        let columns = ["x", "a", "c"].map(|name| Column::nullable(name, SqlType::Int4)).to_vec();
        let relation = Relation { schema: "public".into(), name: "t".into(), columns };
        assert_eq!(about_nothing(&told, &relation, &through), None);
        let nothing = about_nothing(&[doc("t", Some("d"), "")], &relation, &through);
        assert_eq!(nothing.as_deref(), Some("column public.t.d"));
        let by_origin = comments.through("public.t", &[("x", Some("a"))]);
        let all = Documentation { told: &told, comments: &by_origin };
        assert_eq!(all.of_column("public.t", "x"), Some("told of a"));
    }

    #[test]
    fn texts_about_nothing() {
        let point = SqlType::Record { name: "public.point".into(), fields: vec![Column::nullable("x", SqlType::Int4)] };
        let columns =
            vec![Column::not_null("id", SqlType::Int4), Column::nullable("at", SqlType::Array(Box::new(point)))];
        let relation = Relation { schema: "public".into(), name: "t".into(), columns };
        let known = [doc("t", None, ""), doc("t", Some("id"), ""), doc("point", None, ""), doc("point", Some("x"), "")];
        let none = Comments::default();
        assert_eq!(about_nothing(&known, &relation, &none), None);
        assert_eq!(about_nothing(&[doc("u", None, "")], &relation, &none).as_deref(), Some("type public.u"));
        assert_eq!(
            about_nothing(&[doc("point", Some("y"), "")], &relation, &none).as_deref(),
            Some("column public.point.y")
        );
    }
}
