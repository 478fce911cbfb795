//! What is computed with moments: parts of them, truncation, and steps by an interval.

use std::sync::Arc;

use afterbay_formats::relation::SqlType;
use arrow_array::types::{
    Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{Array as _, ArrayRef, PrimitiveArray};
use arrow_buffer::i256;

use crate::call::Kernel;
use crate::cast::primitive;
use crate::civil::{Civil, DAY_US, FIRST_DAY, FIRST_MICRO, LAST_DAY, iso_day_of_week, iso_week};
use crate::decimal;
use crate::failure::Failure;
use crate::types::{self, numeric};

/// A part of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Milliseconds,
    Microseconds,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Epoch,
}

impl Part {
    /// By Postgres' name for it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" | "years" => Self::Year,
            "quarter" => Self::Quarter,
            "month" | "months" => Self::Month,
            "week" | "weeks" => Self::Week,
            "day" | "days" => Self::Day,
            "hour" | "hours" => Self::Hour,
            "minute" | "minutes" => Self::Minute,
            "second" | "seconds" => Self::Second,
            "millisecond" | "milliseconds" => Self::Milliseconds,
            "microsecond" | "microseconds" => Self::Microseconds,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "isoyear" => Self::IsoYear,
            "epoch" => Self::Epoch,
            _ => return None,
        })
    }

    fn within_day(self) -> bool {
        matches!(self, Self::Hour | Self::Minute | Self::Second | Self::Milliseconds | Self::Microseconds)
    }

    /// Whether a value of this type has such a part.
    pub fn is_of(self, sql_type: &SqlType) -> bool {
        match sql_type {
            SqlType::Date => !self.within_day(),
            SqlType::Time => self.within_day() || self == Self::Epoch,
            SqlType::Timestamp { .. } | SqlType::Timestamptz { .. } => true,
            _ => false,
        }
    }

    /// Digits behind the point that `extract` gives.
    fn scale(self, of: &SqlType) -> i32 {
        match self {
            Self::Second => 6,
            Self::Epoch if *of != SqlType::Date => 6,
            Self::Milliseconds => 3,
            _ => 0,
        }
    }

    /// The type of `extract`'s result.
    pub fn exact_type(self, of: &SqlType) -> SqlType {
        numeric(13 + self.scale(of), self.scale(of))
    }

    /// In units of the last of the digits behind the point.
    fn of_moment(self, days: i64, micros: i64, of: &SqlType) -> i64 {
        let day = Civil::of_days(days);
        match self {
            // There is no year 0.
            Self::Year => counted(day.year),
            Self::Quarter => (day.month - 1) / 3 + 1,
            Self::Month => day.month,
            Self::Week => iso_week(days).1,
            Self::Day => day.day,
            Self::Hour => micros / 3_600_000_000,
            Self::Minute => micros / 60_000_000 % 60,
            Self::Second | Self::Milliseconds | Self::Microseconds => micros % 60_000_000,
            Self::DayOfWeek => iso_day_of_week(days) % 7,
            Self::IsoDayOfWeek => iso_day_of_week(days),
            Self::DayOfYear => days - day.year_begin().days() + 1,
            Self::IsoYear => counted(iso_week(days).0),
            Self::Epoch if *of == SqlType::Date => days * 86_400,
            Self::Epoch => days * DAY_US + micros,
        }
    }
}

