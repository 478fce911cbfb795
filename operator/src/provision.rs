//! Makes what must exist before a worker can run: rights, topics and the publication.

use std::collections::{BTreeMap, BTreeSet};

use afterbay_clients::fault;
use afterbay_clients::kafka::KafkaError;
use afterbay_clients::kafka::admin::{Admin, TopicCreation, TopicMetadata};
use afterbay_clients::postgres::catalogue::publication::{self, Publication};
use afterbay_clients::postgres::catalogue::table as tables;
use afterbay_clients::postgres::{PostgresError, PostgresErrorKind, SqlClient, quote, sql};
use afterbay_crds::plan::{PostgresConnectionPlan, RelationPlan, SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{KafkaProvisioning, PublicationSpec, TopicKind, TopicSpec, Worker};
use afterbay_crds::rights::{AclOperation, AclResource, Right};
use afterbay_formats::table::TableDescription;
use afterbay_queries::carried;
use futures::stream::{self, StreamExt as _};
use tokio::sync::Mutex;

use crate::topic_fit::{self, Fit, Settings};

/// How long a table may be held by writers before it joins the publication.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// Topics that are looked at, or made, at once: each waits for the brokers most of the time.
const TOPICS_AT_ONCE: usize = 8;

/// What came of an attempt to provide something.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is missing; to be tried again. With the subject that it is told of.
    pub problems: Vec<(String, Problem)>,
    /// What is there but not as wanted, and stops nothing.
    pub warnings: Vec<(String, Problem)>,
    /// The subjects that must not run like this, as their topics are unfit.
    pub forbidden: BTreeSet<String>,
    /// How much was made or changed, by kind: `topic`, `acl`, `publication`.
    pub writes: BTreeMap<&'static str, u64>,
    /// Whether tables are left out that may become fit; their Sinks tell of it.
    pub pending: bool,
}

impl Outcome {
    /// Whether nothing is left to be provided.
    pub fn is_done(&self) -> bool {
        self.problems.is_empty() && !self.pending
    }

    /// Whether nobody's topics are unfit.
    pub fn is_allowed(&self) -> bool {
        self.forbidden.is_empty()
    }

    fn wrote(&mut self, kind: &'static str, count: usize) {
        if count > 0 {
            *self.writes.entry(kind).or_default() += count as u64;
        }
    }

    /// Whether this subject has a problem, or may have one that could not be looked for: a Sink's topic is not seen
    /// while a connection fails.
    pub fn holds_up(&self, subject: &str) -> bool {
        let hides = |problem: &str| subject.starts_with("sink ") && problem.starts_with("connection ");
        self.problems.iter().any(|(problem, _)| problem == subject || hides(problem))
    }
}

/// Tries to provide all that a worker needs. `publication` keeps the other pools of its SourceConnector from their publication
/// meanwhile: two who see that it is not there would both make it.
pub async fn worker(worker: &Worker, publication: Option<&Mutex<()>>) -> Outcome {
    let mut outcome = Outcome::default();
    for cluster in &worker.provisioning.kafka {
        kafka(cluster, &mut outcome).await;
    }
    let _alone = match publication {
        Some(publication) => Some(publication.lock().await),
        None => None,
    };
    let (connection, spec) = (&worker.plan.source.connection, &worker.provisioning.publication);
    provide_publication(&worker.name.to_string(), connection, spec, &worker.plan.sinks, &mut outcome).await;
    outcome
}

