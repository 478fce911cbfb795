//! The tables of Sinks that have patterns: what matches, less what cannot be carried.
//!
//! What a table is carried for is decided by the catalogue alone; what it takes to join is provided here, too: its place in
//! the publication, and its topic. A table that joins has to meet all that; one that is carried goes on as long as it is there
//! and matches: where it is not fit any more its Sink stops, as to leave it out would lose what changes in it.

use std::collections::{BTreeMap, BTreeSet};

use afterbay_clients::fault;
use afterbay_clients::kafka::KafkaError;
use afterbay_clients::kafka::admin::Admin;
use afterbay_clients::postgres::catalogue::{collation, server, table as catalogue};
use afterbay_clients::postgres::{Lsn, PostgresError, SqlClient, quote, sql};
use afterbay_crds::plan::{Plan, RelationPlan, SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{Problem, SinkReport, SinkState};
use afterbay_crds::resolve::{ByPattern, Worker};
use afterbay_formats::chunk_key::ChunkKey;
use afterbay_formats::table::TableDescription;
use afterbay_queries::carried;

use crate::provision;

/// What a Sink by patterns is to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which of the worker's Sinks it is.
    pub sink: usize,
    /// In the order of the tables' names.
    pub relations: Vec<RelationPlan>,
    /// What matches and cannot be carried, and why.
    pub left_out: Vec<LeftOut>,
}

/// A table that matches and cannot be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The table.
    pub table: TableName,
    /// Why.
    pub problem: Problem,
}

/// The tables that Sinks by patterns carry already, by the Sinks' names.
#[derive(Clone, Debug, Default)]
pub struct Carried(BTreeMap<String, BTreeSet<TableName>>);

impl Carried {
    /// Those of a plan.
    pub fn of(plan: &Plan) -> Self {
        let by_pattern = plan.sinks.iter().filter(|sink| sink.by_pattern);
        let tables = |sink: &SinkPlan| sink.relations.iter().map(|relation| relation.table.clone()).collect();
        Self(by_pattern.map(|sink| (sink.name.clone(), tables(sink))).collect())
    }

    /// The tables that this Sink carries.
    pub fn of_sink(&self, sink: &str) -> impl Iterator<Item = &TableName> {
        self.0.get(sink).into_iter().flatten()
    }

    /// Whether this Sink carries this table.
    pub fn has(&self, sink: &str, table: &TableName) -> bool {
        self.0.get(sink).is_some_and(|tables| tables.contains(table))
    }
}

/// Whether tables may join now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// They may, and what it takes is not looked for in Kafka where that does not answer: nothing is carried yet.
    AtFirst,
    /// They may, when all is there that it takes.
    Later,
    /// None may.
    None,
}

/// Whether a Sink carries, and has committed all before this position; one that is paused has nothing to do.
pub fn has_settled(sink: &SinkReport, target: u64) -> bool {
    if sink.state == SinkState::Paused {
        return true;
    }
    let settled = sink.settled.as_deref().and_then(|settled| settled.parse::<Lsn>().ok());
    sink.state == SinkState::Running && settled.is_some_and(|settled| settled.0 >= target)
}

/// Whether a worker has Sinks by patterns.
pub fn has_patterns(worker: &Worker) -> bool {
    worker.sinks.iter().any(|sink| sink.by_pattern.is_some())
}

/// What the worker's Sinks by patterns are to carry now, with all that it takes for those that join.
pub async fn choose_and_admit(
    worker: &Worker,
    carried: &Carried,
    joining: Joining,
) -> Result<Vec<Choice>, PostgresError> {
    let client = sql::connect(&worker.plan.source.connection).await?;
    let mut choices = choose(&client, worker, carried).await?;
    for choice in &mut choices {
        let Some(plan) = worker.plan.sinks.get(choice.sink) else { continue };
        let is_carried = |relation: &RelationPlan| carried.has(&plan.name, &relation.table);
        if joining == Joining::None {
            choice.relations.retain(is_carried);
            continue;
        }
        let new: Vec<_> = choice.relations.iter().filter(|relation| !is_carried(relation)).cloned().collect();
        if new.is_empty() {
            continue;
        }
        let names: Vec<_> = new.iter().map(|relation| relation.table.clone()).collect();
        let publication = &worker.provisioning.publication;
        let refused =
            provision::publish(&client, publication, &plan.name, &names, &worker.plan.source.connection).await?;
        choice.leave_out(refused);
        let admitted: Vec<_> = new.into_iter().filter(|relation| choice.relations.contains(relation)).collect();
        match topics(worker, choice.sink, &admitted).await {
            Ok(refused) => choice.leave_out(refused),
            // The worker tells what is wrong with Kafka.
            Err(_) if joining == Joining::AtFirst => {}
            Err(_) => choice.relations.retain(|relation| !admitted.contains(relation)),
        }
    }
    Ok(choices)
}