/// Years as they are counted: before 1 comes -1.
fn counted(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// `extract`, exact.
pub fn extract(part: Part, of: &SqlType) -> Kernel {
    let (of, returns) = (of.clone(), types::arrow(&part.exact_type(of)));
    Arc::new(move |arguments| {
        let units = parts(part, &of, &arguments[0])?;
        decimal::array(units.into_iter().map(|units| Ok(units.map(|units| i256::from_i128(units.into())))), &returns)
    })
}

/// `date_part`, which is `double precision`.
pub fn date_part(part: Part, of: &SqlType) -> Kernel {
    let of = of.clone();
    let divisor = 10_f64.powi(part.scale(&of));
    Arc::new(move |arguments| {
        let units = parts(part, &of, &arguments[0])?;
        let values = units.into_iter().map(|units| units.map(|units| units as f64 / divisor));
        Ok(Arc::new(values.collect::<PrimitiveArray<Float64Type>>()))
    })
}

fn parts(part: Part, of: &SqlType, array: &ArrayRef) -> Result<Vec<Option<i64>>, Failure> {
    let of_moment = |micros: i64| match micros {
        i64::MIN | i64::MAX => Err(Failure::INFINITE_MOMENT),
        micros => Ok(part.of_moment(micros.div_euclid(DAY_US), micros.rem_euclid(DAY_US), of)),
    };
    let of_date = |days: i32| match days {
        i32::MIN | i32::MAX => Err(Failure::INFINITE_MOMENT),
        days => Ok(part.of_moment(days.into(), 0, of)),
    };
    match of {
        SqlType::Date => primitive::<Date32Type>(array)?.iter().map(|value| value.map(of_date).transpose()).collect(),
        SqlType::Time => Ok(primitive::<Time64MicrosecondType>(array)?
            .iter()
            .map(|value| value.map(|micros| part.of_moment(0, micros, of)))
            .collect()),
        _ => {
            primitive::<TimestampMicrosecondType>(array)?.iter().map(|value| value.map(of_moment).transpose()).collect()
        }
    }
}

/// Whether `date_trunc` knows the part.
pub fn truncates(part: Part) -> bool {
    !matches!(part, Part::DayOfWeek | Part::IsoDayOfWeek | Part::DayOfYear | Part::IsoYear | Part::Epoch)
}

/// `date_trunc` of timestamps, in UTC.
pub fn date_trunc(part: Part) -> Kernel {
    Arc::new(move |arguments| {
        let moments = primitive::<TimestampMicrosecondType>(&arguments[0])?;
        let truncated = moments.unary::<_, TimestampMicrosecondType>(|micros| match micros {
            i64::MIN | i64::MAX => micros,
            micros => truncate(part, micros),
        });
        Ok(Arc::new(truncated.with_data_type(moments.data_type().clone())))
    })
}

fn truncate(part: Part, micros: i64) -> i64 {
    let days = micros.div_euclid(DAY_US);
    let day = Civil::of_days(days);
    let first = |month| Civil { month, day: 1, ..day }.days() * DAY_US;
    let to = |unit: i64| micros.div_euclid(unit) * unit;
    match part {
        Part::Year => first(1),
        Part::Quarter => first((day.month - 1) / 3 * 3 + 1),
        Part::Month => first(day.month),
        Part::Week => (days - iso_day_of_week(days) + 1) * DAY_US,
        Part::Day => days * DAY_US,
        Part::Hour => to(3_600_000_000),
        Part::Minute => to(60_000_000),
        Part::Second => to(1_000_000),
        Part::Milliseconds => to(1_000),
        _ => micros,
    }
}

/// A timestamp and an interval that is added or subtracted: months first, then days, then the rest.
pub fn step(forward: bool) -> Kernel {
    Arc::new(move |arguments| {
        let moments = primitive::<TimestampMicrosecondType>(&arguments[0])?;
        let intervals = primitive::<IntervalMonthDayNanoType>(&arguments[1])?;
        let stepped: Result<PrimitiveArray<TimestampMicrosecondType>, Failure> = moments
            .iter()
            .zip(intervals)
            .map(|pair| match pair {
                (Some(moment), Some(interval)) => stepped(moment, interval, forward).map(Some),
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(stepped?.with_data_type(moments.data_type().clone())))
    })
}

fn stepped(micros: i64, by: IntervalMonthDayNano, forward: bool) -> Result<i64, Failure> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Ok(micros);
    }
    let sign = if forward { 1 } else { -1 };
    let day = Civil::of_days(micros.div_euclid(DAY_US)).plus_months(sign * i64::from(by.months));
    let days = day.days() + sign * i64::from(by.days);
    let rest = micros.rem_euclid(DAY_US) + sign * (by.nanoseconds / 1_000);
    let stepped = days.checked_mul(DAY_US).and_then(|micros| micros.checked_add(rest));
    stepped.filter(|micros| (FIRST_MICRO..i64::MAX).contains(micros)).ok_or(Failure::OUT_OF_RANGE)
}

