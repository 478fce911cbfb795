//! What is written of systems that do not answer stays as it is while only that changes which differs from try to try: ports, addresses,
//! times.

use afterbay_crds::report::Problem;

use super::facet::ends_by_itself;

/// Whether two messages of one reason say the same. Those of what somebody has to mend in a resource are told to the letter.
pub(super) fn is_alike(reason: &str, one: &str, other: &str) -> bool {
    one == other || is_of_a_connection(reason) && words(one).eq(words(other))
}

/// Whether a problem is told in the words of who tried to reach another system.
fn is_of_a_connection(reason: &str) -> bool {
    ends_by_itself(reason)
        || matches!(
            reason,
            "KafkaAuthenticationFailed"
                | "KafkaTlsFailed"
                | "RegistryAuthenticationFailed"
                | "RegistryTlsFailed"
                | "SourceAuthenticationFailed"
                | "SourceTlsFailed"
        )
}

/// The problem that was told before, if the new one says the same.
pub(super) fn problem(before: Option<&Problem>, now: Option<Problem>) -> Option<Problem> {
    let now = now?;
    let same = before.filter(|before| {
        before.reason == now.reason
            && is_alike(&now.reason, &before.message, &now.message)
            && is_alike(&now.reason, &before.hint, &now.hint)
    });
    Some(same.cloned().unwrap_or(now))
}

/// The words without those that vary: whatever has a digit in it is a port, an address, a time, a count or the number of an error.
fn words(message: &str) -> impl Iterator<Item = &str> {
    message.split_whitespace().map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "0" } else { word })
}

#[cfg(test)]
mod tests {
    use afterbay_crds::reason::Reason;

    use super::*;

    #[test]
    fn ports_addresses_and_times_make_no_other_message() {
        let one = "sasl_ssl://kafka-0.kafka:9093/0: Connect to ipv4#10.96.0.7:9093 failed: Connection refused (after 3ms in state CONNECT)";
        let other = one.replace("kafka-0.", "kafka-2.").replace("0.7:9093", "0.9:9093").replace("3ms", "12ms");
        assert!(is_alike("KafkaUnreachable", one, &other));
        assert!(!is_alike("KafkaUnreachable", one, &one.replace("refused", "reset")));
        // One more word, or one less, is another message.
        assert!(!is_alike("KafkaUnreachable", one, &format!("{one}, 1 identical error(s) suppressed")));
    }

    #[test]
    fn what_somebody_has_to_mend_is_told_to_the_letter() {
        let (one, other) = ("topic orders has 3 partitions, not 4", "topic orders has 2 partitions, not 4");
        assert!(!is_alike("TopicDiffers", one, other));
        assert!(is_alike("TopicDiffers", one, one));
    }

    #[test]
    fn a_problem_that_says_the_same_stays_as_it_was() {
        let told = |message: &str| Reason::SourceUnreachable.problem(message, "look at 10.0.0.1");
        let before = told("no answer from 10.0.0.1:5432 within 3 s");
        let now = told("no answer from 10.0.0.2:5432 within 4 s");
        assert_eq!(problem(Some(&before), Some(now.clone())), Some(before.clone()));
        assert_eq!(problem(None, Some(now.clone())), Some(now.clone()));
        assert_eq!(problem(Some(&before), None), None);
        let other = Reason::SourceFailed.problem(now.message, now.hint);
        assert_eq!(problem(Some(&before), Some(other.clone())), Some(other));
    }
}
