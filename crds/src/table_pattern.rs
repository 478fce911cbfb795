//! Patterns of tables: `schema.table` with `*` and `?`, quoted as in SQL; with `!` in front, what is left out.
//!
//! As in `psql`: outside of quotes letters are folded to lower case, `*` stands for any characters and `?` for one; within
//! double quotes all stands for itself. Both can be in one name: `public."Order"*`.

use crate::plan::TableName;

/// What [`crate::api::SinkSource::tables`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePatterns {
    included: Vec<TablePattern>,
    excluded: Vec<TablePattern>,
}

impl TablePatterns {
    /// Reads them; an error has the index of its pattern, and what is wrong with it.
    pub fn parse(texts: &[String]) -> Result<Self, (usize, String)> {
        let mut patterns = Self::default();
        for (index, text) in texts.iter().enumerate() {
            let (list, text) = match text.strip_prefix('!') {
                Some(text) => (&mut patterns.excluded, text),
                None => (&mut patterns.included, text.as_str()),
            };
            list.push(TablePattern::parse(text).map_err(|what| (index, what))?);
        }
        Ok(patterns)
    }

    /// The patterns that bring tables.
    pub fn included(&self) -> &[TablePattern] {
        &self.included
    }

    /// The schemas in which tables can match; none where that can be any.
    pub fn schemas(&self) -> Option<Vec<String>> {
        self.included.iter().map(TablePattern::literal_schema).collect()
    }

    /// Whether a pattern brings the table, and none leaves it out. Their order says nothing.
    pub fn hold(&self, table: &TableName) -> bool {
        let any = |patterns: &[TablePattern]| patterns.iter().any(|pattern| pattern.matches(table));
        any(&self.included) && !any(&self.excluded)
    }

    /// Whether it is certain that nothing of this pattern is held.
    pub fn exclude_all_of(&self, pattern: &TablePattern) -> bool {
        let covers =
            |excluded: &TablePattern| excluded.schema.covers(&pattern.schema) && excluded.table.covers(&pattern.table);
        self.excluded.iter().any(covers)
    }

    /// Whether tables of more than one schema can match, by what is written: a schema with `*` or `?`, or two that are
    /// written differently.
    pub fn many_schemas(&self) -> bool {
        let written = |pattern: &TablePattern| pattern.written_schema.clone();
        let first = self.included.first().map(written);
        let other = |pattern: &TablePattern| !pattern.schema.is_literal() || Some(written(pattern)) != first;
        self.included.iter().any(other)
    }
}

/// One pattern, without the `!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePattern {
    /// Of the schema's name.
    pub schema: NamePattern,
    /// Of the table's name.
    pub table: NamePattern,
    written_schema: String,
}

impl TablePattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (schema, rest) = NamePattern::parse(text)?;
        let written_schema = text[..text.len() - rest.len()].to_owned();
        let Some(rest) = rest.strip_prefix('.') else { return Err("the schema is missing".to_owned()) };
        let (table, rest) = NamePattern::parse(rest)?;
        if !rest.is_empty() {
            return Err("it has more than two parts".to_owned());
        }
        Ok(Self { schema, table, written_schema })
    }

    /// Whether all that the two match stands in one schema.
    pub fn in_one_schema_with(&self, other: &Self) -> bool {
        self.schema.is_literal() && self.schema == other.schema
    }

    /// The schema, if it is written without `*` and `?`.
    fn literal_schema(&self) -> Option<String> {
        let character = |piece: &Piece| match piece {
            Piece::Character(c) => Some(*c),
            Piece::Any | Piece::Many => None,
        };
        self.schema.0.iter().map(character).collect()
    }

    /// Whether it matches this table.
    pub fn matches(&self, table: &TableName) -> bool {
        self.schema.covers(&NamePattern::literal(&table.schema))
            && self.table.covers(&NamePattern::literal(&table.name))
    }
}

/// Of one name, or of one part of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Character(char),
    /// `?`
    Any,
    /// `*`
    Many,
}

impl NamePattern {
    /// That matches just this.
    pub fn literal(text: &str) -> Self {
        Self(text.chars().map(Piece::Character).collect())
    }

