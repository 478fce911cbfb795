//! Whether a topic that is there can be used as it is. Pure: `afterbay run` and `afterbay validate --online` ask the same.

use std::collections::BTreeMap;

use afterbay_clients::kafka::admin::{TopicMetadata, TopicSetting};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{TopicKind, TopicSpec};

/// Fewer replicas than this of the progress topic can be lost with what exactly-once rests on.
const REPLICAS: i16 = 3;

/// What there is to say of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Why exactly-once cannot be kept with it: nothing may be started on it.
    pub unfit: Option<Problem>,
    /// What is not as wanted, and stops nothing: it is used as it is.
    pub warnings: Vec<Problem>,
}

/// What is known of a topic's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Nothing depends on them.
    Unasked,
    /// The user may not see them; this is to be told.
    Hidden(Problem),
    /// All.
    Seen(BTreeMap<String, TopicSetting>),
}

/// Whether anything depends on the topic's settings.
pub fn depends_on_settings(spec: &TopicSpec) -> bool {
    spec.kind == TopicKind::Progress || !spec.config.is_empty()
}

/// Judges a topic by its settings; without settings, where the user may not see them, by the rest.
pub fn judge(spec: &TopicSpec, found: TopicMetadata, settings: &Settings) -> Fit {
    let seen = match settings {
        Settings::Seen(settings) => Some(settings),
        Settings::Unasked | Settings::Hidden(_) => None,
    };
    let mut fit = match spec.kind {
        TopicKind::Data => data(spec, found, seen),
        TopicKind::Progress => progress(spec, found, seen),
    };
    if let Settings::Hidden(problem) = settings {
        fit.warnings.push(Reason::TopicNotChecked.problem(
            format!("the settings of topic {} are not checked: {}", spec.name, problem.message),
            format!("nothing, if they are as they should be; else {}", problem.hint),
        ));
    }
    fit
}

fn data(spec: &TopicSpec, found: TopicMetadata, settings: Option<&BTreeMap<String, TopicSetting>>) -> Fit {
    let mut differs = Vec::new();
    if let Some(wanted) = spec.partitions.filter(|wanted| *wanted != found.partitions) {
        differs.push(format!("{} partitions instead of {wanted}", found.partitions));
    }
    differs.extend(other_replicas(spec, found));
    differs.extend(settings.into_iter().flat_map(|settings| other_settings(spec, settings)));
    let warning = (!differs.is_empty()).then(|| {
        Reason::TopicDiffers.problem(
            format!("topic {} is there, but has {}", spec.name, differs.join(", ")),
            "it is used as it is; change the topic, or spec.kafka.topic",
        )
    });
    Fit { unfit: None, warnings: warning.into_iter().collect() }
}

/// The progress topic, after what the documentation of Kafka sinks asks of it.
fn progress(spec: &TopicSpec, found: TopicMetadata, settings: Option<&BTreeMap<String, TopicSetting>>) -> Fit {
    let name = &spec.name;
    if found.partitions != 1 || settings.is_some_and(forgets) {
        let partitions = (found.partitions != 1).then(|| format!("{} partitions instead of 1", found.partitions));
        let settings = settings.into_iter().flat_map(|settings| other_settings(spec, settings));
        let differs: Vec<_> = partitions.into_iter().chain(settings).collect();
        let unfit = Reason::ProgressTopicUnfit.problem(
            format!("the progress topic {name} has {}", differs.join(", ")),
            "exactly-once cannot be kept like this: give it one partition, cleanup.policy=compact, retention.ms=-1 and \
             retention.bytes=-1, or name another in spec.progressTopic of the KafkaConnection",
        );
        return Fit { unfit: Some(unfit), warnings: Vec::new() };
    }
    let mut warnings = Vec::new();
    if let Some(differs) = other_replicas(spec, found) {
        warnings.push(Reason::TopicDiffers.problem(
            format!("the progress topic {name} is there, but has {differs}"),
            "it is used as it is; change the topic, or spec.progressTopic",
        ));
    }
    let (has, do_this): (Vec<_>, Vec<_>) = weaknesses(spec, found, settings).into_iter().unzip();
    if !has.is_empty() {
        warnings.push(Reason::ProgressTopicWeak.problem(
            format!("the progress topic {name} has {}", has.join(", ")),
            format!("it works like this; {}", do_this.join("; ")),
        ));
    }
    Fit { unfit: None, warnings }
}

/// What makes the progress topic less safe, or less small, than it should be; and what to do about it.
fn weaknesses(
    spec: &TopicSpec,
    found: TopicMetadata,
    settings: Option<&BTreeMap<String, TopicSetting>>,
) -> Vec<(String, &'static str)> {
    let mut weaknesses = Vec::new();
    if found.replication_factor < REPLICAS {
        let replicas = format!("replication factor {}", found.replication_factor);
        weaknesses.push((replicas, "with three replicas a lost disk would not take the progress along"));
    }
    let Some(settings) = settings else { return weaknesses };
    for differs in other_settings(spec, settings) {
        let do_this = if differs.starts_with("cleanup.policy") {
            "cleanup.policy=compact would keep it small"
        } else {
            "with retention off nothing is lost, whatever becomes of cleanup.policy"
        };
        weaknesses.push((differs, do_this));
    }
    for (setting, do_this) in [
        ("remote.storage.enable", "without tiered storage it is compacted sooner"),
        ("unclean.leader.election.enable", "without unclean leader election no committed record is lost"),
    ] {
        if value(settings, setting) == Some("true") {
            weaknesses.push((format!("{setting}=true"), do_this));
        }
    }
    weaknesses
}

fn other_replicas(spec: &TopicSpec, found: TopicMetadata) -> Option<String> {
    let wanted = spec.replication_factor.filter(|wanted| *wanted != found.replication_factor)?;
    Some(format!("replication factor {} instead of {wanted}", found.replication_factor))
}

