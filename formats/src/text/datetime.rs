//! `date`, `time`, `timestamp`, `timestamptz` in `DateStyle` ISO. Postgres' calendar is the proleptic Gregorian one;
//! there is no year 0, so 1 BC is the year before 1.

use super::scan::Scan;
use super::{Malformed, Parsed};

/// A point on a line whose ends are points too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended<T> {
    /// `-infinity`
    Past,
    /// A value.
    Finite(T),
    /// `infinity`
    Future,
}

/// A moment since 1970-01-01 00:00:00. Postgres' last ones (from the year 294247 on) are beyond the microseconds that an
/// `i64` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// Whole milliseconds, rounded down.
    pub millis: i64,
    /// The microseconds beyond them, less than 1,000.
    pub micros: i64,
}

impl Instant {
    /// All in microseconds, if they fit.
    pub fn as_micros(self) -> Option<i64> {
        // Not by a checked product of the milliseconds: those of the smallest number alone would not fit.
        i64::try_from(i128::from(self.millis) * 1_000 + i128::from(self.micros)).ok()
    }
}

const DAY_US: i64 = 86_400_000_000;
const DAY_MS: i64 = DAY_US / 1_000;

/// Days since 1970-01-01.
pub fn date(text: &[u8]) -> Parsed<Extended<i32>> {
    extended(text, |text| {
        let (text, bc) = era(text);
        let mut scan = Scan(text);
        let days = days(&mut scan, bc)?;
        scan.end()?;
        i32::try_from(days).map_err(|_| Malformed)
    })
}

/// Microseconds since midnight; `24:00:00` is a time of day in Postgres.
pub fn time(text: &[u8]) -> Parsed<i64> {
    let mut scan = Scan(text);
    let time = time_of_day(&mut scan)?;
    scan.end()?;
    Ok(time)
}

/// A moment without a zone.
pub fn timestamp(text: &[u8]) -> Parsed<Extended<Instant>> {
    extended(text, |text| {
        let (text, bc) = era(text);
        let mut scan = Scan(text);
        let local = local(&mut scan, bc)?;
        scan.end()?;
        Ok(local)
    })
}

/// A moment, in UTC.
pub fn timestamptz(text: &[u8]) -> Parsed<Extended<Instant>> {
    extended(text, |text| {
        let (text, bc) = era(text);
        let mut scan = Scan(text);
        let local = local(&mut scan, bc)?;
        let offset = offset_ms(&mut scan)?;
        scan.end()?;
        Ok(Instant { millis: local.millis - offset, micros: local.micros })
    })
}

fn extended<T>(text: &[u8], finite: impl FnOnce(&[u8]) -> Parsed<T>) -> Parsed<Extended<T>> {
    match text {
        b"infinity" => Ok(Extended::Future),
        b"-infinity" => Ok(Extended::Past),
        _ => finite(text).map(Extended::Finite),
    }
}

/// The text without its era, and whether that is `BC`.
fn era(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |text| (text, true))
}

fn local(scan: &mut Scan<'_>, bc: bool) -> Parsed<Instant> {
    let days = days(scan, bc)?;
    scan.expect(b' ')?;
    let time = time_of_day(scan)?;
    Ok(Instant { millis: days * DAY_MS + time / 1_000, micros: time % 1_000 })
}

fn time_of_day(scan: &mut Scan<'_>) -> Parsed<i64> {
    let hours = scan.two_digits(24)?;
    scan.expect(b':')?;
    let minutes = scan.two_digits(59)?;
    scan.expect(b':')?;
    let seconds = scan.two_digits(60)?;
    let time = (hours * 3_600 + minutes * 60 + seconds) * 1_000_000 + scan.fraction_us()?;
    if time > DAY_US { Err(Malformed) } else { Ok(time) }
}

/// `+00`, `-05:30`, `+00:19:32`
fn offset_ms(scan: &mut Scan<'_>) -> Parsed<i64> {
    let sign = match (scan.eat(b'+'), scan.eat(b'-')) {
        (true, false) => 1_000,
        (false, true) => -1_000,
        _ => return Err(Malformed),
    };
    let mut seconds = scan.two_digits(99)? * 3_600;
    if scan.eat(b':') {
        seconds += scan.two_digits(59)? * 60;
        if scan.eat(b':') {
            seconds += scan.two_digits(59)?;
        }
    }
    Ok(sign * seconds)
}