/// Rights and topics of one cluster.
pub async fn kafka(provisioning: &KafkaProvisioning, outcome: &mut Outcome) {
    let subject = format!("connection {}", provisioning.connection.name);
    let admin = match Admin::new(&provisioning.connection) {
        Ok(admin) => admin,
        Err(error) => return outcome.problems.push((subject, error.problem())),
    };
    if let Err(error) = admin.check_connection().await {
        return outcome.problems.push((subject, error.problem()));
    }
    // First, since the topics may be looked at by who is given them.
    if let Some(grants) = &provisioning.grants {
        match admin.provide_rights(&grants.principal, &grants.rights).await {
            Ok(given) => {
                if given > 0 {
                    fault::point("effect");
                }
                outcome.wrote("acl", given);
            }
            Err(error) => outcome.problems.push((subject.clone(), error.problem())),
        }
    }
    let fits = topics(&admin, &provisioning.topics, provisioning.as_workers).await;
    for (spec, fit) in provisioning.topics.iter().zip(fits) {
        let subject = spec.sink.as_ref().map_or(subject.clone(), |sink| format!("sink {sink}"));
        match fit {
            Ok((Fit { unfit, warnings }, is_new)) => {
                outcome.wrote("topic", usize::from(is_new));
                outcome.warnings.extend(warnings.into_iter().map(|problem| (subject.clone(), problem)));
                if let Some(problem) = unfit {
                    outcome.forbidden.insert(subject.clone());
                    outcome.problems.push((subject, problem));
                }
            }
            Err(problem) => outcome.problems.push((subject, problem)),
        }
    }
}

/// Makes topics, or judges those that are there; and whether it was made.
pub async fn topics(admin: &Admin, specs: &[TopicSpec], as_workers: bool) -> Vec<Result<(Fit, bool), Problem>> {
    let topics: Vec<_> = specs.iter().map(|spec| topic(admin, spec, as_workers)).collect();
    stream::iter(topics).buffered(TOPICS_AT_ONCE).collect().await
}

/// Makes the topic, or judges the one that is there.
async fn topic(admin: &Admin, spec: &TopicSpec, as_workers: bool) -> Result<(Fit, bool), Problem> {
    let told = |error: KafkaError| error.problem();
    let mut found = look_up(admin, spec, as_workers).await?;
    let is_new = found.is_none();
    if is_new {
        admin.create_topic(&creation(spec)).await.map_err(told)?;
        fault::point("effect");
        // Made as it was wanted; but of the progress topic more is wanted than the manifest can say.
        if spec.kind == TopicKind::Progress {
            found = admin.describe_topic(&spec.name).await.map_err(told)?;
        }
    }
    let Some(found) = found else { return Ok((Fit::default(), is_new)) };
    Ok((topic_fit::judge(spec, found, &settings(admin, spec).await.map_err(told)?), is_new))
}

/// The topic, if it is there. Who may not look is told what he lacks; a worker, what it needs of its topics anyway.
pub async fn look_up(admin: &Admin, spec: &TopicSpec, as_workers: bool) -> Result<Option<TopicMetadata>, Problem> {
    match admin.describe_topic(&spec.name).await {
        Err(error) if as_workers && error.is_not_authorized() => {
            let right = Right::new(AclOperation::Write, AclResource::Topic(spec.name.clone()));
            Err(admin.identity().lacks(&right, "looking up a topic"))
        }
        found => found.map_err(|error| error.problem()),
    }
}

/// The topic as it is to be made.
pub fn creation(spec: &TopicSpec) -> TopicCreation {
    TopicCreation {
        name: spec.name.clone(),
        partitions: spec.partitions,
        replication_factor: spec.replication_factor,
        config: spec.config.clone(),
    }
}

/// The settings of a topic, where anything depends on them. Not to have the right to look is no failure.
pub async fn settings(admin: &Admin, spec: &TopicSpec) -> Result<Settings, KafkaError> {
    if !topic_fit::depends_on_settings(spec) {
        return Ok(Settings::Unasked);
    }
    match admin.topic_config(&spec.name).await {
        Ok(settings) => Ok(Settings::Seen(settings)),
        Err(error) if error.transient() => Err(error),
        Err(error) => Ok(Settings::Hidden(error.problem())),
    }
}

/// The publication holds its tables, or is told what keeps it from that. Tables that do not exist or are not fit are left
/// out: their Sinks tell of them.
///
/// It only adds: what other pools of the SourceConnector, or others at all, have put into it stays there.
pub async fn provide_publication(
    source: &str,
    connection: &PostgresConnectionPlan,
    spec: &PublicationSpec,
    sinks: &[SinkPlan],
    outcome: &mut Outcome,
) {
    if !spec.managed {
        return;
    }
    let subject = format!("source {source}");
    match managed_publication(connection, spec, sinks).await {
        Ok((pending, changed)) => {
            if changed {
                fault::point("effect");
            }
            outcome.pending |= pending;
            outcome.wrote("publication", usize::from(changed));
        }
        Err(problem) => outcome.problems.push((subject, problem)),
    }
}

