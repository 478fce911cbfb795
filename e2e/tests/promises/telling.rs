//! How a problem must be told: by both programs, under the same reason, with what to do about it, and without a secret.

use afterbay_e2e::afterbay::Finished;
use afterbay_e2e::{Manifests, Scenario};
use serde_json::Value;

/// `afterbay run` and `afterbay validate --online` tell this reason, with these words.
pub async fn both_tell(scenario: &Scenario, manifests: &Manifests, reason: &str, words: &[&str]) {
    run_tells(scenario, manifests, reason, words).await;
    validate_tells(scenario, manifests, reason, words).await;
}

/// `afterbay run` tells this reason, while it tries again.
pub async fn run_tells(scenario: &Scenario, manifests: &Manifests, reason: &str, words: &[&str]) {
    let afterbay = scenario.run(manifests);
    let (message, hint) = afterbay.problem(reason).await;
    check(&format!("{message} · {hint}"), words);
    assert!(!message.is_empty() && !hint.is_empty(), "{message} · {hint}");
    check_no_secret(manifests, &afterbay.log());
    check_no_secret(manifests, &afterbay.output());
}

/// `afterbay validate --online` tells this reason.
pub async fn validate_tells(scenario: &Scenario, manifests: &Manifests, reason: &str, words: &[&str]) {
    let finished = scenario.validate(manifests, &["--online"]).await;
    let told = all(&finished);
    assert_eq!(finished.status.code(), Some(1), "{told:?}");
    let reason = format!("{reason}: ");
    let place = told.iter().position(|line| line.contains(&reason));
    // A message may have several lines.
    check(&told[place.unwrap_or_else(|| panic!("{reason:?} is not told in: {told:?}"))..].join("\n"), words);
    check_no_secret(manifests, &told);
}

/// What is wrong with manifests alone is told by both programs before anything is begun.
pub async fn both_refuse(scenario: &Scenario, manifests: &Manifests, words: &[&str]) {
    let validated = scenario.validate(manifests, &[]).await;
    let run = scenario.run(manifests).wait().await;
    for finished in [validated, run] {
        let told = all(&finished);
        assert_eq!(finished.status.code(), Some(1), "{told:?}");
        check(&told.join("\n"), words);
        check_no_secret(manifests, &told);
    }
}

/// All of the words are there.
#[track_caller]
pub fn check(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{word:?} is not told in: {told}");
    }
}

/// No line of any Secret is there, be it the right one or a wrong one.
#[track_caller]
fn check_no_secret(manifests: &Manifests, lines: &[String]) {
    let values = manifests.secrets();
    // The first and last lines of a PEM block are everybody's.
    let secrets: Vec<_> =
        values.iter().flat_map(|value| value.lines()).filter(|line| !line.contains("-----")).collect();
    assert!(!secrets.is_empty(), "a run without secrets proves nothing");
    for line in lines {
        assert!(!secrets.iter().any(|secret| line.contains(secret)), "a secret is told");
        assert!(!line.contains("panicked"), "something panicked: {lines:?}");
    }
}

/// All lines; those in which `run -o json` tells of manifests as `validate` writes them.
fn all(finished: &Finished) -> Vec<String> {
    let plainly = |line: &String| {
        let told: Value = serde_json::from_str(line).unwrap_or_default();
        let field = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        if told["event"] != "invalid" {
            return line.clone();
        }
        let place = format!("{}: document {}: {}", field("file"), told["document"], field("field"));
        format!("{place}: {} · what to do: {}", field("what"), field("remedy"))
    };
    finished.output.iter().map(plainly).chain(finished.log.iter().cloned()).collect()
}
