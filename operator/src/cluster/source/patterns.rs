//! The tables of Sinks by patterns, in a cluster: looked for when a worker is made, and every ten seconds while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use afterbay_clients::postgres::Lsn;
use afterbay_crds::plan::{Plan, RelationPlan, SinkPlan};
use afterbay_crds::report::{Problem, WorkerReport};
use afterbay_crds::resolve::{ByPattern, Worker};
use tokio::time::Instant;

use crate::tables::{self, Carried, Choice, Joining, has_settled};

/// How often the catalogue is looked at.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// How soon it is looked again whether what a table has left in the log is carried.
pub const WORKED_OFF_INTERVAL: Duration = Duration::from_secs(2);
/// Within this time a worker has told where the log ended after a look at the catalogue: it asks every two seconds, and is asked
/// every five.
const LOG_END_HEARD: Duration = Duration::from_secs(8);

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub struct Looks {
    /// Since when tables are gone that a worker carries, and up to where it has to come before they leave.
    losing: Option<Losing>,
    /// What was chosen last.
    last: Option<(Instant, Vec<Choice>)>,
}

#[derive(Clone, Copy, Debug)]
struct Losing {
    since: Instant,
    target: Option<u64>,
}

/// What came of a look.
#[derive(Debug, Default)]
pub struct Look {
    /// What is left out, or that nothing matches, by subject.
    pub warnings: Vec<(String, Problem)>,
    /// When to look again.
    pub again: Option<Duration>,
}

/// Has a worker, as pods and as this program see it, carry the tables that match. The error is the database's: nothing is changed then.
pub async fn carry(
    looks: &mut Looks,
    worker: &mut Worker,
    own: &mut Worker,
    current: Option<&Plan>,
    report: Option<&WorkerReport>,
) -> Result<Look, Problem> {
    if !tables::has_patterns(own) {
        return Ok(Look::default());
    }
    let carried = current.map(begun_only).map(|plan| Carried::of(&plan)).unwrap_or_default();
    let joining = if current.is_some() { Joining::Later } else { Joining::AtFirst };
    let due = |at: Instant| at.elapsed() + Duration::from_millis(500) >= INTERVAL || looks.losing.is_some();
    // Whatever else has changed: the catalogue is not asked more often for it, unless there are other Sinks.
    let known = looks.last.as_ref().filter(|(at, last)| !due(*at) && is_of(last, worker));
    let mut choices = if let Some((_, choices)) = known {
        choices.clone()
    } else {
        let choices = tables::choose_and_admit(own, &carried, joining).await;
        let mut choices = choices.map_err(|error| error.problem())?;
        // The files that they name stand elsewhere in the pods.
        for choice in &mut choices {
            choice.relations = relations(worker, choice.sink, &choice.relations);
        }
        looks.last = Some((Instant::now(), choices.clone()));
        choices
    };
    let mut look = Look { warnings: warnings(own, &choices), again: Some(INTERVAL) };
    let loses = current.is_some_and(|plan| choices.iter().any(|choice| loses(choice, own, plan)));
    if !loses {
        looks.losing = None;
    } else if !worked_off(&mut looks.losing, report) {
        look.again = Some(WORKED_OFF_INTERVAL);
        if let Some(plan) = current {
            for choice in &mut choices {
                hold(choice, own, plan);
            }
        }
    }
    for choice in &choices {
        carry_in_both(worker, own, choice.sink, &choice.relations);
    }
    Ok(look)
}

fn carry_in_both(worker: &mut Worker, own: &mut Worker, sink: usize, of_any: &[RelationPlan]) {
    for worker in [worker, own] {
        let relations = relations(worker, sink, of_any);
        worker.carry(sink, relations);
    }
}

/// The same tables as a worker's Sink carries them.
fn relations(worker: &Worker, sink: usize, of_any: &[RelationPlan]) -> Vec<RelationPlan> {
    let by_pattern = worker.sinks.get(sink).and_then(|sink| sink.by_pattern.as_ref());
    let made = |relation| by_pattern.map(|by_pattern| made(by_pattern, relation));
    of_any.iter().filter_map(made).collect()
}

