//! Amounts of memory, as Kubernetes writes them, and of time, as Go does.

use std::time::Duration;

/// Bytes of `65536`, `64Ki`, `64Mi`, `1Gi`, `64k`, `64M`, `1G`; none where it is no such amount.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The length of `10ms`, `30s`, `5m`, `1h30m`: Go's durations of whole numbers; none where it is no such length.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    loop {
        let (number, units) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, others) = units.split_at(units.find(|c: char| c.is_ascii_digit()).unwrap_or(units.len()));
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        total = total.checked_add(one.checked_mul(number.parse().ok()?)?)?;
        if others.is_empty() {
            return Some(total);
        }
        rest = others;
    }
}

/// An amount of a pod's resource (`500m`, `0.5`, `256Mi`, `2`) in billionths, to be held against another one; none where it is
/// no such amount.
pub fn amount(text: &str) -> Option<u128> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number);
    let one: u128 = match unit {
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "k" => 1_000_000_000_000,
        "M" => 1_000_000_000_000_000,
        "G" => 1_000_000_000_000_000_000,
        "T" => 1_000_000_000_000_000_000_000,
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        "Ti" => 1_000_000_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_short = |digits: &str| (1..=18).contains(&digits.len());
    if !is_short(whole) || !is_short(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction.parse().ok()?)?;
    // What is less than a billionth makes no difference.
    Some(parts.checked_mul(one)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_resources() {
        assert_eq!(amount("500m"), amount("0.5"));
        assert_eq!(amount("2"), Some(2_000_000_000));
        assert_eq!(amount("1Gi"), amount("1024Mi"));
        assert_eq!(amount("1.5Gi"), amount("1536Mi"));
        assert!(amount("999M") < amount("1G") && amount("1G") < amount("1Gi"));
        for wrong in ["", "m", ".5", "1.", "-1", "1e3", "1 Gi", "1gb", "1.2.3", "9999999999999999999"] {
            assert_eq!(amount(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn amounts() {
        assert_eq!(bytes("64Mi"), Some(64 << 20));
        assert_eq!(bytes("1G"), Some(1_000_000_000));
        assert_eq!(bytes("100"), Some(100));
        assert_eq!(bytes("64MB"), None);
        assert_eq!(bytes("Mi"), None);
        assert_eq!(bytes("-1Mi"), None);
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10ms"), Some(Duration::from_millis(10)));
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("1s500ms"), Some(Duration::from_millis(1_500)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        for wrong in ["", "5", "s", "ms", "5 s", " 5s", "-5s", "1.5s", "5s1", "5us", "5S", "5sec", "99999999999h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
