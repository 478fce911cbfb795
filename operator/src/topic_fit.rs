//! Whether a topic that is there can be used as it is. Pure: `afterbay run` and `afterbay validate --online` ask the same.

use std::collections::BTreeMap;

use afterbay_clients::kafka::admin::{TopicMetadata, TopicSetting};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{TopicKind, TopicSpec};

/// What there is to say of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is as wanted.
    Fits,
    /// It is not, but is used as it is.
    Differs(Problem),
    /// Exactly-once cannot be kept with it: nothing may be started on it.
    Unfit(Problem),
}

/// Judges a topic by its settings; without settings, where the user may not see them, by the rest.
pub fn judge(spec: &TopicSpec, found: TopicMetadata, settings: Option<&BTreeMap<String, TopicSetting>>) -> Fit {
    let name = &spec.name;
    let differs = differences(spec, found, settings);
    let unfit = spec.kind == TopicKind::Progress && (found.partitions != 1 || settings.is_some_and(forgets));
    if unfit {
        return Fit::Unfit(Reason::ProgressTopicUnfit.problem(
            format!("the progress topic {name} has {}", differs.join(", ")),
            "exactly-once cannot be kept like this: give it one partition, cleanup.policy=compact, retention.ms=-1 and \
             retention.bytes=-1, or name another in spec.progressTopic of the KafkaConnection",
        ));
    }
    match (differs.is_empty(), spec.kind) {
        (true, _) if settings.is_none() => Fit::Differs(Reason::TopicDiffers.problem(
            format!("the settings of topic {name} are not checked"),
            "grant DescribeConfigs on it if they are to be checked",
        )),
        (true, _) => Fit::Fits,
        (false, TopicKind::Progress) => Fit::Differs(Reason::TopicDiffers.problem(
            format!("the progress topic {name} has {}", differs.join(", ")),
            "it works like this; compaction would keep it small",
        )),
        (false, TopicKind::Data) => Fit::Differs(Reason::TopicDiffers.problem(
            format!("topic {name} is there, but has {}", differs.join(", ")),
            "it is used as it is; change the topic, or spec.kafka.topic",
        )),
    }
}

fn differences(
    spec: &TopicSpec,
    found: TopicMetadata,
    settings: Option<&BTreeMap<String, TopicSetting>>,
) -> Vec<String> {
    let mut differs = Vec::new();
    if let Some(wanted) = spec.partitions.filter(|wanted| *wanted != found.partitions) {
        differs.push(format!("{} partitions instead of {wanted}", found.partitions));
    }
    if let Some(wanted) = spec.replication_factor.filter(|wanted| *wanted != found.replication_factor) {
        differs.push(format!("replication factor {} instead of {wanted}", found.replication_factor));
    }
    let Some(settings) = settings else { return differs };
    for (name, wanted) in &spec.config {
        match value(settings, name) {
            Some(found) if found == wanted => {}
            found => differs.push(format!("{name}={} instead of {wanted}", found.unwrap_or("(unset)"))),
        }
    }
    differs
}

/// Whether records are deleted for their age or for their size.
fn forgets(settings: &BTreeMap<String, TopicSetting>) -> bool {
    let deletes = value(settings, "cleanup.policy").is_some_and(|policy| policy.contains("delete"));
    let limited = |name| value(settings, name).is_some_and(|limit| limit != "-1");
    deletes && (limited("retention.ms") || limited("retention.bytes"))
}

fn value<'a>(settings: &'a BTreeMap<String, TopicSetting>, name: &str) -> Option<&'a str> {
    settings.get(name).map(|setting| setting.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPACTED: [(&str, &str); 3] =
        [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

    fn topic(kind: TopicKind, partitions: Option<i32>, config: &[(&str, &str)]) -> TopicSpec {
        TopicSpec {
            name: "t".to_owned(),
            partitions,
            replication_factor: None,
            config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            kind,
            sink: None,
        }
    }

    /// The reason (none: it fits) and the message.
    fn judged(spec: &TopicSpec, partitions: i32, settings: Option<&[(&str, &str)]>) -> (&'static str, String) {
        let setting = |value: &str| TopicSetting { value: value.to_owned(), is_default: false };
        let settings = settings
            .map(|settings| settings.iter().map(|(name, value)| ((*name).to_owned(), setting(value))).collect());
        match judge(spec, TopicMetadata { partitions, replication_factor: 1 }, settings.as_ref()) {
            Fit::Fits => ("", String::new()),
            Fit::Differs(problem) => {
                assert_eq!(problem.reason, "TopicDiffers");
                ("differs", problem.message)
            }
            Fit::Unfit(problem) => {
                assert_eq!(problem.reason, "ProgressTopicUnfit");
                ("unfit", problem.message)
            }
        }
    }

    #[test]
    fn progress_needs_one_partition_that_forgets_nothing() {
        let progress = topic(TopicKind::Progress, Some(1), &COMPACTED);
        let verdict = |partitions, settings: &[(&str, &str)]| judged(&progress, partitions, Some(settings)).0;
        assert_eq!(verdict(1, &COMPACTED), "");
        assert_eq!(verdict(2, &COMPACTED), "unfit");
        for (policy, ms, bytes, expected) in [
            ("delete", "604800000", "-1", "unfit"),
            ("delete", "-1", "1048576", "unfit"),
            ("compact,delete", "604800000", "-1", "unfit"),
            ("delete", "-1", "-1", "differs"),
            ("compact", "604800000", "-1", "differs"),
        ] {
            let settings = [("cleanup.policy", policy), ("retention.ms", ms), ("retention.bytes", bytes)];
            assert_eq!(verdict(1, &settings), expected, "{settings:?}");
        }
        let settings = [("cleanup.policy", "delete"), ("retention.ms", "5"), ("retention.bytes", "-1")];
        assert_eq!(
            judged(&progress, 2, Some(&settings)).1,
            "the progress topic t has 2 partitions instead of 1, cleanup.policy=delete instead of compact, \
             retention.ms=5 instead of -1"
        );
    }

    #[test]
    fn a_progress_topic_whose_settings_are_hidden_is_judged_by_its_partitions() {
        let progress = topic(TopicKind::Progress, Some(1), &COMPACTED);
        assert_eq!(judged(&progress, 2, None).0, "unfit");
        assert_eq!(judged(&progress, 1, None), ("differs", "the settings of topic t are not checked".to_owned()));
    }

    #[test]
    fn other_topics_are_used_as_they_are() {
        let data = topic(TopicKind::Data, Some(3), &[("retention.ms", "5")]);
        assert_eq!(judged(&data, 3, Some(&[("retention.ms", "5"), ("cleanup.policy", "delete")])).0, "");
        assert_eq!(
            judged(&data, 2, Some(&[])),
            (
                "differs",
                "topic t is there, but has 2 partitions instead of 3, retention.ms=(unset) instead of 5".to_owned()
            )
        );
        assert_eq!(judged(&topic(TopicKind::Data, None, &[]), 7, Some(&COMPACTED)).0, "");
    }
}
