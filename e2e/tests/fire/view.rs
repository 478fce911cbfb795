//! What a Sink carries of a table: all of it, or what its query gives.

use serde_json::json;

use crate::ledger::Row;

/// What is carried of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The rows as they are.
    Whole,
    /// The words of even owners.
    Even,
}

impl View {
    /// The query, where there is one.
    pub fn query(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Even => Some("SELECT code, n AS number, owner FROM word WHERE owner % 2 = 0"),
        }
    }

    /// The row as it is carried; none where it is not.
    pub fn of(self, row: &Row) -> Option<Row> {
        match self {
            Self::Whole => Some(row.clone()),
            Self::Even => {
                let owner = row["owner"].as_i64().filter(|owner| owner % 2 == 0)?;
                Some(json!({"code": row["code"], "number": row["n"], "owner": owner}))
            }
        }
    }
}
