//! From the server's types to [`SqlType`]: arrays, domains, composites and modifiers are followed to what they are made of.

use std::collections::{BTreeSet, HashMap};

use afterbay_formats::documentation::Comments;
use afterbay_formats::relation::{Column, SqlType};

use crate::postgres::{PostgresError, SqlClient};

/// Types nest this deep at the most; what is deeper travels as text.
const DEPTH_MAX: u32 = 32;

/// A type of a column: its oid and its modifier (`-1`: none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeRef {
    pub(super) oid: u32,
    pub(super) modifier: i32,
}

/// What the catalogue says of the types that were asked for, and of all that they are made of.
#[derive(Debug, Default)]
pub(super) struct Types {
    known: HashMap<u32, TypeRow>,
}

/// One row of `pg_type`, as far as it matters.
#[derive(Clone, Debug)]
struct TypeRow {
    /// `format_type`: the SQL name.
    name: String,
    /// `schema.type`, for composites.
    qualified: String,
    /// What is said of it, for composites.
    comments: Comments,
    made_of: MadeOf,
}

#[derive(Clone, Debug)]
enum MadeOf {
    /// A type of its own.
    Itself,
    /// Whether of `pg_catalog`: then its oid is fixed.
    Builtin,
    /// The extension's type, whose oid and schema vary.
    Hstore,
    /// Elements of this type.
    Array(u32),
    /// The base type.
    Domain(TypeRef),
    /// Fields, in order.
    Composite(Vec<(String, TypeRef)>),
}

impl Types {
    /// Asks for these types and for all that they are made of.
    pub(super) async fn load(client: &SqlClient, oids: impl IntoIterator<Item = u32>) -> Result<Self, PostgresError> {
        let mut types = Self::default();
        let mut asked: BTreeSet<u32> = oids.into_iter().collect();
        while !asked.is_empty() {
            let found = types.load_round(client, &asked).await?;
            asked = found.into_iter().filter(|oid| !types.known.contains_key(oid)).collect();
        }
        Ok(types)
    }

