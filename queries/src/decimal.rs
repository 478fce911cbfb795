//! Exact numbers: units of the last place, rounded half away from zero as Postgres does.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, Decimal256Array};
use arrow_buffer::i256;
use arrow_schema::DataType;

use crate::failure::Failure;
use crate::types::MAX_PRECISION;

use std::sync::Arc;

/// The powers of ten that are narrow: those of nearly all numbers, and each number asks for some.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// 10 to a power, if it fits.
pub fn power_of_ten(exponent: u32) -> Option<i256> {
    match POWERS.get(exponent as usize) {
        Some(power) => Some(i256::from_i128(*power)),
        None => i256::from_i128(10).checked_pow(exponent),
    }
}

/// The number with another scale.
pub fn rescale(units: i256, from: i32, to: i32) -> Result<i256, Failure> {
    if to >= from {
        let factor = power_of_ten((to - from) as u32);
        // Zero has any number of zeros.
        return match factor.and_then(|factor| units.checked_mul(factor)) {
            Some(units) => Ok(units),
            None if units == i256::ZERO => Ok(units),
            None => Err(Failure::OUT_OF_RANGE),
        };
    }
    let Some(divisor) = power_of_ten((from - to) as u32) else { return Ok(i256::ZERO) };
    // Narrow numbers are the usual ones, and quicker.
    if let (Some(units), Some(divisor)) = (units.to_i128(), divisor.to_i128()) {
        let (quotient, remainder) = (units / divisor, units % divisor);
        let away = remainder.unsigned_abs() >= divisor.unsigned_abs() - remainder.unsigned_abs();
        return Ok(i256::from_i128(if away { quotient + units.signum() } else { quotient }));
    }
    let (quotient, remainder) = (units.wrapping_div(divisor), units.wrapping_rem(divisor));
    let remainder = remainder.wrapping_abs();
    let away = remainder >= divisor.wrapping_sub(remainder);
    Ok(if away { quotient.wrapping_add(units.signum()) } else { quotient })
}

/// The number, if it has no more than so many digits.
pub fn within(units: i256, precision: u8) -> Result<i256, Failure> {
    let limit = power_of_ten(precision.into()).ok_or(Failure::INTERNAL)?;
    let fits = units < limit && units > limit.wrapping_neg();
    if fits { Ok(units) } else { Err(Failure::OUT_OF_RANGE) }
}

/// Reads what Postgres reads as `numeric`: digits, a point, an exponent.
pub fn parse(text: &str, scale: i32) -> Result<i256, Failure> {
    let text = text.trim_ascii();
    if ["nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
    {
        return Err(Failure::NOT_A_NUMBER);
    }
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| Failure::NOT_OF_TYPE)?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    if !has_digits || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::NOT_OF_TYPE);
    }
    let fraction_len = i32::try_from(fraction.len()).map_err(|_| Failure::OUT_OF_RANGE)?;
    let ten = i256::from_i128(10);
    let mut units = i256::ZERO;
    let mut own_scale = fraction_len.checked_sub(exponent).ok_or(Failure::OUT_OF_RANGE)?;
    let mut significant = 0;
    let count = whole.len() + fraction.len();
    for (at, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        significant += i32::from(significant > 0 || byte != b'0');
        if significant > i32::from(MAX_PRECISION) {
            // What is left only counts for rounding, and only where the digits before it are all that is asked for;
            // the first digit that is left out then lies behind the place that is rounded to.
            let left = i32::try_from(count - at).map_err(|_| Failure::OUT_OF_RANGE)?;
            own_scale -= left;
            if own_scale <= scale {
                return Err(Failure::OUT_OF_RANGE);
            }
            break;
        }
        units = units
            .checked_mul(ten)
            .and_then(|units| units.checked_add(i256::from_i128((byte - b'0').into())))
            .ok_or(Failure::OUT_OF_RANGE)?;
    }
    rescale(if negative { units.wrapping_neg() } else { units }, own_scale, scale)
}

/// The values of either width.
pub fn values(array: &dyn Array) -> Result<Vec<Option<i256>>, Failure> {
    if let Some(array) = array.as_primitive_opt::<Decimal128Type>() {
        return Ok(array.iter().map(|value| value.map(i256::from_i128)).collect());
    }
    Ok(array.as_primitive_opt::<Decimal256Type>().ok_or(Failure::INTERNAL)?.iter().collect())
}

/// An array of the width that the type asks for, once each value is found to fit.
pub fn array(
    values: impl Iterator<Item = Result<Option<i256>, Failure>>,
    data_type: &DataType,
) -> Result<ArrayRef, Failure> {
    match *data_type {
        DataType::Decimal128(precision, scale) => {
            let narrow = |value: i256| within(value, precision)?.to_i128().ok_or(Failure::INTERNAL);
            let values: Vec<_> = values.map(|value| value?.map(narrow).transpose()).collect::<Result<_, _>>()?;
            let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale);
            Ok(Arc::new(array.map_err(|_| Failure::INTERNAL)?))
        }
        DataType::Decimal256(precision, scale) => {
            let values: Vec<_> = values
                .map(|value| value?.map(|value| within(value, precision)).transpose())
                .collect::<Result<_, _>>()?;
            let array = Decimal256Array::from(values).with_precision_and_scale(precision, scale);
            Ok(Arc::new(array.map_err(|_| Failure::INTERNAL)?))
        }
        _ => Err(Failure::INTERNAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scale: i32, expected: Result<&str, Failure>) {
        assert_eq!(parse(text, scale).map(|units| units.to_string()), expected.map(str::to_owned), "{text} {scale}");
    }

    #[test]
    fn reads_and_rounds() {
        check("12.345", 2, Ok("1235"));
        check("-12.345", 2, Ok("-1235"));
        check("12.3449", 2, Ok("1234"));
        check("0.5", 0, Ok("1"));
        check("-0.5", 0, Ok("-1"));
        check("0.49", 0, Ok("0"));
        check(" 1e3 ", 1, Ok("10000"));
        check("1.5e-3", 3, Ok("2"));
        check(".5", 1, Ok("5"));
        check("5.", 1, Ok("50"));
        check("0e999", 2, Ok("0"));
        check("1e-999", 2, Ok("0"));
        check("0.33333333333333333333333333333333333333333333333333333333333333333333333333333333333333", 2, Ok("33"));
        check("1e99", 0, Err(Failure::OUT_OF_RANGE));
        check(&"9".repeat(90), 0, Err(Failure::OUT_OF_RANGE));
        check("NaN", 0, Err(Failure::NOT_A_NUMBER));
        for text in ["", "-", ".", "1 2", "0x1", "1e", "--1"] {
            check(text, 0, Err(Failure::NOT_OF_TYPE));
        }
    }

    #[test]
    fn scales() {
        let wide = power_of_ten(60).unwrap();
        assert_eq!(rescale(wide, 59, 0).unwrap(), i256::from_i128(10));
        assert_eq!(rescale(i256::from_i128(15), 1, 0).unwrap(), i256::from_i128(2));
        assert_eq!(rescale(i256::from_i128(-15), 1, 0).unwrap(), i256::from_i128(-2));
        assert_eq!(rescale(i256::from_i128(14), 1, 0).unwrap(), i256::from_i128(1));
        assert_eq!(rescale(wide, 0, 60), Err(Failure::OUT_OF_RANGE));
        assert_eq!(within(i256::from_i128(100), 2), Err(Failure::OUT_OF_RANGE));
    }
}
