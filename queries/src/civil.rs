//! The calendar, from microseconds and days to what people read: the proleptic Gregorian one, with a year 0.

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// The first day that Postgres has: 4714-11-24 BC.
pub const FIRST_DAY: i32 = -2_440_588;
/// The last one: 5874897-12-31.
pub const LAST_DAY: i32 = 2_145_042_905;
/// The first moment that Postgres has. Its last ones are beyond what is computed with here.
pub const FIRST_MICRO: i64 = FIRST_DAY as i64 * DAY_US;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year; 0 is 1 BC.
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
}

impl Civil {
    /// The day so many days after 1970-01-01 ("chrono-Compatible Low-Level Date Algorithms", Howard Hinnant).
    pub fn of_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// Months later (or earlier), on the same day of the month or on the month's last.
    pub fn plus_months(self, months: i64) -> Self {
        let month = self.year * 12 + (self.month - 1) + months;
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        Self { year, month, day: self.day.min(days_of_month(year, month)) }
    }

    /// The first day of this day's year.
    pub fn year_begin(self) -> Self {
        Self { month: 1, day: 1, ..self }
    }
}

/// Monday is 1, Sunday 7.
pub fn iso_day_of_week(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The week's year and its number as ISO 8601 has them: a week belongs to the year of its Thursday.
pub fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - iso_day_of_week(days) + 4;
    let year = Civil::of_days(thursday).year;
    let begin = Civil { year, month: 1, day: 1 }.days();
    (year, (thursday - begin) / 7 + 1)
}

/// How many days a month has.
pub fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for days in (-3_000_000..3_000_000).step_by(97) {
            assert_eq!(Civil::of_days(days).days(), days);
        }
        assert_eq!(Civil::of_days(11_016), Civil { year: 2000, month: 2, day: 29 });
        assert_eq!(Civil::of_days(-719_163), Civil { year: 0, month: 12, day: 31 });
    }

    #[test]
    fn months_end() {
        let day = Civil { year: 2024, month: 1, day: 31 };
        assert_eq!(day.plus_months(1), Civil { year: 2024, month: 2, day: 29 });
        assert_eq!(day.plus_months(-2), Civil { year: 2023, month: 11, day: 30 });
    }

    #[test]
    fn weeks() {
        let week = |year, month, day| iso_week(Civil { year, month, day }.days());
        assert_eq!(week(2021, 1, 3), (2020, 53));
        assert_eq!(week(2021, 1, 4), (2021, 1));
        assert_eq!(week(2024, 12, 30), (2025, 1));
        assert_eq!(iso_day_of_week(0), 4);
    }
}
