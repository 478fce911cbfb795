//! Why a value cannot be computed: in words that hold no value.

use arrow_schema::ArrowError;
use datafusion_common::DataFusionError;

/// What goes wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub &'static str);

impl Failure {
    /// A result that its type does not hold.
    pub const OUT_OF_RANGE: Self = Self("a value is out of the range of its type");
    /// `1 / 0`
    pub const DIVISION_BY_ZERO: Self = Self("division by zero");
    /// A text that is cast to what it does not say.
    pub const NOT_OF_TYPE: Self = Self("a text cannot be read as the type that it is cast to");
    /// `NaN` or an infinity where only numbers will do.
    pub const NOT_A_NUMBER: Self = Self("NaN or an infinite number has no value of this type");
    /// `infinity` where only moments will do.
    pub const INFINITE_MOMENT: Self = Self("infinity has no value of this kind");
    /// Neither this crate's nor Arrow's doing can explain it: a bug.
    pub const INTERNAL: Self = Self("the expression cannot be computed");
}

impl From<Failure> for DataFusionError {
    fn from(failure: Failure) -> Self {
        Self::External(Box::new(failure))
    }
}

/// What DataFusion says holds values of the row, so it is told by its kind alone.
pub fn reason(error: &DataFusionError) -> Failure {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref::<Failure>().copied().unwrap_or(Failure::INTERNAL),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::DivideByZero => Failure::DIVISION_BY_ZERO,
            ArrowError::ArithmeticOverflow(_) | ArrowError::CastError(_) => Failure::OUT_OF_RANGE,
            ArrowError::ExternalError(inner) => inner.downcast_ref::<Failure>().copied().unwrap_or(Failure::INTERNAL),
            _ => Failure::INTERNAL,
        },
        DataFusionError::Context(_, inner) => reason(inner),
        DataFusionError::Shared(inner) => reason(inner),
        DataFusionError::Execution(_) => Failure("a function refuses its arguments"),
        _ => Failure::INTERNAL,
    }
}
