//! `source.query` as it is written: which table it reads, and that it is stateless.

use afterbay_crds::plan::TableName;
use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query as SqlQuery, Select, SelectItem, SetExpr, SetOperator, Spanned as _, Statement,
    TableFactor, TableWithJoins, WildcardAdditionalOptions,
};

use crate::error::QueryError;
use crate::{names, parse, refusals};

/// A SELECT over one table, whose rows each become one row or none.
#[derive(Clone, Debug)]
pub struct Query {
    schema: String,
    name: String,
    alias: Option<String>,
    projection: Vec<Item>,
    condition: Option<Expr>,
}

/// What stands between SELECT and FROM.
#[derive(Clone, Debug)]
pub enum Item {
    /// `*`, or `t.*` with what stands before the point.
    All(Option<Vec<String>>),
    /// An expression, and the name that it is given.
    Expression(Box<Expr>, Option<Ident>),
}

/// Where what needs other rows is to be kept.
const KEEP: &str =
    "keep the result in a table of its own, for example with a trigger in the database, and carry that table";

impl Query {
    /// Reads a query. What it needs of the database is not asked for here.
    pub fn parse(sql: &str) -> Result<Self, QueryError> {
        let mut statements = parse::statements(sql)?;
        let statement = match statements.len() {
            0 => return Err(QueryError::new("there is no query").hint("write SELECT … FROM …")),
            1 => statements.remove(0),
            _ => {
                return Err(QueryError::new("there is more than one statement")
                    .hint("write one SELECT; a second Sink can have the other"));
            }
        };
        let Statement::Query(query) = statement else {
            let what = statement.to_string();
            let what = what.split_whitespace().next().unwrap_or_default().to_owned();
            return Err(
                QueryError::new(format!("{what} is no SELECT")).hint("a query only reads: SELECT … FROM … WHERE …")
            );
        };
        let select = select(*query)?;
        let Select { projection, mut from, selection, .. } = select;
        let Some(table) = from.pop() else {
            return Err(QueryError::new("the query reads no table").hint("write SELECT … FROM a table"));
        };
        if !from.is_empty() {
            return Err(QueryError::new("the query reads several tables, which is not supported")
                .hint(KEEP)
                .at(table.span()));
        }
        let (schema, name, alias) = table_of(table)?;
        if let Some(condition) = &selection {
            refusals::check(condition)?;
        }
        let projection = projection.into_iter().map(item).collect::<Result<Vec<_>, _>>()?;
        if projection.is_empty() {
            return Err(QueryError::new("the query has no columns").hint("name some, or write *"));
        }
        Ok(Self { schema, name, alias, projection, condition: selection })
    }

    /// The schema and the name of the table that it reads, unquoted. Without a schema it is that of `public`.
    pub fn table(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }

    /// The same as a plan has it.
    pub fn table_name(&self) -> TableName {
        TableName { schema: self.schema.clone(), name: self.name.clone() }
    }

    pub(crate) fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    pub(crate) fn projection(&self) -> &[Item] {
        &self.projection
    }

    pub(crate) fn condition(&self) -> Option<&Expr> {
        self.condition.as_ref()
    }
}

/// The SELECT, once nothing around it makes more of it.
fn select(query: SqlQuery) -> Result<Select, QueryError> {
    let span = query.span();
    refuse_around(&query).map_err(|error| error.at(span))?;
    let select = match *query.body {
        SetExpr::Select(select) => *select,
        SetExpr::Query(inner) => return self::select(*inner),
        SetExpr::SetOperation { op, .. } => {
            let word = match op {
                SetOperator::Union => "UNION",
                SetOperator::Except | SetOperator::Minus => "EXCEPT",
                SetOperator::Intersect => "INTERSECT",
            };
            return Err(refused(word, "it combines several queries").hint("make a Sink for each query").at(span));
        }
        SetExpr::Values(_) => {
            return Err(refused("VALUES", "it reads no table").hint("write SELECT … FROM a table").at(span));
        }
        SetExpr::Table(_) => return Err(refused("TABLE", "it is no SELECT").hint("write SELECT * FROM …").at(span)),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            return Err(QueryError::new("the statement changes rows")
                .hint("a query only reads: SELECT … FROM …")
                .at(span));
        }
    };
    refuse_within(&select).map_err(|error| error.at(span))?;
    Ok(select)
}

fn refused(what: &str, why: &str) -> QueryError {
    QueryError::new(format!("{what} is not supported: {why}"))
}

