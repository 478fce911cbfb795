//! Arithmetic whose errors are Postgres': nothing wraps around, nothing becomes infinite by itself.

use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_buffer::i256;
use arrow_schema::DataType;

use crate::call::Kernel;
use crate::cast::{primitive, strings};
use crate::decimal;
use crate::failure::Failure;

/// An operator between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divided,
    Modulo,
    Power,
}

/// Between two of `double precision`.
pub fn float8(operator: Arithmetic) -> Kernel {
    Arc::new(move |arguments| {
        let (left, right) = (primitive::<Float64Type>(&arguments[0])?, primitive::<Float64Type>(&arguments[1])?);
        let values: Result<PrimitiveArray<Float64Type>, Failure> = left
            .iter()
            .zip(right)
            .map(|pair| match pair {
                (Some(left), Some(right)) => float(operator, left, right).map(Some),
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(values?))
    })
}

/// Between two of `real`.
pub fn float4(operator: Arithmetic) -> Kernel {
    Arc::new(move |arguments| {
        let (left, right) = (primitive::<Float32Type>(&arguments[0])?, primitive::<Float32Type>(&arguments[1])?);
        let values: Result<PrimitiveArray<Float32Type>, Failure> = left
            .iter()
            .zip(right)
            .map(|pair| match pair {
                (Some(left), Some(right)) => {
                    // A `double precision` has more than twice the digits, so that rounding twice is rounding once.
                    let exact = float(operator, left.into(), right.into())?;
                    let value = exact as f32;
                    let lost = (value.is_infinite() && exact.is_finite()) || (value == 0.0 && exact != 0.0);
                    if lost { Err(Failure::OUT_OF_RANGE) } else { Ok(Some(value)) }
                }
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(values?))
    })
}

fn float(operator: Arithmetic, left: f64, right: f64) -> Result<f64, Failure> {
    let value = match operator {
        Arithmetic::Plus => left + right,
        Arithmetic::Minus => left - right,
        Arithmetic::Times => left * right,
        Arithmetic::Divided if right == 0.0 && !left.is_nan() => return Err(Failure::DIVISION_BY_ZERO),
        Arithmetic::Divided => left / right,
        Arithmetic::Power if left == 0.0 && right < 0.0 => return Err(Failure("zero raised to a negative power")),
        Arithmetic::Power if left < 0.0 && right.is_finite() && right.fract() != 0.0 => {
            return Err(Failure("a negative number raised to a power that is not whole"));
        }
        Arithmetic::Power => left.powf(right),
        Arithmetic::Modulo => return Err(Failure::INTERNAL),
    };
    let overflow = value.is_infinite() && left.is_finite() && right.is_finite();
    let vanishes = match operator {
        Arithmetic::Times => left != 0.0 && right != 0.0,
        Arithmetic::Divided | Arithmetic::Power => left != 0.0 && right.is_finite(),
        _ => false,
    };
    let underflow = value == 0.0 && vanishes && left.is_finite();
    if overflow || underflow { Err(Failure::OUT_OF_RANGE) } else { Ok(value) }
}

/// Between two decimals of these scales; the result's type says its own.
pub fn decimals(operator: Arithmetic, left_scale: i32, right_scale: i32, returns: DataType) -> Kernel {
    let scale = left_scale.max(right_scale);
    let compute = move |left: i256, right: i256| -> Result<i256, Failure> {
        if operator == Arithmetic::Times {
            return left.checked_mul(right).ok_or(Failure::OUT_OF_RANGE);
        }
        let (left, right) = (decimal::rescale(left, left_scale, scale)?, decimal::rescale(right, right_scale, scale)?);
        match operator {
            Arithmetic::Plus => left.checked_add(right).ok_or(Failure::OUT_OF_RANGE),
            Arithmetic::Minus => left.checked_sub(right).ok_or(Failure::OUT_OF_RANGE),
            Arithmetic::Modulo if right == i256::ZERO => Err(Failure::DIVISION_BY_ZERO),
            Arithmetic::Modulo => Ok(left.wrapping_rem(right)),
            _ => Err(Failure::INTERNAL),
        }
    };
    Arc::new(move |arguments| {
        let (left, right) = (decimal::values(&arguments[0])?, decimal::values(&arguments[1])?);
        let values = left.into_iter().zip(right).map(|pair| match pair {
            (Some(left), Some(right)) => compute(left, right).map(Some),
            _ => Ok(None),
        });
        decimal::array(values, &returns)
    })
}

/// A function of one decimal, in units of its scale.
pub fn of_decimal(
    compute: impl Fn(i256) -> Result<i256, Failure> + Send + Sync + 'static,
    returns: DataType,
) -> Kernel {
    Arc::new(move |arguments| {
        let values = decimal::values(&arguments[0])?.into_iter();
        decimal::array(values.map(|value| value.map(&compute).transpose()), &returns)
    })
}

/// A function of one `double precision`.
pub fn of_float8(compute: fn(f64) -> Result<f64, Failure>) -> Kernel {
    Arc::new(move |arguments| {
        Ok(Arc::new(primitive::<Float64Type>(&arguments[0])?.try_unary::<_, Float64Type, _>(compute)?))
    })
}

/// A function of one `real`.
pub fn of_float4(compute: fn(f32) -> f32) -> Kernel {
    Arc::new(move |arguments| Ok(Arc::new(primitive::<Float32Type>(&arguments[0])?.unary::<_, Float32Type>(compute))))
}

/// So that floats compare as in Postgres: the two zeros are equal, and so are all that are not a number.
pub fn comparable(array: &ArrayRef) -> Result<ArrayRef, Failure> {
    match array.data_type() {
        DataType::Float32 => Ok(Arc::new(
            primitive::<Float32Type>(array)?
                .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        )),
        DataType::Float64 => Ok(Arc::new(
            primitive::<Float64Type>(array)?
                .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        )),
        _ => Ok(array.clone()),
    }
}

/// How two of `numeric` of any precision compare, as -1, 0 or 1.
pub fn compare_numerics() -> Kernel {
    use afterbay_formats::text::numeric::compare;
    Arc::new(|arguments| {
        let (left, right) = (strings(&arguments[0])?, strings(&arguments[1])?);
        let values: Result<PrimitiveArray<arrow_array::types::Int32Type>, Failure> = left
            .iter()
            .zip(right)
            .map(|pair| match pair {
                (Some(left), Some(right)) => match compare(left.as_bytes(), right.as_bytes()) {
                    Ok(ordering) => Ok(Some(ordering as i32)),
                    Err(_) => Err(Failure::NOT_OF_TYPE),
                },
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(values?))
    })
}
