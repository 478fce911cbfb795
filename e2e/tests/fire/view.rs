//! What a Sink carries of a table: all of it, or what its query gives.

use serde_json::json;

use crate::ledger::Row;

/// How the names of columns begin that tables get while they are written to.
pub const JOINED: &str = "joined_";

/// What is carried of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The rows as they are.
    Whole,
    /// The columns that the table had when the Sink began with it.
    Kept,
    /// The words of even owners.
    Even,
}

impl View {
    /// The query, where there is one.
    pub fn query(self) -> Option<&'static str> {
        match self {
            Self::Whole | Self::Kept => None,
            Self::Even => Some("SELECT code, n AS number, owner FROM word WHERE owner % 2 = 0"),
        }
    }

    /// The row as it is carried; none where it is not.
    pub fn of(self, row: &Row) -> Option<Row> {
        match self {
            Self::Whole => Some(row.clone()),
            Self::Kept => {
                let columns = row.as_object()?.iter().filter(|(name, _)| !name.starts_with(JOINED));
                Some(columns.map(|(name, value)| (name.clone(), value.clone())).collect())
            }
            Self::Even => {
                let owner = row["owner"].as_i64().filter(|owner| owner % 2 == 0)?;
                Some(json!({"code": row["code"], "number": row["n"], "owner": owner}))
            }
        }
    }
}
