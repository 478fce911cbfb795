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

#[cfg(test)]
mod tests {
    use super::*;

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
