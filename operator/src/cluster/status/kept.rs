//! What is said of slots that are kept though no Sink reads them.

use afterbay_crds::names::ResourceName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::sink::size_in_words;

/// A slot that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSlot {
    /// Its name.
    pub slot: String,
    /// Why.
    pub why: Why,
    /// How much of its log the database keeps for it, in bytes, if that is known.
    pub held_bytes: Option<u64>,
}

/// Why a slot is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The SourceConnector's `deletionPolicy` says so.
    Policy,
    /// The progress records of these Sinks wait for it, which have gone.
    Retained(Vec<String>),
    /// This SourceConnector has it.
    Inherited(ResourceName),
    /// It could not be dropped: why.
    NotDropped(String),
}

/// How many Sinks are named.
const NAMED: usize = 5;

/// All of them as one problem; none where there are none.
pub fn problem(kept: &[KeptSlot], database: &str) -> Option<Problem> {
    let last = kept.last()?;
    let each: Vec<_> = kept.iter().map(said).collect();
    // What another one has is not to be dropped.
    let own = kept.iter().filter(|kept| !matches!(kept.why, Why::Inherited(_)));
    let drop: Vec<_> = own.map(|kept| format!("SELECT pg_drop_replication_slot('{}')", kept.slot)).collect();
    let message =
        format!("no Sink of its own reads {}; database {database} keeps its log for as long", each.join(", nor "));
    let other = match &last.why {
        _ if kept.len() > 1 => "apply the Sinks again to go on",
        Why::Policy => "set deletionPolicy: Delete of the SourceConnector, which drops it",
        Why::Retained(_) => "apply them again to go on",
        Why::NotDropped(_) => "it is tried again every ten minutes",
        Why::Inherited(_) => "it goes with the other SourceConnector",
    };
    let rid = if drop.is_empty() { String::new() } else { format!("; or be rid of it: {}", drop.join("; ")) };
    Some(Reason::SlotKept.problem(message, format!("{other}{rid}")))
}

fn said(kept: &KeptSlot) -> String {
    let KeptSlot { slot, why, held_bytes } = kept;
    let held = held_bytes.and_then(rounded).map(|bytes| format!("more than {} of the log, ", size_in_words(bytes)));
    let held = held.unwrap_or_default();
    match why {
        Why::Policy => format!("replication slot {slot} ({held}kept by deletionPolicy: Retain)"),
        Why::Retained(sinks) => {
            let named = sinks.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = sinks.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(
                "replication slot {slot} ({held}kept for Sinks that went without their progress records: {named}{more})"
            )
        }
        Why::Inherited(heir) => {
            format!("replication slot {slot} ({held}kept, as it is that of SourceConnector {heir}, too)")
        }
        Why::NotDropped(left) => format!("replication slot {slot} ({held}which could not be dropped: {left})"),
    }
}

/// Roughly, as what is said changes with it: a power of two, from a mebibyte on.
fn rounded(bytes: u64) -> Option<u64> {
    bytes.checked_ilog2().filter(|power| *power >= 20).map(|power| 1 << power)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn kept(why: Why, held_bytes: Option<u64>) -> KeptSlot {
        KeptSlot { slot: "afterbay_shop".to_owned(), why, held_bytes }
    }

    fn check(all: &[KeptSlot], message: &str, hint: &str) {
        let problem = problem(all, "shop").unwrap();
        assert!(problem.message.contains(message), "{}", problem.message);
        assert!(problem.hint.contains(hint), "{}", problem.hint);
    }

    #[test]
    fn slots_that_are_kept_are_told_with_what_to_do() {
        assert_eq!(problem(&[], "shop"), None);
        let drop = "SELECT pg_drop_replication_slot('afterbay_shop')";
        check(&[kept(Why::Policy, None)], "slot afterbay_shop (kept by deletionPolicy: Retain); database shop", drop);
        let sinks = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned).to_vec();
        let retained = kept(Why::Retained(sinks), Some(700 << 20));
        check(from_ref(&retained), "(more than 512Mi of the log, kept for Sinks", "apply them again to go on");
        check(from_ref(&retained), "records: a, b, c, d, e and 2 more)", drop);
        let failed = kept(Why::NotDropped("it is in use".to_owned()), Some(1000));
        check(&[retained, failed.clone()], ", nor replication slot afterbay_shop (which could not", "Sinks again");
        let inherited = kept(Why::Inherited(ResourceName::new("eu", "shop2")), None);
        let both = [inherited.clone(), KeptSlot { slot: "afterbay_other".to_owned(), ..failed.clone() }];
        check(
            &both,
            "(kept, as it is that of SourceConnector eu/shop2, too)",
            "rid of it: SELECT pg_drop_replication_slot('afterbay_other')",
        );
        check(from_ref(&inherited), "eu/shop2", "it goes with the other SourceConnector");
        assert!(!problem(&[inherited], "shop").unwrap().hint.contains("pg_drop"));
        check(&[failed], "could not be dropped: it is in use", "tried again");
    }

    #[test]
    fn what_is_kept_is_told_roughly() {
        let all = [0, 1000, 1 << 20, (1 << 21) - 1, 3 << 30].map(rounded);
        assert_eq!(all, [None, None, Some(1 << 20), Some(1 << 20), Some(1 << 31)]);
    }
}
