//! Texts that users write, read as values: what a cast from `text` and a literal hold.
//!
//! Postgres reads far more forms of moments than one wants to rely on; here it is ISO alone, and all else is an error.

use afterbay_formats::text::datetime::{self, Extended};
use afterbay_formats::text::{bytea, interval as forms};
use arrow_array::types::IntervalMonthDayNano;

use crate::civil::{Civil, DAY_US, FIRST_DAY, LAST_DAY};
use crate::failure::Failure;

type Read<T> = Result<T, Failure>;

/// Any unambiguous beginning of the words, as Postgres has it.
pub fn boolean(text: &str) -> Read<bool> {
    let text = text.trim_ascii().to_ascii_lowercase();
    match text.as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Ok(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Ok(false),
        _ => Err(Failure::NOT_OF_TYPE),
    }
}

/// Digits with an optional sign.
pub fn integer(text: &str) -> Read<i128> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::NOT_OF_TYPE);
    }
    text.parse().map_err(|_| Failure::OUT_OF_RANGE)
}

/// A number with an optional exponent, or one of the words for what is none.
pub fn float8(text: &str) -> Read<f64> {
    let value: f64 = text.trim_ascii().parse().map_err(|_| Failure::NOT_OF_TYPE)?;
    if value.is_infinite() && !text.to_ascii_lowercase().contains("inf") {
        return Err(Failure::OUT_OF_RANGE);
    }
    Ok(value)
}

/// Not by way of `double precision`, which would round twice.
pub fn float4(text: &str) -> Read<f32> {
    let value: f32 = text.trim_ascii().parse().map_err(|_| Failure::NOT_OF_TYPE)?;
    if value.is_infinite() && !text.to_ascii_lowercase().contains("inf") {
        return Err(Failure::OUT_OF_RANGE);
    }
    Ok(value)
}

fn infinity(text: &str) -> Option<bool> {
    ["infinity", "+infinity", "-infinity"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
        .then(|| !text.starts_with('-'))
}

/// Days since 1970-01-01; the infinities are the extremes.
pub fn date(text: &str) -> Read<i32> {
    let text = text.trim_ascii();
    match infinity(text) {
        Some(true) => return Ok(i32::MAX),
        Some(false) => return Ok(i32::MIN),
        None => {}
    }
    let Ok(Extended::Finite(days)) = datetime::date(text.as_bytes()) else { return Err(Failure::NOT_OF_TYPE) };
    if !(FIRST_DAY..=LAST_DAY).contains(&days) {
        return Err(Failure::OUT_OF_RANGE);
    }
    // 31 February would be another day.
    let written = text.strip_suffix(" BC").unwrap_or(text).rsplit('-').next();
    if written.and_then(|day| day.parse().ok()) == Some(Civil::of_days(days.into()).day) {
        Ok(days)
    } else {
        Err(Failure::NOT_OF_TYPE)
    }
}

/// `hh:mm` and `hh:mm:ss.ffffff`, in microseconds.
pub fn time(text: &str) -> Read<i64> {
    let text = text.trim_ascii();
    let read = |text: &str| datetime::time(text.as_bytes()).map_err(|_| Failure::NOT_OF_TYPE);
    if text.len() == 5 { read(&format!("{text}:00")) } else { read(text) }
}

/// A moment without a zone, in microseconds.
pub fn timestamp(text: &str) -> Read<i64> {
    let (micros, offset) = moment(text)?;
    // Postgres would pass over the zone in silence.
    if offset.is_some() { Err(Failure::NOT_OF_TYPE) } else { Ok(micros) }
}

/// A moment; UTC unless it says otherwise.
pub fn timestamptz(text: &str) -> Read<i64> {
    let (micros, offset) = moment(text)?;
    micros.checked_sub(offset.unwrap_or_default()).ok_or(Failure::OUT_OF_RANGE)
}

/// Local microseconds, and the zone's.
fn moment(text: &str) -> Read<(i64, Option<i64>)> {
    let text = text.trim_ascii();
    match infinity(text) {
        Some(true) => return Ok((i64::MAX, None)),
        Some(false) => return Ok((i64::MIN, None)),
        None => {}
    }
    let (text, era) = text.strip_suffix(" BC").map_or((text, ""), |text| (text, " BC"));
    let (day, rest) = text.split_once([' ', 'T', 't']).unwrap_or((text, "00:00:00"));
    let (clock, zone) = match rest.find(['+', '-', 'Z', 'z']) {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let days = i64::from(date(&format!("{day}{era}"))?);
    let micros = days.checked_mul(DAY_US).and_then(|us| us.checked_add(time(clock).ok()?));
    let offset = zone.map(offset).transpose()?;
    Ok((micros.ok_or(Failure::NOT_OF_TYPE)?, offset))
}

/// `Z`, `+01`, `-05:30`, `+0530`
fn offset(zone: &str) -> Read<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Ok(0);
    }
    let (sign, digits) = zone.split_at(1);
    let digits = digits.replace(':', "");
    let number = |range: std::ops::Range<usize>| digits.get(range).and_then(|digits| digits.parse::<i64>().ok());
    let (hours, minutes) = match digits.len() {
        2 => (number(0..2), Some(0)),
        4 => (number(0..2), number(2..4)),
        _ => (None, None),
    };
    match (hours, minutes) {
        (Some(hours @ 0..=15), Some(minutes @ 0..=59)) => {
            let micros = (hours * 60 + minutes) * 60_000_000;
            Ok(if sign == "-" { -micros } else { micros })
        }
        _ => Err(Failure::NOT_OF_TYPE),
    }
}

