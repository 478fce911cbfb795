//! `afterbay validate`: what is wrong with manifests, alone or held against the real systems.

mod matching;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::time::Duration;

use afterbay_clients::kafka::admin::{Admin, TopicRights};
use afterbay_clients::postgres::catalogue::publication::{self, Publication};
use afterbay_clients::postgres::catalogue::{server, slot, table};
use afterbay_clients::postgres::quote;
use afterbay_clients::postgres::sql;
use afterbay_clients::registry::RegistryClient;
use afterbay_crds::manifest::{ManifestError, Manifests, Place};
use afterbay_crds::plan::{Plan, RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{
    KafkaProvisioning, PublicationSpec, ResolveSettings, TopicKind, TopicSpec, Worker, resolve,
};
use afterbay_crds::rights::{AclOperation, AclResource, Right};
use afterbay_formats::fitness;
use afterbay_queries::carried;
use anyhow::Context as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::cli::{self, Output, ValidateArguments};
use crate::dereference;
use crate::provision;
use crate::run::signalled;
use crate::state::StateDir;
use crate::topic_fit;
use crate::transaction_fit;

/// How long one system may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Something that a real system says about a manifest.
struct Finding {
    place: Place,
    field: &'static str,
    problem: Problem,
    severity: Severity,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    /// It stops nothing.
    Warning,
    /// It is as it should be, and good to know.
    Note,
}

impl Finding {
    fn new(place: &Place, field: &'static str, problem: Problem) -> Self {
        Self { place: place.clone(), field, problem, severity: Severity::Error }
    }

    fn warning(place: &Place, field: &'static str, problem: Problem) -> Self {
        Self { severity: Severity::Warning, ..Self::new(place, field, problem) }
    }

    fn note(place: &Place, field: &'static str, what: String) -> Self {
        let problem = Problem { reason: String::new(), message: what, hint: String::new() };
        Self { severity: Severity::Note, ..Self::new(place, field, problem) }
    }
}

/// What there is to say; sorted, and nothing twice.
#[derive(Default)]
struct Verdict {
    errors: BTreeSet<ManifestError>,
    warnings: BTreeSet<ManifestError>,
    notes: BTreeSet<ManifestError>,
}

impl Verdict {
    fn take_in(&mut self, finding: Finding) {
        let Finding { place, field, problem: Problem { reason, message, hint }, severity } = finding;
        let message = if severity == Severity::Note { message } else { format!("{reason}: {message}") };
        let said = place.error(field, message, hint);
        match severity {
            Severity::Error => self.errors.insert(said),
            Severity::Warning => self.warnings.insert(said),
            Severity::Note => self.notes.insert(said),
        };
    }
}

/// Says what is wrong; exit status 1 where anything is.
pub async fn validate(arguments: ValidateArguments) -> anyhow::Result<ExitCode> {
    let (manifests, errors) = dereference::manifests(&arguments.manifests, false);
    let mut verdict = Verdict { errors: errors.into_iter().collect(), ..Verdict::default() };
    if verdict.errors.is_empty() && arguments.online {
        verdict = tokio::select! {
            verdict = online(&manifests, &arguments.manifests.instance) => verdict?,
            // Not left to the signal's default, by which the secrets would stay.
            () = signalled() => anyhow::bail!("interrupted"),
        };
    }
    let Verdict { errors, warnings, notes } = &verdict;
    let said = errors.iter().map(|said| ("error", said)).chain(warnings.iter().map(|said| ("warning", said)));
    match arguments.output {
        Output::Json => {
            for (severity, said) in said.chain(notes.iter().map(|said| ("note", said))) {
                let mut line = serde_json::to_value(said)?;
                line["severity"] = severity.into();
                cli::print(&format!("{line}\n"))?;
            }
            let (errors, warnings) = (errors.len(), warnings.len());
            let last = json!({"errors": errors, "warnings": warnings, "sinks": manifests.sinks.len()});
            cli::print(&format!("{last}\n"))?;
        }
        Output::Text => {
            said.for_each(|(severity, said)| eprintln!("{severity}: {said}"));
            for note in notes {
                cli::print(&format!("{}: {}: {}\n", note.place, note.field, note.what))?;
            }
            match errors.len() {
                0 => cli::print(&format!("{} valid\n", summary(&manifests)))?,
                1 => eprintln!("1 error"),
                count => eprintln!("{count} errors"),
            }
        }
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(manifests: &Manifests) -> String {
    let counted = |count: usize, kind: &str| (count > 0).then(|| format!("{count} {kind}"));
    let all = [
        counted(manifests.sinks.len(), "Sink(s)"),
        counted(manifests.sources.len(), "SourceConnector(s)"),
        counted(manifests.kafka_connections.len(), "KafkaConnection(s)"),
        counted(manifests.registries.len(), "SchemaRegistryConnection(s)"),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Asks the real systems, side by side; one that does not answer hides nothing of another.
async fn online(manifests: &Manifests, instance: &str) -> anyhow::Result<Verdict> {
    // Clients read secrets from files, here as in a run. Removed when it is dropped, which is after `state` is.
    let folder = temporary_folder().context("cannot make a temporary directory for the secrets; set TMPDIR")?;
    let state = StateDir::hold(folder.path())?;
    let settings = ResolveSettings {
        instance: instance.to_owned(),
        secrets_dir: state.secrets(),
        listen: String::new(),
        begun: BTreeSet::new(),
    };
    let workers = resolve(manifests, &settings);
    let mut asked = JoinSet::new();
    let mut verdict = Verdict::default();
    for mut worker in workers {
        state.keep_secrets(&worker.secrets)?;
        matching::find(&mut worker).await.into_iter().for_each(|finding| verdict.take_in(finding));
        for kafka in worker.provisioning.kafka.clone() {
            asked.spawn(kafka_findings(kafka, worker.plan.clone(), places(&worker)));
        }
        asked.spawn(registry_findings(worker.plan.clone(), places(&worker), registry_places(manifests)));
        asked.spawn(postgres_findings(worker));
    }
    while let Some(findings) = asked.join_next().await {
        findings?.into_iter().for_each(|finding| verdict.take_in(finding));
    }
    Ok(verdict)
}

/// A new directory, of a name that nobody can foretell and in which nobody else reads or writes.
fn temporary_folder() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("afterbay-validate-").permissions(Permissions::from_mode(0o700)).tempdir()
}

type Places = Vec<(String, Place)>;

/// The Sinks' places by name.
fn places(worker: &Worker) -> Places {
    worker.sinks.iter().map(|sink| (sink.name.to_string(), sink.place.clone())).collect()
}

fn registry_places(manifests: &Manifests) -> Places {
    manifests.registries.iter().map(|(name, registry)| (name.to_string(), registry.place.clone())).collect()
}

fn place_of(places: &Places, name: &str) -> Place {
    let found = places.iter().find(|(known, _)| known == name).map(|(_, place)| place.clone());
    found.unwrap_or_else(|| Place::file(name))
}

async fn kafka_findings(kafka: KafkaProvisioning, plan: Plan, sinks: Places) -> Vec<Finding> {
    let mut findings = Vec::new();
    let at_connection = |field, problem| Finding::new(&kafka.place, field, problem);
    let admin = match Admin::new(&kafka.connection) {
        Ok(admin) => admin,
        Err(error) => return vec![at_connection("spec", error.problem())],
    };
    if let Err(error) = admin.check_connection().await {
        let problem = error.problem();
        let field = match problem.reason.as_str() {
            "KafkaAuthenticationFailed" => "spec.authentication",
            "KafkaTlsFailed" => "spec.tls",
            _ => "spec.bootstrapServers",
        };
        return vec![at_connection(field, problem)];
    }
    // Where the brokers do not tell, they will refuse it when it is run.
    if let Ok(Some(longest)) = admin.broker_config(transaction_fit::LONGEST).await
        && let Ok(longest_ms) = longest.parse()
    {
        for sink in plan.sinks.iter().filter(|sink| sink.kafka.connection.name == kafka.connection.name) {
            let problem = transaction_fit::judge(sink.kafka.commit.timeout_ms, longest_ms);
            let place = place_of(&sinks, &sink.name);
            findings.extend(problem.map(|problem| Finding::new(&place, "spec.kafka.commit.timeout", problem)));
        }
    }
    let worker =
        plan.sinks.iter().map(|sink| &sink.kafka.connection).find(|worker| worker.name == kafka.connection.name);
    // Rights that are managed are given when it is run.
    let worker = worker.filter(|_| kafka.grants.is_none()).and_then(|worker| Admin::new(worker).ok());
    for topic in &kafka.topics {
        let (place, field) = match &topic.sink {
            Some(sink) => (place_of(&sinks, sink), "spec.kafka.topic"),
            None => (kafka.place.clone(), "spec.progressTopic"),
        };
        let (problems, warnings) = topic_findings(&admin, worker.as_ref(), &kafka, topic).await;
        findings.extend(problems.into_iter().map(|problem| Finding::new(&place, field, problem)));
        findings.extend(warnings.into_iter().map(|problem| Finding::warning(&place, field, problem)));
    }
    findings
}

/// What stands against a topic, and what there is to know about it.
async fn topic_findings(
    admin: &Admin,
    worker: Option<&Admin>,
    kafka: &KafkaProvisioning,
    topic: &TopicSpec,
) -> (Vec<Problem>, Vec<Problem>) {
    let found = match provision::look_up(admin, topic, kafka.as_workers).await {
        Ok(Some(found)) => found,
        // It is made when it is run, if the broker lets it.
        Ok(None) => {
            let refused = admin.try_topic(&provision::creation(topic)).await.err();
            return (refused.map(|error| error.problem()).into_iter().collect(), Vec::new());
        }
        Err(problem) => return (vec![problem], Vec::new()),
    };
    let fit = match provision::settings(admin, topic).await {
        Ok(settings) => topic_fit::judge(topic, found, &settings),
        Err(error) => return (vec![error.problem()], Vec::new()),
    };
    let lacks = match worker {
        Some(worker) => missing_rights(worker, topic).await,
        None => Vec::new(),
    };
    (fit.unfit.into_iter().chain(lacks).collect(), fit.warnings)
}

/// What the workers lack of the rights on a topic that is there. Where the brokers do not tell, it is not known before.
async fn missing_rights(worker: &Admin, topic: &TopicSpec) -> Vec<Problem> {
    let rights = match worker.topic_rights(&topic.name).await {
        Ok(Some(rights)) => rights,
        Err(error) if error.is_not_authorized() => TopicRights { read: false, write: false, describe_configs: false },
        _ => return Vec::new(),
    };
    let reads = topic.kind == TopicKind::Progress;
    let needed = [(AclOperation::Read, !reads || rights.read), (AclOperation::Write, rights.write)];
    let missing = needed.into_iter().filter(|(_, may)| !may);
    let right = |operation| Right::new(operation, AclResource::Topic(topic.name.clone()));
    missing.map(|(operation, _)| worker.identity().lacks(&right(operation), "a worker needs it")).collect()
}

async fn registry_findings(plan: Plan, sinks: Places, registries: Places) -> Vec<Finding> {
    let mut findings = Vec::new();
    for sink in &plan.sinks {
        let mut asked = BTreeSet::new();
        for registry in sink.avro().map(|avro| &avro.registry).filter(|registry| asked.insert(&registry.name)) {
            let problem = match RegistryClient::new(registry) {
                Ok(client) => match tokio::time::timeout(DEADLINE, client.check()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.problem(),
                    Err(_) => late("the schema registry", Reason::RegistryUnreachable),
                },
                Err(error) => error.problem(),
            };
            let known = registries.iter().any(|(name, _)| *name == registry.name);
            let (place, field) = if known {
                (place_of(&registries, &registry.name), "spec")
            } else {
                (place_of(&sinks, &sink.name), "spec.kafka.format")
            };
            findings.push(Finding::new(&place, field, problem));
        }
    }
    findings
}

async fn postgres_findings(worker: Worker) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sinks = places(&worker);
    let asked = tokio::time::timeout(DEADLINE, ask_postgres(&worker, &sinks, &mut findings)).await;
    let problem = match asked {
        Ok(Ok(())) => return findings,
        Ok(Err(error)) => error.problem(),
        Err(_) => late("the database", Reason::SourceUnreachable),
    };
    let field = match problem.reason.as_str() {
        "SourceAuthenticationFailed" => "spec.postgres.authentication",
        "SourceTlsFailed" => "spec.postgres.tls",
        "DatabaseNotFound" => "spec.postgres.database",
        _ => "spec.postgres",
    };
    findings.push(Finding::new(&worker.place, field, problem));
    findings
}

fn late(who: &str, reason: Reason) -> Problem {
    reason.problem(
        format!("{who} did not answer within {} s", DEADLINE.as_secs()),
        "check the network, and whether it runs",
    )
}

async fn ask_postgres(
    worker: &Worker,
    sinks: &Places,
    findings: &mut Vec<Finding>,
) -> Result<(), afterbay_clients::postgres::PostgresError> {
    let source = &worker.plan.source;
    let client = sql::connect(&source.connection).await?;
    let facts = server::facts(&client).await?;
    let at_source = |field, problem| Finding::new(&worker.place, field, problem);
    findings.extend(facts.problems(&client).into_iter().map(|problem| at_source("spec.postgres", problem)));
    if source.failover_slot {
        findings.extend(facts.failover(&client).map(|problem| at_source("spec.postgres.slot.failover", problem)));
    }
    let by_name = worker.plan.sinks.iter().filter(|sink| !sink.by_pattern);
    let relations: Vec<_> = by_name.flat_map(|sink| sink.relations.iter().map(move |it| (sink, it))).collect();
    // What cannot be published of what patterns match is left out, and told as that.
    let mut tables: Vec<_> = relations.iter().map(|(_, relation)| relation.table.clone()).collect();
    tables.sort();
    tables.dedup();
    let wanted = &PublicationSpec { tables, ..worker.provisioning.publication.clone() };
    let found = publication::find(&client, &wanted.name).await?;
    if let Some(problem) = publication_problem(&client, wanted, found.as_ref(), &facts.role).await? {
        findings.push(at_source("spec.postgres.publication", problem));
    }
    if let Some(status) = slot::status(&client, &source.slot).await?
        && status.plugin.as_deref() != Some("pgoutput")
    {
        let message = format!("replication slot {} is not one of pgoutput", source.slot);
        findings.push(at_source("spec.postgres.slot", Reason::SlotUnfit.problem(message, "choose another name")));
    }
    for (sink, relation) in relations {
        for (field, problem) in relation_problems(&client, &facts, relation).await? {
            findings.push(Finding::new(&place_of(sinks, &sink.name), field, problem));
        }
    }
    Ok(())
}

/// What keeps the publication from holding its tables, or from being made to hold them when it is run.
async fn publication_problem(
    client: &sql::SqlClient,
    wanted: &PublicationSpec,
    found: Option<&Publication>,
    role: &str,
) -> Result<Option<Problem>, afterbay_clients::postgres::PostgresError> {
    let held = |table: &TableName| found.is_some_and(|found| found.tables.iter().any(|held| held.table == *table));
    let missing: Vec<_> = wanted.tables.iter().filter(|table| !held(table)).cloned().collect();
    let names = |tables: &[TableName]| tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let lacks = format!("publication {} does not hold table {}", wanted.name, names(&missing));
    Ok(match found {
        Some(_) if missing.is_empty() => None,
        None if !wanted.managed => Some(Reason::PublicationIncomplete.problem(
            format!("there is no publication {}", wanted.name),
            format!("run {};", publication::create_sql(&wanted.name, &wanted.tables)),
        )),
        Some(found) if !wanted.managed => {
            let tables = missing.iter().map(quote::table).collect::<Vec<_>>().join(", ");
            let alter = format!("run ALTER PUBLICATION {} ADD TABLE {tables};", quote::identifier(&found.name));
            Some(Reason::PublicationIncomplete.problem(lacks, alter))
        }
        Some(found) if !found.owned => Some(Reason::PublicationNotOwned.problem(
            format!("{lacks}, and belongs to role {}", found.owner),
            provision::other_owner_hint(wanted, &missing, role),
        )),
        None if !publication::may_create(client).await? => Some(Reason::PublicationNotOwned.problem(
            format!("role \"{role}\" may not make publication {}", wanted.name),
            provision::ownership_hint(wanted),
        )),
        _ => {
            let others = others_tables(client, &missing).await?;
            (!others.is_empty()).then(|| {
                let what = format!("publication {} cannot be made to hold table {}", wanted.name, names(&others));
                let message = format!("{what}, which role \"{role}\" does not own");
                Reason::PublicationNotOwned.problem(message, provision::ownership_hint(wanted))
            })
        }
    })
}

/// Those of the tables that are there and belong to another role.
async fn others_tables(
    client: &sql::SqlClient,
    tables: &[TableName],
) -> Result<Vec<TableName>, afterbay_clients::postgres::PostgresError> {
    let mut others = Vec::new();
    for wanted in tables {
        if let Some(description) = table::describe(client, wanted).await?
            && let Some(access) = server::table_access(client, description.oid).await?
            && !access.owned
        {
            others.push(wanted.clone());
        }
    }
    Ok(others)
}

async fn relation_problems(
    client: &sql::SqlClient,
    facts: &server::ServerFacts,
    relation: &RelationPlan,
) -> Result<Vec<(&'static str, Problem)>, afterbay_clients::postgres::PostgresError> {
    let Some(description) = table::describe(client, &relation.table).await? else {
        let similar = table::similar(client, &relation.table).await?;
        return Ok(vec![(carried_from(relation), fitness::table_not_found(&relation.table, &similar))]);
    };
    let mut problems = Vec::new();
    if let Some(access) = server::table_access(client, description.oid).await? {
        problems.extend(
            access.problems(facts, &relation.table).into_iter().map(|problem| (carried_from(relation), problem)),
        );
    }
    if let Err(unfit) = carried::check_anew(&description, relation) {
        problems.extend(unfit.into_iter().map(|problem| {
            let field = match problem.reason.as_str() {
                "ColumnNotFound" | "KeyNotUnique" => "spec.key.columns",
                "FormatUnfit" => "spec.kafka.format",
                "ExpressionInvalid" => "spec.kafka.partitionBy",
                _ => carried_from(relation),
            };
            (field, problem)
        }));
    }
    Ok(problems)
}

/// The field that names the table.
fn carried_from(relation: &RelationPlan) -> &'static str {
    if relation.query.is_some() { "spec.source.query" } else { "spec.source.table" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_the_secrets_is_new_and_closed_to_others() {
        let foretold = std::env::temp_dir().join(format!("afterbay-validate-{}", std::process::id()));
        std::fs::create_dir(&foretold).unwrap();
        let (one, other) = (temporary_folder().unwrap(), temporary_folder().unwrap());
        let unused = std::fs::read_dir(&foretold).unwrap().count() == 0;
        std::fs::remove_dir(&foretold).unwrap();
        assert!(unused && one.path() != foretold && one.path() != other.path());
        assert_eq!(std::fs::metadata(one.path()).unwrap().permissions().mode() & 0o7777, 0o700);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }
}
