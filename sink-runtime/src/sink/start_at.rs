//! A Sink that is to begin at, or to be set back to, a place of the log that is retained (`source.startAt`): a deliberate
//! replay, once.
//!
//! The protocol does not know of it: it is told the place as what is committed. Until the first record that says so is
//! committed, each life comes to the same decision; from then on the record says that it is obeyed.

use std::time::{SystemTime, UNIX_EPOCH};

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::{RelationPlan, StartAt, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::{SinkContext, problems, tables};
use crate::change::Change;
use crate::history::History;
use crate::protocol::{ObeyedStart, ProgressRecord, RelationIdentity, Skip, SourceIdentity, TableProgress};
use crate::source::histories::Retained;

const NAME_LATER: &str =
    "name a later place; or leave startAt out, to begin with a snapshot (or where the Sink stands)";

/// Where a Sink goes on, instead of where its record says.
#[derive(Clone, Debug)]
pub struct Replay {
    /// All transactions that commit from here on are sent again, or for the first time.
    pub from: Lsn,
    /// Where that holds.
    pub identity: SourceIdentity,
    /// What is told of its tables, as if a record did.
    pub known: Vec<TableProgress>,
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
    let obeyed = record.and_then(|record| record.start_at.as_ref());
    // Without a record there must be none: a Sink that has begun does not begin here.
    if obeyed.is_some_and(|obeyed| obeyed.asked == asked) || (record.is_none() && context.status.begun()) {
        return Ok(None);
    }
    // A record of before the replay would have it done again.
    if context.status.obeyed().as_ref() == Some(&asked) {
        return Err(problems::record_too_old(context));
    }
    // Whether they are the Sink's topics is seen there.
    let known = record.map(|record| tables::known(&context.plan, record.tables.clone())).transpose()?;
    if let Some(table) = known.iter().flatten().find(|table| !table.left && table.snapshot.is_some()) {
        let what = format!("the snapshot of table {} is not through yet", table.table);
        return Err(refused(&asked, &what, "wait until it is, or leave startAt out"));
    }
    let committed = record.map(|record| record.position.replay_from());
    let ask = Ask { wanted: wanted_at(wanted, &asked)?, asked: &asked, now_ms: now_ms() };
    let place = match (record.zip(known), context.plan.by_pattern) {
        (Some((record, known)), true) => ask.within_own(context.plan.retain_history_ms, record, known)?,
        (Some((_, known)), false) => ask.within(context, &known)?,
        (None, _) => ask.within(context, &[])?,
    };
    if committed.is_some_and(|committed| place.from > committed) {
        let what = "it lies behind what the Sink has committed, and what is between would not be sent";
        return Err(refused(&asked, what, "name a place before that, or leave startAt out"));
    }
    let skip = match ask.wanted {
        // What commits from now on is of a later time, whatever a clock will say; and what was never sent is not left out.
        Wanted::Time(before_us) => {
            let end = context.source.inserted()?;
            Some(Skip { before_us, until: committed.map_or(end, |committed| committed.min(end)) })
        }
        Wanted::Position(_) => None,
    };
    let Place { from, identity, known } = place;
    Ok(Some(Replay { from, identity, known, obeyed: ObeyedStart { asked, skip }, committed }))
}

/// What the manifest names.
#[derive(Clone, Copy)]
enum Wanted {
    Position(Lsn),
    /// In microseconds since 1970.
    Time(i64),
}

fn wanted_at(wanted: &StartAt, asked: &str) -> Result<Wanted, Problem> {
    match wanted {
        StartAt::Position(text) => {
            let position = text.parse().map(Wanted::Position);
            position.map_err(|_| refused(asked, "it is no position", "write it as the status does"))
        }
        StartAt::Time(_) => {
            let time = wanted.time_us().map(Wanted::Time);
            time.ok_or_else(|| refused(asked, "it is no time", "write it as 2026-11-21T10:00:00Z"))
        }
    }
}

/// A question for a place.
struct Ask<'a> {
    wanted: Wanted,
    asked: &'a str,
    now_ms: u64,
}