    /// Up to the dot behind the name, or the end; gives the rest.
    fn parse(text: &str) -> Result<(Self, &str), String> {
        let mut pieces = Vec::new();
        let mut characters = text.char_indices().peekable();
        let mut quoted = false;
        let mut end = text.len();
        while let Some((at, c)) = characters.next() {
            let piece = match (quoted, c) {
                // Within quotes two of them are one.
                (true, '"') if characters.next_if(|(_, next)| *next == '"').is_some() => Piece::Character('"'),
                (_, '"') => {
                    quoted = !quoted;
                    continue;
                }
                (_, c) if c.is_control() => return Err("it holds a control character".to_owned()),
                (true, c) => Piece::Character(c),
                (false, '.') => {
                    end = at;
                    break;
                }
                (false, '*') => Piece::Many,
                (false, '?') => Piece::Any,
                (false, c) if c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii() => {
                    Piece::Character(c.to_ascii_lowercase())
                }
                (false, c) => return Err(format!("'{c}' needs quotes around it")),
            };
            pieces.push(piece);
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        if pieces.is_empty() {
            return Err("a part of it is empty".to_owned());
        }
        Ok((Self(pieces), &text[end..]))
    }

    /// Whether it matches one name only.
    fn is_literal(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Character(_)))
    }

    /// Whether all that the other one matches is matched by this one. Where it says yes it is so; of two patterns with
    /// `*` it can say no though it is. Of a literal it says exactly whether that is matched.
    fn covers(&self, other: &Self) -> bool {
        let takes = |own: Piece, other: Piece| match (own, other) {
            (Piece::Any, Piece::Character(_) | Piece::Any) => true,
            (own, other) => own == other,
        };
        table(&self.0, &other.0, |reached, own, other| {
            (match own {
                Some(Piece::Many) => reached.without_own || (other.is_some() && reached.without_other),
                _ => false,
            }) || own
                .zip(other)
                .is_some_and(|(own, other)| own != Piece::Many && reached.without_both && takes(own, other))
        })
    }

    /// Whether some text is matched by both.
    pub fn meets(&self, other: &Self) -> bool {
        table(&self.0, &other.0, |reached, own, other| {
            let skips_own =
                own == Some(Piece::Many) && (reached.without_own || (other.is_some() && reached.without_other));
            let skips_other =
                other == Some(Piece::Many) && (reached.without_other || (own.is_some() && reached.without_own));
            let one_of_both = own.zip(other).is_some_and(|(own, other)| match (own, other) {
                (Piece::Many, _) | (_, Piece::Many) => false,
                (Piece::Character(own), Piece::Character(other)) => own == other,
                (Piece::Any, _) | (_, Piece::Any) => true,
            });
            skips_own || skips_other || (one_of_both && reached.without_both)
        })
    }

    /// One behind the other.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }
}

/// What was found of shorter beginnings of two patterns.
struct Reached {
    without_own: bool,
    without_other: bool,
    without_both: bool,
}