/// What the worker's Sinks by patterns can carry, by what the database says.
pub async fn choose(client: &SqlClient, worker: &Worker, carried: &Carried) -> Result<Vec<Choice>, PostgresError> {
    let sinks = || {
        let numbered = worker.sinks.iter().zip(&worker.plan.sinks).enumerate();
        numbered.filter_map(|(index, (sink, plan))| Some((index, sink.by_pattern.as_ref()?, plan)))
    };
    let schemas: Option<Vec<_>> = sinks().map(|(_, by_pattern, _)| by_pattern.tables.schemas()).collect();
    let schemas = schemas.map(|schemas| schemas.concat());
    let mut matching = catalogue::all(client, schemas.as_deref()).await?;
    matching.retain(|table| sinks().any(|(_, by_pattern, _)| by_pattern.tables.hold(table)));
    let described = catalogue::describe_all(client, &matching).await?;
    // One that has gone between the two looks is gone.
    let found: Vec<_> = matching.into_iter().zip(described).filter_map(|(table, it)| Some((table, it?))).collect();
    let facts = server::facts(client).await?;
    let mut choices = Vec::new();
    for (index, by_pattern, plan) in sinks() {
        let is_carried = |table: &TableName| carried.has(&plan.name, table);
        let own: Vec<_> = found.iter().filter(|(table, _)| by_pattern.tables.hold(table)).collect();
        let mut choice = judge(index, by_pattern, plan, &own, &is_carried);
        let mut refused = Vec::new();
        for (table, description) in own {
            let new = |relation: &&RelationPlan| relation.table == *table && !is_carried(table);
            let Some(relation) = choice.relations.iter().find(new) else { continue };
            let problem = keeps_from_joining(client, &facts, plan, relation, description).await?;
            refused.extend(problem.map(|problem| (table.clone(), problem)));
        }
        choice.leave_out(refused);
        choices.push(choice);
    }
    Ok(choices)
}

/// What the catalogue's descriptions alone say; pure.
fn judge(
    sink: usize,
    by_pattern: &ByPattern,
    plan: &SinkPlan,
    matching: &[&(TableName, TableDescription)],
    is_carried: &impl Fn(&TableName) -> bool,
) -> Choice {
    let mut choice = Choice { sink, relations: Vec::new(), left_out: Vec::new() };
    let mut topics = BTreeMap::<String, Vec<&TableName>>::new();
    for (table, _) in matching {
        topics.entry(by_pattern.relation(table, &[]).topic).or_default().push(table);
    }
    let mut refused = Vec::new();
    for (table, description) in matching {
        let key = description.unique_keys.iter().find(|key| key.primary).map(|key| key.columns.as_slice());
        let relation = by_pattern.relation(table, key.unwrap_or_default());
        let others = topics.get(&relation.topic).into_iter().flatten().filter(|other| **other != table);
        // To leave out what is carried would lose its changes: what keeps it from being carried on stops its Sink. But no two
        // Sinks fill one topic.
        let verdict = if is_carried(table) {
            topic_problem(by_pattern, plan, &relation, None)
        } else {
            topic_problem(by_pattern, plan, &relation, others.copied().next())
                .or_else(|| (by_pattern.primary_key && key.is_none()).then(|| no_primary_key(table)))
                .or_else(|| carried::check_anew(description, &relation).err()?.into_iter().next())
        };
        refused.extend(verdict.map(|problem| (table.clone(), problem)));
        choice.relations.push(relation);
    }
    choice.leave_out(refused);
    choice
}

fn topic_problem(
    by_pattern: &ByPattern,
    plan: &SinkPlan,
    relation: &RelationPlan,
    other: Option<&TableName>,
) -> Option<Problem> {
    let topic = &relation.topic;
    if let Some((what, remedy)) = by_pattern.topic_problem(topic, plan) {
        return Some(Reason::TopicCreationRefused.problem(format!("its topic \"{topic}\" {what}"), remedy));
    }
    other.map(|other| {
        Reason::TopicCreationRefused.problem(
            format!("its topic {topic} would be that of table {other}, too"),
            "write spec.kafka.topic.name so that the two differ",
        )
    })
}

