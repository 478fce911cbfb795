//! A table as a Sink carries it, with the query and the expressions of the Sink compiled.

use afterbay_crds::plan::{Envelope, RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::documentation::Comments;
use afterbay_formats::fitness::{self, Derived, DerivedColumn, Fit, Source};
use afterbay_formats::relation::{Column, Relation};
use afterbay_formats::table::{ColumnDescription, TableDescription, UniqueKey};

use crate::{CompiledQuery, HashExpression, Query, QueryError, Scope};

/// What a Sink makes of a table.
#[derive(Debug)]
pub struct Carried {
    /// What messages are made of: the columns of the table or of the query, the key, the headers.
    pub fit: Fit,
    /// What the database says of them.
    pub comments: Comments,
    /// What makes the rows; none: they are those of the table.
    pub projection: Option<Projection>,
    /// What chooses the partition.
    pub partition_by: Option<HashExpression>,
}

/// A Sink's query over a table.
#[derive(Clone, Debug)]
pub struct Projection {
    /// What becomes of a row.
    pub rows: CompiledQuery,
    /// What is needed of one that an update or a deletion leaves behind: under the upsert envelope its key, its headers, its
    /// partition and whether it passed. The log may hold no more of it.
    pub old_rows: CompiledQuery,
}

/// A query that fits a table.
struct Selected {
    query: Query,
    rows: CompiledQuery,
    derived: Derived,
}

/// Checks a table against what a Sink wants of it; all problems at once.
pub fn check(table: &TableDescription, sink: &RelationPlan) -> Result<Carried, Vec<Problem>> {
    judge(table, sink, |_| None)
}

/// As [`check`], before a Sink begins: also what does not keep one that has begun.
pub fn check_anew(table: &TableDescription, sink: &RelationPlan) -> Result<Carried, Vec<Problem>> {
    judge(table, sink, |source| fitness::documents_nothing(source, sink))
}

fn judge(
    table: &TableDescription,
    sink: &RelationPlan,
    besides: impl FnOnce(Source<'_>) -> Option<Problem>,
) -> Result<Carried, Vec<Problem>> {
    // A view has columns, too, and a query over it could be compiled.
    if let Some(problem) = fitness::unfit(table) {
        return Err(vec![problem]);
    }
    let selected = selected(table, sink).map_err(|problem| vec![problem])?;
    let source = Source { table, derived: selected.as_ref().map(|selected| &selected.derived) };
    let relation = match &selected {
        Some(selected) => selected.rows.relation().clone(),
        None => fitness::relation(table),
    };
    let (partition_by, refused) = match partition_by(&relation, sink).transpose() {
        Ok(expression) => (expression, None),
        Err(error) => (None, Some(problem(&error, sink))),
    };
    let fit = fitness::check(source, sink, &columns(&relation, partition_by.as_ref()));
    let fit = match (fit, refused) {
        (Ok(fit), None) => fit,
        (Ok(_), Some(problem)) => return Err(vec![problem]),
        (Err(problems), refused) => return Err(problems.into_iter().chain(refused).collect()),
    };
    if let Some(problem) = besides(source) {
        return Err(vec![problem]);
    }
    let comments = source.derived.map_or(&table.comments, |derived| &derived.outputs.comments).clone();
    let projection = match selected {
        Some(Selected { query, rows, .. }) => {
            let old_rows = match sink.envelope {
                Envelope::Debezium => rows.clone(),
                Envelope::Upsert => {
                    let mut asked = fit.key.clone();
                    asked.extend(fit.headers);
                    asked.extend(partition_by.iter().flat_map(HashExpression::columns));
                    let only = query.compile_only(&fitness::relation(table), &asked);
                    only.map_err(|error| vec![query_problem(&error, &sink.table)])?
                }
            };
            Some(Projection { rows, old_rows })
        }
        None => None,
    };
    Ok(Carried { fit, comments, projection, partition_by })
}

/// What has come to keep a table from being carried that was fit, and does not show in the stream.
pub fn unfit_since(table: &TableDescription, sink: &RelationPlan) -> Option<Problem> {
    // A query or an expression that does not fit the columns any more shows when those do, in the stream.
    let Ok(selected) = selected(table, sink) else { return fitness::unfit(table) };
    let source = Source { table, derived: selected.as_ref().map(|selected| &selected.derived) };
    let relation = match &selected {
        Some(selected) => selected.rows.relation().clone(),
        None => fitness::relation(table),
    };
    let partition_by = partition_by(&relation, sink).and_then(Result::ok);
    fitness::unfit_since(source, sink, &columns(&relation, partition_by.as_ref()))
}

/// The table's columns that the columns of the Sink's key are, as far as they are such.
pub fn key_of_table(table: &TableDescription, sink: &RelationPlan) -> Result<Vec<String>, Problem> {
    let Some(selected) = selected(table, sink)? else { return Ok(sink.key_columns.clone()) };
    let Derived { outputs, columns, .. } = &selected.derived;
    let named = outputs.columns.iter().zip(columns).filter(|(output, _)| sink.key_columns.contains(&output.name));
    Ok(named.filter_map(|(_, column)| column.origin.clone()).collect())
}

fn selected(table: &TableDescription, sink: &RelationPlan) -> Result<Option<Selected>, Problem> {
    let Some(sql) = sink.query.as_deref() else { return Ok(None) };
    let refused = |error: QueryError| query_problem(&error, &sink.table);
    let query = Query::parse(sql).map_err(refused)?;
    let relation = fitness::relation(table);
    let keys: Vec<_> = table.unique_keys.iter().map(|key| key.columns.clone()).collect();
    let rows = query.compile(&relation, &keys);
    let rows = rows.map_err(|error| generated(&query, table, sink).unwrap_or_else(|| refused(error)))?;
    let derived = derived(table, &relation, &rows);
    Ok(Some(Selected { query, rows, derived }))
}

/// The query fits the table with the columns that the stream does not bring, and no better.
fn generated(query: &Query, table: &TableDescription, sink: &RelationPlan) -> Option<Problem> {
    let column = |column: &ColumnDescription| Column {
        name: column.name.clone(),
        sql_type: column.sql_type.clone(),
        nullable: !column.not_null,
    };
    let columns = table.columns.iter().map(column).collect();
    let whole = Relation { schema: table.schema.clone(), name: table.name.clone(), columns };
    let compiled = query.compile(&whole, &[]).ok()?;
    let read = compiled.source_columns().iter().filter_map(|column| table.columns.get(*column));
    let column = read.into_iter().find(|column| column.generated)?;
    Some(Reason::QueryInvalid.problem(
        format!(
            "query over table {}: column \"{}\" is a generated column, which is not replicated",
            sink.table, column.name
        ),
        "compute it in the query, out of the columns that it is generated from",
    ))
}

fn derived(table: &TableDescription, relation: &Relation, query: &CompiledQuery) -> Derived {
    let name = |column: usize| relation.columns.get(column).map(|column| column.name.clone());
    let names = |columns: &[usize]| columns.iter().filter_map(|column| name(*column)).collect::<Vec<_>>();
    let described = |name: &str| table.columns.iter().find(|column| column.name == name);
    let mut outputs = TableDescription { columns: Vec::new(), unique_keys: Vec::new(), ..table.clone() };
    let mut columns = Vec::new();
    for (at, output) in query.relation().columns.iter().enumerate() {
        let origin = query.column_origin(at).and_then(name);
        let of_table = origin.as_deref().and_then(described);
        outputs.columns.push(ColumnDescription {
            name: output.name.clone(),
            attnum: i16::try_from(at + 1).unwrap_or(i16::MAX),
            type_oid: of_table.map_or(0, |column| column.type_oid),
            typmod: of_table.map_or(-1, |column| column.typmod),
            sql_type: output.sql_type.clone(),
            not_null: !output.nullable,
            generated: false,
            can_toast: of_table.is_some_and(|column| column.can_toast),
        });
        columns.push(DerivedColumn { origin, behind: names(query.behind(at)) });
    }
    let keys = query.unique_keys().iter().map(|columns| UniqueKey { columns: columns.clone(), primary: false });
    outputs.unique_keys = keys.collect();
    let said: Vec<_> = outputs
        .columns
        .iter()
        .zip(&columns)
        .map(|(output, column)| (output.name.as_str(), column.origin.as_deref()))
        .collect();
    outputs.comments = table.comments.through(&relation.full_name(), &said);
    Derived { outputs, columns, filter: names(query.filter_columns()), read: names(query.source_columns()) }
}

fn partition_by(relation: &Relation, sink: &RelationPlan) -> Option<Result<HashExpression, QueryError>> {
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

fn problem(error: &QueryError, sink: &RelationPlan) -> Problem {
    let hint = error.hint.clone().unwrap_or_else(|| "correct spec.kafka.partitionBy".to_owned());
    Reason::ExpressionInvalid.problem(format!("partitionBy of table {}: {error}", sink.table), hint)
}

fn query_problem(error: &QueryError, table: &TableName) -> Problem {
    let hint = error.hint.clone().unwrap_or_else(|| "correct spec.source.query".to_owned());
    Reason::QueryInvalid.problem(format!("query over table {table}: {error}"), hint)
}

#[cfg(test)]
mod tests;
