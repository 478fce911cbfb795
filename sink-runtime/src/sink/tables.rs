//! Which tables a life carries: what the plan names, held against what the record tells and the source gives.
//!
//! The record of a Sink by pattern tells of the tables of which something is in a topic, and of those that have left. What
//! the plan names and the record does not joins; `docs/design/0009-many-tables.md` says why nothing is lost by that.

use std::collections::HashMap;
use std::sync::Arc;

use afterbay_crds::plan::{RelationPlan, SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::table::TableDescription;

use super::carried::{Carried, Standing};
use super::life::Ending;
use super::relation::SinkRelation;
use super::snapshot::Snapshot;
use super::{SinkContext, keeping, problems};
use crate::position::Position;
use crate::protocol::{self, OneTable, RelationIdentity, SnapshotProgress, TableProgress};
use crate::source::chunks::key_changed;
use crate::source::claim::{Claim, ClaimKind, Grant};

/// How many tables that have left a record tells of: the last ones.
const PAST_MAX: usize = 1_000;

/// What a life carries.
pub struct Tables<'a> {
    /// The relations of the plan, in its order; none for one that is left out.
    pub relations: Vec<Option<Carried<'a>>>,
    /// What the record goes on to tell of tables that are not among them.
    pub past: Vec<TableProgress>,
    /// The snapshot that the record tells to be under way.
    pub under_way: Option<(usize, SnapshotProgress)>,
    /// What is not carried, and why.
    pub left_out: Vec<(TableName, Problem)>,
}

/// What a record tells of tables that the plan can go on from.
pub fn known(plan: &SinkPlan, tables: protocol::Tables) -> Result<Vec<TableProgress>, Problem> {
    match (tables, plan.by_pattern) {
        (protocol::Tables::One(one), false) => {
            let OneTable { relation, topic, topic_id, schemas, snapshot, columns, .. } = one;
            let Some(planned) = plan.relations.first() else { return Err(problems::source_changed(true)) };
            if topic != planned.topic {
                return Err(problems::topic_changed(planned, &topic));
            }
            let table = planned.table.clone();
            let mut tables = vec![TableProgress {
                table,
                relation,
                topic,
                topic_id,
                schemas,
                snapshot,
                rows: 0,
                left: false,
                since: None,
                from: None,
                columns: columns.map(Arc::from),
            }];
            follow(plan, &mut tables);
            Ok(tables)
        }
        (protocol::Tables::ByPattern(mut tables), true) => {
            let begun: HashMap<_, _> = tables.iter().filter(|it| !it.left).map(|it| (&it.table, &it.topic)).collect();
            for planned in &plan.relations {
                if let Some(topic) = begun.get(&planned.table).filter(|topic| ***topic != planned.topic) {
                    return Err(problems::topic_changed(planned, topic));
                }
            }
            follow(plan, &mut tables);
            Ok(tables)
        }
        (protocol::Tables::One(_), true) => Err(problems::source_changed(true)),
        (protocol::Tables::ByPattern(_), false) => Err(problems::source_changed(false)),
    }
}

/// A Sink that keeps no columns forgets those that it has kept.
pub fn follow(plan: &SinkPlan, tables: &mut [TableProgress]) {
    if !keeping::freezes(plan) {
        for table in tables {
            table.columns = None;
        }
    }
}

/// A table that is carried no more. What stands in its topic keeps its columns, if it comes back.
pub fn of_the_past(table: TableProgress) -> TableProgress {
    TableProgress { snapshot: None, rows: 0, left: true, since: None, from: None, ..table }
}

/// What is known of the tables of the claims, each beside its claim, and of others.
pub struct Known {
    claimed: Vec<Option<TableProgress>>,
    others: Vec<TableProgress>,
}