fn other_settings(spec: &TopicSpec, settings: &BTreeMap<String, TopicSetting>) -> Vec<String> {
    let mut differs = Vec::new();
    for (name, wanted) in &spec.config {
        match value(settings, name) {
            Some(found) if is_same(found, wanted) => {}
            found => differs.push(format!("{name}={} instead of {wanted}", found.unwrap_or("(unset)"))),
        }
    }
    differs
}

/// Lists mean the same in any order.
fn is_same(found: &str, wanted: &str) -> bool {
    let sorted = |list: &str| {
        let mut words: Vec<_> = list.split(',').map(|word| word.trim().to_owned()).collect();
        words.sort();
        words
    };
    sorted(found) == sorted(wanted)
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

    fn settings(settings: &[(&str, &str)]) -> Settings {
        let setting = |value: &str| TopicSetting { value: value.to_owned(), is_default: false };
        Settings::Seen(settings.iter().map(|(name, value)| ((*name).to_owned(), setting(value))).collect())
    }

    /// The verdicts, each with its message.
    fn judged(spec: &TopicSpec, partitions: i32, replicas: i16, settings: &Settings) -> Vec<(String, String)> {
        let Fit { unfit, warnings } = judge(spec, TopicMetadata { partitions, replication_factor: replicas }, settings);
        let told = |problem: Problem| (problem.reason, problem.message);
        unfit.into_iter().chain(warnings).map(told).collect()
    }

    #[test]
    fn progress_needs_one_partition_that_forgets_nothing() {
        let progress = topic(TopicKind::Progress, Some(1), &COMPACTED);
        let verdict = |partitions, list: &[(&str, &str)]| {
            let told = judged(&progress, partitions, 3, &settings(list));
            told.into_iter().map(|(reason, _)| reason).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(verdict(1, &COMPACTED), "");
        assert_eq!(verdict(2, &COMPACTED), "ProgressTopicUnfit");
        for (policy, ms, bytes, expected) in [
            ("delete", "604800000", "-1", "ProgressTopicUnfit"),
            ("delete", "-1", "1048576", "ProgressTopicUnfit"),
            ("compact,delete", "604800000", "-1", "ProgressTopicUnfit"),
            ("delete", "-1", "-1", "ProgressTopicWeak"),
            ("compact", "604800000", "-1", "ProgressTopicWeak"),
        ] {
            let settings = [("cleanup.policy", policy), ("retention.ms", ms), ("retention.bytes", bytes)];
            assert_eq!(verdict(1, &settings), expected, "{settings:?}");
        }
        let found = [("cleanup.policy", "delete"), ("retention.ms", "5"), ("retention.bytes", "-1")];
        assert_eq!(
            judged(&progress, 2, 1, &settings(&found))[0].1,
            "the progress topic t has 2 partitions instead of 1, cleanup.policy=delete instead of compact, \
             retention.ms=5 instead of -1"
        );
    }

    #[test]
    fn progress_is_better_kept_on_three_disks_and_no_other() {
        let progress = topic(TopicKind::Progress, Some(1), &COMPACTED);
        let risky = [("remote.storage.enable", "true"), ("unclean.leader.election.enable", "true")];
        let found = settings(&[&COMPACTED[..], &risky].concat());
        let Fit { unfit, warnings } = judge(&progress, TopicMetadata { partitions: 1, replication_factor: 2 }, &found);
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert_eq!((unfit, warning.reason.as_str()), (None, "ProgressTopicWeak"));
        assert_eq!(
            warning.message,
            "the progress topic t has replication factor 2, remote.storage.enable=true, \
             unclean.leader.election.enable=true"
        );
        for words in ["three replicas", "without tiered storage", "without unclean leader election"] {
            assert!(warning.hint.contains(words), "{}", warning.hint);
        }
        let wanted = TopicSpec { replication_factor: Some(5), ..progress };
        let told = judged(&wanted, 1, 3, &settings(&COMPACTED));
        let message = "the progress topic t is there, but has replication factor 3 instead of 5";
        assert_eq!(told, [("TopicDiffers".to_owned(), message.to_owned())]);
    }

    #[test]
    fn a_topic_whose_settings_are_hidden_is_judged_by_the_rest() {
        let hidden = Settings::Hidden(Reason::KafkaNotAuthorized.problem("User:u lacks a right", "give it: …"));
        let progress = topic(TopicKind::Progress, Some(1), &COMPACTED);
        assert_eq!(judged(&progress, 2, 3, &hidden)[0].0, "ProgressTopicUnfit");
        let told = judged(&progress, 1, 3, &hidden);
        let message = "the settings of topic t are not checked: User:u lacks a right";
        assert_eq!(told, [("TopicNotChecked".to_owned(), message.to_owned())]);
    }

    #[test]
    fn other_topics_are_used_as_they_are() {
        let data = topic(TopicKind::Data, Some(3), &[("retention.ms", "5"), ("cleanup.policy", "delete, compact")]);
        let found = [("retention.ms", "5"), ("cleanup.policy", "compact,delete")];
        assert_eq!(judged(&data, 3, 1, &settings(&found)), []);
        let told = judged(&TopicSpec { replication_factor: Some(2), ..data }, 2, 1, &settings(&found[1..]));
        let message = "topic t is there, but has 2 partitions instead of 3, replication factor 1 instead of 2, \
                       retention.ms=(unset) instead of 5";
        assert_eq!(told, [("TopicDiffers".to_owned(), message.to_owned())]);
        let plain = topic(TopicKind::Data, None, &[]);
        assert!(!depends_on_settings(&plain));
        assert_eq!(judged(&plain, 7, 1, &Settings::Unasked), []);
    }
}
