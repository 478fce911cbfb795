//! From what the user wrote to what DataFusion computes: names become columns, and each value gets its type by Postgres'
//! rules. Every cast stands in the result, so that nothing is left to be coerced by rules that are not Postgres'.

mod casts;
pub mod functions;
mod literals;
mod operators;

use std::sync::{Arc, LazyLock};

use afterbay_formats::relation::{Relation, SqlType};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::{Operator, ScalarUDF};
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use sqlparser::ast::{CaseWhen, Expr, Ident, Spanned as _};

use crate::call::{Call, Expression, Kernel};
use crate::cast::{cast, text_kernel};
use crate::error::QueryError;
use crate::inputs::{Form, Inputs};
use crate::names;
use crate::text_form::Booleans;
use crate::types;

pub type Bind<T> = Result<T, QueryError>;

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A column as it is.
    Column(usize),
    /// A text in quotes, or NULL: its type is that of what it meets.
    Untyped(Option<String>),
    /// The same for all rows.
    Constant(ScalarValue),
    /// Anything else.
    Computed(Expression),
}

/// A value and its type.
#[derive(Clone, Debug)]
pub struct Bound {
    pub origin: Origin,
    /// Its normal form; `text` while it is untyped.
    pub sql_type: SqlType,
    pub nullable: bool,
}

impl Bound {
    fn computed(expression: Expression, sql_type: SqlType, nullable: bool) -> Self {
        Self { origin: Origin::Computed(expression), sql_type, nullable }
    }

    fn is_untyped(&self) -> bool {
        matches!(self.origin, Origin::Untyped(_))
    }

    fn is_constant(&self) -> bool {
        matches!(self.origin, Origin::Untyped(_) | Origin::Constant(_))
    }
}

/// Which columns an expression may refer to.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// All of the relation.
    AllColumns,
    /// Those of a key, as indexes into the relation's columns.
    KeyColumns(&'a [usize]),
}

static CONFIG: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| Arc::new(ConfigOptions::default()));

/// Binds the expressions over one relation.
pub struct Binder<'a> {
    relation: &'a Relation,
    /// What may stand before a column's name: the table's alias, or its name and its schema.
    qualifier: Vec<String>,
    scope: Scope<'a>,
    /// The columns that are read.
    pub inputs: Inputs,
}

impl<'a> Binder<'a> {
    /// `alias` takes the place of the table's own name.
    pub fn new(relation: &'a Relation, alias: Option<&str>, scope: Scope<'a>) -> Self {
        let qualifier = match alias {
            Some(alias) => vec![alias.to_owned()],
            None => vec![relation.schema.clone(), relation.name.clone()],
        };
        Self { relation, qualifier, scope, inputs: Inputs::default() }
    }

    /// Whether the parts name the table.
    pub fn is_table(&self, parts: &[String]) -> bool {
        !parts.is_empty() && self.qualifier.ends_with(parts)
    }

    /// Gives an expression its meaning.
    pub fn bind(&mut self, expr: &Expr) -> Bind<Bound> {
        self.bind_expr(expr).map_err(|error| error.at(expr.span()))
    }

    fn bind_expr(&mut self, expr: &Expr) -> Bind<Bound> {
        match expr {
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(parts) => {
                let Some((name, qualifier)) = parts.split_last() else { return Err(unsupported(expr)) };
                let qualifier: Vec<String> = qualifier.iter().map(names::folded).collect();
                if !self.is_table(&qualifier) {
                    return Err(QueryError::new(format!("there is no table \"{}\" here", qualifier.join(".")))
                        .hint(format!("the table is {}", self.qualifier.join("."))));
                }
                self.column(name)
            }
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => literals::value(&value.value),
            Expr::TypedString(typed) => {
                let to = casts::sql_type(&typed.data_type)?;
                let text = literals::value(&typed.value.value)?;
                self.explicit(text, to)
            }
            Expr::Interval(interval) => self.interval(interval),
            Expr::Cast { expr: inner, data_type, array: false, format: None, kind } => {
                if !matches!(kind, sqlparser::ast::CastKind::Cast | sqlparser::ast::CastKind::DoubleColon) {
                    return Err(QueryError::new("TRY_CAST is not supported"));
                }
                let to = casts::sql_type(data_type)?;
                let bound = self.bind(inner)?;
                self.explicit(bound, to)
            }
            Expr::IsNull(inner) => self.is_null(inner, true),
            Expr::IsNotNull(inner) => self.is_null(inner, false),
            Expr::IsTrue(inner) => self.is_boolean(inner, Some(true), false),
            Expr::IsNotTrue(inner) => self.is_boolean(inner, Some(true), true),
            Expr::IsFalse(inner) => self.is_boolean(inner, Some(false), false),
            Expr::IsNotFalse(inner) => self.is_boolean(inner, Some(false), true),
            Expr::IsUnknown(inner) => self.is_boolean(inner, None, false),
            Expr::IsNotUnknown(inner) => self.is_boolean(inner, None, true),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Function(function) => self.function(function),
            Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::AtTimeZone { .. } => self.special_function(expr),
            _ => self.operator(expr),
        }
    }