/// A date and a number of days.
pub fn step_days(forward: bool) -> Kernel {
    Arc::new(move |arguments| {
        let dates = primitive::<Date32Type>(&arguments[0])?;
        let steps = primitive::<Int32Type>(&arguments[1])?;
        let stepped: Result<PrimitiveArray<Date32Type>, Failure> = dates
            .iter()
            .zip(steps)
            .map(|pair| match pair {
                (Some(days @ (i32::MIN | i32::MAX)), Some(_)) => Ok(Some(days)),
                (Some(days), Some(step)) => {
                    let stepped = if forward { days.checked_add(step) } else { days.checked_sub(step) };
                    stepped.filter(|days| (FIRST_DAY..=LAST_DAY).contains(days)).ok_or(Failure::OUT_OF_RANGE).map(Some)
                }
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(stepped?))
    })
}

/// The days between two dates.
pub fn days_between() -> Kernel {
    Arc::new(|arguments| {
        let (ends, begins) = (primitive::<Date32Type>(&arguments[0])?, primitive::<Date32Type>(&arguments[1])?);
        let days: Result<PrimitiveArray<Int32Type>, Failure> = ends
            .iter()
            .zip(begins)
            .map(|pair| match pair {
                (Some(i32::MIN | i32::MAX), Some(_)) | (Some(_), Some(i32::MIN | i32::MAX)) => {
                    Err(Failure::INFINITE_MOMENT)
                }
                (Some(end), Some(begin)) => end.checked_sub(begin).ok_or(Failure::OUT_OF_RANGE).map(Some),
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(days?))
    })
}

/// The time between two timestamps, in days and less, as Postgres has it.
pub fn time_between() -> Kernel {
    Arc::new(|arguments| {
        let ends = primitive::<TimestampMicrosecondType>(&arguments[0])?;
        let begins = primitive::<TimestampMicrosecondType>(&arguments[1])?;
        let between: Result<PrimitiveArray<IntervalMonthDayNanoType>, Failure> = ends
            .iter()
            .zip(begins)
            .map(|pair| match pair {
                (Some(i64::MIN | i64::MAX), Some(_)) | (Some(_), Some(i64::MIN | i64::MAX)) => {
                    Err(Failure::INFINITE_MOMENT)
                }
                (Some(end), Some(begin)) => {
                    let micros = end.checked_sub(begin).ok_or(Failure::OUT_OF_RANGE)?;
                    let days = i32::try_from(micros / DAY_US).map_err(|_| Failure::OUT_OF_RANGE)?;
                    Ok(Some(IntervalMonthDayNano::new(0, days, micros % DAY_US * 1_000)))
                }
                _ => Ok(None),
            })
            .collect();
        Ok(Arc::new(between?))
    })
}

/// `to_timestamp`: seconds since 1970, rounded to microseconds.
pub fn of_epoch() -> Kernel {
    Arc::new(|arguments| {
        let moments =
            primitive::<Float64Type>(&arguments[0])?.try_unary::<_, TimestampMicrosecondType, _>(|seconds| {
                let micros = (seconds * 1_000_000.0).round_ties_even();
                if seconds == f64::INFINITY {
                    Ok(i64::MAX)
                } else if seconds == f64::NEG_INFINITY {
                    Ok(i64::MIN)
                } else if micros >= FIRST_MICRO as f64 && micros < 9.2e18 {
                    Ok(micros as i64)
                } else {
                    Err(Failure::OUT_OF_RANGE)
                }
            })?;
        Ok(Arc::new(moments.with_timezone(types::UTC.clone())))
    })
}