/// Fills the table of all beginnings of two patterns, the shorter ones first, and gives what is found of the whole ones.
/// Two empty ones fit.
fn table(own: &[Piece], other: &[Piece], step: impl Fn(&Reached, Option<Piece>, Option<Piece>) -> bool) -> bool {
    // Of one piece less of our own, by the length of the other.
    let mut before: Vec<bool> = Vec::new();
    for own_length in 0..=own.len() {
        let last_own = own_length.checked_sub(1).and_then(|index| own.get(index)).copied();
        let mut row: Vec<bool> = Vec::with_capacity(other.len() + 1);
        for other_length in 0..=other.len() {
            let last_other = other_length.checked_sub(1).and_then(|index| other.get(index)).copied();
            let at = |row: &[bool], length: Option<usize>| length.and_then(|at| row.get(at)).copied().unwrap_or(false);
            let reached = Reached {
                without_own: at(&before, Some(other_length)),
                without_other: at(&row, other_length.checked_sub(1)),
                without_both: at(&before, other_length.checked_sub(1)),
            };
            row.push((last_own.is_none() && last_other.is_none()) || step(&reached, last_own, last_other));
        }
        before = row;
    }
    before.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> TablePatterns {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        TablePatterns::parse(&texts).expect("patterns")
    }

    fn holds(texts: &[&str], schema: &str, name: &str) -> bool {
        patterns(texts).hold(&TableName { schema: schema.to_owned(), name: name.to_owned() })
    }

    #[test]
    fn names_match_as_in_psql() {
        for (pattern, name, matches) in [
            ("public.*", "orders", true),
            ("public.*", "", true),
            ("public.orders", "orders", true),
            ("public.orders", "orders2", false),
            ("Public.Orders", "orders", true),
            ("public.orders", "Orders", false),
            ("public.\"Orders\"", "Orders", true),
            ("public.order?", "orders", true),
            ("public.order?", "order", false),
            ("public.o*s", "os", true),
            ("public.*_2024_??", "orders_2024_01", true),
            ("public.*_2024_??", "orders_2024_1", false),
            ("public.**", "a", true),
            ("public.*a*b*", "xaxbx", true),
            ("public.*a*b*", "xbxax", false),
            ("public.\"*\"", "*", true),
            ("public.\"*\"", "a", false),
            ("public.\"Or\"*", "Orders", true),
            ("public.\"a\"\"b\"?", "a\"bc", true),
            ("public.\"a.b\"", "a.b", true),
            ("public.größe*", "größen", true),
        ] {
            assert_eq!(holds(&[pattern], "public", name), matches, "{pattern} {name}");
        }
        assert!(holds(&["*.*"], "My Schema", "T") && !holds(&["a*.*"], "b", "t"));
    }

    #[test]
    fn what_is_excluded_is_left_out_in_any_order() {
        for texts in [["public.*", "!public.*_log"], ["!public.*_log", "public.*"]] {
            assert!(holds(&texts, "public", "orders") && !holds(&texts, "public", "orders_log"), "{texts:?}");
        }
        assert!(!holds(&["!public.a"], "public", "b"), "something has to bring it");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, what) in [
            ("orders", "the schema is missing"),
            ("a.b.c", "it has more than two parts"),
            ("a.", "a part of it is empty"),
            (".b", "a part of it is empty"),
            ("a.\"\"", "a part of it is empty"),
            ("a.\"b", "a quote is not closed"),
            ("a.b-c", "'-' needs quotes around it"),
            ("a. b", "' ' needs quotes around it"),
            ("", "a part of it is empty"),
            ("a.b\n", "it holds a control character"),
        ] {
            let told = TablePatterns::parse(&["public.*".to_owned(), format!("!{text}")]);
            assert_eq!(told, Err((1, what.to_owned())), "{text}");
        }
    }

    #[test]
    fn more_than_one_schema() {
        assert!(!patterns(&["public.*", "public.a", "!*.b"]).many_schemas());
        assert!(patterns(&["*.a"]).many_schemas() && patterns(&["a?.a"]).many_schemas());
        assert!(patterns(&["a.*", "b.*"]).many_schemas());
        assert!(!patterns(&["\"a*\".t"]).many_schemas());
        assert_eq!(patterns(&["\"a*\".t", "b.*"]).schemas(), Some(vec!["a*".to_owned(), "b".to_owned()]));
        assert_eq!(patterns(&["a.t", "b*.*"]).schemas(), None);
    }

    fn name(text: &str) -> NamePattern {
        NamePattern::parse(text).expect("a pattern").0
    }

    #[test]
    fn patterns_meet_where_one_text_is_of_both() {
        for (one, other, meet) in [
            ("*", "a", true),
            ("*", "*", true),
            ("a*", "b*", false),
            ("a*", "*b", true),
            ("a?c", "ab*", true),
            ("a?", "a", false),
            ("a*c", "ab", false),
            ("*a*", "*b*", true),
            ("ab", "ab", true),
            ("ab", "a", false),
            ("a*", "a", true),
            ("??", "*a*", true),
            ("?", "*aa*", false),
        ] {
            assert_eq!(name(one).meets(&name(other)), meet, "{one} {other}");
            assert_eq!(name(other).meets(&name(one)), meet, "{other} {one}");
        }
        let shop = NamePattern::literal("shop.");
        assert!(!shop.clone().then(&name("*")).meets(&NamePattern::literal("crm.").then(&name("*"))));
        assert!(shop.then(&name("a*")).meets(&NamePattern::literal("shop.ab")));
    }

    #[test]
    fn patterns_cover_what_is_of_them_for_certain() {
        for (one, other, covers) in [
            ("*", "a*b?", true),
            ("a*", "ab*", true),
            ("a*", "*", false),
            ("a?", "a*", false),
            ("a?", "ab", true),
            ("?", "?", true),
            ("a", "?", false),
            ("*b", "a*b", true),
            ("*b", "b*", false),
        ] {
            assert_eq!(name(one).covers(&name(other)), covers, "{one} {other}");
        }
        let but = patterns(&["public.*", "!public.big*"]);
        assert!(but.exclude_all_of(&patterns(&["public.big_one"]).included()[0]));
        assert!(!but.exclude_all_of(&patterns(&["public.*"]).included()[0]));
    }
}