    fn column(&mut self, name: &Ident) -> Bind<Bound> {
        let folded = names::folded(name);
        let Some(at) = self.relation.columns.iter().position(|column| column.name == folded) else {
            let error = QueryError::new(format!(
                "there is no column \"{folded}\" in {}.{}",
                self.relation.schema, self.relation.name
            ));
            let error = match names::nearest(&folded, self.relation.columns.iter().map(|column| column.name.as_str())) {
                Some(nearest) if nearest.to_ascii_lowercase() == nearest => {
                    error.hint(format!("did you mean \"{nearest}\"?"))
                }
                Some(nearest) => {
                    error.hint(format!("did you mean \"{nearest}\"? Names with capitals need the double quotes"))
                }
                None => error.hint(format!(
                    "its columns are: {}",
                    self.relation.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
                )),
            };
            return Err(error.at(name.span));
        };
        if let Scope::KeyColumns(key) = self.scope
            && !key.contains(&at)
        {
            // The words are those of the reference.
            return Err(QueryError::new(format!(
                "PARTITION BY expression cannot refer to non-key column \"{folded}\""
            ))
            .hint("in the debezium envelope only the columns of the key are sure to be in old and new rows alike")
            .at(name.span));
        }
        let column = &self.relation.columns[at];
        Ok(Bound { origin: Origin::Column(at), sql_type: types::normal(&column.sql_type), nullable: column.nullable })
    }

    /// The value as DataFusion computes it.
    pub fn expression(&mut self, bound: &Bound) -> Expression {
        match &bound.origin {
            Origin::Column(column) => self.input(*column, Form::Value),
            Origin::Untyped(text) => Arc::new(Literal::new(ScalarValue::Utf8(text.clone()))),
            Origin::Constant(value) => Arc::new(Literal::new(value.clone())),
            Origin::Computed(expression) => expression.clone(),
        }
    }

    fn input(&mut self, column: usize, form: Form) -> Expression {
        let at = self.inputs.add(self.relation, column, form);
        Arc::new(Column::new(&at.to_string(), at))
    }

    /// What is the same for all rows is computed now; what fails then may never be needed, so it fails again later.
    fn finish(expression: Expression, sql_type: SqlType, nullable: bool, constant: bool) -> Bound {
        if constant && let Some(value) = evaluate_constant(&expression) {
            let nullable = value.is_null();
            return Bound { origin: Origin::Constant(value), sql_type, nullable };
        }
        Bound::computed(expression, sql_type, nullable)
    }

    /// A function of ours, which is NULL if one of its arguments is.
    fn call(&mut self, name: &'static str, arguments: &[Bound], returns: SqlType, kernel: Kernel) -> Bound {
        let nullable = arguments.iter().any(|argument| argument.nullable);
        let constant = arguments.iter().all(Bound::is_constant);
        let arguments = arguments.iter().map(|argument| self.expression(argument)).collect();
        let expression = Call::expression(name, arguments, types::arrow(&returns), kernel);
        Self::finish(expression, returns, nullable, constant)
    }

    /// A function of DataFusion.
    fn datafusion(&mut self, function: Arc<ScalarUDF>, arguments: &[Bound], returns: SqlType) -> Bind<Bound> {
        let nullable = arguments.iter().any(|argument| argument.nullable);
        let constant = arguments.iter().all(Bound::is_constant);
        let expressions = arguments.iter().map(|argument| self.expression(argument)).collect();
        let name = function.name().to_owned();
        let call = ScalarFunctionExpr::try_new(function, expressions, &self.inputs.schema(), CONFIG.clone())
            .map_err(|_| QueryError::new(format!("function {name} does not take these arguments")))?;
        let wanted = types::arrow(&returns);
        let expression: Expression = if *call.return_type() == wanted {
            Arc::new(call)
        } else {
            Arc::new(CastExpr::new(Arc::new(call), wanted, None))
        };
        Ok(Self::finish(expression, returns, nullable, constant))
    }