/// Its answer.
struct Place {
    from: Lsn,
    identity: SourceIdentity,
    known: Vec<TableProgress>,
}

impl Ask<'_> {
    /// For a Sink of many tables that has begun: the samples are its own. A table that had not joined there is sent again from
    /// where it had.
    fn within_own(
        &self,
        keep_ms: Option<u64>,
        record: &ProgressRecord,
        mut known: Vec<TableProgress>,
    ) -> Result<Place, Problem> {
        let floor = keep_ms.and_then(|keep_ms| record.history.floor(self.now_ms, keep_ms));
        let Some(floor) = floor else {
            let hint =
                "set retainHistory, and go back to a later place when it has been for a while; or leave startAt out";
            return Err(refused(self.asked, "the Sink retains no history (spec.retainHistory)", hint));
        };
        let Some(from) = self.place(&record.history, floor)? else {
            return Err(refused(
                self.asked,
                &format!("the log is retained from {floor} on, and it lies before that"),
                NAME_LATER,
            ));
        };
        let committed = record.position.replay_from();
        for table in &mut known {
            // What it has not been sent of yet is sent in any case. Where an earlier replay is not through, it still holds.
            table.from = table.since.filter(|since| *since > from).map(|since| since.min(committed)).max(table.from);
        }
        Ok(Place { from, identity: record.source.clone(), known })
    }

    /// Within what any Sink of the worker retains of the tables: of all of them. `known` is what is told of the one table of a
    /// Sink that has begun.
    fn within(&self, context: &SinkContext, known: &[TableProgress]) -> Result<Place, Problem> {
        let mut found: Vec<(&RelationPlan, Lsn, Lsn, Retained)> = Vec::new();
        for planned in &context.plan.relations {
            let begun = known.iter().find(|known| known.table == planned.table);
            let all = context.source.retained(&planned.table);
            let same = all.into_iter().filter(|retained| begun.is_none_or(|begun| begun.relation == retained.relation));
            let candidates: Vec<_> =
                same.filter_map(|retained| Some((retained.floor(self.now_ms)?, retained))).collect();
            let mut reaches = None;
            for (floor, retained) in &candidates {
                if let Some(place) = self.place(&retained.history, *floor)? {
                    reaches = Some((planned, place, *floor, retained.clone()));
                    break;
                }
            }
            found.push(
                reaches.ok_or_else(|| not_retained(&planned.table, self.asked, candidates.iter().map(|it| it.0)))?,
            );
        }
        let Some((first, from)) = found.first().zip(found.iter().map(|(_, place, ..)| *place).min()) else {
            return Err(refused(self.asked, "its patterns match no table", "wait until they do, or leave startAt out"));
        };
        let identity = first.3.identity.clone();
        if let Some((planned, _, floor, _)) = found.iter().find(|(_, _, floor, _)| *floor > from) {
            return Err(not_retained(&planned.table, self.asked, std::iter::once(*floor)));
        }
        let relations = found.iter().map(|(planned, .., retained)| {
            let begun = known.iter().find(|known| known.table == planned.table);
            replayed(planned, retained.relation, begun)
        });
        Ok(Place { from, identity, known: relations.collect() })
    }

    /// The place within history from `floor` on, if it reaches so far.
    fn place(&self, history: &History, floor: Lsn) -> Result<Option<Lsn>, Problem> {
        match self.wanted {
            Wanted::Position(place) => Ok((floor <= place).then_some(place)),
            Wanted::Time(time_us) => {
                let time_ms = u64::try_from(time_us / 1_000).unwrap_or_default();
                if time_ms > self.now_ms {
                    let hint = "name a time that has passed, or leave startAt out";
                    return Err(refused(self.asked, "it lies in the future", hint));
                }
                Ok(history.place_of(time_ms, floor))
            }
        }
    }
}

/// What the record of a Sink that is set back, or started at a place, is told to tell of a relation.
fn replayed(plan: &RelationPlan, relation: RelationIdentity, begun: Option<&TableProgress>) -> TableProgress {
    TableProgress {
        topic_id: begun.and_then(|begun| begun.topic_id.clone()),
        columns: begun.and_then(|begun| begun.columns.clone()),
        ..TableProgress::new(plan.table.clone(), relation, plan.topic.clone())
    }
}