    /// Asks for these types; gives those that they are made of.
    async fn load_round(&mut self, client: &SqlClient, asked: &BTreeSet<u32>) -> Result<Vec<u32>, PostgresError> {
        let asked: Vec<u32> = asked.iter().copied().collect();
        let rows = client
            .query(
                // An array type is one that another names as its own: vectors such as int2vector are none.
                "SELECT t.oid, format_type(t.oid, NULL), n.nspname || '.' || t.typname, t.typtype::text, \
                    n.nspname = 'pg_catalog', e.oid, t.typbasetype, t.typtypmod, \
                    EXISTS (SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid \
                        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid \
                        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
                        AND x.extname = 'hstore' AND t.typname = 'hstore'), \
                    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = t.typrelid \
                        AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), \
                    ARRAY(SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid \
                        AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), \
                    ARRAY(SELECT a.atttypmod FROM pg_attribute a WHERE a.attrelid = t.typrelid \
                        AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), \
                    COALESCE(obj_description(t.oid, 'pg_type'), obj_description(t.typrelid, 'pg_class')), \
                    ARRAY(SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a \
                        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) \
                 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                 LEFT JOIN pg_type e ON e.typarray = t.oid \
                 WHERE t.oid = ANY ($1)",
                &[&asked],
            )
            .await?;
        let mut parts = Vec::new();
        for row in rows {
            let kind: String = row.get(3);
            let qualified: String = row.get(2);
            let mut comments = Comments::default();
            let element: Option<u32> = row.get(5);
            let made_of = if let Some(element) = element {
                parts.push(element);
                MadeOf::Array(element)
            } else if kind == "d" {
                let base = TypeRef { oid: row.get(6), modifier: row.get(7) };
                parts.push(base.oid);
                MadeOf::Domain(base)
            } else if kind == "c" {
                let (names, oids, modifiers): (Vec<String>, Vec<u32>, Vec<i32>) =
                    (row.get(9), row.get(10), row.get(11));
                parts.extend(&oids);
                if let Some(comment) = row.get::<_, Option<String>>(12) {
                    comments.on_type(&qualified, comment);
                }
                let of_fields: Vec<Option<String>> = row.get(13);
                for (name, comment) in names.iter().zip(of_fields) {
                    if let Some(comment) = comment {
                        comments.on_column(&qualified, name, comment);
                    }
                }
                let types = oids.into_iter().zip(modifiers).map(|(oid, modifier)| TypeRef { oid, modifier });
                MadeOf::Composite(names.into_iter().zip(types).collect())
            } else if row.get(8) {
                MadeOf::Hstore
            } else if row.get(4) {
                MadeOf::Builtin
            } else {
                MadeOf::Itself
            };
            self.known.insert(row.get(0), TypeRow { name: row.get(1), qualified, comments, made_of });
        }
        Ok(parts)
    }

    /// Whether the server (still) has this type.
    pub(super) fn has(&self, oid: u32) -> bool {
        self.known.contains_key(&oid)
    }

    /// The type as the encoders know it.
    pub(super) fn resolve(&self, column: TypeRef) -> SqlType {
        self.resolve_within(column, DEPTH_MAX)
    }

    /// The comments on all composite types that a type is made of.
    pub(super) fn comments(&self, column: TypeRef) -> Comments {
        let mut all = Comments::default();
        self.comments_within(column.oid, DEPTH_MAX, &mut all);
        all
    }

    fn comments_within(&self, oid: u32, depth: u32, all: &mut Comments) {
        let (Some(row), Some(depth)) = (self.known.get(&oid), depth.checked_sub(1)) else { return };
        all.extend(row.comments.clone());
        match &row.made_of {
            MadeOf::Array(element) => self.comments_within(*element, depth, all),
            MadeOf::Domain(base) => self.comments_within(base.oid, depth, all),
            MadeOf::Composite(fields) => {
                for (_, field) in fields {
                    self.comments_within(field.oid, depth, all);
                }
            }
            MadeOf::Itself | MadeOf::Builtin | MadeOf::Hstore => {}
        }
    }

    /// A type under all of its domains.
    pub(super) fn base(&self, mut column: TypeRef) -> TypeRef {
        for _ in 0..DEPTH_MAX {
            match self.known.get(&column.oid).map(|row| &row.made_of) {
                Some(MadeOf::Domain(base)) => column = *base,
                _ => break,
            }
        }
        column
    }

    fn resolve_within(&self, column: TypeRef, depth: u32) -> SqlType {
        let Some(row) = self.known.get(&column.oid) else { return SqlType::Other(format!("type {}", column.oid)) };
        let Some(depth) = depth.checked_sub(1) else { return SqlType::Other(row.name.clone()) };
        match &row.made_of {
            MadeOf::Itself => SqlType::Other(row.name.clone()),
            MadeOf::Builtin => builtin(column).unwrap_or_else(|| SqlType::Other(row.name.clone())),
            MadeOf::Hstore => SqlType::Map(Box::new(SqlType::Text)),
            // An array's modifier is that of its elements.
            MadeOf::Array(element) => {
                let element = TypeRef { oid: *element, modifier: column.modifier };
                SqlType::Array(Box::new(self.resolve_within(element, depth)))
            }
            MadeOf::Domain(base) => self.resolve_within(*base, depth),
            MadeOf::Composite(fields) => SqlType::Record {
                name: row.qualified.clone(),
                fields: fields
                    .iter()
                    .map(|(name, field)| Column {
                        name: name.clone(),
                        sql_type: self.resolve_within(*field, depth),
                        nullable: true,
                    })
                    .collect(),
            },
        }
    }
}

/// The types of `pg_catalog` that are more than text; their oids never change (`pg_type.dat`).
fn builtin(column: TypeRef) -> Option<SqlType> {
    Some(match column.oid {
        16 => SqlType::Bool,
        21 => SqlType::Int2,
        23 => SqlType::Int4,
        20 => SqlType::Int8,
        26 => SqlType::Oid,
        700 => SqlType::Float4,
        701 => SqlType::Float8,
        1700 => SqlType::Numeric { typmod: numeric_modifier(column.modifier) },
        25 | 1043 | 1042 | 19 => SqlType::Text,
        17 => SqlType::Bytea,
        1082 => SqlType::Date,
        1083 => SqlType::Time,
        1114 => SqlType::Timestamp { precision: u8::try_from(column.modifier).ok() },
        1184 => SqlType::Timestamptz { precision: u8::try_from(column.modifier).ok() },
        1186 => SqlType::Interval,
        2950 => SqlType::Uuid,
        114 => SqlType::Json,
        3802 => SqlType::Jsonb,
        _ => return None,
    })
}