    fn binary(&mut self, left: &Bound, operator: Operator, right: &Bound, returns: SqlType) -> Bound {
        let nullable = left.nullable || right.nullable;
        let constant = left.is_constant() && right.is_constant();
        let (left, right) = (self.expression(left), self.expression(right));
        let expression = Arc::new(BinaryExpr::new(left, operator, right).with_fail_on_overflow(true));
        Self::finish(expression, returns, nullable, constant)
    }

    /// The value with another type, to which it is known to have a cast.
    pub fn coerce(&mut self, bound: Bound, to: &SqlType) -> Bind<Bound> {
        match &bound.origin {
            Origin::Untyped(None) => {
                let null = ScalarValue::try_from(&types::arrow(to)).map_err(|_| no_cast(&bound.sql_type, to))?;
                return Ok(Bound { origin: Origin::Constant(null), sql_type: to.clone(), nullable: true });
            }
            Origin::Untyped(Some(text)) => {
                let literal: Expression = Arc::new(Literal::new(ScalarValue::Utf8(Some(text.clone()))));
                let expression = cast(literal, &SqlType::Text, to).ok_or_else(|| {
                    QueryError::new(format!("a text in quotes cannot stand for a value of type {}", types::name(to)))
                        .hint("compare texts: cast the other side to text")
                })?;
                let value = evaluate_constant(&expression).ok_or_else(|| {
                    QueryError::new(format!("invalid input syntax for type {}: \"{text}\"", types::name(to)))
                })?;
                return Ok(Bound { origin: Origin::Constant(value), sql_type: to.clone(), nullable: false });
            }
            Origin::Column(column) if *to == SqlType::Text && bound.sql_type != SqlType::Text => {
                let expression = self.input(*column, Form::Text);
                return Ok(Bound::computed(expression, SqlType::Text, bound.nullable));
            }
            _ if bound.sql_type == *to => return Ok(bound),
            _ => {}
        }
        let expression = self.expression(&bound);
        let expression = cast(expression, &bound.sql_type, to).ok_or_else(|| no_cast(&bound.sql_type, to))?;
        Ok(Self::finish(expression, to.clone(), bound.nullable, bound.is_constant()))
    }

    /// The value as it travels, which is what `concat` joins: a cast to text gives other words for a few types.
    fn in_text_form(&mut self, bound: Bound) -> Bind<Bound> {
        match (&bound.origin, &bound.sql_type) {
            (Origin::Column(column), _) => {
                let expression = self.input(*column, Form::Raw);
                Ok(Bound::computed(expression, SqlType::Text, bound.nullable))
            }
            (Origin::Computed(_) | Origin::Constant(_), SqlType::Bool) => {
                let kernel = text_kernel(&SqlType::Bool, Booleans::Form);
                Ok(self.call("text", &[bound], SqlType::Text, kernel))
            }
            (Origin::Computed(expression), SqlType::Other(_)) => {
                Ok(Bound::computed(expression.clone(), SqlType::Text, bound.nullable))
            }
            _ => self.coerce(bound, &SqlType::Text),
        }
    }

    /// A condition.
    pub fn condition(&mut self, expr: &Expr, what: &str) -> Bind<Bound> {
        let bound = self.bind(expr)?;
        if bound.is_untyped() || bound.sql_type == SqlType::Bool {
            return self.coerce(bound, &SqlType::Bool);
        }
        Err(QueryError::new(format!(
            "argument of {what} must be type boolean, not type {}",
            types::name(&bound.sql_type)
        ))
        .at(expr.span()))
    }

    fn not(&mut self, bound: &Bound) -> Bound {
        let expression = self.expression(bound);
        let (nullable, constant) = (bound.nullable, bound.is_constant());
        Self::finish(Arc::new(NotExpr::new(expression)), SqlType::Bool, nullable, constant)
    }