fn refuse_around(query: &SqlQuery) -> Result<(), QueryError> {
    if query.with.is_some() {
        return Err(refused("WITH", "the query reads one table and nothing else")
            .hint("write what it holds into the one SELECT, or keep it in a table"));
    }
    if query.order_by.is_some() {
        return Err(refused("ORDER BY", "messages come in the order of the changes").hint("leave it out"));
    }
    if query.limit_clause.is_some() {
        return Err(refused("LIMIT or OFFSET", "it counts rows, and each change would move the count")
            .hint("leave it out, or choose rows with WHERE"));
    }
    if query.fetch.is_some() {
        return Err(refused("FETCH", "it counts rows, and each change would move the count")
            .hint("leave it out, or choose rows with WHERE"));
    }
    if !query.locks.is_empty() {
        return Err(refused("FOR UPDATE or FOR SHARE", "nothing is locked").hint("leave it out"));
    }
    if query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty()
    {
        return Err(refused("a clause after the SELECT", "it is not Postgres' SQL"));
    }
    Ok(())
}

fn refuse_within(select: &Select) -> Result<(), QueryError> {
    if select.distinct.is_some() {
        return Err(refused("DISTINCT", "it compares rows with each other").hint(KEEP));
    }
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(expressions, modifiers) => !expressions.is_empty() || !modifiers.is_empty(),
    };
    if grouped {
        return Err(refused("GROUP BY", "it makes one row of many").hint(KEEP));
    }
    if select.having.is_some() {
        return Err(refused("HAVING", "it judges groups of rows").hint("write the condition after WHERE"));
    }
    if !select.named_window.is_empty() || select.qualify.is_some() {
        return Err(refused("WINDOW", "it looks at other rows").hint(KEEP));
    }
    if select.into.is_some() {
        return Err(refused("INTO", "a query only reads").hint("leave it out: the rows go to the topic"));
    }
    let foreign = select.top.is_some()
        || select.exclude.is_some()
        || select.prewhere.is_some()
        || select.value_table_mode.is_some()
        || select.select_modifiers.is_some()
        || !select.lateral_views.is_empty()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty();
    if foreign {
        return Err(refused("a clause of the SELECT", "it is not Postgres' SQL"));
    }
    Ok(())
}

/// Schema, name and alias.
fn table_of(table: TableWithJoins) -> Result<(String, String, Option<String>), QueryError> {
    let span = table.span();
    if !table.joins.is_empty() {
        return Err(refused("JOIN", "it reads other rows, which may change by themselves").hint(KEEP).at(span));
    }
    let (name, alias) = match table.relation {
        TableFactor::Table { name, alias, args: None, sample: None, with_ordinality: false, .. } => (name, alias),
        TableFactor::Table { sample: Some(_), .. } => {
            return Err(refused("TABLESAMPLE", "it takes other rows each time")
                .hint("choose rows with WHERE")
                .at(span));
        }
        TableFactor::Derived { .. } => {
            return Err(refused("a subquery after FROM", "the query reads one table")
                .hint("write what it does into the one SELECT")
                .at(span));
        }
        TableFactor::NestedJoin { .. } => {
            return Err(refused("JOIN", "it reads other rows, which may change by themselves").hint(KEEP).at(span));
        }
        TableFactor::UNNEST { .. } => {
            return Err(refused("unnest after FROM", "it makes many rows of one").hint(KEEP).at(span));
        }
        other => {
            let what = other.to_string();
            let what = what.split('(').next().unwrap_or_default().trim().to_owned();
            return Err(refused(&format!("{what}(…) after FROM"), "the query reads one table").hint(KEEP).at(span));
        }
    };
    let (schema, name) = match names::parts(&name).as_deref() {
        Some([name]) => ("public".to_owned(), name.clone()),
        Some([schema, name]) => (schema.clone(), name.clone()),
        _ => {
            return Err(QueryError::new(format!("{name} is not the name of a table"))
                .hint("write schema.table; the database is that of the connection")
                .at(span));
        }
    };
    if let Some(alias) = &alias
        && !alias.columns.is_empty()
    {
        return Err(refused("a list of columns after the table's alias", "each column has its name")
            .hint("name columns with AS")
            .at(span));
    }
    Ok((schema, name, alias.map(|alias| names::folded(&alias.name))))
}

fn item(item: SelectItem) -> Result<Item, QueryError> {
    let span = item.span();
    match item {
        SelectItem::UnnamedExpr(expr) => {
            refusals::check(&expr)?;
            Ok(Item::Expression(Box::new(expr), None))
        }
        SelectItem::ExprWithAlias { expr, alias } => {
            refusals::check(&expr)?;
            Ok(Item::Expression(Box::new(expr), Some(alias)))
        }
        SelectItem::Wildcard(options) => {
            plain(&options)?;
            Ok(Item::All(None))
        }
        SelectItem::QualifiedWildcard(sqlparser::ast::SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
            plain(&options)?;
            Ok(Item::All(Some(names::parts(&name).unwrap_or_default())))
        }
        other => Err(QueryError::new(format!("the column {other}: not supported")).at(span)),
    }
}

/// `*` with EXCEPT and the like is not Postgres'.
fn plain(options: &WildcardAdditionalOptions) -> Result<(), QueryError> {
    let bare = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    if bare { Ok(()) } else { Err(refused("* with exceptions", "it is not Postgres' SQL").hint("name the columns")) }
}
