//! A Sink that is to begin at, or to be set back to, a place of the log that is retained (`source.startAt`): a deliberate
//! replay, once.
//!
//! The protocol does not know of it: it is told the place as what is committed. Until the first record that says so is
//! committed, each life comes to the same decision; from then on the record says that it is obeyed.

use std::time::{SystemTime, UNIX_EPOCH};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::{StartAt, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::{SinkContext, problems};
use crate::change::Change;
use crate::protocol::{ObeyedStart, ProgressRecord, Skip};
use crate::source::histories::Retained;

/// Where a Sink goes on, instead of where its record says.
#[derive(Clone, Debug)]
pub struct Replay {
    /// All transactions that commit from here on are sent again, or for the first time.
    pub from: Lsn,
    /// Who has retained them.
    pub retained: Retained,
    /// What the record is to say.
    pub obeyed: ObeyedStart,
    /// What the Sink has committed before, if it has.
    pub committed: Option<Lsn>,
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

/// Whether a change committed before the time from which on they are wanted.
pub fn is_before(skip: Option<&Skip>, change: &Change) -> bool {
    skip.is_some_and(|skip| change.id.commit < skip.until && change.time_us < skip.before_us)
}

/// What is to be obeyed, if it is not yet; refused where it cannot be right.
pub fn decide(context: &SinkContext, record: Option<&ProgressRecord>) -> Result<Option<Replay>, Problem> {
    let Some(wanted) = &context.plan.start_at else { return Ok(None) };
    let asked = wanted.to_string();
    let [planned] = &context.plan.relations[..] else { return Ok(None) };
    let one = record.and_then(ProgressRecord::one);
    let obeyed = one.and_then(|one| one.start_at.as_ref());
    // Without a record there must be none: a Sink that has begun does not begin here.
    if obeyed.is_some_and(|obeyed| obeyed.asked == asked) || (record.is_none() && context.status.begun()) {
        return Ok(None);
    }
    // A record of before the replay would have it done again.
    if context.status.obeyed().as_ref() == Some(&asked) {
        return Err(problems::record_too_old(context));
    }
    if one.is_some_and(|one| one.snapshot.is_some()) {
        return Err(refused(
            &asked,
            "the snapshot of the table is not through yet",
            "wait until it is, or leave startAt out",
        ));
    }
    let committed = record.map(|record| record.position.replay_from());
    let all = context.source.retained(&planned.table);
    let same = all.into_iter().filter(|retained| one.is_none_or(|one| one.relation == retained.relation));
    let now = now_ms();
    let candidates: Vec<_> = same
        .filter_map(|retained| {
            let floor = retained.history.floor(now, retained.keep_ms)?;
            Some((floor, retained))
        })
        .collect();
    let (reaches, skip) = match wanted {
        StartAt::Position(text) => {
            let place: Lsn =
                text.parse().map_err(|_| refused(&asked, "it is no position", "write it as the status does"))?;
            (candidates.iter().find(|(floor, _)| *floor <= place).map(|(_, retained)| (place, retained.clone())), None)
        }
        StartAt::Time(_) => {
            let time_us =
                wanted.time_us().ok_or_else(|| refused(&asked, "it is no time", "write it as 2026-11-21T10:00:00Z"))?;
            let time_ms = u64::try_from(time_us / 1_000).unwrap_or_default();
            if time_ms > now {
                return Err(refused(
                    &asked,
                    "it lies in the future",
                    "name a time that has passed, or leave startAt out",
                ));
            }
            let place = |(floor, retained): &(Lsn, Retained)| {
                Some((retained.history.place_of(time_ms, *floor)?, retained.clone()))
            };
            (candidates.iter().find_map(place), Some(time_us))
        }
    };
    let Some((from, retained)) = reaches else { return Err(not_retained(&planned.table, &asked, &candidates)) };
    if committed.is_some_and(|committed| from > committed) {
        let what = "it lies behind what the Sink has committed, and what is between would not be sent";
        return Err(refused(&asked, what, "name a place before that, or leave startAt out"));
    }
    let skip = match skip {
        // What commits from now on is of a later time, whatever a clock will say; and what was never sent is not left out.
        Some(before_us) => {
            let end = context.source.inserted()?;
            Some(Skip { before_us, until: committed.map_or(end, |committed| committed.min(end)) })
        }
        None => None,
    };
    Ok(Some(Replay { from, retained, obeyed: ObeyedStart { asked, skip }, committed }))
}

/// The log has been forgotten meanwhile.
pub fn overtaken(replay: &Replay, problem: &Problem) -> Problem {
    let hint = "name a later place, or leave startAt out; a longer spec.retainHistory reaches back further from now on";
    refused(&replay.obeyed.asked, &format!("the log does not reach back to {}: {}", replay.from, problem.message), hint)
}

fn not_retained(table: &TableName, asked: &str, candidates: &[(Lsn, Retained)]) -> Problem {
    let hint = "name a later place; or leave startAt out, to begin with a snapshot (or where the Sink stands)";
    let what = match candidates.iter().map(|(floor, _)| floor).min() {
        Some(floor) => format!("of table {table} the log is retained from {floor} on, and it lies before that"),
        None => format!(
            "no Sink of this worker that has begun and runs retains history of table {table} (spec.retainHistory)"
        ),
    };
    refused(asked, &what, hint)
}

fn refused(asked: &str, what: &str, hint: &str) -> Problem {
    Reason::StartAtRefused.problem(format!("the Sink cannot be started at {asked}: {what}"), hint)
}