fn made(by_pattern: &ByPattern, relation: &RelationPlan) -> RelationPlan {
    by_pattern.relation(&relation.table, &relation.key_columns)
}

/// What the plan that runs says, where the database does not answer.
pub fn carry_on(worker: &mut Worker, own: &mut Worker, current: &Plan) {
    for (index, sink) in own.plan.sinks.clone().iter().enumerate() {
        let old = current.sinks.iter().find(|old| old.name == sink.name);
        if let Some(old) = old.filter(|old| old.by_pattern && sink.by_pattern) {
            carry_in_both(worker, own, index, &old.relations);
        }
    }
}

/// Whether the choices are those of these Sinks, in this order, with these wishes.
fn is_of(choices: &[Choice], worker: &Worker) -> bool {
    let by_pattern =
        worker.sinks.iter().enumerate().filter_map(|(index, sink)| Some((index, sink.by_pattern.as_ref()?)));
    let by_pattern: Vec<_> = by_pattern.collect();
    by_pattern.len() == choices.len()
        && by_pattern.iter().zip(choices).all(|((index, by_pattern), choice)| {
            let same = |relation: &RelationPlan| made(by_pattern, relation) == *relation;
            *index == choice.sink
                && choice.relations.iter().all(|relation| by_pattern.tables.hold(&relation.table) && same(relation))
        })
}

/// A Sink that was deleted and is there again carries nothing yet.
fn begun_only(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.sinks.retain(|sink| sink.begun);
    plan
}

fn as_it_was<'p>(choice: &Choice, worker: &Worker, current: &'p Plan) -> Option<&'p SinkPlan> {
    let name = &worker.plan.sinks.get(choice.sink)?.name;
    current.sinks.iter().find(|sink| sink.name == *name && sink.by_pattern)
}

fn loses(choice: &Choice, worker: &Worker, current: &Plan) -> bool {
    as_it_was(choice, worker, current).is_some_and(|old| choice.loses(old))
}

/// What is gone stays carried for now.
fn hold(choice: &mut Choice, worker: &Worker, current: &Plan) {
    let Some(old) = as_it_was(choice, worker, current) else { return };
    let mut all: BTreeMap<_, _> =
        choice.relations.drain(..).map(|relation| (relation.table.clone(), relation)).collect();
    for relation in &old.relations {
        if !choice.left_out.iter().any(|left_out| left_out.table == relation.table) {
            all.entry(relation.table.clone()).or_insert_with(|| relation.clone());
        }
    }
    choice.relations = all.into_values().collect();
}

/// Whether the worker has carried what the log held when the tables were found to be gone: the last changes of a table that was
/// dropped are in it, and come out of it only while the worker goes on as it is.
fn worked_off(losing: &mut Option<Losing>, report: Option<&WorkerReport>) -> bool {
    let losing = losing.get_or_insert_with(|| Losing { since: Instant::now(), target: None });
    let Some(report) = report else { return false };
    if losing.target.is_none() && losing.since.elapsed() >= LOG_END_HEARD {
        losing.target = report.source.log_end.as_deref().and_then(|end| end.parse::<Lsn>().ok()).map(|end| end.0);
    }
    let Some(target) = losing.target else { return false };
    report.sinks.iter().filter(|sink| sink.tables.is_some()).all(|sink| has_settled(sink, target))
}

fn warnings(worker: &Worker, choices: &[Choice]) -> Vec<(String, Problem)> {
    let mut warnings = Vec::new();
    for choice in choices {
        let Some(plan) = worker.plan.sinks.get(choice.sink) else { continue };
        let subject = format!("sink {}", plan.name);
        if choice.relations.is_empty() && choice.left_out.is_empty() {
            warnings.push((subject.clone(), tables::nothing_matches()));
        }
        warnings.extend(choice.left_out.iter().map(|left_out| (subject.clone(), left_out.problem.clone())));
    }
    warnings
}