fn no_primary_key(table: &TableName) -> Problem {
    Reason::KeyNotUnique.problem(
        "it has no primary key (or one that is DEFERRABLE)",
        format!("run ALTER TABLE {} ADD PRIMARY KEY (…)", quote::table(table)),
    )
}

/// What keeps a table that is fit from being begun.
async fn keeps_from_joining(
    client: &SqlClient,
    facts: &server::ServerFacts,
    plan: &SinkPlan,
    relation: &RelationPlan,
    description: &TableDescription,
) -> Result<Option<Problem>, PostgresError> {
    let access = server::table_access(client, description.oid).await?;
    let refused = access.and_then(|access| access.problems(facts, &relation.table).into_iter().next());
    if refused.is_some() || !plan.snapshot {
        return Ok(refused);
    }
    let bytewise = collation::bytewise_columns(client, description.oid).await?;
    // Without a key of the Sink's, the primary key is what chunks go by.
    let in_chunks = ChunkKey::of(description, &relation.key_columns, &bytewise).is_some();
    Ok((!in_chunks).then(|| {
        Reason::TableUnfit.problem(
            "its snapshot cannot be taken in chunks: the primary key is not part of the Sink's key, or has a type whose order is \
             not known here (text needs COLLATE \"C\")",
            "carry it with a Sink of its own, or set snapshot: false",
        )
    }))
}

/// Makes the topics of a Sink's tables that are to join, with the rights on them; what was refused. The error is about
/// the cluster.
async fn topics(worker: &Worker, sink: usize, new: &[RelationPlan]) -> Result<Vec<(TableName, Problem)>, KafkaError> {
    let (Some(plan), Some(by_pattern)) =
        (worker.plan.sinks.get(sink), worker.sinks.get(sink).and_then(|sink| sink.by_pattern.as_ref()))
    else {
        return Ok(Vec::new());
    };
    let cluster = worker.provisioning.kafka.iter().find(|kafka| kafka.connection.name == plan.kafka.connection.name);
    let Some(cluster) = cluster.filter(|_| !new.is_empty()) else { return Ok(Vec::new()) };
    let admin = Admin::new(&cluster.connection)?;
    admin.check_connection().await?;
    if let Some(grants) = &cluster.grants {
        let rights = new.iter().map(ByPattern::right).collect();
        if admin.provide_rights(&grants.principal, &rights).await? > 0 {
            fault::point("effect");
        }
    }
    let specs: Vec<_> = new.iter().map(|relation| by_pattern.topic(relation)).collect();
    let verdicts = provision::topics(&admin, &specs, cluster.as_workers).await;
    let refused = new.iter().zip(verdicts).filter_map(|(relation, verdict)| {
        let problem = match verdict {
            Ok((fit, _)) => fit.unfit?,
            Err(problem) => problem,
        };
        Some((relation.table.clone(), problem))
    });
    Ok(refused.collect())
}

impl Choice {
    /// Whether a table that the Sink carries is not there any more, or does not match. The last changes of it are in the log, and
    /// come out of it only while the worker goes on as it is.
    pub fn loses(&self, plan: &SinkPlan) -> bool {
        let stays = |table: &TableName| {
            self.relations.iter().any(|relation| relation.table == *table)
                || self.left_out.iter().any(|left_out| left_out.table == *table)
        };
        !plan.relations.iter().all(|relation| stays(&relation.table))
    }

    /// Of these tables none is carried, and why.
    pub fn leave_out(&mut self, refused: Vec<(TableName, Problem)>) {
        for (table, problem) in refused {
            self.relations.retain(|relation| relation.table != table);
            self.left_out.push(LeftOut { problem: left_out(&table, &problem), table });
        }
        self.left_out.sort_by(|left, right| left.table.cmp(&right.table));
    }
}

fn left_out(table: &TableName, problem: &Problem) -> Problem {
    let name = quote::table(table);
    Reason::TablesLeftOut.problem(
        format!("table {table} is left out: {}: {}", problem.reason, problem.message),
        format!("{}; or add '!{name}' to spec.source.tables", problem.hint.trim_end_matches(['.', ';'])),
    )
}

/// That no table matches.
pub fn nothing_matches() -> Problem {
    Reason::TableNotFound.problem(
        "no table matches spec.source.tables",
        "correct the patterns, or create a table: it joins within moments. Views, partitions, unlogged and foreign tables do not count",
    )
}