/// `2024-01-02`, as days since 1970-01-01.
fn days(scan: &mut Scan<'_>, bc: bool) -> Parsed<i64> {
    let year = scan.number()?;
    scan.expect(b'-')?;
    let month = scan.two_digits(12)?;
    scan.expect(b'-')?;
    let day = scan.two_digits(31)?;
    // Years of seven digits are the most that Postgres has.
    if !(1..=9_999_999).contains(&year) || month == 0 || day == 0 {
        return Err(Malformed);
    }
    Ok(days_from_civil(if bc { 1 - year } else { year }, month, day))
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar with a year 0, by eras of 400 years that begin
/// in March ("chrono-Compatible Low-Level Date Algorithms", Howard Hinnant).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::Extended::{Finite, Future, Past};
    use super::*;

    // The numbers are Postgres' own: `extract(epoch FROM …)`.
    #[test]
    fn dates() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2024-03-01", 19_783),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("0044-03-15 BC", -735_160),
            ("4714-11-24 BC", -2_440_588),
            ("12345-01-01", 3_789_391),
            ("5874897-12-31", 2_145_042_905),
        ] {
            assert_eq!(date(text.as_bytes()), Ok(Finite(days)), "{text}");
        }
        assert_eq!(date(b"infinity"), Ok(Future));
        assert_eq!(date(b"-infinity"), Ok(Past));
    }

    #[test]
    fn times() {
        assert_eq!(time(b"00:00:00"), Ok(0));
        assert_eq!(time(b"23:59:59.999999"), Ok(86_399_999_999));
        assert_eq!(time(b"24:00:00"), Ok(86_400_000_000));
        assert_eq!(time(b"04:05:06.7"), Ok(14_706_700_000));
    }

    fn micros(moment: Parsed<Extended<Instant>>) -> Option<i64> {
        match moment {
            Ok(Finite(instant)) => instant.as_micros(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn timestamps() {
        for (text, us) in [
            ("2011-11-11 11:11:11.12345", Some(1_321_009_871_123_450)),
            ("1969-12-31 23:59:59.999999", Some(-1)),
            ("4714-11-24 00:00:00 BC", Some(-210_866_803_200_000_000)),
            ("294247-01-10 04:00:54.775807", Some(i64::MAX)),
            ("294247-01-10 04:00:54.775808", None),
        ] {
            assert_eq!(micros(timestamp(text.as_bytes())), us, "{text}");
        }
        let last = Instant { millis: 9_224_318_015_999_999, micros: 999 };
        assert_eq!(timestamp(b"294276-12-31 23:59:59.999999"), Ok(Finite(last)));
        assert_eq!(timestamp(b"infinity"), Ok(Future));
        assert_eq!(timestamptz(b"-infinity"), Ok(Past));
    }

    #[test]
    fn zones() {
        for (text, us) in [
            ("2024-01-02 03:04:05.678+00", 1_704_164_645_678_000),
            ("2024-01-02 03:04:05.678+05:30", 1_704_144_845_678_000),
            ("2024-01-02 03:04:05-00:01:15", 1_704_164_720_000_000),
            ("0044-03-15 12:00:00+00 BC", -63_517_780_800_000_000),
        ] {
            assert_eq!(micros(timestamptz(text.as_bytes())), Some(us), "{text}");
        }
    }

    /// Every day that Postgres knows up to the year 3000 is one after the day before.
    #[test]
    fn the_calendar_has_no_gap() {
        let mut expected = -2_440_588;
        let mut first = (11, 24);
        for year in -4713..=3000_i32 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for month in first.0..=12_usize {
                for day in first.1..=lengths[month - 1] {
                    let text = match year {
                        1.. => format!("{year:04}-{month:02}-{day:02}"),
                        _ => format!("{:04}-{month:02}-{day:02} BC", 1 - year),
                    };
                    assert_eq!(date(text.as_bytes()), Ok(Finite(expected)), "{text}");
                    expected += 1;
                }
                first.1 = 1;
            }
            first.0 = 1;
        }
    }

    #[test]
    fn what_is_not_iso_is_refused() {
        for text in ["", "01/02/2024", "2024-1-2", "2024-13-01", "2024-00-01", "2024-01-32", "0000-01-01", "-1-01-01"] {
            assert_eq!(date(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        for text in ["", "1:02:03", "01:02", "01:02:03.", "01:02:03.1234567", "24:00:01", "01:60:00", "01:02:03+00"] {
            assert_eq!(time(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        for text in ["2024-01-02", "2024-01-02T03:04:05", "2024-01-02 03:04:05+00", "2024-01-02 03:04:05 AD"] {
            assert_eq!(timestamp(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        for text in ["2024-01-02 03:04:05", "2024-01-02 03:04:05+", "2024-01-02 03:04:05 UTC"] {
            assert_eq!(timestamptz(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }
}
