//! A function of ours as a node of DataFusion's expressions.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion_common::Result;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;

use crate::failure::Failure;

/// An expression of DataFusion.
pub type Expression = Arc<dyn PhysicalExpr>;

/// What a function does to its arguments, which are of the same length.
pub type Kernel = Arc<dyn Fn(&[ArrayRef]) -> Result<ArrayRef, Failure> + Send + Sync>;

/// A call of a function of ours.
pub struct Call {
    name: &'static str,
    arguments: Vec<Expression>,
    returns: FieldRef,
    kernel: Kernel,
}

impl Call {
    /// `name` is for whoever reads the plan.
    pub fn expression(name: &'static str, arguments: Vec<Expression>, returns: DataType, kernel: Kernel) -> Expression {
        Arc::new(Self { name, arguments, returns: Arc::new(Field::new(name, returns, true)), kernel })
    }
}

impl PhysicalExpr for Call {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.returns.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            arguments.push(argument.evaluate(batch)?.into_array(batch.num_rows())?);
        }
        Ok(ColumnarValue::Array((self.kernel)(&arguments)?))
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(self.returns.clone())
    }

    fn children(&self) -> Vec<&Expression> {
        self.arguments.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Expression>) -> Result<Expression> {
        Ok(Arc::new(Self {
            name: self.name,
            arguments: children,
            returns: self.returns.clone(),
            kernel: self.kernel.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, argument) in self.arguments.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{argument}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Two calls are the same if they do the same thing, which only one and the same kernel is known to do.
impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.arguments == other.arguments
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.arguments.hash(state);
    }
}
