//! `interval` in `IntervalStyle` postgres: `1 year 2 mons -3 days +04:05:06.789`.

use super::scan::Scan;
use super::{Malformed, Parsed};

/// The three parts of an interval, which have no fixed ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub microseconds: i64,
}

impl Interval {
    /// `infinity`, which Postgres 17 keeps as the largest value of every part.
    const FUTURE: Self = Self { months: i32::MAX, days: i32::MAX, microseconds: i64::MAX };
    /// `-infinity`, the smallest value of every part.
    const PAST: Self = Self { months: i32::MIN, days: i32::MIN, microseconds: i64::MIN };
}

/// Reads an interval.
pub fn interval(text: &[u8]) -> Parsed<Interval> {
    match text {
        b"infinity" => return Ok(Interval::FUTURE),
        b"-infinity" => return Ok(Interval::PAST),
        b"" => return Err(Malformed),
        _ => {}
    }
    let (mut months, mut days, mut microseconds) = (0_i64, 0_i64, 0_i64);
    let mut words = text.split(|byte| *byte == b' ');
    while let Some(word) = words.next() {
        let mut scan = Scan(word);
        let negative = scan.eat(b'-');
        if !negative {
            scan.eat(b'+');
        }
        let number = scan.number()?;
        if scan.0.is_empty() {
            let number = if negative { -number } else { number };
            match words.next().ok_or(Malformed)? {
                b"year" | b"years" => months += number.checked_mul(12).ok_or(Malformed)?,
                b"mon" | b"mons" => months = months.checked_add(number).ok_or(Malformed)?,
                b"day" | b"days" => days = number,
                _ => return Err(Malformed),
            }
        } else {
            microseconds = time(number, negative, &mut scan)?;
            if words.next().is_some() {
                return Err(Malformed);
            }
        }
    }
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| Malformed)?,
        days: i32::try_from(days).map_err(|_| Malformed)?,
        microseconds,
    })
}

/// The rest of `hours:minutes:seconds.fraction`, where the hours can have any number of digits.
fn time(hours: i64, negative: bool, scan: &mut Scan<'_>) -> Parsed<i64> {
    scan.expect(b':')?;
    let minutes = scan.two_digits(59)?;
    scan.expect(b':')?;
    let seconds = scan.two_digits(60)?;
    let fraction = scan.fraction_us()?;
    scan.end()?;
    // The smallest value has no positive counterpart, hence the wider type.
    let time = (i128::from(hours) * 3_600 + i128::from(minutes * 60 + seconds)) * 1_000_000 + i128::from(fraction);
    i64::try_from(if negative { -time } else { time }).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, months: i32, days: i32, microseconds: i64) {
        assert_eq!(interval(text.as_bytes()), Ok(Interval { months, days, microseconds }), "{text}");
    }

    #[test]
    fn parts() {
        check("00:00:00", 0, 0, 0);
        check("1 mon 1 day 00:00:00.000001", 1, 1, 1);
        check("1 year 2 mons -3 days +04:05:06.789", 14, -3, 14_706_789_000);
        check("-1 years -2 mons +3 days -04:05:06", -14, 3, -14_706_000_000);
        check("1 day", 0, 1, 0);
        check("-00:00:00.5", 0, 0, -500_000);
        check("100:00:00", 0, 0, 360_000_000_000);
    }

    #[test]
    fn extremes() {
        check("178956970 years 7 mons", i32::MAX, 0, 0);
        check("-178956970 years -8 mons", i32::MIN, 0, 0);
        check("-2147483648 days", 0, i32::MIN, 0);
        check("2562047788:00:54.775807", 0, 0, i64::MAX);
        check("-2562047788:00:54.775808", 0, 0, i64::MIN);
        check("infinity", i32::MAX, i32::MAX, i64::MAX);
        check("-infinity", i32::MIN, i32::MIN, i64::MIN);
    }

    #[test]
    fn what_is_another_style_is_refused() {
        for text in
            ["", "P1Y", "@ 1 year", "1 year ago", "1", "1 week", "1 day ", "01:02", "01:02:03 1 day", "1-2", "day"]
        {
            assert_eq!(interval(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }
}
