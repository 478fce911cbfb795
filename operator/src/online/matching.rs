//! What the patterns of Sinks match: what is carried, and what is left out and why.

use afterbay_clients::postgres::catalogue::publication;
use afterbay_clients::postgres::{PostgresError, sql};
use afterbay_crds::plan::RelationPlan;
use afterbay_crds::resolve::{PublicationSpec, Worker};

use super::{DEADLINE, Finding, publication_problem};
use crate::tables::{self, Carried, Choice};

const FIELD: &str = "spec.source.tables";

/// Finds the tables of a worker's Sinks by patterns and has it carry them, so that the topics are asked for, too. A source
/// that does not answer is told elsewhere.
pub(super) async fn find(worker: &mut Worker) -> Vec<Finding> {
    if !tables::has_patterns(worker) {
        return Vec::new();
    }
    let Ok(Ok(choices)) = tokio::time::timeout(DEADLINE, choose(worker)).await else { return Vec::new() };
    let mut findings = Vec::new();
    for Choice { sink, relations, left_out } in choices {
        let Some(place) = worker.sinks.get(sink).map(|sink| sink.place.clone()) else { continue };
        if relations.is_empty() && left_out.is_empty() {
            findings.push(Finding::warning(&place, FIELD, tables::nothing_matches()));
        }
        let left_out = left_out.into_iter().map(|left_out| Finding::warning(&place, FIELD, left_out.problem));
        findings.extend(left_out);
        findings.extend(relations.iter().map(|relation| Finding::note(&place, FIELD, in_words(relation))));
        worker.carry(sink, relations);
    }
    findings
}

fn in_words(relation: &RelationPlan) -> String {
    let key = relation.key_columns.join(", ");
    let key = if key.is_empty() { String::new() } else { format!(", its key is {key}") };
    format!("table {} goes into topic {}{key}", relation.table, relation.topic)
}

async fn choose(worker: &Worker) -> Result<Vec<Choice>, PostgresError> {
    let source = &worker.plan.source;
    let client = sql::connect(&source.connection).await?;
    let mut choices = tables::choose(&client, worker, &Carried::default()).await?;
    let found = publication::find(&client, &worker.provisioning.publication.name).await?;
    for choice in &mut choices {
        let mut refused = Vec::new();
        for RelationPlan { table, .. } in &choice.relations {
            let alone = PublicationSpec { tables: vec![table.clone()], ..worker.provisioning.publication.clone() };
            let problem = publication_problem(&client, &alone, found.as_ref(), &source.connection.username).await?;
            refused.extend(problem.map(|problem| (table.clone(), problem)));
        }
        choice.leave_out(refused);
    }
    Ok(choices)
}