/// What a Sink asks the source for: the plan's tables in its order, then, where its position lies within a transaction, those
/// that have left it. A Sink by pattern that begins asks for none: they join in its next life.
pub fn claims(plan: &SinkPlan, known: Vec<TableProgress>, fresh: bool, is_within: bool) -> (Vec<Claim>, Known) {
    if fresh && plan.by_pattern {
        return (Vec::new(), Known { claimed: Vec::new(), others: known });
    }
    let mut known: HashMap<_, _> = known.into_iter().map(|table| (table.table.clone(), table)).collect();
    let mut claims = Vec::new();
    let mut claimed = Vec::new();
    for RelationPlan { table, .. } in &plan.relations {
        let found = known.remove(table);
        let kind = match &found {
            Some(found) if !found.left => ClaimKind::Begun(found.relation),
            _ => ClaimKind::Joins,
        };
        let since = found.as_ref().and_then(|found| found.since);
        claims.push(Claim { table: table.clone(), kind, since });
        claimed.push(found);
    }
    let mut others: Vec<_> = known.into_values().collect();
    others.sort_by(|one, other| one.table.cmp(&other.table));
    let leave = others.iter().filter(|table| is_within && !table.left);
    claims.extend(leave.map(|it| Claim { table: it.table.clone(), kind: ClaimKind::Leaves(it.relation), since: None }));
    (claims, Known { claimed, others })
}

/// Takes what the source gives, and tells of what joins, leaves and is left out.
///
/// `fresh`: all that the Sink has carried joins anew.
pub fn take(context: &SinkContext, known: Known, grants: Vec<Grant>, fresh: bool) -> Result<Tables<'_>, Ending> {
    let plan = &context.plan;
    let mut left = Vec::new();
    let mut past = Vec::new();
    for table in known.others {
        if !table.left {
            left.push(table.table.to_string());
        }
        past.push(of_the_past(table));
    }
    let mut returned = Vec::new();
    let mut joined = Vec::new();
    let mut tables = Tables { relations: Vec::new(), past: Vec::new(), under_way: None, left_out: Vec::new() };
    let mut claimed = known.claimed.into_iter();
    let mut grants = grants.into_iter();
    for (number, planned) in plan.relations.iter().enumerate() {
        let record = claimed.next().flatten();
        let mut out = |problem: Problem| {
            let problem = problems::of_table(&planned.table, problem);
            tables.left_out.push((planned.table.clone(), problem));
        };
        let carried = match grants.next() {
            Some(Grant::Carried(table, identity)) => match record {
                Some(record) if !record.left => {
                    let (carried, snapshot) = begun(context, planned, *table, record).map_err(|problem| {
                        if plan.by_pattern { problems::of_table(&planned.table, problem) } else { problem }
                    })?;
                    if let Some(snapshot) = snapshot {
                        tables.under_way = Some((number, snapshot));
                    }
                    Some(carried)
                }
                record => match joins(context, planned, (*table, identity), record.as_ref())? {
                    Ok(mut carried) => {
                        if plan.by_pattern && record.as_ref().is_some_and(|record| record.topic == planned.topic) {
                            returned.push(planned.table.to_string());
                        } else if plan.by_pattern {
                            tracing::info!(sink = %plan.name, table = %planned.table, topic = %planned.topic, "table joins");
                        }
                        carried.past = record;
                        joined.push(number);
                        Some(carried)
                    }
                    Err(problem) => {
                        out(problem);
                        past.extend(record);
                        None
                    }
                },
            },
            Some(Grant::Gone(problem)) => {
                left.push(problem.message.clone());
                past.extend(record.map(of_the_past));
                None
            }
            Some(Grant::LeftOut(problem)) => {
                out(problem);
                past.extend(record);
                None
            }
            Some(Grant::Leaves) | None => {
                past.extend(record);
                None
            }
        };
        if let Some(carried) = &carried {
            context.source.keeps(context.index, carried.recorded.oid, carried.kept.clone());
        }
        tables.relations.push(carried);
    }
    seen_since(context, &mut tables.relations, &joined)?;
    // What a fresh life begins with is of the past for now, and none of it may be forgotten.
    if !fresh {
        past.drain(..past.len().saturating_sub(PAST_MAX));
    }
    tables.past = past;
    let status = &context.status;
    status.warning(Reason::TablesLeftOut, problems::left_out(&tables.left_out));
    // Said once, these stay until the worker ends: the next life knows nothing of it.
    for (reason, told) in [
        (Reason::TablesLeft, problems::tables_left(&left)),
        (Reason::TablesReturned, problems::tables_returned(&returned, plan.snapshot)),
    ] {
        if told.is_some() {
            status.warning(reason, told);
        }
    }
    Ok(tables)
}

