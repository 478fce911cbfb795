//! What a Sink wants of each of its tables, and what it is given.

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::TableName;
use afterbay_crds::report::Problem;
use afterbay_formats::table::TableDescription;

use super::router::MemberRelation;
use crate::protocol::RelationIdentity;

/// A table of a Sink; a Sink numbers its tables by the order of its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub table: TableName,
    /// What the Sink has to do with it.
    pub kind: ClaimKind,
    /// From where on it is known to have borne its name; none: as long as the Sink carries it.
    pub since: Option<Lsn>,
}

/// What a Sink has to do with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// It carries it, as this.
    Begun(RelationIdentity),
    /// It is to carry it from now on.
    Joins,
    /// It has carried it and does so no more. The transaction within which the Sink stands may hold changes of it that are
    /// to be seen once more.
    Leaves(RelationIdentity),
}

/// What is given for a [`Claim`].
#[derive(Clone, Debug)]
pub enum Grant {
    /// The table as the catalogue has it now, and what the progress record is to say of it.
    Carried(Box<TableDescription>, RelationIdentity),
    /// The Sink has begun with it, and it is there no more, or another is there under its name.
    Gone(Problem),
    /// It has not begun, and cannot.
    LeftOut(Problem),
    /// As claimed.
    Leaves,
}

impl Grant {
    /// Why a table is there no more that the Sink has begun with.
    pub fn gone(&self) -> Option<&Problem> {
        match self {
            Self::Gone(problem) => Some(problem),
            Self::Carried(..) | Self::LeftOut(_) | Self::Leaves => None,
        }
    }
}

/// The relations of a Sink as the router is to know them. `position` is from where the Sink is fed, `looked_at` where the
/// log ended before the catalogue was looked at.
pub fn relations(claims: &[Claim], grants: &[Grant], position: Lsn, looked_at: Lsn) -> Vec<MemberRelation> {
    // No name tells anything of what is not carried, and no relation has this oid.
    let (never, nothing) = (Lsn(u64::MAX), RelationIdentity { oid: 0, entry: 0 });
    let relation = |(claim, grant): (&Claim, &Grant)| {
        let (identity, named_from) = match (grant, claim.kind) {
            (Grant::Carried(_, identity), ClaimKind::Joins) => (*identity, looked_at),
            (Grant::Carried(_, identity), _) => (*identity, claim.since.map_or(position, |since| since.max(position))),
            (_, ClaimKind::Begun(identity) | ClaimKind::Leaves(identity)) => (identity, never),
            (_, ClaimKind::Joins) => (nothing, never),
        };
        MemberRelation::new(claim.table.clone(), identity, named_from)
    };
    claims.iter().zip(grants).map(relation).collect()
}