    fn is_null(&mut self, inner: &Expr, null: bool) -> Bind<Bound> {
        let bound = self.bind(inner)?;
        Ok(self.is_null_bound(&bound, null))
    }

    fn is_null_bound(&mut self, bound: &Bound, null: bool) -> Bound {
        let expression = match &bound.origin {
            // Whether there is a value does not ask for it to be read, which some values cannot be.
            Origin::Column(column) => self.input(*column, Form::Raw),
            _ => self.expression(bound),
        };
        let expression: Expression =
            if null { Arc::new(IsNullExpr::new(expression)) } else { Arc::new(IsNotNullExpr::new(expression)) };
        Self::finish(expression, SqlType::Bool, false, bound.is_constant())
    }

    /// `IS [NOT] TRUE`, `FALSE` or `UNKNOWN`.
    fn is_boolean(&mut self, inner: &Expr, value: Option<bool>, negated: bool) -> Bind<Bound> {
        let bound = self.condition(inner, "IS")?;
        let Some(value) = value else { return Ok(self.is_null_bound(&bound, !negated)) };
        let value = Bound {
            origin: Origin::Constant(ScalarValue::Boolean(Some(value))),
            sql_type: SqlType::Bool,
            nullable: false,
        };
        let operator = if negated { Operator::IsDistinctFrom } else { Operator::IsNotDistinctFrom };
        let mut bound = self.binary(&bound, operator, &value, SqlType::Bool);
        bound.nullable = false;
        Ok(bound)
    }

    fn case(&mut self, operand: Option<&Expr>, whens: &[CaseWhen], otherwise: Option<&Expr>) -> Bind<Bound> {
        let operand = operand.map(|operand| self.bind(operand)).transpose()?;
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for when in whens {
            conditions.push(match &operand {
                None => self.condition(&when.condition, "CASE/WHEN")?,
                Some(operand) => {
                    let value = self.bind(&when.condition)?;
                    self.compare(operand.clone(), Operator::Eq, value)
                        .map_err(|error| error.at(when.condition.span()))?
                }
            });
            results.push(self.bind(&when.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Bound { origin: Origin::Untyped(None), sql_type: SqlType::Text, nullable: true },
        });
        self.choose(&conditions, results, "CASE")
    }

    /// The first result whose condition holds; there is one result more than conditions.
    fn choose(&mut self, conditions: &[Bound], results: Vec<Bound>, what: &str) -> Bind<Bound> {
        let results = self.unify(results, what)?;
        let sql_type = results[0].sql_type.clone();
        let nullable = results.iter().any(|result| result.nullable);
        let mut results: Vec<Expression> = results.iter().map(|result| self.expression(result)).collect();
        let otherwise = results.pop();
        let whens = conditions.iter().map(|condition| self.expression(condition)).zip(results).collect();
        let case = CaseExpr::try_new(None, whens, otherwise).map_err(|_| QueryError::new("CASE has no WHEN"))?;
        Ok(Bound::computed(Arc::new(case), sql_type, nullable))
    }

    /// All with the one type that they have in common.
    fn unify(&mut self, values: Vec<Bound>, what: &str) -> Bind<Vec<Bound>> {
        let mut common: Option<SqlType> = None;
        for value in values.iter().filter(|value| !value.is_untyped()) {
            common = Some(match common {
                None => value.sql_type.clone(),
                Some(known) => types::common(&known, &value.sql_type).ok_or_else(|| {
                    QueryError::new(format!(
                        "{what} types {} and {} cannot be matched",
                        types::name(&known),
                        types::name(&value.sql_type)
                    ))
                    .hint("cast them to one type")
                })?,
            });
        }
        let common = common.unwrap_or(SqlType::Text);
        values.into_iter().map(|value| self.coerce(value, &common)).collect()
    }
}

fn unsupported(expr: &Expr) -> QueryError {
    QueryError::new(format!("the expression {expr}: not supported"))
}

fn no_cast(from: &SqlType, to: &SqlType) -> QueryError {
    QueryError::new(format!("cannot cast type {} to {}", types::name(from), types::name(to)))
}

/// The value of an expression that reads no column, unless computing it fails.
fn evaluate_constant(expression: &Expression) -> Option<ScalarValue> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).ok()?;
    let array = expression.evaluate(&batch).ok()?.into_array(1).ok()?;
    ScalarValue::try_from_array(&array, 0).ok()
}