/// The log has been forgotten meanwhile.
pub fn overtaken(replay: &Replay, problem: &Problem) -> Problem {
    let hint = "name a later place, or leave startAt out; a longer spec.retainHistory reaches back further from now on";
    refused(&replay.obeyed.asked, &format!("the log does not reach back to {}: {}", replay.from, problem.message), hint)
}

/// A table of a Sink that begins there is another one by now.
pub fn made_again(replay: &Replay, problem: &Problem) -> Problem {
    refused(&replay.obeyed.asked, &problem.message, NAME_LATER)
}

fn not_retained(table: &TableName, asked: &str, floors: impl Iterator<Item = Lsn>) -> Problem {
    let what = match floors.min() {
        Some(floor) => format!("of table {table} the log is retained from {floor} on, and it lies before that"),
        None => format!(
            "no Sink of this worker that has begun and runs retains history of table {table} (spec.retainHistory)"
        ),
    };
    refused(asked, &what, NAME_LATER)
}

fn refused(asked: &str, what: &str, hint: &str) -> Problem {
    Reason::StartAtRefused.problem(format!("the Sink cannot be started at {asked}: {what}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;
    use crate::protocol::Tables;

    const KEEP_MS: u64 = 3_600_000;

    fn table(name: &str, since: Option<u64>, from: Option<u64>) -> TableProgress {
        let table = TableName { schema: "public".into(), name: name.into() };
        TableProgress {
            rows: 5,
            since: since.map(Lsn),
            from: from.map(Lsn),
            ..TableProgress::new(table, RelationIdentity { oid: 7, entry: 8 }, name.into())
        }
    }

    /// Where a Sink of this table is set back to, and from where on the table goes with it. It has committed up to 500, and its
    /// history goes back to 100.
    fn back_to(place: u64, table: TableProgress) -> Result<(u64, Option<u64>), String> {
        let mut history = History::default();
        history.note(1_000_000, Lsn(100), KEEP_MS);
        let record = ProgressRecord {
            sink: "default/all".into(),
            uid: "u".into(),
            position: Position::Done(Lsn(500)),
            source: SourceIdentity { system: "7".into(), timeline: 1, database: "d".into(), slot: "s".into() },
            history,
            start_at: None,
            tables: Tables::ByPattern(Vec::new()),
        };
        let ask = Ask { wanted: Wanted::Position(Lsn(place)), asked: "position", now_ms: 2_000_000 };
        let found = ask.within_own(Some(KEEP_MS), &record, vec![table]).map_err(|problem| problem.message)?;
        let [known] = &found.known[..] else { panic!("it has one table") };
        assert_eq!(known.rows, 5, "what the record tells else stays");
        Ok((found.from.0, known.from.map(|from| from.0)))
    }

    #[test]
    fn a_table_goes_back_with_its_sink_and_not_behind_where_it_joined() {
        assert_eq!(back_to(200, table("a", None, None)), Ok((200, None)));
        assert_eq!(back_to(200, table("a", Some(150), None)), Ok((200, None)));
        assert_eq!(back_to(200, table("a", Some(300), None)), Ok((200, Some(300))));
        assert_eq!(back_to(100, table("a", Some(300), None)), Ok((100, Some(300))), "as far as history goes");
    }

    #[test]
    fn what_was_never_sent_of_a_table_is_sent() {
        assert_eq!(back_to(200, table("a", Some(600), None)), Ok((200, Some(500))));
    }

    #[test]
    fn what_a_replay_that_is_not_through_leaves_out_is_left_out_by_the_next_one() {
        assert_eq!(back_to(200, table("a", Some(700), Some(600))), Ok((200, Some(600))));
        assert_eq!(back_to(200, table("a", None, Some(600))), Ok((200, Some(600))));
    }

    #[test]
    fn history_that_does_not_reach_so_far_is_told() {
        let message = back_to(99, table("a", None, None)).unwrap_err();
        assert!(message.contains("the log is retained from 0/64 on"), "{message}");
    }
}
