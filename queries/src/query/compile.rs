//! From a query as it is written to one that is ready to run.

use afterbay_formats::relation::{Column, Relation};
use datafusion_physical_expr::expressions::Column as InputColumn;
use sqlparser::ast::{Expr, Ident, Spanned as _};
use sqlparser::tokenizer::Span;

use super::{CompiledQuery, Computed, Filter, Output};
use crate::bind::{Binder, Bound, Origin, Scope};
use crate::call::Expression;
use crate::error::QueryError;
use crate::inputs::Inputs;
use crate::names;
use crate::refusals::function_name;
use crate::statement::{Item, Query};

/// What is known of the outputs so far.
#[derive(Default)]
struct Outputs<'a> {
    /// Which are asked for; none: all.
    asked: Option<&'a [usize]>,
    columns: Vec<Column>,
    sources: Vec<Output>,
    behind: Vec<Vec<usize>>,
}

impl Outputs<'_> {
    /// Whether the one that comes next is asked for.
    fn is_asked(&self) -> bool {
        self.asked.is_none_or(|asked| asked.contains(&self.columns.len()))
    }

    fn add(&mut self, column: Column, output: Output, behind: Vec<usize>, place: Span) -> Result<(), QueryError> {
        if self.columns.iter().any(|known| known.name == column.name) {
            return Err(QueryError::new(format!("there are two columns with the name \"{}\"", column.name))
                .hint("give one of them another name with AS")
                .at(place));
        }
        self.sources.push(if self.is_asked() { output } else { Output::Unasked });
        self.columns.push(column);
        self.behind.push(behind);
        Ok(())
    }
}

impl Query {
    /// Finds the query's columns in the table, and derives those that it gives. `unique_keys` are the keys of the table
    /// that are known to be unique, by their columns.
    pub fn compile(&self, table: &Relation, unique_keys: &[Vec<String>]) -> Result<CompiledQuery, QueryError> {
        self.compile_for(table, unique_keys, None)
    }

    /// As [`Self::compile`], for rows of which only these outputs are asked for (as indexes), and whether they pass: the
    /// others are neither read nor computed, and are NULL.
    pub fn compile_only(&self, table: &Relation, outputs: &[usize]) -> Result<CompiledQuery, QueryError> {
        self.compile_for(table, &[], Some(outputs))
    }

    fn compile_for(
        &self,
        table: &Relation,
        unique_keys: &[Vec<String>],
        asked: Option<&[usize]>,
    ) -> Result<CompiledQuery, QueryError> {
        let filter = self.condition().map(|condition| self.filter(condition, table)).transpose()?;
        let mut binder = Binder::new(table, self.alias(), Scope::AllColumns);
        let mut outputs = Outputs { asked, ..Outputs::default() };
        let mut computed: Vec<Computed> = Vec::new();
        for item in self.projection() {
            match item {
                Item::All(qualifier) => {
                    if let Some(qualifier) = qualifier
                        && !binder.is_table(qualifier)
                    {
                        return Err(QueryError::new(format!("there is no table \"{}\" here", qualifier.join("."))));
                    }
                    for (at, column) in table.columns.iter().enumerate() {
                        outputs.add(column.clone(), Output::Column(at), vec![at], Span::empty())?;
                    }
                }
                Item::Expression(expr, alias) => {
                    // What is bound is read: of an output that nobody asks for only the type is wanted.
                    let mut aside = Binder::new(table, self.alias(), Scope::AllColumns);
                    let is_asked = outputs.is_asked();
                    let binder = if is_asked { &mut binder } else { &mut aside };
                    let bound = binder.bind(expr)?;
                    let name = name_of(expr, alias.as_ref()).map_err(|error| error.at(expr.span()))?;
                    if let Origin::Column(at) = bound.origin {
                        let column = Column { name, ..table.columns[at].clone() };
                        outputs.add(column, Output::Column(at), vec![at], expr.span())?;
                        continue;
                    }
                    let expression = binder.expression(&bound);
                    let Bound { sql_type, nullable, .. } = bound;
                    let mut reads = Vec::new();
                    inputs_of(&expression, &mut reads);
                    let behind = reads.iter().filter_map(|input| binder.inputs.column(*input)).collect();
                    let column = Column { name: name.clone(), sql_type: sql_type.clone(), nullable };
                    outputs.add(column, Output::Computed(computed.len()), behind, expr.span())?;
                    if is_asked {
                        computed.push(Computed { expression, sql_type, name, reads });
                    }
                }
            }
        }
        let Outputs { columns, sources: outputs, behind, .. } = outputs;
        let relation = Relation { schema: table.schema.clone(), name: table.name.clone(), columns };
        let mut inputs = binder.inputs;
        let filter_columns = filter.as_ref().map(|filter| filter.inputs.columns()).unwrap_or_default();
        let unique_keys = unique_keys.iter().filter_map(|key| renamed(key, table, &relation, &outputs)).collect();
        Ok(CompiledQuery {
            source_columns: source_columns(&inputs, &filter_columns, &outputs),
            schema: inputs.schema(),
            relation,
            unique_keys,
            outputs,
            behind,
            filter,
            computed,
            inputs,
            filter_columns,
        })
    }

    fn filter(&self, condition: &Expr, table: &Relation) -> Result<Filter, QueryError> {
        let mut binder = Binder::new(table, self.alias(), Scope::AllColumns);
        let bound = binder.condition(condition, "WHERE")?;
        let condition = binder.expression(&bound);
        let mut inputs = binder.inputs;
        Ok(Filter { condition, schema: inputs.schema(), inputs })
    }
}

/// The table's columns that are read, in order and each once.
fn source_columns(inputs: &Inputs, filter_columns: &[usize], outputs: &[Output]) -> Vec<usize> {
    let mut columns = inputs.columns();
    columns.extend(filter_columns);
    columns.extend(outputs.iter().filter_map(|output| match output {
        Output::Column(column) => Some(*column),
        Output::Computed(_) | Output::Unasked => None,
    }));
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The inputs that an expression reads.
fn inputs_of(expression: &Expression, reads: &mut Vec<usize>) {
    if let Some(column) = expression.downcast_ref::<InputColumn>() {
        reads.push(column.index());
    }
    for part in expression.children() {
        inputs_of(part, reads);
    }
}

/// A key in output names; none unless all of its columns come through.
fn renamed(key: &[String], table: &Relation, relation: &Relation, outputs: &[Output]) -> Option<Vec<String>> {
    key.iter()
        .map(|name| {
            let at = table.columns.iter().position(|column| column.name == *name)?;
            let output = outputs.iter().position(|output| *output == Output::Column(at))?;
            Some(relation.columns[output].name.clone())
        })
        .collect()
}

/// The name that Postgres would give, where it gives one that says something.
fn name_of(expr: &Expr, alias: Option<&Ident>) -> Result<String, QueryError> {
    if let Some(alias) = alias {
        return Ok(names::folded(alias));
    }
    Ok(match expr {
        Expr::Identifier(name) => names::folded(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(names::folded).unwrap_or_default(),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => name_of(inner, None)?,
        Expr::Function(function) => function_name(function)?,
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::Ceil { .. } => "ceil".to_owned(),
        Expr::Floor { .. } => "floor".to_owned(),
        Expr::Position { .. } => "position".to_owned(),
        Expr::Substring { shorthand, .. } => if *shorthand { "substr" } else { "substring" }.to_owned(),
        Expr::Trim { .. } => "btrim".to_owned(),
        _ => {
            return Err(
                QueryError::new(format!("the column {expr} has no name")).hint(format!("write {expr} AS a_name"))
            );
        }
    })
}
