//! A table as a Sink carries it, with the expressions of the Sink compiled.

use afterbay_crds::plan::{Envelope, SinkPlan};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::fitness::{self, Fit};
use afterbay_formats::relation::Relation;
use afterbay_formats::table::TableDescription;

use crate::{HashExpression, QueryError, Scope};

/// What a Sink makes of a table.
#[derive(Debug)]
pub struct Carried {
    /// The relation, its key, its headers.
    pub fit: Fit,
    /// What chooses the partition; none: the key does.
    pub partition_by: Option<HashExpression>,
}

/// Checks a table against what a Sink wants of it; all problems at once.
pub fn check(table: &TableDescription, sink: &SinkPlan) -> Result<Carried, Vec<Problem>> {
    let relation = fitness::relation(table);
    let (partition_by, refused) = match partition_by(&relation, sink).transpose() {
        Ok(expression) => (expression, None),
        Err(error) => (None, Some(problem(&error, sink))),
    };
    match fitness::check(table, sink, &columns(&relation, partition_by.as_ref())) {
        Ok(fit) => match refused {
            None => Ok(Carried { fit, partition_by }),
            Some(problem) => Err(vec![problem]),
        },
        Err(problems) => Err(problems.into_iter().chain(refused).collect()),
    }
}

/// As [`check`], before a Sink begins: also what does not keep one that has begun.
pub fn check_anew(table: &TableDescription, sink: &SinkPlan) -> Result<Carried, Vec<Problem>> {
    let carried = check(table, sink)?;
    match fitness::documents_nothing(table, sink) {
        None => Ok(carried),
        Some(problem) => Err(vec![problem]),
    }
}

/// What has come to keep a table from being carried that was fit, and does not show in the stream.
pub fn unfit_since(table: &TableDescription, sink: &SinkPlan) -> Option<Problem> {
    let relation = fitness::relation(table);
    // An expression that does not fit the columns any more shows when those do, in the stream.
    let partition_by = partition_by(&relation, sink).and_then(Result::ok);
    fitness::unfit_since(table, sink, &columns(&relation, partition_by.as_ref()))
}

fn partition_by(relation: &Relation, sink: &SinkPlan) -> Option<Result<HashExpression, QueryError>> {
    let sql = sink.partition_by.as_deref()?;
    let is_key = |name: &str| sink.key_columns.iter().any(|key| key == name);
    let numbered = relation.columns.iter().enumerate();
    let key: Vec<usize> = numbered.filter(|(_, column)| is_key(&column.name)).map(|(index, _)| index).collect();
    let scope = match sink.envelope {
        Envelope::Upsert => Scope::AllColumns,
        Envelope::Debezium => Scope::KeyColumns(&key),
    };
    Some(HashExpression::compile(sql, relation, scope))
}

fn columns<'r>(relation: &'r Relation, expression: Option<&HashExpression>) -> Vec<&'r str> {
    let columns = expression.map(HashExpression::columns).unwrap_or_default();
    columns.iter().filter_map(|column| relation.columns.get(*column)).map(|column| column.name.as_str()).collect()
}

fn problem(error: &QueryError, sink: &SinkPlan) -> Problem {
    let hint = error.hint.clone().unwrap_or_else(|| "correct spec.kafka.partitionBy".to_owned());
    Reason::ExpressionInvalid.problem(format!("partitionBy of table {}: {error}", sink.table), hint)
}