/// From where on those that join are sure to be published: of one whose rows are read its first chunk says it, of another the end
/// of the log as it is now, after it was seen in the publication.
fn seen_since(context: &SinkContext, relations: &mut [Option<Carried<'_>>], joined: &[usize]) -> Result<(), Problem> {
    if joined.is_empty() || !context.plan.by_pattern || context.plan.snapshot {
        return Ok(());
    }
    let end = context.source.inserted()?;
    for number in joined {
        if let Some(Some(carried)) = relations.get_mut(*number) {
            carried.since = Some(end);
        }
    }
    Ok(())
}

/// A relation that the Sink has begun with; what keeps it from going on keeps the Sink, as to leave it out would lose what
/// changes.
fn begun<'a>(
    context: &SinkContext,
    plan: &'a RelationPlan,
    table: TableDescription,
    record: TableProgress,
) -> Result<(Carried<'a>, Option<SnapshotProgress>), Problem> {
    let (table, kept) = keeping::goes_on(context, &plan.table, table, record.columns)?;
    let relation = SinkRelation::new(plan, table)?;
    let rows = record.snapshot.as_ref().map_or(record.rows, |snapshot| snapshot.rows);
    let mut carried = Carried::new(plan, record.relation, relation);
    (carried.topic_id, carried.schemas, carried.rows) = (record.topic_id, record.schemas, rows);
    (carried.since, carried.from, carried.kept) = (record.since, record.from, kept);
    Ok((carried, record.snapshot))
}

/// A relation that is to be carried from now on, or why it is left out.
fn joins<'a>(
    context: &SinkContext,
    plan: &'a RelationPlan,
    (table, identity): (TableDescription, RelationIdentity),
    past: Option<&TableProgress>,
) -> Result<Result<Carried<'a>, Problem>, Problem> {
    let by_pattern = context.plan.by_pattern;
    let past = past.filter(|past| past.topic == plan.topic);
    if by_pattern && past.is_some_and(|past| past.relation.oid != identity.oid) {
        return Ok(Err(problems::another_table(plan)));
    }
    let begins = keeping::begins(&plan.table, table, past.and_then(|past| past.columns.clone()));
    let begins = begins.and_then(|(table, kept)| Ok((SinkRelation::new(plan, table)?, kept)));
    let (relation, kept) = match begins {
        Ok(begins) => begins,
        Err(problem) if by_pattern => return Ok(Err(problem)),
        Err(problem) => return Err(problem),
    };
    let mut carried = Carried::new(plan, identity, relation);
    carried.kept = kept;
    if by_pattern && context.plan.snapshot {
        match context.source.chunk_key_by_pattern(plan) {
            Ok(key) => carried.standing = Standing::Waits(key),
            Err(problem) if problem.reason == Reason::TableUnfit.as_str() => return Ok(Err(problem)),
            Err(problem) => return Err(problem),
        }
    }
    Ok(Ok(carried))
}

impl Tables<'_> {
    /// The snapshot that goes on, or begins: at this position of the Sink.
    pub fn first_snapshot(
        &mut self,
        context: &SinkContext,
        position: Position,
    ) -> Result<Option<(usize, Snapshot)>, Ending> {
        let Some((number, progress)) = self.under_way.take() else {
            let Some((number, key)) = next_to_begin(&mut self.relations) else { return Ok(None) };
            let progress = SnapshotProgress { key: key.words(), ..SnapshotProgress::default() };
            return Ok(Some((number, Snapshot::new(key, progress, position))));
        };
        let Some(Some(carried)) = self.relations.get_mut(number) else { return Ok(None) };
        let key = context.source.chunk_key_under_way(carried.plan)?;
        if progress.after.is_some() && key.words() != progress.key {
            return Err(key_changed(&carried.plan.table).into());
        }
        carried.standing = Standing::UnderWay;
        carried.rows = progress.rows;
        let progress = SnapshotProgress { key: key.words(), ..progress };
        Ok(Some((number, Snapshot::new(key, progress, position))))
    }
}

/// The next relation whose snapshot has not begun, if there is one: it is under way from now on, in the order of this key.
pub fn next_to_begin(relations: &mut [Option<Carried<'_>>]) -> Option<(usize, afterbay_formats::chunk_key::ChunkKey)> {
    relations.iter_mut().enumerate().find_map(|(number, carried)| {
        let carried = carried.as_mut().filter(|carried| carried.waits())?;
        match std::mem::replace(&mut carried.standing, Standing::UnderWay) {
            Standing::Waits(key) => Some((number, key)),
            _ => None,
        }
    })
}