/// Whether tables were left out, and whether it was made or altered.
async fn managed_publication(
    connection: &PostgresConnectionPlan,
    spec: &PublicationSpec,
    sinks: &[SinkPlan],
) -> Result<(bool, bool), Problem> {
    let told = |error: afterbay_clients::postgres::PostgresError| error.problem();
    let client = sql::connect(connection).await.map_err(told)?;
    let described = tables::describe_all(&client, &spec.tables).await.map_err(told)?;
    let fit = spec.tables.iter().zip(described).filter(|(table, description)| {
        description.as_ref().is_some_and(|description| carried_by_one(description, table, sinks))
    });
    let wanted: Vec<_> = fit.map(|(table, _)| table.clone()).collect();
    let pending = wanted.len() < spec.tables.len();
    let Some(found) = publication::find(&client, &spec.name).await.map_err(told)? else {
        let created = publication::create(&client, &spec.name, &wanted).await;
        return created.map(|()| (pending, true)).map_err(|error| not_made(spec, &error));
    };
    let missing: Vec<_> =
        wanted.into_iter().filter(|table| !found.tables.iter().any(|held| held.table == *table)).collect();
    if missing.is_empty() || found.all_tables {
        return Ok((pending, false));
    }
    if !found.owned {
        return Err(Reason::PublicationNotOwned.problem(
            format!("publication {} does not hold {}, and belongs to role {}", spec.name, list(&missing), found.owner),
            other_owner_hint(spec, &missing, &connection.username),
        ));
    }
    let added = publication::add_tables(&client, &spec.name, &missing, LOCK_TIMEOUT_MS).await;
    added.map(|()| (pending, true)).map_err(|error| not_made(spec, &error))
}

/// Has the publication hold tables of a Sink by patterns, each of which is there and fit; what is refused. One that cannot
/// join keeps no other from it. A publication that is not managed is only looked at.
pub async fn publish(
    client: &SqlClient,
    spec: &PublicationSpec,
    sink: &str,
    wanted: &[TableName],
    connection: &PostgresConnectionPlan,
) -> Result<Vec<(TableName, Problem)>, PostgresError> {
    let mut refused = Vec::new();
    let mut found = publication::find_with(client, &spec.name, wanted).await?;
    if spec.managed {
        if found.is_none() {
            // Without tables: those join one by one where they cannot join together.
            if let Err(error) = publication::create(client, &spec.name, &[]).await {
                return Ok(wanted.iter().map(|table| (table.clone(), not_made(spec, &error))).collect());
            }
            fault::point("effect");
            found = publication::find_with(client, &spec.name, wanted).await?;
        }
        let missing: Vec<_> = match &found {
            Some(found) if !found.all_tables => wanted.iter().filter(|table| !holds(found, table)).cloned().collect(),
            _ => Vec::new(),
        };
        match &found {
            Some(found) if !found.owned => refused.extend(missing.into_iter().map(|table| {
                let alone = std::slice::from_ref(&table);
                let what = format!("publication {} does not hold it, and belongs to role {}", spec.name, found.owner);
                let hint = other_owner_hint(spec, alone, &connection.username);
                (table.clone(), Reason::PublicationNotOwned.problem(what, hint))
            })),
            _ => refused = add(client, spec, &missing).await,
        }
        found = publication::find_with(client, &spec.name, wanted).await?;
    }
    let whole = |table: &TableName| {
        let mut held = found.iter().flat_map(|found| &found.tables);
        held.any(|held| held.table == *table && held.columns.is_none() && held.row_filter.is_none())
    };
    let told: Vec<_> = refused.iter().map(|(table, _)| table.clone()).collect();
    let lacking = wanted.iter().filter(|table| !told.contains(table) && !whole(table));
    let incomplete = |table: &TableName| {
        let (name, table) = (quote::identifier(&spec.name), quote::table(table));
        let hint = format!(
            "run ALTER PUBLICATION {name} ADD TABLE {table}; where it holds a part of it, DROP TABLE {table} first"
        );
        let message = format!("publication {} does not hold it, or not all of it, as Sink {sink} needs", spec.name);
        Reason::PublicationIncomplete.problem(message, hint)
    };
    refused.extend(lacking.map(|table| (table.clone(), incomplete(table))));
    Ok(refused)
}