/// Precision and scale of a `numeric`: 16 bits and, signed, 11 bits above the header's 4 (`numeric.c`).
fn numeric_modifier(modifier: i32) -> Option<(u16, i16)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let scale = ((packed & 0x7FF) ^ 0x400) - 0x400;
    Some(((packed >> 16) as u16, scale as i16))
}

/// Whether a value of a type is too small to be stored out of line: no value is moved that is not larger than the
/// pointer to it would be, 24 bytes when aligned (`toast_tuple_find_biggest_attribute`).
pub(super) fn always_inline(column: TypeRef) -> bool {
    match column.oid {
        // Up to four bytes a character and four of header; the modifier counts four too many.
        1042 | 1043 => (4..=9).contains(&column.modifier),
        // Two bytes for four digits, with one group more on each side of the point than the digits fill, and eight of headers.
        1700 => numeric_modifier(column.modifier).is_some_and(|(precision, scale)| scale >= 0 && precision <= 20),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_modifiers() {
        // What atttypmod of numeric(10,2), numeric(5), numeric(3,-2), numeric(2,5) and numeric is.
        assert_eq!(numeric_modifier(655_366), Some((10, 2)));
        assert_eq!(numeric_modifier(327_684), Some((5, 0)));
        assert_eq!(numeric_modifier(((3 << 16) | (-2 & 0x7FF)) + 4), Some((3, -2)));
        assert_eq!(numeric_modifier(((2 << 16) | 5) + 4), Some((2, 5)));
        assert_eq!(numeric_modifier(((1000 << 16) + 1000) + 4), Some((1000, 1000)));
        assert_eq!(numeric_modifier(-1), None);
    }

    #[test]
    fn small_values_stay_in_their_row() {
        let of = |oid, modifier| always_inline(TypeRef { oid, modifier });
        assert!(of(1043, 4 + 5), "varchar(5)");
        assert!(!of(1043, 4 + 6), "varchar(6)");
        assert!(!of(1043, -1), "varchar");
        assert!(of(1700, 655_366), "numeric(10,2)");
        assert!(!of(1700, (38 << 16) + 4), "numeric(38)");
        assert!(!of(1700, -1), "numeric");
        assert!(!of(25, -1), "text");
    }

    #[test]
    fn composites_arrays_and_domains_are_followed() {
        let row = |name: &str, made_of| {
            let (name, qualified) = (name.into(), format!("public.{name}"));
            TypeRow { name, qualified, comments: Comments::default(), made_of }
        };
        let types = Types {
            known: HashMap::from([
                (1700, row("numeric", MadeOf::Builtin)),
                (2, row("price", MadeOf::Domain(TypeRef { oid: 1700, modifier: 655_366 }))),
                (3, row("price[]", MadeOf::Array(2))),
                (4, row("mood", MadeOf::Itself)),
                (
                    5,
                    row(
                        "pair",
                        MadeOf::Composite(vec![
                            ("a".into(), TypeRef { oid: 3, modifier: -1 }),
                            ("b".into(), TypeRef { oid: 4, modifier: -1 }),
                        ]),
                    ),
                ),
                (6, row("numeric[]", MadeOf::Array(1700))),
            ]),
        };
        let resolve = |oid, modifier| types.resolve(TypeRef { oid, modifier });
        let price = || SqlType::Numeric { typmod: Some((10, 2)) };
        assert_eq!(resolve(2, -1), price());
        assert_eq!(resolve(3, -1), SqlType::Array(Box::new(price())));
        assert_eq!(resolve(6, 655_366), SqlType::Array(Box::new(price())), "numeric(10,2)[]");
        let field = |name: &str, sql_type| Column { name: name.into(), sql_type, nullable: true };
        assert_eq!(
            resolve(5, -1),
            SqlType::Record {
                name: "public.pair".into(),
                fields: vec![field("a", SqlType::Array(Box::new(price()))), field("b", SqlType::Other("mood".into()))],
            }
        );
        assert_eq!(types.base(TypeRef { oid: 2, modifier: -1 }), TypeRef { oid: 1700, modifier: 655_366 });
    }
}