/// Postgres' own form, or numbers each with a unit: `1 year 2 months`, `90 minutes`.
pub fn interval(text: &str) -> Read<IntervalMonthDayNano> {
    let text = text.trim_ascii().to_ascii_lowercase();
    let read = match forms::interval(text.as_bytes()) {
        Ok(read) => (read.months, read.days, read.microseconds),
        Err(_) => by_units(&text).ok_or(Failure::NOT_OF_TYPE)?,
    };
    nanos(read.0, read.1, read.2)
}

/// Arrow's intervals have nanoseconds, which hold 292 years of hours.
pub fn nanos(months: i32, days: i32, micros: i64) -> Read<IntervalMonthDayNano> {
    let nanos = micros.checked_mul(1_000).ok_or(Failure::OUT_OF_RANGE)?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

fn by_units(text: &str) -> Option<(i32, i32, i64)> {
    let (mut months, mut days, mut micros) = (0_i32, 0_i32, 0_i64);
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(number) = words.next() {
        if number.contains(':') {
            let (negative, clock) = number.strip_prefix('-').map_or((false, number), |clock| (true, clock));
            let clock = time(clock.strip_prefix('+').unwrap_or(clock)).ok()?;
            micros = micros.checked_add(if negative { -clock } else { clock })?;
            continue;
        }
        let number: i32 = number.parse().ok()?;
        let unit = words.next()?;
        let unit = if unit.len() > 1 { unit.strip_suffix('s').unwrap_or(unit) } else { unit };
        let (unit_months, unit_days, unit_micros) = match unit {
            "year" | "y" => (12, 0, 0),
            "month" | "mon" => (1, 0, 0),
            "week" | "w" => (0, 7, 0),
            "day" | "d" => (0, 1, 0),
            "hour" | "h" => (0, 0, 3_600_000_000),
            "minute" | "min" | "m" => (0, 0, 60_000_000),
            "second" | "sec" | "s" => (0, 0, 1_000_000),
            "millisecond" => (0, 0, 1_000),
            "microsecond" => (0, 0, 1),
            _ => return None,
        };
        months = months.checked_add(number.checked_mul(unit_months)?)?;
        days = days.checked_add(number.checked_mul(unit_days)?)?;
        micros = micros.checked_add(i64::from(number).checked_mul(unit_micros)?)?;
    }
    Some((months, days, micros))
}

/// 32 digits, in the form in which Postgres writes them.
pub fn uuid(text: &str) -> Read<String> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text).replace('-', "");
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::NOT_OF_TYPE);
    }
    let digits = digits.to_ascii_lowercase();
    let part = |range: std::ops::Range<usize>| &digits[range];
    Ok([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-"))
}

/// The hex form, or bytes as they are if there is no backslash among them.
pub fn binary(text: &str) -> Read<Vec<u8>> {
    if !text.contains('\\') {
        return Ok(text.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    bytea::hex_digits(text.as_bytes())
        .and_then(|digits| bytea::decode(digits, &mut bytes))
        .map_err(|_| Failure::NOT_OF_TYPE)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The numbers are Postgres' own: `extract(epoch FROM …)`.
    #[test]
    fn moments() {
        assert_eq!(timestamp("2024-01-02 03:04:05.678"), Ok(1_704_164_645_678_000));
        assert_eq!(timestamp("2024-01-02T03:04"), Ok(1_704_164_640_000_000));
        assert_eq!(timestamp("2024-01-02"), Ok(1_704_153_600_000_000));
        assert_eq!(timestamptz("2024-01-02 03:04:05.678+05:30"), Ok(1_704_144_845_678_000));
        assert_eq!(timestamptz("2024-01-02 03:04:05Z"), Ok(1_704_164_645_000_000));
        assert_eq!(timestamptz("2024-01-02 03:04:05-0100"), Ok(1_704_168_245_000_000));
        assert_eq!(timestamp("infinity"), Ok(i64::MAX));
        assert_eq!(timestamp("0044-03-15 12:00:00 BC"), Ok(-63_517_780_800_000_000));
        for text in ["", "2024-02-30", "01/02/2024", "yesterday", "2024-01-02 25:00", "2024-01-02 03:04:05+99"] {
            assert_eq!(timestamptz(text), Err(Failure::NOT_OF_TYPE), "{text}");
        }
        assert_eq!(timestamp("2024-01-02 03:04:05+01"), Err(Failure::NOT_OF_TYPE));
        assert_eq!(date("2023-02-29"), Err(Failure::NOT_OF_TYPE));
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("1 day"), Ok(IntervalMonthDayNano::new(0, 1, 0)));
        assert_eq!(interval("1 year 2 months 90 minutes"), Ok(IntervalMonthDayNano::new(14, 0, 5_400_000_000_000)));
        assert_eq!(interval("-2 weeks"), Ok(IntervalMonthDayNano::new(0, -14, 0)));
        assert_eq!(interval("1 day 02:00:00"), Ok(IntervalMonthDayNano::new(0, 1, 7_200_000_000_000)));
        assert_eq!(interval("soon"), Err(Failure::NOT_OF_TYPE));
    }

    #[test]
    fn others() {
        assert_eq!(uuid("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}").unwrap(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert_eq!(integer(" -42 "), Ok(-42));
        assert_eq!(integer("4.2"), Err(Failure::NOT_OF_TYPE));
        assert_eq!(float8("1e400"), Err(Failure::OUT_OF_RANGE));
        assert_eq!(boolean(" Yes "), Ok(true));
        assert_eq!(binary("\\x00ff"), Ok(vec![0, 255]));
        assert_eq!(binary("ab"), Ok(b"ab".to_vec()));
    }
}