/// Adds tables, all at once or, where that fails, one by one; what is refused.
async fn add(client: &SqlClient, spec: &PublicationSpec, tables: &[TableName]) -> Vec<(TableName, Problem)> {
    if tables.is_empty() {
        return Vec::new();
    }
    let refusal = |table: &TableName, error: &PostgresError| {
        let alone = PublicationSpec { tables: vec![table.clone()], ..spec.clone() };
        (table.clone(), not_made(&alone, error))
    };
    match (publication::add_tables(client, &spec.name, tables, LOCK_TIMEOUT_MS).await, tables) {
        (Ok(()), _) => {
            fault::point("effect");
            return Vec::new();
        }
        (Err(error), [table]) => return vec![refusal(table, &error)],
        (Err(_), _) => {}
    }
    let mut refused = Vec::new();
    for table in tables {
        let alone = std::slice::from_ref(table);
        if let Err(error) = publication::add_tables(client, &spec.name, alone, LOCK_TIMEOUT_MS).await {
            refused.push(refusal(table, &error));
        } else {
            fault::point("effect");
        }
    }
    refused
}

fn holds(publication: &Publication, table: &TableName) -> bool {
    publication.tables.iter().any(|held| held.table == *table)
}

/// Whether the table is fit for a Sink. Of one that is not the database would refuse updates, if it lacks a
/// replica identity and is published: nobody's application is to fail for a Sink that cannot run anyway.
fn carried_by_one(description: &TableDescription, table: &TableName, sinks: &[SinkPlan]) -> bool {
    let fit = |relation: &RelationPlan| carried::check(description, relation).is_ok();
    sinks.iter().flat_map(|sink| &sink.relations).filter(|relation| relation.table == *table).any(fit)
}

fn list(tables: &[afterbay_crds::plan::TableName]) -> String {
    tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn not_made(spec: &PublicationSpec, error: &afterbay_clients::postgres::PostgresError) -> Problem {
    if error.kind != PostgresErrorKind::NotPermitted {
        return error.problem();
    }
    let told = error.problem();
    Reason::PublicationNotOwned
        .problem(format!("publication {} cannot be made or altered: {}", spec.name, told.message), ownership_hint(spec))
}

/// What to do where the role may not make or alter the publication.
pub fn ownership_hint(spec: &PublicationSpec) -> String {
    format!(
        "let the role own the tables and have CREATE on the database, or make it by hand ({};) and set \
         spec.postgres.publication.managed: false",
        publication::create_sql(&spec.name, &spec.tables)
    )
}

/// What to do where the publication belongs to another role.
pub fn other_owner_hint(spec: &PublicationSpec, missing: &[TableName], role: &str) -> String {
    format!(
        "have its owner run ALTER PUBLICATION {0} ADD TABLE {1}; or ALTER PUBLICATION {0} OWNER TO {2}; or name another in \
         spec.postgres.publication",
        quote::identifier(&spec.name),
        missing.iter().map(quote::table).collect::<Vec<_>>().join(", "),
        quote::identifier(role),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_one_subject_holds_up_no_other_but_sinks_behind_a_connection() {
        let held = |subject: &str| Outcome {
            problems: vec![(subject.to_owned(), Reason::TopicNotFound.problem("", ""))],
            ..Outcome::default()
        };
        assert!(held("sink a/x").holds_up("sink a/x"));
        assert!(!held("sink a/x").holds_up("sink a/y"));
        assert!(!held("source a/s").holds_up("connection a/k"));
        assert!(held("connection a/k").holds_up("sink a/x"));
        assert!(!held("connection a/k").holds_up("source a/s"));
    }
}
